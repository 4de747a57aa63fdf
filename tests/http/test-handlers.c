/* What a handler may do while it is called: end its own call, others, the client, the loop; start
 * new ones. And whole answers in memory. */
#include "peer.h"
#include "test.h"

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"

static const Script hello = {.pieces = PIECES(OK_HELLO)};

typedef struct Actor {
	Rig *rig;
	HttpCall *call, *other;
	HttpHandler handler;
	int calls, left;
	bool ended;
} Actor;

static void run_until(Rig *r, const bool *done)
{
	for (int i = 0; i < 1000 && !*done; i++)
		CHECK_OK(sd_event_run(r->loop, 100000));
	CHECK(*done);
}

static void settle(Rig *r)
{
	for (int i = 0; i < 5; i++)
		CHECK_OK(sd_event_run(r->loop, 0));
}

static HttpCall *act(Actor *a)
{
	HttpRequest rq = {.method = "GET", .path = "/x"};
	HttpCall *call = NULL;
	CHECK_OK(http_call(a->rig->client, &rq, &a->handler, a, &call, NULL));
	return call;
}

static void never_done(void *ctx, const HttpEnd *end)
{
	(void)ctx;
	(void)end;
	test_fail(__FILE__, __LINE__, "a cancelled call ended");
}

static void cancel_in_head(void *ctx, int status, const char *type)
{
	Actor *a = ctx;
	(void)status;
	(void)type;
	http_cancel(a->call);
	if (a->other)
		http_cancel(a->other);
	a->ended = true;
}

static void cancel_in_data(void *ctx, const char *p, size_t n, int64_t at_us)
{
	(void)p;
	(void)n;
	(void)at_us;
	cancel_in_head(ctx, 0, NULL);
}

TEST(a_call_is_cancelled_by_its_own_handlers)
{
	for (int in_data = 0; in_data < 2; in_data++) {
		Rig r = RIG_INIT;
		Actor a = {.rig = &r, .handler = {.done = never_done}};
		if (in_data)
			a.handler.data = cancel_in_data;
		else
			a.handler.head = cancel_in_head;
		rig_start(&r, NULL, NULL, &hello, 1);
		a.call = act(&a);
		run_until(&r, &a.ended);
		settle(&r);
		rig_get(&r, "GET", 0);
		CHECK_INT(r.end.fault, HTTP_FINE);
		CHECK(!r.end.reused); /* the other one was in the middle of something */
		rig_stop(&r);
	}
}

TEST(a_call_is_cancelled_before_anything_happened)
{
	Rig r = RIG_INIT;
	Actor a = {.rig = &r, .handler = {.done = never_done}};
	rig_start(&r, NULL, NULL, &hello, 1);
	http_cancel(act(&a));
	settle(&r);
	rig_get(&r, "GET", 0);
	http_cancel(act(&a)); /* on the connection that is there */
	settle(&r);
	rig_stop(&r);
}

/* Both answers are there before the client looks: the second's event is in the batch in which its
 * connection goes. */
TEST(a_handler_cancels_another_call_of_the_same_batch)
{
	Rig r = RIG_INIT;
	Script stays = {.pieces = PIECES(OK_HELLO)};
	Actor a = {.rig = &r, .handler = {.head = cancel_in_head, .done = never_done}};
	Actor b = {.rig = &r, .handler = {.head = cancel_in_head, .done = never_done}};
	rig_start(&r, NULL, NULL, &stays, 1);
	r.to_come = 2;
	(void)rig_call(&r, "GET", "/x", 0);
	(void)rig_call(&r, "GET", "/x", 0);
	rig_loop(&r);
	a.call = b.other = act(&a);
	b.call = a.other = act(&b);
	peer_answer_now(&r.peer, OK_HELLO);
	for (int i = 0; i < 20 && !a.ended && !b.ended; i++)
		CHECK_OK(sd_event_run(r.loop, 100000));
	settle(&r);
	CHECK(a.ended != b.ended);
	rig_stop(&r);
}

static void free_client_in_data(void *ctx, const char *p, size_t n, int64_t at_us)
{
	Actor *a = ctx;
	(void)p;
	(void)n;
	(void)at_us;
	a->rig->client = httpclient_free(a->rig->client);
	a->rig->http = httploop_free(a->rig->http);
	a->ended = true;
}

static void free_client_when_done(void *ctx, const HttpEnd *end)
{
	CHECK_INT(end->fault, HTTP_FINE);
	free_client_in_data(ctx, NULL, 0, 0);
}

TEST(a_handler_frees_the_client_and_the_loop)
{
	for (int when_done = 0; when_done < 2; when_done++) {
		Rig r = RIG_INIT;
		Actor a = {.rig = &r, .handler = {.done = never_done}};
		if (when_done)
			a.handler.done = free_client_when_done;
		else
			a.handler.data = free_client_in_data;
		rig_start(&r, NULL, NULL, &hello, 1);
		(void)act(&a);
		(void)act(&a);
		run_until(&r, &a.ended);
		settle(&r);
		rig_stop(&r);
	}
}

static void free_client_on_timeout(void *ctx, const HttpEnd *end)
{
	CHECK_INT(end->fault, HTTP_TIMEOUT);
	free_client_in_data(ctx, NULL, 0, 0);
}

