/* Production is looked at: as it is before the first change, and after every change against that.
 */
#include "rollout/feedback.h"
#include "rollout/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	BEFORE_MAX = 200000, /* samples of one figure */
	CLOSE_FACTOR = 3,
	TAIL_SAMPLES = 100,  /* of a watch, on average, beyond the quantile */
	PEOPLE_US = 5000000, /* how soon a person's word is seen */
};

/* How far back production is remembered. */
#define RECALL_US (24 * INT64_C(3600000000))

/* --- Figures --------------------------------------------------------------------------------- */

static Series *series_of(Rollout *r, const WatchSample *s)
{
	for (size_t i = 0; i < r->n_series; i++)
		if (strcmp(r->series[i].service, s->service) == 0 &&
		    strcmp(r->series[i].metric, s->metric) == 0)
			return &r->series[i];
	if (r->n_series == SERIES_MAX || !r->observing)
		return NULL;
	Series *new = &r->series[r->n_series];
	*new = (Series){.service = str_fmt("%s", s->service), .metric = str_fmt("%s", s->metric)};
	r->n_series++;
	return new->service &&new->metric ? new : NULL;
}

static int keep_before(Series *s, const JudgeSample *sample)
{
	if (s->n_before == BEFORE_MAX)
		return 0;
	if (s->n_before == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		JudgeSample *more = reallocarray(s->before, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->before = more;
		s->cap = cap;
	}
	s->before[s->n_before++] = *sample;
	return 0;
}

static void stop_judges(Rollout *r)
{
	for (size_t i = 0; i < r->n_series; i++)
		r->series[i].judge = judge_free(r->series[i].judge);
}

/* --- What is known from before ---------------------------------------------------------------- */

/* Samples that were taken as closely as ours are: others resemble their neighbours less, and would
 * make the comparison surer than it is. In place. */
static size_t keep_close(JudgeSample *list, size_t n, int64_t every_us)
{
	size_t kept = 0;
	int64_t last_us = INT64_MIN / 2;
	for (size_t i = 0; i < n; i++) {
		bool close = list[i].at_us - last_us <= CLOSE_FACTOR * every_us;
		last_us = list[i].at_us;
		if (close)
			list[kept++] = list[i];
	}
	return kept;
}

static int recall_one(Rollout *r, const char *service, const char *metric)
{
	Err ignored = ERR_INIT;
	_cleanup_free_ JudgeSample *list = NULL;
	size_t n = 0;
	const WatchSample name = {.service = service, .metric = metric};
	int64_t since = clock_now_us(r->w.clock) - RECALL_US;
	if (history_read(r->w.history, r->running, service, metric, since, &list, &n, &ignored) < 0)
		return 0; /* it is looked at anew */
	n = keep_close(list, n, r->x->rollout.probe_every_us);
	Series *s = n > 0 ? series_of(r, &name) : NULL;
	for (size_t i = 0; s && i < n; i++)
		if (keep_before(s, &list[i]) < 0)
			return -ENOMEM;
	return 0;
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
	for (size_t i = 0; i < r->n_series; i++)
		n_known += strcmp(r->series[i].metric, "latency_ms") == 0 &&
			   r->series[i].n_before >= wanted;
	return n_services > 0 && n_known >= n_services;
}

/* The slow ones are looked at where a watch has enough of them to be compared: the slowest
 * twentieth of a long one, the slowest quarter of a short one. */
static double tail_of(const RolloutConfig *c)
{
	double samples = (double)c->watch_us / (double)c->probe_every_us;
	return fmax(0.75, fmin(0.95, 1 - TAIL_SAMPLES / samples));
}

/* The rate of false alarms is one watch's, so the figures share it. That all of them are no worse
 * is wrong only when one of them is, so there each may have it whole. */
static int start_judges(Rollout *r, Err *err)
{
	JudgeSpec spec = JUDGE_SPEC_DEFAULT;
	spec.alpha = r->x->rollout.false_alarms / (double)(r->n_series > 0 ? r->n_series : 1);
	spec.alpha_harmless = r->x->rollout.false_alarms;
	spec.margin = r->x->rollout.max_regression;
	spec.tail_q = tail_of(&r->x->rollout);
	stop_judges(r);
	for (size_t i = 0; i < r->n_series; i++) {
		Series *s = &r->series[i];
		int e = judge_new(&spec, s->before, s->n_before, &s->judge, err);
		if (e < 0)
			return e;
	}
	return 0;
}

/* --- What the watch tells --------------------------------------------------------------------- */

static void worse(Rollout *r, const Series *s, const JudgeReport *report)
{
	_cleanup_free_ char *words = str_fmt("%s %s: %s", s->service, s->metric, report->words);
	guard_rest(r);
	rollout_later(r, EVENT_WORSE, "%s", words ? words : "out of memory");
}

static void on_sample(void *ctx, const WatchSample *sample)
{
	Rollout *r = ctx;
	Err err = ERR_INIT;
	JudgeReport report;
	if (r->w.history && r->running[0] &&
	    history_add(r->w.history, r->running, sample, &err) < 0)
		log_event(r->w.log, LOG_WARN_, "rollout.history", NULL, "%s", err.msg);
	if (r->ab) {
		if (ab_sample(r, sample) < 0)
			ab_break(r, "out of memory");
		return;
	}
	Series *s = series_of(r, sample);
	if (!s)
		return;
	if (r->observing && keep_before(s, &sample->s) < 0) {
		rollout_later(r, EVENT_ERROR, "out of memory");
		return;
	}
	if (!r->watching || !s->judge)
		return;
	if (judge_add(s->judge, &sample->s) < 0) {
		rollout_later(r, EVENT_ERROR, "out of memory");
		return;
	}
	if (judge_verdict(s->judge) != JUDGE_WORSE)
		return;
	judge_report(s->judge, &report);
	worse(r, s, &report);
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
	if (r->m.phase != PHASE_WATCH && r->m.phase != PHASE_PROBATION &&
	    r->m.phase != PHASE_ASKED) {
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

static MachineEvent verdict_of(JudgeVerdict v)
{
	switch (v) {
	case JUDGE_WORSE:
		return EVENT_WORSE;
	case JUDGE_NO_WORSE:
		return EVENT_NO_WORSE;
	case JUDGE_BETTER:
		return EVENT_BETTER;
	case JUDGE_INCONCLUSIVE:
		break;
	}
	return EVENT_INCONCLUSIVE;
}

/* Figures of the servers' own pages are those of real requests, which nobody asked to be alike:
 * they may show harm, and need not show that there is none. What we ask ourselves must. */
static bool must_be_known(const Series *s)
{
	return strncmp(s->metric, "server_", 7) != 0;
}

/* The least good word counts: everything must be no worse, and something better to be better. */
static MachineEvent together(MachineEvent a, MachineEvent b)
{
	static const MachineEvent order[] = {EVENT_WORSE, EVENT_NO_DATA, EVENT_INCONCLUSIVE};
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return a == EVENT_BETTER || b == EVENT_BETTER ? EVENT_BETTER : EVENT_NO_WORSE;
}

static MachineEvent judge_all(Rollout *r, Str *words)
{
	MachineEvent all = EVENT_NO_DATA;
	size_t n = 0;
	for (size_t i = 0; i < r->n_series; i++) {
		const Series *s = &r->series[i];
		JudgeReport report;
		if (!must_be_known(s))
			continue;
		judge_report(s->judge, &report);
		MachineEvent one = report.n == 0 ? EVENT_NO_DATA : verdict_of(report.verdict);
		all = n == 0 ? one : together(all, one);
		str_addf(words, "%s%s %s: %s", n == 0 ? "" : "; ", s->service, s->metric,
			 report.words);
		n++;
	}
	if (n == 0)
		str_add(words, "nothing was measured before the change");
	return all;
}

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

static void end_watch(Rollout *r)
{
	_cleanup_(str_done) Str words = STR_INIT;
	bool objected = people_object(r);
	if (objected)
		str_add(&words, "somebody said that it is bad (dream feedback); ");
	MachineEvent e = judge_all(r, &words);
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

static int on_observed(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	size_t n = 0;
	for (size_t i = 0; i < r->n_series; i++)
		n += r->series[i].n_before;
	guard_rest(r);
	rollout_say(r, NULL, "%zu figures of production, %zu samples", r->n_series, n);
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

static void forget_before(Rollout *r)
{
	for (size_t i = 0; i < r->n_series; i++)
		r->series[i].n_before = 0;
}

void guard_observe(Rollout *r)
{
	char time[32];
	guard_rest(r);
	forget_before(r);
	r->observing = true;
	if (recall(r) < 0) {
		rollout_later(r, EVENT_ERROR, "out of memory");
		return;
	}
	if (is_known(r)) {
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
	guard_rest(r);
	if (start_judges(r, &err) < 0) {
		rollout_later(r, EVENT_ERROR, "%s", err.msg);
		return;
	}
	time_human(for_us, time);
	rollout_say(r, NULL, "watching for %s", time);
	r->watching = true;
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
	r->observing = r->watching = false;
}

void guard_done(Rollout *r)
{
	guard_rest(r);
	stop_judges(r);
	r->watch = watch_free(r->watch);
	for (size_t i = 0; i < r->n_series; i++) {
		free(r->series[i].service);
		free(r->series[i].metric);
		free(r->series[i].before);
	}
	r->n_series = 0;
}
