/* All of it together: what is looked at, and what is told. */
#include "watch/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "watch/internal.h"

WatchedService watched_service(const ServiceSpec *s, const char *dir)
{
	return (WatchedService){
	    .service = s, .wants_gpu = !s->cpu, .gpu_bytes = s->gpu_bytes, .base_dir = dir};
}

void watched_tell(Watched *d, HardEvent e, const char *words)
{
	if (e != HARD_NONE && !d->expected && !d->changed)
		d->watch->handler.hard(d->watch->ctx, e, d->spec->service->name, words);
}

void watch_is_blind(Watch *w, const char *what, const Err *err)
{
	size_t n = strlen(w->blind);
	(void)snprintf(w->blind + n, sizeof(w->blind) - n, "%s%s: %s", n ? "; " : "", what,
		       err->msg);
}

const char *watch_blind(const Watch *w)
{
	return *w->unasked ? w->unasked : w->blind;
}

/* --- Restarts of ours ------------------------------------------------------------------------ */

/* Not from inside the call, which may come from a handler: what it would free is in use there. */
static int on_change(sd_event_source *s, void *ctx)
{
	Watch *w = ctx;
	(void)s;
	for (size_t i = 0; i < w->n; i++) {
		Watched *d = &w->services[i];
		if (!d->changed)
			continue;
		samples_stop(d);
		placement_forget(d);
		d->changed = false;
		if (d->expected)
			continue;
		look_anew(d);
		samples_begin(d, 0);
	}
	return 0;
}

static int on_tick(sd_event_source *s, uint64_t at, void *ctx)
{
	Watch *w = ctx;
	for (size_t i = 0; i < w->n; i++)
		look_tick(&w->services[i]);
	placement_tick(w);
	int r = sd_event_source_set_time(s, at + WATCH_TICK_US);
	return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

Watch *watch_free(Watch *w)
{
	if (!w)
		return NULL;
	sd_event_source_disable_unref(w->tick);
	sd_event_source_disable_unref(w->change);
	words_close(w);
	for (size_t i = 0; i < w->n; i++) {
		samples_close(&w->services[i]);
		look_close(&w->services[i]);
	}
	placement_close(w);
	sd_event_unref(w->loop);
	free(w->services);
	free(w->units);
	free(w);
	return NULL;
}

static int check(const WatchSpec *spec, Err *err)
{
	if (spec->n == 0 || spec->probe_every_us <= 0 || spec->probe_limit_us <= 0 ||
	    spec->healthy_after <= 0)
		return err_set(err, -EINVAL,
			       "a watch needs a service, and a time and a limit for its probes");
	return 0;
}

static void init_service(Watch *w, size_t i)
{
	const WatchedService *s = &w->spec.services[i];
	w->services[i] = (Watched){.watch = w,
				   .spec = s,
				   .rng = rng_derive(w->spec.seed, s->service->name, i),
				   .load = (double)NAN,
				   .preemptions = (double)NAN};
}

static int open_service(Watch *w, size_t i, Err *err)
{
	Watched *d = &w->services[i];
	int r = samples_open(d, err);
	if (r >= 0)
		r = look_open(d, err);
	/* One after another: all at once they would disturb each other. */
	if (r >= 0)
		samples_begin(d, w->spec.probe_every_us * (int64_t)i / (int64_t)w->n);
	return r;
}

static int open_all(Watch *w, Err *err)
{
	placement_open(w);
	for (size_t i = 0; i < w->n; i++) {
		int r = open_service(w, i, err);
		if (r < 0)
			return r;
	}
	int r = words_open(w, err);
	if (r < 0)
		return r;
	r = sd_event_add_defer(w->loop, &w->change, on_change, w);
	if (r >= 0)
		r = sd_event_source_set_enabled(w->change, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &w->tick, CLOCK_MONOTONIC, WATCH_TICK_US,
					       50000, on_tick, w);
	return r < 0 ? err_set(err, r, "cannot set a timer: %s", strerror(-r)) : 0;
}

int watch_start(sd_event *loop, Systemd *systemd, HttpLoop *http, const WatchSpec *spec,
		const WatchHandler *h, void *ctx, Watch **ret, Err *err)
{
	int r = check(spec, err);
	if (r < 0)
		return r;
	_cleanup_(watch_freep) Watch *w = calloc(1, sizeof(*w));
	if (!w)
		return err_oom(err);
	*w = (Watch){.loop = sd_event_ref(loop),
		     .systemd = systemd,
		     .http = http,
		     .spec = *spec,
		     .handler = *h,
		     .ctx = ctx};
	w->services = calloc(spec->n, sizeof(*w->services));
	if (!w->services)
		return err_oom(err);
	w->n = spec->n;
	for (size_t i = 0; i < w->n; i++)
		init_service(w, i);
	r = open_all(w, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(w);
	return 0;
}

void watch_expect(Watch *w, const char *unit, bool expected)
{
	for (size_t i = 0; i < w->n; i++) {
		Watched *d = &w->services[i];
		if (!d->spec->service->unit || strcmp(d->spec->service->unit, unit) != 0)
			continue;
		d->expected = expected;
		d->changed = true;
		d->since_us = clock_now_us(&clock_system);
		(void)sd_event_source_set_enabled(w->change, SD_EVENT_ONESHOT);
	}
}
