/* One request and how it ends. The memory of a call is used again for the next one of its client,
 * with the room its request took. */
#include <string.h>

#include "connect/connect.h"
#include "http/internal.h"

enum {
	OUT_KEPT = 16 * 1024, /* bytes of room for a request that a spare call keeps */
};

static const int64_t TIMEOUT_US = INT64_C(3600) * 1000 * 1000;

static bool is_clean(const char *s, char first)
{
	for (; *s; s++) {
		if (*s < first || *s >= 0x7f)
			return false;
	}
	return true;
}

static int check(const HttpRequest *rq, Err *err)
{
	if (!rq->method[0] || !is_clean(rq->method, 'A'))
		return err_set(err, -EINVAL, "'%s' is no HTTP method", rq->method);
	if (!is_clean(rq->path, '!') || (rq->path[0] && rq->path[0] != '/'))
		return err_set(err, -EINVAL, "'%s' is no path of a request", rq->path);
	if ((rq->type && !is_clean(rq->type, ' ')) || (rq->accept && !is_clean(rq->accept, ' ')))
		return err_set(err, -EINVAL, "a content type has a control character");
	return 0;
}

static void add_number(Str *s, size_t v)
{
	char digits[24];
	size_t at = sizeof(digits);
	do
		digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	str_addn(s, digits + at, sizeof(digits) - at);
}

static int write_request(HttpCall *call, const HttpRequest *rq, Err *err)
{
	const HttpClient *c = call->client;
	Str *s = &call->out;
	str_clear(s);
	str_add(s, rq->method);
	str_addc(s, ' ');
	str_add(s, c->base);
	str_add(s, rq->path[0] || c->base[0] ? rq->path : "/");
	str_add(s, " HTTP/1.1\r\n");
	str_addn(s, c->fixed, c->fixed_len);
	str_add(s, "Accept: ");
	str_add(s, rq->accept ? rq->accept : "*/*");
	if (rq->type) {
		str_add(s, "\r\nContent-Type: ");
		str_add(s, rq->type);
	}
	if (rq->body_len > 0 || rq->type || strcmp(rq->method, "POST") == 0) {
		str_add(s, "\r\nContent-Length: ");
		add_number(s, rq->body_len);
	}
	str_add(s, "\r\n\r\n");
	str_addn(s, rq->body, rq->body_len);
	return s->failed ? err_oom(err) : 0;
}

/* --- Making and unmaking --------------------------------------------------------------------- */

static HttpCall *take_spare(HttpClient *c)
{
	HttpCall *call = c->spare;
	if (call) {
		c->spare = call->next;
		Str out = call->out;
		*call = (HttpCall){.client = c, .out = out};
		return call;
	}
	if (timers_reserve(c->loop) < 0)
		return NULL;
	call = calloc(1, sizeof(*call));
	if (call)
		call->client = c;
	else
		c->loop->calls--;
	return call;
}

static void put_spare(HttpCall *call)
{
	HttpClient *c = call->client;
	if (call->out.cap > OUT_KEPT || call->out.failed)
		str_done(&call->out);
	call->next = c->spare;
	c->spare = call;
}

static void link_in(HttpCall *call, int64_t wake_us)
{
	HttpClient *c = call->client;
	call->prev = NULL;
	call->next = c->calls;
	if (c->calls)
		c->calls->prev = call;
	c->calls = call;
	timers_add(c->loop, call, wake_us);
}

static void link_out(HttpCall *call)
{
	HttpClient *c = call->client;
	if (call->prev)
		call->prev->next = call->next;
	else
		c->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	timers_remove(c->loop, call);
}

int call_start(HttpClient *c, const HttpRequest *rq, const HttpHandler *h, void *ctx,
	       void (*drop)(void *ctx), HttpCall **ret, Err *err)
{
	int r = check(rq, err);
	if (r < 0)
		return r;
	HttpCall *call = take_spare(c);
	if (!call)
		return err_oom(err);
	r = write_request(call, rq, err);
	if (r < 0) {
		put_spare(call);
		return r;
	}
	call->handler = *h;
	call->ctx = ctx;
	call->drop = drop;
	call->head_only = strcmp(rq->method, "HEAD") == 0;
	call->end.began_us = now_us();
	int64_t timeout_us = rq->timeout_us > 0 ? rq->timeout_us : TIMEOUT_US;
	if (__builtin_add_overflow(call->end.began_us, timeout_us, &call->deadline_us))
		call->deadline_us = INT64_MAX;
	link_in(call, call->deadline_us);
	r = conn_begin(call);
	if (r < 0) {
		link_out(call);
		put_spare(call);
		return err_set(err, r, "cannot make a connection: %s", strerror(-r));
	}
	*ret = call;
	return 0;
}

int http_call(HttpClient *c, const HttpRequest *rq, const HttpHandler *h, void *ctx, HttpCall **ret,
	      Err *err)
{
	return call_start(c, rq, h, ctx, NULL, ret, err);
}

void http_cancel(HttpCall *call)
{
	if (call->conn)
		conn_close(call->conn);
	link_out(call);
	void (*drop)(void *) = call->drop;
	void *ctx = call->ctx;
	put_spare(call);
	if (drop)
		drop(ctx);
}

/* --- Ending ---------------------------------------------------------------------------------- */

void call_end(HttpCall *call, HttpFault fault, int error, const char *why, int64_t at_us)
{
	HttpEnd end = call->end;
	HttpHandler handler = call->handler;
	void *ctx = call->ctx;
	end.fault = fault;
	end.error = error;
	end.why = why;
	end.end_us = at_us;
	link_out(call);
	put_spare(call); /* for a call that the handler makes */
	handler.done(ctx, &end);
}

void call_end_later(HttpCall *call, HttpFault fault, int error, const char *why)
{
	call->ending = true;
	call->end.fault = fault;
	call->end.error = error;
	call->end.why = why;
	timers_move(call->client->loop, call, 0);
}

void call_wake(HttpCall *call, int64_t now)
{
	Conn *conn = call->conn;
	if (call->ending) {
		call_end(call, call->end.fault, call->end.error, call->end.why, now);
		return;
	}
	int64_t by_us =
	    call->connect_by_us < call->deadline_us ? call->connect_by_us : call->deadline_us;
	if (now < by_us) {
		if (conn)
			conn_late(conn, by_us);
		else
			conn_connect(call);
		return;
	}
	int unasked = call->unasked;
	bool in_time = now < call->deadline_us;
	HttpFault fault = unasked				  ? HTTP_BROKER
			  : !in_time				  ? HTTP_TIMEOUT
			  : conn && conn->state == CONN_HANDSHAKE ? HTTP_TLS
								  : HTTP_CONNECT;
	if (conn)
		conn_close(conn);
	call_end(call, fault, unasked ? -unasked : ETIMEDOUT, unasked ? connect_why(unasked) : NULL,
		 now);
}
