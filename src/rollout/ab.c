/* Two values take turns in production. */
#include "rollout/ab.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"
#include "rollout/internal.h"
#include "stats/stats.h"

/* The blocks' medians of one figure, by pair and value; NAN: no sample. */
typedef struct Column {
	char *service, *metric;
	double median[AB_PAIRS_MAX][2];
	double *now; /* samples of the block that is going on */
	size_t n, cap;
} Column;

struct AbRun {
	AbSpec spec;
	char *values[2];
	uint8_t first[AB_PAIRS_MAX]; /* which value comes first in a pair */
	uint32_t block;		     /* 0 to 2 * pairs - 1 */
	bool counting;
	Column *columns;
	size_t n_columns;
	sd_event_source *timer;
};

static uint32_t pair_now(const AbRun *a)
{
	return a->block / 2;
}

static uint32_t value_now(const AbRun *a)
{
	return (a->block % 2) ^ a->first[pair_now(a)];
}

/* --- Samples --------------------------------------------------------------------------------- */

static Column *column_of(AbRun *a, const WatchSample *s)
{
	for (size_t i = 0; i < a->n_columns; i++)
		if (strcmp(a->columns[i].service, s->service) == 0 &&
		    strcmp(a->columns[i].metric, s->metric) == 0)
			return &a->columns[i];
	if (a->n_columns == FIGURES_MAX)
		return NULL;
	Column *c = &a->columns[a->n_columns];
	*c = (Column){.service = str_fmt("%s", s->service), .metric = str_fmt("%s", s->metric)};
	if (!c->service || !c->metric)
		return NULL;
	for (size_t i = 0; i < AB_PAIRS_MAX; i++)
		c->median[i][0] = c->median[i][1] = (double)NAN;
	a->n_columns++;
	return c;
}

/* A request that got no answer is worse than any that did: it counts as endless, which a median can
 * bear. */
int ab_sample(Rollout *r, const WatchSample *s)
{
	AbRun *a = r->ab;
	Column *c = a->counting ? column_of(a, s) : NULL;
	if (!c)
		return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 128;
		double *more = reallocarray(c->now, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->now = more;
		c->cap = cap;
	}
	c->now[c->n++] = s->s.failed ? (double)INFINITY : s->s.value;
	return 0;
}

static void close_block(AbRun *a)
{
	for (size_t i = 0; i < a->n_columns; i++) {
		Column *c = &a->columns[i];
		stats_sort(c->now, c->n);
		c->median[pair_now(a)][value_now(a)] = stats_median(c->now, c->n);
		c->n = 0;
	}
	a->counting = false;
}

/* --- Blocks ---------------------------------------------------------------------------------- */

static void next_block(Rollout *r);

static void over(Rollout *r, const char *words)
{
	r->ab->timer = sd_event_source_disable_unref(r->ab->timer);
	r->ab->counting = false;
	rollout_take_back(r, words);
}

static int on_block(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	r->ab->timer = sd_event_source_unref(r->ab->timer);
	close_block(r->ab);
	r->ab->block++;
	next_block(r);
	return 0;
}

static void run_for(Rollout *r, int64_t us, sd_event_time_handler_t fn)
{
	int e = sd_event_add_time_relative(r->w.loop, &r->ab->timer, CLOCK_MONOTONIC, (uint64_t)us,
					   50000, fn, r);
	if (e < 0)
		over(r, "no timer could be set");
}

static int on_warm(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	r->ab->timer = sd_event_source_unref(r->ab->timer);
	r->ab->counting = true;
	run_for(r, r->ab->spec.block_us, on_block);
	return 0;
}

static void ab_running(Rollout *r, MachineEvent e, const char *words)
{
	if (e != EVENT_OK)
		over(r, words ? words : "");
	else
		run_for(r, r->ab->spec.discard_us, on_warm);
}

/* The return at the end is not counted: it is made whatever it costs. */
static bool may_not_go_on(Rollout *r)
{
	_cleanup_(str_done) Str why = STR_INIT;
	Err closed = ERR_INIT;
	if (allowed_in_window(r, &closed) < 0) {
		over(r, closed.msg);
		return true;
	}
	if (!apply_is_too_dear(r, rollout_units_of(r, 1), &why))
		return false;
	over(r, why.s && !why.failed ? why.s : "out of memory");
	return true;
}

static void next_block(Rollout *r)
{
	AbRun *a = r->ab;
	if (a->block == 2 * a->spec.pairs) {
		over(r, "all blocks are done");
		return;
	}
	if (may_not_go_on(r))
		return;
	rollout_say(r, NULL, "block %" PRIu32 " of %" PRIu32 ": %s=%s", a->block + 1,
		    2 * a->spec.pairs, a->spec.parameter, a->values[value_now(a)]);
	apply_value(r, a->spec.parameter, a->values[value_now(a)], ab_running);
}