TEST(a_timeout_handler_frees_the_client_and_the_loop)
{
	Rig r = RIG_INIT;
	Script silent = {.end = PEER_SILENT};
	Actor a = {.rig = &r};
	HttpHandler h = {.done = free_client_on_timeout};
	HttpRequest rq = {.method = "GET", .path = "/x", .timeout_us = 1000};
	HttpCall *call;
	rig_start(&r, NULL, NULL, &silent, 1);
	for (int i = 0; i < 3; i++)
		CHECK_OK(http_call(r.client, &rq, &h, &a, &call, NULL));
	run_until(&r, &a.ended);
	settle(&r);
	rig_stop(&r);
}

static void again(void *ctx, const HttpEnd *end)
{
	Actor *a = ctx;
	CHECK_INT(end->fault, HTTP_FINE);
	CHECK(a->calls == 0 || end->reused);
	a->calls++;
	if (--a->left > 0)
		(void)act(a);
	else
		a->ended = true;
}

TEST(a_call_made_when_one_is_done_gets_its_connection)
{
	Rig r = RIG_INIT;
	Actor a = {.rig = &r, .left = 50, .handler = {.done = again}};
	rig_start(&r, NULL, NULL, &hello, 1);
	(void)act(&a);
	run_until(&r, &a.ended);
	CHECK_INT(a.calls, 50);
	CHECK_INT(r.peer.connections, 1);
	rig_stop(&r);
}

static void again_though_refused(void *ctx, const HttpEnd *end)
{
	Actor *a = ctx;
	CHECK_INT(end->fault, HTTP_CONNECT);
	a->calls++;
	if (--a->left > 0)
		(void)act(a);
	else
		a->ended = true;
}

/* Each end makes a call that fails at once: the loop must not be lost in them. */
TEST(calls_that_fail_at_once_do_not_nest)
{
	char none[] = "/nowhere/at/all";
	Rig r = RIG_INIT;
	HttpTarget t = {.socket = none, .host = (char[]){"x"}, .base = (char[]){""}};
	HttpClientSpec spec = {.target = &t};
	Actor a = {.rig = &r, .left = 1000, .handler = {.done = again_though_refused}};
	rig_start(&r, NULL, NULL, &hello, 1);
	(void)httpclient_free(r.client);
	CHECK_OK(httpclient_new(r.http, &spec, &r.client, NULL));
	(void)act(&a);
	CHECK_INT(a.calls, 0);
	CHECK_OK(sd_event_run(r.loop, 100000));
	CHECK(a.calls <= 2);
	for (int i = 0; i < 2000 && !a.ended; i++)
		CHECK_OK(sd_event_run(r.loop, 100000));
	CHECK_INT(a.calls, 1000);
	rig_stop(&r);
}

/* --- Whole answers --------------------------------------------------------------------------- */

typedef struct Fetched {
	bool ended;
	HttpEnd end;
	char body[64];
	size_t len;
} Fetched;

static void on_fetched(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Fetched *f = ctx;
	CHECK(body[len] == '\0');
	f->end = *end;
	f->len = len;
	(void)snprintf(f->body, sizeof(f->body), "%s", body);
	f->ended = true;
}

static Fetched fetch(const Script *s, size_t max)
{
	Rig r = RIG_INIT;
	Fetched f = {0};
	HttpRequest rq = {.method = "GET", .path = "/metrics"};
	HttpCall *call;
	rig_start(&r, NULL, NULL, s, 1);
	CHECK_OK(http_fetch(r.client, &rq, max, on_fetched, &f, &call, NULL));
	run_until(&r, &f.ended);
	rig_stop(&r);
	return f;
}

TEST(a_whole_answer)
{
	Fetched f = fetch(&hello, 5);
	CHECK_INT(f.end.fault, HTTP_FINE);
	CHECK_INT(f.end.status, 200);
	CHECK_STR(f.body, "hello");
	Script empty = {.pieces = PIECES("HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n")};
	f = fetch(&empty, 5);
	CHECK_INT(f.end.status, 500);
	CHECK_STR(f.body, "");
	Script closes = {.end = PEER_CLOSES};
	f = fetch(&closes, 5);
	CHECK_INT(f.end.fault, HTTP_CLOSED);
	CHECK_INT(f.len, 0);
}

TEST(a_whole_answer_is_bounded)
{
	Fetched f = fetch(&hello, 4);
	CHECK_INT(f.end.fault, HTTP_GARBAGE);
	CHECK_INT(f.end.status, 200);
	CHECK(f.end.why);
	/* Chunks, whose sum is too long. */
	Script chunks = {
	    .pieces = PIECES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
			     "2\r\ncd\r\n", "2\r\nef\r\n", "0\r\n\r\n")};
	CHECK_INT(fetch(&chunks, 5).end.fault, HTTP_GARBAGE);
	CHECK_INT(fetch(&chunks, 6).end.fault, HTTP_FINE);
}

TEST(a_fetch_is_cancelled)
{
	Rig r = RIG_INIT;
	Fetched f = {0};
	HttpRequest rq = {.method = "GET", .path = "/metrics"};
	HttpCall *call;
	Script half = {.pieces = PIECES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"),
		       .end = PEER_SILENT};
	rig_start(&r, NULL, NULL, &half, 1);
	CHECK_OK(http_fetch(r.client, &rq, 100, on_fetched, &f, &call, NULL));
	settle(&r);
	http_cancel(call);
	CHECK_OK(http_fetch(r.client, &rq, 100, on_fetched, &f, &call, NULL));
	settle(&r);
	CHECK(!f.ended);
	rig_stop(&r); /* and with its client */
}
