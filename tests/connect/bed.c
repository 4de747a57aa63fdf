#include "bed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "scratch.h"
#include "test.h"

static struct sockaddr_un address(const Bed *b)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", b->path);
	return a;
}

void bed_start(Bed *b)
{
	snprintf(b->dir, sizeof(b->dir), "/tmp/dream-connect-XXXXXX");
	CHECK(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/socket", b->dir);
	struct sockaddr_un a = address(b);
	b->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(b->listener >= 0);
	CHECK_OK(bind(b->listener, (const struct sockaddr *)&a, sizeof(a)));
	CHECK_OK(listen(b->listener, 1024));
}

void bed_stop(Bed *b)
{
	if (b->listener >= 0)
		close(b->listener);
	(void)unlink(b->path);
	(void)rmdir(b->dir);
}

int bed_visit(const Bed *b)
{
	struct sockaddr_un a = address(b);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(fd >= 0);
	CHECK_OK(connect(fd, (const struct sockaddr *)&a, sizeof(a)));
	return fd;
}

void bed_say(int fd, const char *text)
{
	CHECK_INT(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

int bed_port(const char *host, uint16_t *ret_port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = {0};
	socklen_t len = sizeof(a);
	bool v6 = strchr(host, ':') != NULL;
	a.any.sa_family = v6 ? AF_INET6 : AF_INET;
	CHECK_INT(
	    inet_pton(a.any.sa_family, host, v6 ? (void *)&a.v6.sin6_addr : (void *)&a.v4.sin_addr),
	    1);
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, &a.any, v6 ? sizeof(a.v6) : sizeof(a.v4)) < 0) {
		close(fd);
		return -1;
	}
	CHECK_OK(listen(fd, 128));
	CHECK_OK(getsockname(fd, &a.any, &len));
	*ret_port = ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port);
	return fd;
}

struct sockaddr_in bed_v4(const char *host, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	CHECK_INT(inet_pton(AF_INET, host, &a.sin_addr), 1);
	return a;
}

int bed_count_files(void)
{
	return scratch_count("/proc/self/fd") - 1;
}
