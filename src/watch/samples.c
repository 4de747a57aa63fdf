/* Samples: before each probe the server's own page is read, for the load and for what it counted;
 * then the probe is sent. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "watch/internal.h"

enum {
	PAGE_MAX = 4 << 20,
	PAGE_LIMIT_US = 2000000,
	SOON_US = 20000,
	LOAD_MEMORY_US = 30000000, /* how far back the load reaches: a few requests make no rate */
};

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

static void emit(Watched *d, const char *metric, double value, bool failed)
{
	const Watch *w = d->watch;
	if (d->expected || d->changed || (!failed && !isfinite(value)))
		return;
	const WatchSample s = {.service = d->spec->service->name,
			       .metric = metric,
			       .s = {.at_us = d->sent_at_us,
				     .value = failed ? (double)NAN : value,
				     .load = d->load,
				     .failed = failed}};
	w->handler.sample(w->ctx, &s);
}

/* --- When ------------------------------------------------------------------------------------ */

static int on_time(sd_event_source *s, uint64_t at, void *ctx);

static void arm(Watched *d)
{
	int64_t now = now_us();
	if (d->due_us < now)
		d->due_us = now;
	uint64_t at = (uint64_t)d->due_us;
	int r = d->timer ? sd_event_source_set_time(d->timer, at)
			 : sd_event_add_time(d->watch->loop, &d->timer, CLOCK_MONOTONIC, at, 5000,
					     on_time, d);
	if (r >= 0)
		(void)sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

static void plan_next(Watched *d)
{
	d->due_us += probe_gap_us(d->watch->spec.probe_every_us, &d->rng);
}

void samples_begin(Watched *d, int64_t after_us)
{
	d->due_us = now_us() + SOON_US + after_us;
	arm(d);
}

/* --- The answer ------------------------------------------------------------------------------ */

static void unhealthy(Watched *d, const char *why)
{
	char words[400];
	int n = snprintf(words, sizeof(words), "%s gave no answer %lld times in a row: %s",
			 d->spec->service->name, (long long)d->missed, why);
	if (d->preemptions > 0 && n > 0 && (size_t)n < sizeof(words))
		(void)snprintf(words + n, sizeof(words) - (size_t)n,
			       " (its cache was full: %.0f requests were put back)",
			       d->preemptions);
	watched_tell(d, HARD_UNHEALTHY, words);
}

static void failed(Watched *d, const char *why)
{
	bool first_token = d->open && d->asker.role == ROLE_LLM;
	d->missed++;
	d->answers = false;
	emit(d, "latency_ms", (double)NAN, true);
	if (first_token)
		emit(d, "ttft_ms", (double)NAN, true);
	/* Of a unit that does not run this was told already. */
	bool runs = !d->unit || d->seen.phase == UNIT_UP;
	if (d->missed >= d->watch->spec.healthy_after && runs && !d->told_unhealthy) {
		d->told_unhealthy = true;
		unhealthy(d, why);
	}
}

void samples_excuse(Watched *d)
{
	d->missed = 0;
	d->told_unhealthy = false;
}

static void answered(Watched *d, const ProbeResult *r)
{
	samples_excuse(d);
	d->answers = true;
	d->own++;
	emit(d, "latency_ms", r->latency_ms, false);
	emit(d, "ttft_ms", r->ttft_ms, false);
	placement_look(d);
}

static void on_probe(void *ctx, const ProbeResult *r)
{
	Watched *d = ctx;
	plan_next(d);
	arm(d);
	(void)snprintf(d->watch->unasked, sizeof(d->watch->unasked), "%s",
		       r->unasked ? r->why : "");
	if (r->ok)
		answered(d, r);
	else if (r->unasked) /* no figure and no failure: without figures nothing is decided */
		d->answers = false;
	else
		failed(d, r->why);
}

static void send_probe(Watched *d)
{
	Err err = ERR_INIT;
	d->sent_at_us = clock_now_us(d->watch->spec.clock);
	if (!d->probe || probe_send(d->probe, &err) >= 0)
		return;
	plan_next(d);
	arm(d);
	failed(d, err.msg);
}

/* --- The server's own page ------------------------------------------------------------------- */

static void note_load(Watched *d, const PageFigures *f, int64_t dt_us)
{
	if (!isfinite(f->per_second)) {
		d->load = serverpage_load(&d->page);
		return;
	}
	double share = 1 - exp(-(double)dt_us / LOAD_MEMORY_US);
	d->load = isfinite(d->load) ? d->load + share * (f->per_second - d->load) : f->per_second;
}

static void use_page(Watched *d, const ServerPage *page)
{
	int64_t now = now_us(), dt_us = now - d->page_us;
	PageFigures f;
	bool first = d->page_us == 0;
	if (!first)
		serverpage_between(&d->page, page, dt_us, d->own, &f);
	d->page = *page;
	d->page_us = now;
	d->own = 0;
	if (first) {
		d->load = page->e2e.there ? (double)NAN : serverpage_load(page);
		return;
	}
	note_load(d, &f, dt_us);
	d->preemptions = f.preemptions;
	d->sent_at_us = clock_now_us(d->watch->spec.clock);
	emit(d, "server_latency_ms", f.latency_ms, false);
	emit(d, "server_latency_p95_ms", f.latency_p95_ms, false);
	emit(d, "server_ttft_ms", f.ttft_ms, false);
	emit(d, "server_ttft_p95_ms", f.ttft_p95_ms, false);
	emit(d, "server_token_ms", f.token_ms, false);
}

static void on_page(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Watched *d = ctx;
	ServerPage page;
	d->page_call = NULL;
	bool came = end->fault == HTTP_FINE && end->status == 200;
	if (came && serverpage_read(d->asker.kind, body ? body : "", len, &page) >= 0)
		use_page(d, &page);
	else if (end->fault == HTTP_FINE && end->status < 500)
		d->no_page = true; /* this server was not told to have one */
	/* llama.cpp answers 501 where it was not told to have one. A page that does not come is no
	 * change of the load: what was known last is said of a probe that fails with it. */
	d->no_page |= end->status == 501;
	send_probe(d);
}

static bool ask_page(Watched *d)
{
	const char *path = server_metrics_path(d->asker.kind);
	if (!path || d->no_page || !d->asker.client)
		return false;
	const HttpRequest rq = {.method = "GET", .path = path, .timeout_us = PAGE_LIMIT_US};
	return http_fetch(d->asker.client, &rq, PAGE_MAX, on_page, d, &d->page_call, NULL) >= 0;
}

static int on_time(sd_event_source *s, uint64_t at, void *ctx)
{
	Watched *d = ctx;
	Err err = ERR_INIT;
	(void)s, (void)at;
	d->sent_at_us = clock_now_us(d->watch->spec.clock);
	if (!d->open && samples_open(d, &err) < 0) {
		plan_next(d);
		arm(d);
		failed(d, err.msg);
		return 0;
	}
	if (d->probe && !ask_page(d))
		send_probe(d);
	return 0;
}

/* --- Begin and end --------------------------------------------------------------------------- */

int samples_open(Watched *d, Err *err)
{
	Watch *w = d->watch;
	int r = asker_open(w->systemd, w->http, d->spec, &d->asker, err);
	if (r < 0)
		return r;
	r = probe_new(w->loop, &d->asker, d->spec->base_dir, w->spec.probe_limit_us, on_probe, d,
		      &d->probe, err);
	if (r < 0)
		asker_done(&d->asker);
	d->open = r >= 0;
	return r;
}

/* Everything that was counted up to here is of what ran before. */
void samples_stop(Watched *d)
{
	d->timer = sd_event_source_disable_unref(d->timer);
	if (d->page_call)
		http_cancel(TAKE_PTR(d->page_call));
	d->probe = probe_free(d->probe);
	if (d->open)
		asker_done(&d->asker);
	d->open = d->no_page = d->answers = false;
	samples_excuse(d);
	d->own = d->page_us = 0;
	d->load = d->preemptions = (double)NAN;
}

void samples_close(Watched *d)
{
	samples_stop(d);
}
