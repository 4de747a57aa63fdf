/* The side that asks. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "connect/connect.h"
#include "connect/local.h"
#include "connect/wire.h"

enum {
	TABLE_MAX = 32 << 20,
	READ_SIZE = 64 << 10,
	BUSY_WAIT_MS = 2, /* a full backlog says so at once */
};

const char *connect_path(void)
{
	const char *path = getenv(CONNECT_VARIABLE);
	return path && *path ? path : NULL;
}

const char *connect_why(int error)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "dream-connect.socket is not there: systemctl start dream-connect.socket";
	case -EACCES:
	case -EPERM:
		return "dream-connect may be asked only by root and by the user of dream.service";
	case -ETIMEDOUT:
	case -EAGAIN:
		return "dream-connect has not answered: systemctl status dream-connect.service";
	case -ENAMETOOLONG:
		return "the path in the variable DREAM_CONNECT is no path of a socket";
	case -EBADMSG:
		return "dream-connect answered nonsense: is it of this version? systemctl restart "
		       "dream-connect.service";
	default:
		return "dream-connect has ended without an answer: systemctl status "
		       "dream-connect.service";
	}
}

/* --- Asking ----------------------------------------------------------------------------------- */

static int ask(const char *path, const WireQuestion *q, int *ret)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char text[WIRE_PACKET_MAX];
	size_t len = strlen(path), n = 0;
	int r = wire_question(q, text, &n);
	if (r < 0)
		return r;
	if (len >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, len);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ||
	    send(fd, text, n, MSG_NOSIGNAL) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

int connect_ask(const char *path, const struct sockaddr *to, int *ret_fd)
{
	WireQuestion q = {.verb = WIRE_CONNECT};
	if (to->sa_family == AF_INET) {
		memcpy(&q.to.v4, to, sizeof(q.to.v4));
	} else if (to->sa_family == AF_INET6) {
		memcpy(&q.to.v6, to, sizeof(q.to.v6));
	} else {
		return -EAFNOSUPPORT;
	}
	return ask(path, &q, ret_fd);
}

/* --- The answer ------------------------------------------------------------------------------- */

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
}

/* What came along with a packet; more than there is room for was closed by the kernel. */
static size_t take_files(struct msghdr *m, int *ret)
{
	size_t n = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || n > 0)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret, CMSG_DATA(c), n * sizeof(int));
	}
	return n;
}

/* As connect_answer(), for any question: between `least` and `most` files belong to an "ok". */
static int hear(int fd, size_t least, size_t most, int ret[WIRE_FILES_MAX], size_t *ret_n)
{
	char text[WIRE_PACKET_MAX];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(WIRE_FILES_MAX * sizeof(int))];
	} files;
	struct iovec io = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &files,
			   .msg_controllen = sizeof(files)};
	ssize_t len = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	size_t n = take_files(&m, ret);
	int r = len == 0				 ? -ECONNRESET
		: m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EBADMSG
							 : wire_read_answer(text, (size_t)len);
	if (r == 0 && (n < least || n > most))
		r = -EBADMSG;
	if (r != 0)
		close_all(ret, n);
	else
		*ret_n = n;
	return r;
}

int connect_answer(int fd, int *ret)
{
	int files[WIRE_FILES_MAX];
	size_t n;
	int r = hear(fd, 1, 1, files, &n);
	if (r == 0)
		*ret = files[0];
	return r;
}

/* --- At once ---------------------------------------------------------------------------------- */

static int wait_readable(int fd, int64_t until_us)
{
	int64_t left_us = until_us - clock_mono_us(&clock_system);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (left_us <= 0)
		return -ETIMEDOUT;
	int n = poll(&p, 1, (int)(left_us / 1000) + 1);
	return n < 0 && errno != EINTR ? -errno : 0;
}

static int ask_until(const char *path, const WireQuestion *q, int64_t until_us, int *ret)
{
	for (;;) {
		int r = ask(path, q, ret);
		if (r != -EAGAIN || clock_mono_us(&clock_system) >= until_us)
			return r;
		(void)poll(NULL, 0, BUSY_WAIT_MS);
	}
}

/* The question and its answer; results as of connect_answer(), without -EAGAIN. */
static int ask_and_wait(const char *path, const WireQuestion *q, size_t least, size_t most,
			int ret[WIRE_FILES_MAX], size_t *ret_n)
{
	int64_t until_us = clock_mono_us(&clock_system) + CONNECT_WAIT_US;
	int fd = -1;
	int r = ask_until(path, q, until_us, &fd);
	if (r < 0)
		return r;
	do {
		r = wait_readable(fd, until_us);
		if (r == 0)
			r = hear(fd, least, most, ret, ret_n);
	} while (r == -EAGAIN);
	(void)close(fd);
	return r;
}

int connect_port_free(uint16_t port, Err *err)
{
	const WireQuestion q = {.verb = WIRE_FREE, .port = port};
	int files[WIRE_FILES_MAX];
	size_t n;
	const char *path = connect_path();
	int r = path ? ask_and_wait(path, &q, 0, 0, files, &n) : local_free(port);
	if (r < 0)
		return err_set(err, r, "cannot see whether port %u is free: %s", (unsigned)port,
			       connect_why(r));
	return r == 0;
}

static int read_all(int fd, Str *out)
{
	_cleanup_free_ char *buf = malloc(READ_SIZE);
	size_t before = out->len;
	ssize_t n;
	if (!buf)
		return -ENOMEM;
	while ((n = read(fd, buf, READ_SIZE)) > 0) {
		str_addn(out, buf, (size_t)n);
		if (out->len - before > TABLE_MAX)
			return -EFBIG;
	}
	return n < 0 ? -errno : out->failed ? -ENOMEM : 0;
}

int connect_tables(char **ret, size_t *ret_len, Err *err)
{
	const WireQuestion q = {.verb = WIRE_TABLES};
	_cleanup_(str_done) Str text = STR_INIT;
	int files[WIRE_FILES_MAX];
	size_t n = 0;
	const char *path = connect_path();
	int r =
	    path ? ask_and_wait(path, &q, 1, WIRE_FILES_MAX, files, &n) : local_tables(files, &n);
	if (r < 0)
		return err_set(err, r, "cannot read the table of sockets: %s", connect_why(r));
	if (r > 0)
		return err_set(err, -r, "cannot read the table of sockets: %s", strerror(r));
	for (size_t i = 0; i < n && r == 0; i++)
		r = read_all(files[i], &text);
	close_all(files, n);
	if (r < 0)
		return err_set(err, r, "cannot read the table of sockets: %s", strerror(-r));
	*ret_len = text.len;
	return str_take(&text, ret) < 0 ? err_oom(err) : 0;
}
