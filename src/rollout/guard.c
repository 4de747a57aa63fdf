/* Production is looked at: as it is before the first change, and after every change against that.
 */
#include "rollout/feedback.h"
#include "rollout/internal.h"
#include "rollout/machine_ways.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	/* Production is asked less often between rollouts than in them. Up to here that is the same
	 * spacing. */
	CLOSE_FACTOR = 3,
	PEOPLE_US = 5000000, /* how soon a person's word is seen */
	WINDOW_LOOK_US = 1000000,
};

/* How far back production is remembered, and how far back the samples of other rollouts. */
#define RECALL_US	(HISTORY_DAYS * INT64_C(86400000000))
#define RECALL_CLOSE_US (24 * INT64_C(3600000000))

/* --- What is known from before ---------------------------------------------------------------- */

static int add_spaced(Before *to, JudgeSample *list, size_t n, int64_t every_us)
{
	n = samples_spaced(list, n, every_us);
	for (size_t i = 0; i < n; i++)
		if (before_add(to, &list[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int recall_close(Figure *g, const JudgeSample *list, size_t n, int64_t since_us,
			int64_t every_us)
{
	size_t skip = 0;
	while (skip < n && list[skip].at_us < since_us)
		skip++;
	if (skip == n)
		return 0;
	_cleanup_free_ JudgeSample *copy = calloc(n - skip, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, list + skip, (n - skip) * sizeof(*copy));
	return add_spaced(&g->close, copy, n - skip, every_us);
}

static int recall_one(Rollout *r, const char *service, const char *metric)
{
	Err ignored = ERR_INIT;
	_cleanup_free_ JudgeSample *list = NULL;
	size_t n = 0;
	int64_t now_us = clock_now_us(r->w.clock), every_us = r->x->rollout.probe_every_us;
	int64_t coarse_us = r->w.plan->daemon.probe_every_us;
	if (history_read(r->w.history, r->running, service, metric, now_us - RECALL_US, &list, &n,
			 &ignored) < 0)
		return 0; /* it is looked at anew */
	Figure *g = n > 0 ? figures_find(&r->figures, service, metric, true) : NULL;
	if (!g)
		return 0;
	if (recall_close(g, list, n, now_us - RECALL_CLOSE_US, every_us) < 0)
		return -ENOMEM;
	g->coarse_every_us = coarse_us;
	return coarse_us > CLOSE_FACTOR * every_us ? add_spaced(&g->coarse, list, n, coarse_us) : 0;
}

static int recall(Rollout *r)
{
	static const char *const metrics[] = {"latency_ms", "ttft_ms"};
	for (size_t i = 0; r->w.history && i < r->n_units; i++)
		for (size_t k = 0; k < 2 && r->units[i].service; k++)
			if (recall_one(r, r->units[i].service->name, metrics[k]) < 0)
				return -ENOMEM;
	return 0;
}

/* As many of every service as looking at it for that long would give. */
static bool is_known(const Rollout *r)
{
	size_t wanted = (size_t)(r->x->rollout.observe_us / r->x->rollout.probe_every_us),
	       n_known = 0;
	size_t n_services = 0;
	for (size_t i = 0; i < r->n_units; i++)
		n_services += r->units[i].service != NULL;
	for (size_t i = 0; i < r->figures.n; i++)
		n_known += strcmp(r->figures.list[i].metric, "latency_ms") == 0 &&
			   r->figures.list[i].close.n >= wanted;
	return n_services > 0 && n_known >= n_services;
}

/* --- What the watch tells --------------------------------------------------------------------- */

static void worse(Rollout *r, const Figure *g, const Judge *j)
{
	JudgeReport report;
	judge_report(j, &report);
	_cleanup_free_ char *words = str_fmt("%s %s: %s", g->service, g->metric, report.words);
	guard_rest(r);
	rollout_later(r, EVENT_WORSE, "%s", words ? words : "out of memory");
}

static void on_sample(void *ctx, const WatchSample *sample)
{
	Rollout *r = ctx;
	Err err = ERR_INIT;
	if (r->w.history && r->running[0] &&
	    history_add(r->w.history, r->running, sample, &err) < 0)
		log_event(r->w.log, LOG_WARN_, "rollout.history", NULL, "%s", err.msg);
	if (r->ab) {
		if (ab_sample(r, sample) < 0)
			ab_break(r, "out of memory");
		return;
	}
	Figure *g = figures_find(&r->figures, sample->service, sample->metric, r->observing);
	if (!g)
		return;
	if (r->observing && before_add(&g->close, &sample->s) < 0) {
		rollout_later(r, EVENT_ERROR, "out of memory");
		return;
	}
	const Judge *found = r->watching ? figure_add(g, &sample->s) : NULL;
	if (found)
		worse(r, g, found);
}

static void on_hard(void *ctx, HardEvent e, const char *service, const char *words)
{
	Rollout *r = ctx;
	_cleanup_free_ char *text = str_fmt("%s: %s (%s)", service, words, hard_event_name(e));
	const char *why = text ? text : "out of memory";
	if (bring_up_goes_on(r)) {
		bring_up_break(r, why);
		return;
	}
	if (ab_goes_on(r)) {
		r->broken_at_us = clock_mono_us(r->w.clock);
		ab_break(r, why);
		return;
	}
	if (r->m.phase != PHASE_OBSERVE && r->m.phase != PHASE_WATCH &&
	    r->m.phase != PHASE_PROBATION && r->m.phase != PHASE_ASKED) {
		rollout_say(r, NULL, "seen meanwhile: %s", why);
		return;
	}
	r->broken_at_us = clock_mono_us(r->w.clock);
	guard_rest(r);
	rollout_later(r, EVENT_BROKEN, "%s", why);
}

static const WatchHandler watch_handler = {.sample = on_sample, .hard = on_hard};

static size_t watched(const Rollout *r, WatchedService *list)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_units; i++)
		if (r->units[i].service)
			list[n++] = r->units[i].watched;
	return n;
}

int guard_start(Rollout *r, Err *err)
{
	const RolloutConfig *c = &r->x->rollout;
	WatchSpec spec = {.services = r->watched,
			  .n = watched(r, r->watched),
			  .probe_every_us = c->probe_every_us,
			  .probe_limit_us = c->probe_limit_us,
			  .healthy_after = 3,
			  .journal = true,
			  .gpu_uuid = r->gpu,
			  .clock = r->w.clock};
	if (spec.n == 0)
		return err_set(
		    err, -ENOENT,
		    "none of the adopted units belongs to a service of the experiment %s: "
		    "nothing could be watched; say `unit:` in its `services:`",
		    r->x->name);
	return watch_start(r->w.loop, r->w.systemd, r->w.http, &spec, &watch_handler, r, &r->watch,
			   err);
}

/* --- Time ------------------------------------------------------------------------------------ */

/* What people say of production while it is watched counts as a figure does: "bad" is worse. */
static bool people_object(const Rollout *r)
{
	Err ignored = ERR_INIT;
	Baseline now = {0};
	int64_t version = r->baseline.version;
	if (r->committed && baseline_current(r->w.store, r->key_hex, &now, &ignored) >= 0)
		version = now.version;
	baseline_done(&now);
	return feedback_bad_since(r->w.store, r->key_hex, version, r->watch_at_us, &ignored) > 0;
}

/* What comes next restarts production, and has to wait for its window: what runs is looked at until
 * then, and that counts, too. The clock may be set meanwhile, so it is asked again and again. */
static bool waits_for_window(Rollout *r)
{
	Err why = ERR_INIT;
	if (allowed_in_window(r, &why) >= 0 ||
	    sd_event_source_set_time_relative(r->timer, WINDOW_LOOK_US) < 0 ||
	    sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT) < 0)
		return false;
	if (!r->waits_for_window)
		rollout_say(r, NULL, "%s: looking on until then", why.msg);
	r->waits_for_window = true;
	return true;
}

static bool goes_on_with_a_restart(const Rollout *r, MachineEvent verdict)
{
	return r->m.phase == PHASE_WATCH &&
	       (verdict == EVENT_NO_WORSE || verdict == EVENT_BETTER) &&
	       !way_ends_here(&r->spec, &r->m);
}

static void end_watch(Rollout *r)
{
	_cleanup_(str_done) Str words = STR_INIT;
	bool objected = people_object(r);
	if (objected)
		str_add(&words, "somebody said that it is bad (dream feedback); ");
	MachineEvent e = figures_verdict(&r->figures, &words);
	if (!objected && goes_on_with_a_restart(r, e) && waits_for_window(r))
		return;
	guard_rest(r);
	rollout_event(r, objected ? EVENT_WORSE : e,
		      words.s && !words.failed ? words.s : "out of memory");
}

static int on_watched(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)source, (void)usec;
	end_watch(ctx);
	return 0;
}

