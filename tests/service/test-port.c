#include "service/port.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

/* A listening socket of ours on a port that the kernel chooses. */
static int listen_at(int family, bool any, uint16_t *ret_port)
{
	struct sockaddr_storage a = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	socklen_t len = family == AF_INET ? sizeof(*v4) : sizeof(*v6);

	a.ss_family = (sa_family_t)family;
	if (family == AF_INET)
		v4->sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK);
	else
		v6->sin6_addr = any ? in6addr_any : in6addr_loopback;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 1) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	getsockname(fd, (struct sockaddr *)&a, &len);
	*ret_port = ntohs(family == AF_INET ? v4->sin_port : v6->sin6_port);
	return fd;
}

TEST(a_port_that_we_listen_on_is_taken_by_us)
{
	uint16_t port;
	pid_t pid = -1;
	int fd = listen_at(AF_INET, false, &port);
	CHECK(fd >= 0);
	CHECK(port_is_taken(port, &pid));
	CHECK_INT(pid, getpid());
	CHECK(port_is_taken(port, NULL));
	close(fd);
	CHECK(!port_is_taken(port, &pid));
	CHECK_INT(pid, 0);
}

TEST(a_bound_socket_that_does_not_listen_is_nobodys_service)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(bind(fd, (struct sockaddr *)&a, len), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	CHECK(!port_is_taken(ntohs(a.sin_port), NULL));
	close(fd);
}

static const Listener *find(const Listener *list, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].port == port)
			return &list[i];
	return NULL;
}

static void check_listed(int family, bool any)
{
	uint16_t port = 0;
	Listener *list = NULL;
	size_t n = 0;
	Err err = ERR_INIT;
	int fd = listen_at(family, any, &port);
	if (fd < 0 && family == AF_INET6)
		return; /* no IPv6 here */
	CHECK(fd >= 0);
	CHECK_OK(listeners(&list, &n, &err));
	const Listener *l = find(list, n, port);
	CHECK(l != NULL);
	if (l) {
		CHECK_INT(l->pid, getpid());
		CHECK_INT(l->loopback, !any);
		CHECK_INT(l->every, any);
		CHECK_STR(l->host, family == AF_INET ? "127.0.0.1" : any ? "localhost" : "::1");
	}
	free(list);
	close(fd);
}

TEST(listeners_say_whether_they_can_be_reached_from_outside)
{
	check_listed(AF_INET, false);
	check_listed(AF_INET, true);
	check_listed(AF_INET6, false);
	check_listed(AF_INET6, true);
}

TEST(a_listener_says_at_which_address)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 6)};
	socklen_t len = sizeof(a);
	Listener *list = NULL;
	size_t n = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 1) == 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	CHECK_OK(listeners(&list, &n, NULL));
	const Listener *l = find(list, n, ntohs(a.sin_port));
	CHECK(l != NULL);
	CHECK_STR(l->host, "127.0.0.7");
	CHECK(l->loopback && !l->every);
	free(list);
	close(fd);
}

TEST(a_picked_port_is_free_and_none_that_is_reserved)
{
	uint16_t first, second;
	Err err = ERR_INIT;
	CHECK_OK(port_pick(NULL, 0, &first, &err));
	CHECK(first >= 20000 && first <= 29999);
	CHECK(!port_is_taken(first, NULL));
	CHECK_OK(port_pick(&first, 1, &second, &err));
	CHECK(second != first);
}

TEST(a_port_that_somebody_listens_on_is_not_picked)
{
	uint16_t first, second;
	Err err = ERR_INIT;
	CHECK_OK(port_pick(NULL, 0, &first, &err));
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(first),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	CHECK_INT(listen(fd, 1), 0);
	CHECK_OK(port_pick(NULL, 0, &second, &err));
	CHECK(second != first);
	close(fd);
}

TEST(no_port_left_is_said)
{
	static uint16_t all[10000];
	uint16_t port;
	Err err = ERR_INIT;
	for (size_t i = 0; i < 10000; i++)
		all[i] = (uint16_t)(20000 + i);
	CHECK_ERR(port_pick(all, 10000, &port, &err), EADDRINUSE);
	CHECK_STR(err.msg, "no port between 20000 and 29999 is free");
}
