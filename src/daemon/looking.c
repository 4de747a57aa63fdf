/* Production between rollouts: its figures go into the history, against which the next rollout is
 * judged. Nothing is taken back here; what breaks is told. Not while a rollout watches it by
 * itself, and not while a run measures, whose load is nobody's. */
#include "daemon/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

enum {
	HEALTHY_AFTER = 3,
	SAY_AGAIN_US = 3600000000LL, /* the same trouble, at the earliest */
};

static int64_t probe_limit_us(const Plan *p)
{
	for (size_t i = 0; i < p->n_experiments; i++)
		if (p->experiments[i].enabled)
			return p->experiments[i].rollout.probe_limit_us;
	return 10000000;
}

static bool is_listed(const Looking *l, const char *unit)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->services[i].service->unit, unit) == 0)
			return true;
	return false;
}

/* The production services of all enabled experiments, each unit once. */
static void list_services(Daemon *d, const char **ret_gpu)
{
	Looking *l = &d->looking;
	l->n = 0;
	for (size_t i = 0; i < d->plan->n_experiments; i++) {
		const Experiment *x = &d->plan->experiments[i];
		const ServiceSpec *list = x->services.items;
		for (size_t k = 0; x->enabled && k < x->services.n && l->n < WATCHED_MAX; k++) {
			if (!list[k].unit || is_listed(l, list[k].unit))
				continue;
			l->services[l->n++] = watched_service(&list[k], d->plan->dir);
			if (!*ret_gpu)
				*ret_gpu = x->gpu;
		}
	}
}

/* --- What is seen ----------------------------------------------------------------------------- */

static void remember(Looking *l, const WatchSample *s)
{
	for (size_t i = 0; i < l->n_figures; i++)
		if (strcmp(l->figures[i].service, s->service) == 0 &&
		    strcmp(l->figures[i].metric, s->metric) == 0) {
			l->figures[i].last = s->s;
			return;
		}
	if (l->n_figures == sizeof(l->figures) / sizeof(*l->figures))
		return;
	l->figures[l->n_figures].service = s->service;
	l->figures[l->n_figures].metric = s->metric;
	l->figures[l->n_figures++].last = s->s;
}

static void on_sample(void *ctx, const WatchSample *s)
{
	Daemon *d = ctx;
	Err err = ERR_INIT;
	remember(&d->looking, s);
	/* Figures of nobody knows which generation compare with nothing. */
	if (d->drift.generation[0] == '\0')
		return;
	if (history_add(d->history, d->drift.generation, s, &err) < 0 && !*d->looking.failure) {
		(void)snprintf(d->looking.failure, sizeof(d->looking.failure), "%.239s", err.msg);
		daemon_say(d, LOG_WARN_, "daemon.history", "%s", err.msg);
	}
}

static void on_hard(void *ctx, HardEvent e, const char *service, const char *words)
{
	Daemon *d = ctx;
	Looking *l = &d->looking;
	char text[sizeof(l->last_hard)];
	int64_t now_us = clock_now_us(d->clock);
	(void)snprintf(text, sizeof(text), "%.60s: %s: %.140s", service, hard_event_name(e), words);
	if (strcmp(text, l->last_hard) == 0 && now_us - l->last_hard_at_us < SAY_AGAIN_US)
		return;
	memcpy(l->last_hard, text, sizeof(text));
	l->last_hard_at_us = now_us;
	daemon_say(d, LOG_WARN_, "production.trouble", "%s", text);
	drift_soon(d);
}

/* --- Beginning and ending -----------------------------------------------------------------------
 */

void looking_stop(Daemon *d)
{
	d->looking.watch = watch_free(d->looking.watch);
	d->looking.n_figures = 0;
}

static int begin(Daemon *d, Err *err)
{
	static const WatchHandler handler = {.sample = on_sample, .hard = on_hard};
	const char *gpu = NULL;
	list_services(d, &gpu);
	if (d->looking.n == 0)
		return err_set(
		    err, -ENOENT,
		    "no service of the configuration names its unit: nothing is watched");
	if (!d->systemd && systemd_open(d->loop, d->o->user, &d->systemd, err) < 0)
		return err_wrap(err, err->code, "nothing is watched");
	const WatchSpec spec = {
	    .services = d->looking.services,
	    .n = d->looking.n,
	    .probe_every_us = d->plan->daemon.probe_every_us,
	    .probe_limit_us = probe_limit_us(d->plan),
	    .healthy_after = HEALTHY_AFTER,
	    .journal = true,
	    .gpu_uuid = gpu,
	    .clock = d->clock,
	    .seed = (uint64_t)clock_mono_us(d->clock),
	};
	return watch_start(d->loop, d->systemd, d->http, &spec, &handler, d, &d->looking.watch,
			   err);
}

void looking_turn(Daemon *d)
{
	Looking *l = &d->looking;
	Err err = ERR_INIT;
	bool wanted =
	    d->plan->daemon.probe_every_us > 0 && !d->rolling.rollout && !d->schedule.running;
	if (!wanted || l->watch) {
		if (!wanted)
			looking_stop(d);
		return;
	}
	bool same = *l->failure;
	if (begin(d, &err) == 0) {
		l->failure[0] = '\0';
		return;
	}
	same = same && strncmp(l->failure, err.msg, sizeof(l->failure) - 1) == 0;
	(void)snprintf(l->failure, sizeof(l->failure), "%.239s", err.msg);
	if (!same)
		daemon_say(d, LOG_WARN_, "daemon.watch", "%s", err.msg);
}

static json_t *figure_json(const char *service, const char *metric, const JudgeSample *s,
			   bool *failed)
{
	json_t *o = json_object();
	js_set(o, "service", js_text(service), failed);
	js_set(o, "metric", js_text(metric), failed);
	js_set(o, "at_us", json_integer(s->at_us), failed);
	js_set(o, "value", s->failed ? json_null() : js_number(s->value), failed);
	return o;
}

json_t *looking_json(const Daemon *d)
{
	const Looking *l = &d->looking;
	bool failed = false;
	json_t *o = json_object(), *list = json_array();
	for (size_t i = 0; i < l->n_figures; i++)
		failed |= json_array_append_new(
			      list, figure_json(l->figures[i].service, l->figures[i].metric,
						&l->figures[i].last, &failed)) < 0;
	js_set(o, "watched", json_boolean(l->watch != NULL), &failed);
	js_set(o, "services", json_integer(l->watch ? (json_int_t)l->n : 0), &failed);
	js_set(o, "figures", list, &failed);
	js_set(o, "trouble", *l->last_hard ? js_text(l->last_hard) : json_null(), &failed);
	js_set(o, "trouble_at_us", *l->last_hard ? json_integer(l->last_hard_at_us) : json_null(),
	       &failed);
	js_set(o, "blind", l->watch ? js_text(watch_blind(l->watch)) : json_null(), &failed);
	js_set(o, "failure", *l->failure ? js_text(l->failure) : json_null(), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}