/* Whoever says "bad" in a watch of a day does not wait for its end. */
static int on_people(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)usec;
	if (people_object(r))
		end_watch(r);
	else if (sd_event_source_set_time_relative(source, PEOPLE_US) >= 0)
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* What nobody answered is no figure to compare with. */
static size_t answered(const Figures *f)
{
	size_t n = 0;
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->list[i].close.n; k++)
			n += !f->list[i].close.list[k].failed;
	return n;
}

static int on_observed(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	size_t n = answered(&r->figures);
	if (n > 0 && waits_for_window(r))
		return 0;
	guard_rest(r);
	rollout_say(r, NULL, "%zu figures of production, %zu samples", r->figures.n, n);
	rollout_event(r, n > 0 ? EVENT_OK : EVENT_NO_DATA,
		      n > 0 ? "" : "no service of production gave any figure");
	return 0;
}

static void run_timer(Rollout *r, int64_t for_us, sd_event_time_handler_t fn)
{
	int e = sd_event_add_time_relative(r->w.loop, &r->timer, CLOCK_MONOTONIC, (uint64_t)for_us,
					   50000, fn, r);
	if (e < 0) {
		guard_rest(r);
		rollout_later(r, EVENT_ERROR, "no timer: %s", strerror(-e));
	}
}