/* What it costs, before anything is touched. */
static void say_costs(Rollout *r)
{
	const AbSpec *s = &r->ab->spec;
	uint32_t set = rollout_units_of(r, 1);
	_cleanup_(str_done) Str units = STR_INIT;
	char all[32], block[32], discard[32], budget[32];
	for (size_t i = 0; i < r->n_units; i++)
		if (set & (1U << i))
			str_addf(&units, "%s%s", units.len ? ", " : "", r->units[i].name);
	time_human(2 * s->pairs * (s->block_us + s->discard_us), all);
	time_human(s->block_us, block);
	time_human(s->discard_us, discard);
	time_human(r->x->rollout.budget_us, budget);
	rollout_say(r, NULL,
		    "%" PRIu32 " blocks of %s, each after %s that do not count: %s and the time "
		    "of up to %" PRIu32 " restarts of %s; it ends when they have cost %s "
		    "(rollout.budget)",
		    2 * s->pairs, block, discard, all, 2 * s->pairs + 1, units.s ? units.s : "?",
		    budget);
}

void ab_start(Rollout *r)
{
	say_costs(r);
	next_block(r);
}

bool ab_goes_on(const Rollout *r)
{
	return r->ab && (r->ab->timer || r->ab->counting);
}

void ab_break(Rollout *r, const char *words)
{
	over(r, words);
}

/* --- Report ---------------------------------------------------------------------------------- */

void ab_report_done(AbReport *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->figures[i].service);
		free(r->figures[i].metric);
	}
	free(r->figures);
	*r = (AbReport){0};
}

/* Differences of logs within pairs: a share, and what is common to both members cancels out. */
static void figure(const AbRun *a, const Column *c, AbFigure *f)
{
	double side[2][AB_PAIRS_MAX], diff[AB_PAIRS_MAX], lo, hi;
	size_t n = 0;
	for (uint32_t i = 0; i < a->spec.pairs; i++) {
		double x = c->median[i][0], y = c->median[i][1];
		if (!(x > 0) || !(y > 0) || !isfinite(x) || !isfinite(y))
			continue;
		side[0][n] = x;
		side[1][n] = y;
		diff[n++] = log(y / x);
	}
	f->pairs = n;
	for (size_t k = 0; k < 2; k++) {
		stats_sort(side[k], n);
		f->value[k] = stats_median(side[k], n);
	}
	f->change = expm1(stats_mean(diff, n));
	f->lo = f->hi = (double)NAN;
	if (stats_t_interval(diff, n, a->spec.confidence, &lo, &hi) < 0)
		return;
	f->lo = expm1(lo);
	f->hi = expm1(hi);
}

int rollout_ab_report(const Rollout *r, AbReport *ret, Err *err)
{
	const AbRun *a = r->ab;
	_cleanup_(ab_report_done) AbReport report = {0};
	report.figures = calloc(a->n_columns + 1, sizeof(*report.figures));
	if (!report.figures)
		return err_oom(err);
	for (size_t i = 0; i < a->n_columns; i++) {
		AbFigure *f = &report.figures[report.n++];
		f->service = str_fmt("%s", a->columns[i].service);
		f->metric = str_fmt("%s", a->columns[i].metric);
		if (!f->service || !f->metric)
			return err_oom(err);
		figure(a, &a->columns[i], f);
	}
	for (size_t i = 0; i < r->n_units; i++)
		report.restarts += r->units[i].restarts;
	*ret = report;
	report = (AbReport){0};
	return 0;
}

/* --- Beginning ------------------------------------------------------------------------------- */

AbRun *ab_free(AbRun *a)
{
	if (!a)
		return NULL;
	sd_event_source_disable_unref(a->timer);
	for (size_t i = 0; i < a->n_columns; i++) {
		free(a->columns[i].service);
		free(a->columns[i].metric);
		free(a->columns[i].now);
	}
	free(a->columns);
	free(a->values[0]);
	free(a->values[1]);
	free(a);
	return NULL;
}

int ab_fits(const Rollout *r, const char *parameter, const char *value, Err *err)
{
	_cleanup_(fit_done) Fit fit = {0};
	Point point;
	json_auto_t *params = js_deep_copy(r->x->baseline);
	bool failed = !params;
	double number;
	char *end;
	number = strtod(value, &end);
	js_set(params, parameter, end != value && !*end ? json_real(number) : js_text(value),
	       &failed);
	if (failed)
		return err_oom(err);
	int e = point_from_json(r->x->space, params, &point, err);
	if (e < 0 || !r->x->memory || !r->x->rollout.memory_model)
		return e;
	e = footprint_predict(r->x->memory, r->x->services.items, r->x->services.n, params, &fit,
			      err);
	if (e < 0 || fit.verdict != FIT_NO)
		return e;
	return err_set(err, -EPERM, "%s=%s would not start: %s", parameter, value, fit.reason);
}

int ab_new(const AbSpec *spec, AbRun **ret, Err *err)
{
	_cleanup_(ab_freep) AbRun *a = calloc(1, sizeof(*a));
	if (!a)
		return err_oom(err);
	a->spec = *spec;
	a->columns = calloc(FIGURES_MAX, sizeof(*a->columns));
	a->values[0] = str_fmt("%s", spec->values[0]);
	a->values[1] = str_fmt("%s", spec->values[1]);
	if (!a->columns || !a->values[0] || !a->values[1])
		return err_oom(err);
	Rng rng = rng_derive(spec->seed, "ab", 0);
	for (uint32_t i = 0; i < spec->pairs; i++)
		a->first[i] = (uint8_t)rng_below(&rng, 2);
	*ret = TAKE_PTR(a);
	return 0;
}
