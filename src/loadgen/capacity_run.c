#include "loadgen/capacity_run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loadgen/figures.h"
#include "stats/stats.h"

enum {
	REQUESTS_EACH = 6,  /* a user's, at one level */
	REQUESTS_MIN = 100, /* of a level: enough for an interval of the 95th percentile */
	REQUESTS_MAX = 400, /* what a stricter share may make of that */
};

enum {
	FIRST_RATE = 10, /* a hundred requests at 1/s would take minutes to say that all is well */
	TRIES = 3,	 /* of a level at which the generator itself was disturbed */
	TRIED_MAX = 128, /* twice as many as doubling and halving an int64_t takes */
};

static const int64_t TIME_MAX_US = INT64_C(30) * 60 * 1000000;

/* What came of a level. */
typedef struct Tried {
	int64_t level;
	size_t n, missed;
	bool met;
} Tried;

struct CapacityRun {
	sd_event *loop;
	sd_event_source *next; /* begins the next level, outside the callback of the last */
	CapacityRunSpec spec;
	CapacityDone *done;
	void *ctx;
	Capacity capacity;
	TrafficStream *streams; /* owned: the one that is searched, then those beside it */
	Stream load;		/* of the first */
	int64_t level, began_us;
	size_t levels;
	int disturbed; /* how often in a row the generator itself was, at this level */
	double spread; /* of the deciding value at the highest level that met, as a share of it;
			  NAN:     it has no interval */
	int64_t n;     /* requests there */
	Tried tried[TRIED_MAX];
	char failure[120]; /* what the first request said that failed at a level that did not meet;
			      "": none failed */
	Traffic *traffic;
};

/* --- One level ------------------------------------------------------------------------------- */

static int64_t requests_of(const CapacityRun *c)
{
	double rare = 1 - c->spec.share;
	/* How many it takes before a quantile at `share` has an interval at all. */
	double needs = rare > 0 ? ceil(log(0.025) / log(c->spec.share)) + 8 : REQUESTS_MIN;
	int64_t least = (int64_t)fmin(fmax(needs, REQUESTS_MIN), REQUESTS_MAX);
	int64_t each = c->spec.by_rate ? 10 : REQUESTS_EACH;
	return c->level > least / each ? each * c->level : least;
}

static void set_level(CapacityRun *c)
{
	c->load = *c->spec.stream->load;
	c->load.requests = requests_of(c);
	c->load.think_us = 0;
	if (c->spec.by_rate) {
		if (c->load.arrivals != ARRIVALS_CONSTANT && c->load.arrivals != ARRIVALS_GAMMA)
			c->load.arrivals = ARRIVALS_POISSON;
		c->load.rate = (double)c->level;
	} else {
		c->load.arrivals = ARRIVALS_CLOSED;
		c->load.users = c->level;
	}
	c->load.warmup = c->level;
	TrafficStream *s = &c->streams[0];
	s->load = &c->load;
	s->seed = c->spec.stream->seed + (uint64_t)c->level;
	s->misses_max = (int64_t)floor((1 - c->spec.share) * (double)c->load.requests + 1e-9);
	s->goes_on = true;
	s->background = false;
	s->keep_text = false;
	/* One that takes four times its limit is a miss; nobody needs its end. */
	if (c->load.limit_us > 0 && c->load.limit_us < INT64_C(3600000000))
		s->timeout_us = 4 * c->load.limit_us + 1000000;
}

/* Which part of its tightest limit a request used up; more than 1 is a miss. */
static double part_used(const Stream *l, const Exchange *e)
{
	if (e->failed != EXCHANGE_OK)
		return (double)INFINITY;
	double most = 0;
	if (l->limit_us > 0)
		most = fmax(most, (double)(e->end_us - e->planned_us) / (double)l->limit_us);
	int64_t first_us = e->first_us > 0 ? e->first_us : e->end_us;
	int32_t tokens = e->tokens_out > 0 ? e->tokens_out : e->chunks;
	if (l->ttft_limit_us > 0)
		most = fmax(most, (double)(first_us - e->planned_us) / (double)l->ttft_limit_us);
	if (l->tpot_limit_us > 0 && e->first_us > 0 && tokens > 1)
		most = fmax(most, (double)(e->last_us - e->first_us) / (double)(tokens - 1) /
				      (double)l->tpot_limit_us);
	return most;
}

