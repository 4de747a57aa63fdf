/* Coming to a connection: addresses that refuse, hang, or are none. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"

TEST(nobody_listens)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	rig_start(&r, NULL, NULL, &s, 1);
	close(r.peer.fd);
	r.peer.fd = dup(2); /* for peer_stop() */
	r.peer.listener = sd_event_source_disable_unref(r.peer.listener);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_CONNECT);
	CHECK_INT(r.end.error, ECONNREFUSED);
	CHECK_INT(r.end.sent_us, 0);
	rig_stop(&r);
}

/* The peer listens at the second address of "localhost" only. False: it cannot. */
static bool move_to_second_address(Rig *r)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6,
				 .sin6_addr = in6addr_loopback,
				 .sin6_port = htons(r->peer.port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	CHECK(listen(fd, 10) == 0);
	r->peer.listener = sd_event_source_disable_unref(r->peer.listener);
	close(r->peer.fd);
	r->peer.fd = fd;
	peer_listen(&r->peer);
	return true;
}

static void ask_localhost(Rig *r, int64_t connect_timeout_us)
{
	httpclient_free(r->client);
	HttpTarget t = {.host = (char[]){"localhost"}, .port = r->peer.port, .base = (char[]){""}};
	HttpClientSpec spec = {
	    .target = &t, .close_each = true, .connect_timeout_us = connect_timeout_us};
	CHECK_OK(httpclient_new(r->http, &spec, &r->client, NULL));
	for (int i = 0; i < 2; i++) {
		rig_get(r, "GET", 0);
		CHECK_INT(r->end.fault, HTTP_FINE);
	}
	CHECK_INT(r->peer.connections, 2);
}

/* The second address of "localhost" is tried when the first refuses, and remembered. */
TEST(another_address_is_tried)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	rig_start(&r, NULL, NULL, &s, 1);
	if (!move_to_second_address(&r)) {
		rig_stop(&r);
		SKIP("this machine has no IPv6, or the port is taken");
	}
	ask_localhost(&r, 0);
	rig_stop(&r);
}

TEST(no_such_host)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	/* An empty label: no resolver has to be asked. */
	HttpTarget t = {.host = (char[]){"a..b"}, .port = 1, .base = (char[]){""}};
	HttpClientSpec spec = {.target = &t};
	rig_start(&r, NULL, NULL, &s, 1);
	httpclient_free(r.client);
	CHECK_OK(httpclient_new(r.http, &spec, &r.client, NULL));
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_RESOLVE);
	rig_stop(&r);
}

/* The backlog of a socket that nobody accepts from: once it is full, a connection hangs. */
typedef struct Hole {
	int fd[3];
	uint16_t port;
} Hole;

static bool hole_open(Hole *h, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				.sin_port = htons(port)};
	socklen_t len = sizeof(a);
	int one_ = 1;
	h->fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(h->fd[0], SOL_SOCKET, SO_REUSEADDR, &one_, sizeof(one_));
	bool ok = bind(h->fd[0], (struct sockaddr *)&a, sizeof(a)) == 0 && listen(h->fd[0], 0) == 0;
	CHECK(getsockname(h->fd[0], (struct sockaddr *)&a, &len) == 0);
	for (int i = 1; i < 3; i++) {
		h->fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (ok)
			(void)connect(h->fd[i], (struct sockaddr *)&a, sizeof(a));
	}
	h->port = ntohs(a.sin_port);
	return ok;
}

static void hole_close(Hole *h)
{
	for (int i = 0; i < 3; i++)
		close(h->fd[i]);
}

TEST(a_connection_that_does_not_come_about_runs_out_of_time)
{
	Hole hole;
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	CHECK(hole_open(&hole, 0));
	HttpTarget t = {.host = (char[]){"127.0.0.1"}, .port = hole.port, .base = (char[]){""}};
	rig_start(&r, NULL, NULL, &s, 1);
	(void)httpclient_free(r.client);
	HttpClientSpec spec = {.target = &t, .connect_timeout_us = 50000};
	CHECK_OK(httpclient_new(r.http, &spec, &r.client, NULL));
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_CONNECT);
	CHECK_INT(r.end.error, ETIMEDOUT);
	rig_get(&r, "GET", 20000);
	CHECK_INT(r.end.fault, HTTP_TIMEOUT);
	rig_stop(&r);
	hole_close(&hole);
}

/* As behind a name whose IPv6 goes nowhere: the first address says neither yes nor no. */
TEST(an_address_that_hangs_leaves_time_for_another)
{
	Hole hole;
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	rig_start(&r, NULL, NULL, &s, 1);
	bool moved = move_to_second_address(&r);
	if (!moved || !hole_open(&hole, r.peer.port)) {
		if (moved)
			hole_close(&hole);
		rig_stop(&r);
		SKIP("this machine has no IPv6, or the port is taken");
	}
	ask_localhost(&r, 400000);
	rig_stop(&r);
	hole_close(&hole);
}

TEST(a_unix_socket_with_a_full_backlog)
{
	char path[] = "/tmp/dream-http-XXXXXX", name[64];
	CHECK(mkdtemp(path));
	snprintf(name, sizeof(name), "%s/s", path);
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	rig_start(&r, NULL, name, &s, 1);
	CHECK(listen(r.peer.fd, 1) == 0);
	r.to_come = 20;
	for (int i = 0; i < 20; i++)
		(void)rig_call(&r, "GET", "/x", 0);
	rig_loop(&r);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK_INT(r.peer.requests, 20);
	rig_stop(&r);
	unlink(name);
	rmdir(path);
}
