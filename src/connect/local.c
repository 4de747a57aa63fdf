#include "connect/local.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

int local_connect(const WireQuestion *q, int *ret)
{
	bool v4 = q->to.any.sa_family == AF_INET;
	socklen_t len = v4 ? sizeof(q->to.v4) : sizeof(q->to.v6);
	int fd = socket(q->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	int error = connect(fd, &q->to.any, len) < 0 ? errno : 0;
	if (error != 0 && error != EINPROGRESS) {
		(void)close(fd);
		return error;
	}
	*ret = fd;
	return 0;
}

/* Without SO_REUSEADDR, as the strictest server would. */
static int try_bind(int family, const struct sockaddr *a, socklen_t len)
{
	int on = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : errno;
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	int error = bind(fd, a, len) < 0 && errno != EADDRNOTAVAIL ? errno : 0;
	(void)close(fd);
	return error;
}

int local_free(uint16_t port)
{
	const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int error = try_bind(AF_INET, (const struct sockaddr *)&v4, sizeof(v4));
	return error ? error : try_bind(AF_INET6, (const struct sockaddr *)&v6, sizeof(v6));
}

/* Below self and not through /proc/net, which a unit with ProcSubset=pid does not have. A table
 * that is not there (no IPv6) is an empty one. */
int local_tables(int ret[WIRE_FILES_MAX], size_t *ret_n)
{
	static const char *const paths[WIRE_FILES_MAX] = {"/proc/self/net/tcp",
							  "/proc/self/net/tcp6"};
	*ret_n = 0;
	for (size_t i = 0; i < WIRE_FILES_MAX; i++) {
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		int error = fd < 0 ? errno : 0;
		if (fd >= 0) {
			ret[(*ret_n)++] = fd;
		} else if (error != ENOENT) {
			while (*ret_n > 0)
				(void)close(ret[--*ret_n]);
			return error;
		}
	}
	return *ret_n > 0 ? 0 : ENOENT;
}