static int measure_spread(CapacityRun *c, const StreamResult *r)
{
	_cleanup_free_ double *x = calloc(r->n + 1, sizeof(*x));
	size_t n = 0;
	double lo, hi, q = c->spec.share;
	if (!x)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++)
		if (r->exchanges[i].measured && r->exchanges[i].failed != EXCHANGE_UNFINISHED)
			x[n++] = part_used(&c->load, &r->exchanges[i]);
	stats_sort(x, n);
	c->n = (int64_t)n;
	c->spread = (double)NAN;
	double at = stats_quantile(x, n, q);
	if (q < 1 && isfinite(at) && at > 0 &&
	    stats_quantile_interval_near(x, n, (double)n, q, 0.95, &lo, &hi, NULL) == 0)
		c->spread = (fmin(hi, 2 * at) - lo) / (2 * 1.96) / at;
	return 0;
}

static void note_level(CapacityRun *c, const StreamResult *r, bool met)
{
	if (c->levels >= TRIED_MAX)
		return;
	Tried *t = &c->tried[c->levels];
	*t = (Tried){.level = c->level, .met = met};
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (!e->measured || e->end_us == 0 || e->failed == EXCHANGE_UNFINISHED)
			continue;
		t->n++;
		t->missed += !exchange_meets(&c->load, e);
	}
	if (!met && !r->stopped_early) /* a queue that grew */
		t->missed = t->n;
}

/* Would it be the same again, or may so many miss by chance? What met at higher levels speaks for
 * this one too, and what failed at lower ones against it, since more users do not make it faster.
 */
static bool is_sure(const CapacityRun *c, int64_t level, bool met)
{
	size_t n = 0, missed = 0;
	double lo, hi, rare = 1 - c->spec.share;
	for (size_t i = 0; i < c->levels && i < TRIED_MAX; i++) {
		const Tried *t = &c->tried[i];
		if (t->met != met || (met ? t->level < level : t->level > level))
			continue;
		n += t->n;
		missed += t->missed;
	}
	return stats_share_interval(missed, n, 0.95, &lo, &hi) == 0 &&
	       (met ? hi <= rare : lo > rare);
}

/* The highest level that surely meets, 0: none; the lowest that surely does not, max + 1: none. */
static void sure_levels(const CapacityRun *c, int64_t *ret_met, int64_t *ret_failed)
{
	*ret_met = 0;
	*ret_failed = c->capacity.max + 1;
	for (size_t i = 0; i < c->levels && i < TRIED_MAX; i++) {
		const Tried *t = &c->tried[i];
		if (!is_sure(c, t->level, t->met))
			continue;
		if (t->met && t->level > *ret_met)
			*ret_met = t->level;
		if (!t->met && t->level < *ret_failed)
			*ret_failed = t->level;
	}
}

static bool level_met(const CapacityRun *c, const StreamResult *r)
{
	int64_t measured = 0, met = 0;
	for (size_t i = 0; i < r->n; i++) {
		measured += r->exchanges[i].measured;
		met += r->exchanges[i].measured && exchange_meets(&c->load, &r->exchanges[i]);
	}
	return !r->stopped_early && r->backlog_drained && measured >= c->load.requests &&
	       measured - met <= c->streams[0].misses_max;
}

/* --- From level to level --------------------------------------------------------------------- */

