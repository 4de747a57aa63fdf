/* Before a restart that nobody is in a hurry for: requests in flight may end, where the server's
 * own metrics tell that there are any. New ones keep coming, so what is waited for is one moment
 * without any, and not for long. */
#include "rollout/internal.h"

#include <string.h>

#include "base/json.h"
#include "server/server.h"

enum {
	PAGE_MAX = 4 << 20,
	LOOK_EVERY_US = 100000,
	FETCH_US = 2000000,
};

struct Drain {
	Rollout *r;
	const ServerKind *kind;
	HttpClient *client;
	HttpCall *call;
	sd_event_source *timer;
	const char *unit;
	int64_t until_us;
	bool over, idle;
	Drained *done;
};

Drain *drain_free(Drain *d)
{
	if (!d)
		return NULL;
	sd_event_source_disable_unref(d->timer);
	httpclient_free(d->client); /* its call with it */
	free(d);
	return NULL;
}

static void finish(Drain *d, bool idle)
{
	Rollout *r = d->r;
	Drained *done = d->done;
	if (!idle)
		rollout_say(r, NULL, "%s still answers somebody; it is restarted all the same",
			    d->unit);
	r->up.drain = drain_free(d);
	done(r);
}

/* Not from inside the answer: its client goes with us. */
static void again(Drain *d, uint64_t in_us)
{
	(void)sd_event_source_set_time_relative(d->timer, in_us);
	(void)sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

static void on_page(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Drain *d = ctx;
	json_auto_t *m = NULL;
	d->call = NULL;
	bool told = end->fault == HTTP_FINE && end->status == 200 &&
		    server_metrics(d->kind, body, len, &m, NULL) >= 0 &&
		    json_object_get(m, "running");
	double busy = js_num(m, "running", 0) + js_num(m, "waiting", 0);
	/* A server that says nothing of it is not waited for. */
	d->idle = !told || !(busy > 0);
	d->over = d->idle || clock_mono_us(d->r->w.clock) >= d->until_us;
	again(d, d->over ? 0 : LOOK_EVERY_US);
}

static int on_timer(sd_event_source *source, uint64_t at, void *ctx)
{
	Drain *d = ctx;
	const HttpRequest rq = {
	    .method = "GET", .path = server_metrics_path(d->kind), .timeout_us = FETCH_US};
	(void)source, (void)at;
	if (d->over || http_fetch(d->client, &rq, PAGE_MAX, on_page, d, &d->call, NULL) < 0)
		finish(d, d->idle || !d->over);
	return 0;
}

static int begin(Drain *d, const ServiceSpec *s)
{
	HttpTarget target = {0};
	int e = httptarget_parse(s->url, &target, NULL);
	if (e < 0)
		return e;
	const HttpClientSpec spec = {.target = &target, .connect_timeout_us = FETCH_US};
	e = httpclient_new(d->r->w.http, &spec, &d->client, NULL);
	httptarget_done(&target);
	if (e < 0)
		return e;
	return sd_event_add_time_relative(d->r->w.loop, &d->timer, CLOCK_MONOTONIC, 0, 1000,
					  on_timer, d);
}

void drain_unit(Rollout *r, const RolloutUnit *u, Drained *done)
{
	const ServerKind *kind = u->service ? server_kind(u->service->kind) : NULL;
	int64_t limit = r->x ? r->x->rollout.drain_us : 0;
	if (!kind || !u->service->url || !server_metrics_path(kind) || limit <= 0 || r->hurry) {
		done(r);
		return;
	}
	Drain *d = calloc(1, sizeof(*d));
	if (d)
		*d = (Drain){.r = r,
			     .kind = kind,
			     .unit = u->name,
			     .until_us = clock_mono_us(r->w.clock) + limit,
			     .done = done};
	if (!d || begin(d, u->service) < 0) {
		drain_free(d);
		done(r);
		return;
	}
	r->up.drain = d;
}
