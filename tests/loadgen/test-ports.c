/* The ports of this machine run out in the middle of a load: whose fault is it? */
#include <errno.h>
#include <sys/socket.h>

#include "stand.h"

static int connections_left = -1; /* -1: as many as are wanted */

/* The linker sends our own code's calls here. */
int __real_connect(int fd, const struct sockaddr *a, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *a, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *a, socklen_t len)
{
	if (connections_left == 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	connections_left -= connections_left > 0;
	return __real_connect(fd, a, len);
}

static void serve(void *ctx, Incoming *rq)
{
	(void)ctx;
	(void)incoming_answer(rq, 200, "text/plain", "hello", 5);
}

TEST(a_load_that_runs_out_of_ports_says_nothing_of_the_server)
{
	Stand s = {0};
	HttpTarget target = {.host = (char[]){"127.0.0.1"}, .base = (char[]){""}};
	Stream load = {.arrivals = ARRIVALS_CLOSED, .users = 1, .requests = 30};
	stand_serve(&s, serve, NULL, NULL);
	s.client = httpclient_free(s.client);
	target.port = s.port;
	HttpClientSpec spec = {.target = &target, .close_each = true};
	CHECK_OK(httpclient_new(s.http, &spec, &s.client, NULL));
	TrafficStream stream = {.name = "http",
				.client = s.client,
				.protocol = PROTOCOL_HTTP,
				.load = &load,
				.misses_max = -1};
	stand_run(&s, &stream, 1);
	CHECK(!s.result.limited_by_client);
	connections_left = 20;
	stand_run(&s, &stream, 1);
	const StreamResult *r = &s.result.streams[0];
	CHECK_INT(r->n, 30);
	CHECK_INT(r->exchanges[19].failed, EXCHANGE_OK);
	CHECK_INT(r->exchanges[20].failed, EXCHANGE_TRANSPORT);
	CHECK_INT(r->exchanges[20].fault, HTTP_NO_PORT);
	CHECK(s.result.limited_by_client);
	CHECK(strstr(s.result.limited_why, "10 requests") && strstr(s.result.limited_why, "port"));
	stand_done(&s);
}