static void say(const CapacityRun *c, bool in_time, CapacityResult *r)
{
	const Capacity *k = &c->capacity;
	const char *one = c->spec.by_rate ? "one request a second" : "one user";
	const char *unit = k->met == 1 ? (c->spec.by_rate ? "request a second" : "user")
				       : (c->spec.by_rate ? "requests a second" : "users at once");
	const char *levels = c->levels == 1 ? "level" : "levels";
	double pct = 100 * c->spec.share;
	if (!in_time)
		snprintf(r->words, sizeof(r->words),
			 "the time was over after %zu %s: %lld %s met the limits, %lld were "
			 "not tried or failed",
			 c->levels, levels, (long long)k->met, unit, (long long)k->failed);
	else if (k->met == 0)
		snprintf(r->words, sizeof(r->words),
			 "not even %s met the limits with %g %% of the requests%s%s", one, pct,
			 c->failure[0] ? "; the first that failed: " : "", c->failure);
	else if (k->met >= k->max)
		snprintf(r->words, sizeof(r->words),
			 "%lld %s, the most that was tried, met the limits with %g %% of the "
			 "requests; the capacity may be higher",
			 (long long)k->met, unit, pct);
	else
		snprintf(r->words, sizeof(r->words),
			 "%lld %s met the limits with %g %% of the requests, %lld did not "
			 "(%zu %s tried)",
			 (long long)k->met, unit, pct, (long long)k->failed, c->levels, levels);
}

static void finish(CapacityRun *c, bool in_time, const char *limited_why, const Err *err)
{
	const Capacity *k = &c->capacity;
	bool known = isfinite(c->spread);
	double met = (double)k->met, half = 1.96 * c->spread * met;
	int64_t sure_met, sure_failed;
	sure_levels(c, &sure_met, &sure_failed);
	/* Where one failed, but not for sure, it is about as far above that. */
	double below = sure_failed <= k->max ? (double)sure_failed - 1 : (double)k->failed + half;
	double lo = fmin(fmax(0, met - half), (double)sure_met);
	double hi = fmin((double)k->max, fmax(met + half, below));
	CapacityResult r = {
	    .capacity = k->met,
	    .se = known ? fmax(c->spread * met, (hi - lo) / (2 * 1.96)) : 0,
	    .lo = known ? lo : (double)NAN,
	    .hi = known ? hi : (double)NAN,
	    .n = c->n,
	    .levels = c->levels,
	    .limited_by_client = limited_why,
	};
	if (!in_time && known) /* what lies between was not tried */
		r.hi = fmax(r.hi, (double)(k->failed - 1));
	if (limited_why)
		snprintf(r.words, sizeof(r.words), "%.200s", limited_why);
	else
		say(c, in_time, &r);
	c->done(c->ctx, &r, err);
}

static void on_progress(void *ctx, const TrafficProgress *p)
{
	CapacityRun *c = ctx;
	if (c->spec.progress)
		c->spec.progress(c->ctx, c->level, p);
}

/* Too many users may be refused or let down, but they find somebody: a server that the last of them
 * did not reach has died, and that says nothing about the level. */
static bool is_gone(const StreamResult *r)
{
	for (size_t i = r->n; i > 0; i--) {
		const Exchange *e = &r->exchanges[i - 1];
		if (e->end_us > 0 && e->failed != EXCHANGE_UNFINISHED)
			return e->failed == EXCHANGE_TRANSPORT && e->fault == HTTP_CONNECT;
	}
	return false;
}

static int level_told(CapacityRun *c, const TrafficResult *r)
{
	bool met = r->n_streams > 0 && level_met(c, &r->streams[0]);
	if (met && measure_spread(c, &r->streams[0]) < 0)
		return -ENOMEM;
	if (!met && r->n_streams > 0)
		snprintf(c->failure, sizeof(c->failure), "%.119s", r->streams[0].first_error);
	if (r->n_streams > 0)
		note_level(c, &r->streams[0], met);
	c->levels++;
	c->disturbed = 0;
	capacity_told(&c->capacity, c->level, met);
	return 0;
}

