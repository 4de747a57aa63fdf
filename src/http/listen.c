#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "http/internal.h"
#include "http/server_internal.h"

static const int one = 1;

/* A socket file that nobody answers at is what a dead process left. */
static bool is_abandoned(const Address *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	bool refused = connect(fd, &a->any, a->len) < 0 && errno == ECONNREFUSED;
	(void)close(fd);
	return refused;
}

static int bind_to(int fd, const Address *a)
{
	if (bind(fd, &a->any, a->len) == 0)
		return 0;
	int r = -errno;
	if (r == -EADDRINUSE && a->any.sa_family == AF_UNIX && is_abandoned(a) &&
	    unlink(a->un.sun_path) == 0)
		r = bind(fd, &a->any, a->len) < 0 ? -errno : 0;
	return r;
}

static int open_at(const Address *a, int *ret, uint16_t *ret_port)
{
	Address real = {.len = sizeof(real.un)};
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	int r = bind_to(fd, a);
	if (r == 0 && (listen(fd, SOMAXCONN) < 0 || getsockname(fd, &real.any, &real.len) < 0))
		r = -errno;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	*ret = fd;
	*ret_port = real.any.sa_family == AF_INET    ? ntohs(real.v4.sin_port)
		    : real.any.sa_family == AF_INET6 ? ntohs(real.v6.sin6_port)
						     : 0;
	return 0;
}

int server_listen_at(const HttpServerSpec *spec, int *ret_fd, uint16_t *ret_port, Err *err)
{
	/* The strings are only read. */
	HttpTarget t = {.socket = (char *)(uintptr_t)spec->socket,
			.host = (char *)(uintptr_t)spec->host,
			.port = spec->port};
	Address a[ADDRESSES_MAX];
	size_t n = 0;
	int r = addresses_find(&t, a, ADDRESSES_MAX, &n, err);
	if (r < 0)
		return r;
	if (n == 0)
		return err_set(err, -EINVAL, "'%s' is no address to listen at", spec->host);
	r = open_at(&a[0], ret_fd, ret_port);
	if (r < 0 && spec->socket)
		return err_set(err, r, "cannot listen at %s: %s", spec->socket, strerror(-r));
	if (r < 0)
		return err_set(err, r, "cannot listen at %s port %u: %s", spec->host,
			       (unsigned)spec->port, strerror(-r));
	return 0;
}
