/* Client and server with the k-th allocation or system call failing, for every k: every call ends
 * once or was never made, nothing is lost, nothing hangs. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../connect/bed.h"
#include "connect/connect.h"
#include "connect/server.h"
#include "http/client.h"
#include "http/server.h"
#include "test.h"

typedef enum Kind {
	KIND_MEMORY,
	KIND_EPOLL,
	KIND_SOCKET,
	KIND_SEND,
	KIND_RECV,
} Kind;

static Kind failing;
static long until_failure = -1; /* -1: never */

static bool fails(Kind kind, int with)
{
	if (kind != failing || until_failure < 0 || until_failure-- > 0)
		return false;
	errno = with;
	return true;
}

/* The linker sends the calls of our own code here, not those of libraries. */
#define WRAP(type, name, kind, with, none, parameters, arguments)            \
	type __real_##name parameters;                                       \
	type __wrap_##name parameters;                                       \
	type __wrap_##name parameters                                        \
	{                                                                    \
		return fails(kind, with) ? (none) : __real_##name arguments; \
	}

WRAP(void *, malloc, KIND_MEMORY, ENOMEM, NULL, (size_t n), (n))
WRAP(void *, calloc, KIND_MEMORY, ENOMEM, NULL, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, KIND_MEMORY, ENOMEM, NULL, (void *p, size_t n), (p, n))
WRAP(void *, reallocarray, KIND_MEMORY, ENOMEM, NULL, (void *p, size_t n, size_t size),
     (p, n, size))
WRAP(char *, strdup, KIND_MEMORY, ENOMEM, NULL, (const char *s), (s))
WRAP(char *, strndup, KIND_MEMORY, ENOMEM, NULL, (const char *s, size_t n), (s, n))
WRAP(int, epoll_create1, KIND_EPOLL, EMFILE, -1, (int flags), (flags))
WRAP(int, epoll_ctl, KIND_EPOLL, ENOSPC, -1, (int ep, int op, int fd, struct epoll_event *e),
     (ep, op, fd, e))
WRAP(int, socket, KIND_SOCKET, EMFILE, -1, (int domain, int type, int protocol),
     (domain, type, protocol))
WRAP(int, connect, KIND_SOCKET, ENETUNREACH, -1, (int fd, const struct sockaddr *a, socklen_t len),
     (fd, a, len))
WRAP(ssize_t, send, KIND_SEND, ENOBUFS, -1, (int fd, const void *p, size_t n, int flags),
     (fd, p, n, flags))
WRAP(ssize_t, recv, KIND_RECV, ECONNRESET, -1, (int fd, void *p, size_t n, int flags),
     (fd, p, n, flags))

typedef struct Scene {
	sd_event *loop;
	HttpServer *server;
	Bed bed; /* with HTTP_TEST_BROKER */
	ConnectServer *broker;
	HttpLoop *http;
	HttpClient *client;
	HttpTarget target;
	int made, ended, fine;
} Scene;

static void on_serve(void *ctx, Incoming *rq)
{
	(void)ctx;
	size_t n;
	const char *body = incoming_body(rq, &n);
	if (strcmp(incoming_path(rq), "/stream") != 0) {
		(void)incoming_answer(rq, 200, "text/plain", body, n);
		return;
	}
	if (incoming_stream(rq, 200, "text/event-stream") < 0 || incoming_write(rq, "a", 1) < 0)
		incoming_abort(rq);
	else
		incoming_end(rq);
}

static void on_fetched(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Scene *s = ctx;
	CHECK(body[len] == '\0');
	s->ended++;
	s->fine += end->fault == HTTP_FINE;
}

static void open_broker(Scene *s)
{
	bed_start(&s->bed);
	CHECK_OK(connectserver_new(s->loop, s->bed.listener, (uid_t)-1, &s->broker, NULL));
	CHECK_OK(setenv(CONNECT_VARIABLE, s->bed.path, 1));
}

static int open_scene(Scene *s, Err *err)
{
	char url[64];
	HttpServerSpec server = {.host = "127.0.0.1", .serve = on_serve};
	int r = httpserver_new(s->loop, &server, &s->server, err);
	if (r < 0)
		return r;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1", (unsigned)httpserver_port(s->server));
	r = httptarget_parse(url, &s->target, err);
	if (r < 0)
		return r;
	r = httploop_new(s->loop, &s->http, err);
	if (r < 0)
		return r;
	HttpClientSpec client = {.target = &s->target, .token = "t"};
	return httpclient_new(s->http, &client, &s->client, err);
}

static void call(Scene *s, const char *path)
{
	Err err = ERR_INIT;
	HttpCall *c = NULL;
	HttpRequest rq = {.method = "POST",
			  .path = path,
			  .type = "text/plain",
			  .body = "hello",
			  .body_len = 5,
			  .timeout_us = 5000000};
	int before = s->ended;
	int r = http_fetch(s->client, &rq, 100, on_fetched, s, &c, &err);
	CHECK((r == 0) == (err.msg[0] == '\0') && (r == 0) == (c != NULL));
	CHECK_INT(s->ended, before);
	s->made += r == 0;
}

/* Returns whether the failure was met. */
static bool play(Kind kind, long k)
{
	Scene s = {0};
	Err err = ERR_INIT;
	CHECK_OK(sd_event_new(&s.loop));
	if (getenv("HTTP_TEST_BROKER"))
		open_broker(&s);
	failing = kind;
	until_failure = k;
	int r = open_scene(&s, &err);
	CHECK((r == 0) == (err.msg[0] == '\0'));
	for (int round = 0; r == 0 && round < 2; round++) {
		call(&s, "/now");
		call(&s, "/stream");
		while (s.ended < s.made)
			CHECK_OK(sd_event_run(s.loop, UINT64_MAX));
	}
	bool met = until_failure < 0;
	until_failure = -1;
	if (r == 0) /* at most what one failure can spoil */
		CHECK(s.fine >= (met ? 2 : 4));
	(void)httpclient_free(s.client);
	(void)httploop_free(s.http);
	(void)httpserver_free(s.server);
	if (s.broker) {
		(void)connectserver_free(s.broker);
		bed_stop(&s.bed);
	}
	httptarget_done(&s.target);
	(void)sd_event_unref(s.loop);
	return met;
}

static void play_all(Kind kind, long at_least)
{
	long k = 0;
	while (play(kind, k))
		k++;
	CHECK(k >= at_least);
	CHECK(k < 1000);
}

TEST(no_memory)
{
	play_all(KIND_MEMORY, 25);
}

TEST(no_epoll)
{
	play_all(KIND_EPOLL, 4);
}

TEST(no_socket)
{
	play_all(KIND_SOCKET, 4);
}

TEST(no_sending)
{
	play_all(KIND_SEND, 4);
}

TEST(no_receiving)
{
	play_all(KIND_RECV, 4);
}