static void on_level(void *ctx, TrafficResult *r, const Err *err)
{
	CapacityRun *c = ctx;
	Err own = ERR_INIT;
	if (err && err->code < 0) {
		finish(c, true, NULL, err);
		return;
	}
	if (r->n_streams > 0 && is_gone(&r->streams[0])) {
		err_set(&own, -ECONNREFUSED, "at %lld %s%s the server was gone (%s)",
			(long long)c->level, c->spec.by_rate ? "request" : "user",
			c->spec.by_rate ? (c->level == 1 ? " a second" : "s a second")
					: (c->level == 1 ? "" : "s"),
			r->streams[0].first_error);
		finish(c, true, NULL, &own);
		return;
	}
	/* A level has few requests, of which two that a busy machine let us send late are the
	 * last hundredth: that may be over in a moment. */
	bool again = r->limited_by_client && ++c->disturbed < TRIES;
	if (r->limited_by_client && !again) {
		c->levels++;
		finish(c, true, r->limited_why, NULL);
		return;
	}
	if (!again && level_told(c, r) < 0) {
		err_oom(&own);
		finish(c, true, NULL, &own);
		return;
	}
	int k = sd_event_source_set_enabled(c->next, SD_EVENT_ONESHOT);
	if (k < 0) {
		err_set(&own, k, "cannot go on with the next level: %s", strerror(-k));
		finish(c, true, NULL, &own);
	}
}

static int64_t now_us(sd_event *loop)
{
	uint64_t now = 0;
	return sd_event_now(loop, CLOCK_MONOTONIC, &now) < 0 ? 0 : (int64_t)now;
}

static int begin_level(CapacityRun *c, Err *err)
{
	static const TrafficHandler handler = {.done = on_level, .progress = on_progress};
	c->traffic = traffic_stop(c->traffic, false);
	set_level(c);
	return traffic_start(c->loop, c->streams, 1 + c->spec.n_beside, &handler, c, &c->traffic,
			     err);
}

static int on_next(sd_event_source *source, void *ctx)
{
	CapacityRun *c = ctx;
	Err err = ERR_INIT;
	(void)source;
	int64_t limit_us = c->spec.time_max_us > 0 ? c->spec.time_max_us : TIME_MAX_US;
	int64_t level = capacity_next(&c->capacity);
	if (level == 0 || now_us(c->loop) - c->began_us > limit_us) {
		finish(c, level == 0, NULL, NULL);
		return 0;
	}
	bool first = c->levels == 0 && c->spec.by_rate;
	c->level = first ? (c->spec.max < FIRST_RATE ? c->spec.max : FIRST_RATE) : level;
	if (begin_level(c, &err) < 0)
		finish(c, true, NULL, &err);
	return 0;
}

int capacity_run_start(sd_event *loop, const CapacityRunSpec *spec, CapacityDone *done, void *ctx,
		       CapacityRun **ret, Err *err)
{
	if (!stream_has_limits(spec->stream->load))
		return err_set(err, -EINVAL,
			       "a capacity needs a limit that requests must meet; there is none");
	if (spec->max < 1 || !(spec->share > 0 && spec->share <= 1))
		return err_set(err, -EINVAL, "a capacity needs a highest level and a share");
	_cleanup_(capacity_run_stopp) CapacityRun *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	*c = (CapacityRun){.spec = *spec,
			   .done = done,
			   .ctx = ctx,
			   .capacity = capacity_start(spec->max),
			   .loop = sd_event_ref(loop),
			   .began_us = now_us(loop)};
	c->streams = calloc(1 + spec->n_beside, sizeof(*c->streams));
	if (!c->streams)
		return err_oom(err);
	c->streams[0] = *spec->stream;
	for (size_t i = 0; i < spec->n_beside; i++) {
		c->streams[1 + i] = spec->beside[i];
		c->streams[1 + i].background = true;
		c->streams[1 + i].goes_on = true;
		c->streams[1 + i].misses_max = -1;
	}
	int r = sd_event_add_defer(loop, &c->next, on_next, c);
	if (r < 0)
		return err_set(err, r, "cannot watch the event loop: %s", strerror(-r));
	*ret = TAKE_PTR(c);
	return 0;
}

CapacityRun *capacity_run_stop(CapacityRun *c)
{
	if (!c)
		return NULL;
	traffic_stop(c->traffic, false);
	sd_event_source_disable_unref(c->next);
	sd_event_unref(c->loop);
	free(c->streams);
	free(c);
	return NULL;
}