void guard_observe(Rollout *r)
{
	char time[32];
	Err closed = ERR_INIT;
	guard_rest(r);
	figures_forget(&r->figures);
	r->observing = true;
	if (recall(r) < 0) {
		rollout_later(r, EVENT_ERROR, "out of memory");
		return;
	}
	if (is_known(r) && allowed_in_window(r, &closed) >= 0) {
		guard_rest(r);
		rollout_later(r, EVENT_OK, "enough is known of production as it is, from before");
		return;
	}
	time_human(r->x->rollout.observe_us, time);
	rollout_say(r, NULL, "looking at production as it is, for %s", time);
	run_timer(r, r->x->rollout.observe_us, on_observed);
}

void guard_watch(Rollout *r, int64_t for_us)
{
	Err err = ERR_INIT;
	char time[32];
	bool on = figures_go_on(&r->m);
	guard_rest(r);
	if (figures_judge(&r->figures, &r->x->rollout, for_us, on, &err) < 0) {
		rollout_later(r, EVENT_ERROR, "%s", err.msg);
		return;
	}
	time_human(for_us, time);
	rollout_say(r, NULL, on ? "watching on, for %s more" : "watching for %s", time);
	r->watching = true;
	if (!on)
		r->watch_at_us = clock_now_us(r->w.clock);
	/* Without this one it is seen at the end all the same. */
	(void)sd_event_add_time_relative(r->w.loop, &r->people, CLOCK_MONOTONIC, PEOPLE_US, 0,
					 on_people, r);
	run_timer(r, for_us, on_watched);
}

void guard_rest(Rollout *r)
{
	r->timer = sd_event_source_disable_unref(r->timer);
	r->people = sd_event_source_disable_unref(r->people);
	r->observing = r->watching = r->waits_for_window = false;
}

void guard_done(Rollout *r)
{
	guard_rest(r);
	figures_done(&r->figures);
	r->watch = watch_free(r->watch);
}
