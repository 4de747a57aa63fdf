/* A whole answer in memory. */
#include <string.h>

#include "http/internal.h"

typedef struct Fetch {
	HttpCall *call;
	HttpFetched *done;
	void *ctx;
	size_t max;
	Str body;
	int status;
} Fetch;

static void fetch_free(void *ctx)
{
	Fetch *f = ctx;
	str_done(&f->body);
	free(f);
}

static void on_done(void *ctx, const HttpEnd *end)
{
	Fetch *f = ctx;
	f->done(f->ctx, end, f->body.s ? f->body.s : "", f->body.len);
	fetch_free(f);
}

static void on_data(void *ctx, const char *p, size_t n, int64_t at_us)
{
	Fetch *f = ctx;
	const char *why = n > f->max - f->body.len ? "its body is longer than was asked for" : NULL;
	if (!why)
		str_addn(&f->body, p, n);
	if (!why && f->body.failed)
		why = "no memory for its body";
	if (!why)
		return;
	HttpCall *call = f->call;
	conn_close(call->conn);
	call_end(call, HTTP_GARBAGE, 0, why, at_us);
}

int http_fetch(HttpClient *c, const HttpRequest *rq, size_t max, HttpFetched *done, void *ctx,
	       HttpCall **ret, Err *err)
{
	static const HttpHandler handler = {.data = on_data, .done = on_done};
	Fetch *f = calloc(1, sizeof(*f));
	if (!f)
		return err_oom(err);
	*f = (Fetch){.done = done, .ctx = ctx, .max = max};
	int r = call_start(c, rq, &handler, f, fetch_free, &f->call, err);
	if (r < 0) {
		fetch_free(f);
		return r;
	}
	*ret = f->call;
	return 0;
}
