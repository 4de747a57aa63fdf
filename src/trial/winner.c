/* The winner rule. It looks at the evidence in the order in which doubts weigh: did the candidate
 * fail anywhere, are there enough pairs, did anything vary at all, is the difference real, and did
 * nobody pay for it. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "stats/stats.h"
#include "trial/winner.h"

const char *winner_verdict_name(WinnerVerdict v)
{
	static const char *const names[WINNER_MAX_] = {
	    [WINNER_YES] = "winner",	  [WINNER_NOT_BETTER] = "not_better",
	    [WINNER_WORSE] = "worse",	  [WINNER_REGRESSES] = "regresses",
	    [WINNER_INVALID] = "invalid", [WINNER_INCONCLUSIVE] = "inconclusive",
	};
	return (unsigned)v < WINNER_MAX_ ? names[v] : "unknown";
}

/* The pairs that count, and room for one number a pair and arm. */
typedef struct Usable {
	size_t *pair; /* indices into the evidence */
	size_t n;
	double *base, *cand, *diff; /* n each */
	double *group;		    /* room for the differences of one workload */
} Usable;

static void usable_done(Usable *u)
{
	free(u->pair);
	free(u->base);
}

_printf_(3, 4) static void decide(WinnerReport *r, WinnerVerdict verdict, const char *fmt, ...)
{
	r->verdict = verdict;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
	va_end(ap);
}

/* A candidate's own failure, in words. */
static void explain_failure(const WinnerEvidence *e, size_t i, const Fitness *f, WinnerReport *r)
{
	const Measurement *m = e->candidate[i];
	char where[48];
	snprintf(where, sizeof(where), "in pair %zu of %zu", i + 1, e->n_pairs);
	if (m->outcome != OUTCOME_OK)
		decide(r, WINNER_INVALID, "the candidate ended %s %s%s%.120s",
		       outcome_name(m->outcome), where, m->reason ? ": " : "",
		       m->reason ? m->reason : "");
	else if (f->violated[0])
		decide(r, WINNER_INVALID, "the candidate breaks the constraint on %s %s (%g)",
		       f->violated, where, measurement_get(m, f->violated)->value);
	else if (f->missing[0])
		decide(r, WINNER_INVALID, "%s of the candidate was not measured %s", f->missing,
		       where);
	else
		decide(r, WINNER_INVALID, "the candidate ran out of memory %s", where);
}

/* A baseline that breaks a constraint is a fair opponent with fitness 0; one that failed or was not
 * measured in full is none. */
static bool baseline_comparable(const Goals *g, const Measurement *m, const Fitness *f)
{
	const Metric *oom = measurement_get(m, "oom_events");
	return m->outcome == OUTCOME_OK && f->complete && !(g->oom_zero && oom && oom->value > 0);
}

/* Sorts the pairs; false: the candidate failed, the report says how. */
static bool sort_pairs(const WinnerEvidence *e, Usable *u, WinnerReport *r)
{
	bool failed = false;
	for (size_t i = 0; i < e->n_pairs; i++) {
		const Measurement *base = e->baseline[i], *cand = e->candidate[i];
		Fitness fb = fitness_of(e->goals, base), fc = fitness_of(e->goals, cand);
		if (outcome_is_void(cand->outcome)) {
			r->pairs_void++;
		} else if (!fc.feasible || !fc.complete) {
			if (!failed)
				explain_failure(e, i, &fc, r);
			failed = true;
		} else if (outcome_is_void(base->outcome)) {
			r->pairs_void++;
		} else if (!baseline_comparable(e->goals, base, &fb)) {
			r->pairs_baseline_failed++;
		} else {
			u->pair[u->n] = i;
			u->base[u->n] = fb.value;
			u->cand[u->n] = fc.value;
			u->diff[u->n++] = fc.value - fb.value;
		}
	}
	r->pairs_used = u->n;
	return !failed;
}

static Interval interval_of(const double *x, size_t n, double confidence)
{
	Interval v = {.mean = stats_mean(x, n), .lo = (double)NAN, .hi = (double)NAN, .n = n};
	if (stats_t_interval(x, n, confidence, &v.lo, &v.hi) < 0)
		v.lo = v.hi = (double)NAN;
	return v;
}

static bool all_equal(const double *x, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (x[i] != x[0])
			return false;
	return true;
}

/* Overwrites base, cand and diff of `u` with the values of one metric. */
static void load_metric(const WinnerEvidence *e, const char *name, Usable *u)
{
	for (size_t i = 0; i < u->n; i++) {
		size_t p = u->pair[i];
		u->base[i] = measurement_get(e->baseline[p], name)->value;
		u->cand[i] = measurement_get(e->candidate[p], name)->value;
		u->diff[i] = u->cand[i] - u->base[i];
	}
}

/* Fills the changes; true when any value of any objective differed between repeats. */
static bool fill_changes(const WinnerEvidence *e, Usable *u, WinnerReport *r)
{
	const Objective *o = e->goals->objectives.items;
	bool varied = false;
	for (size_t i = 0; i < r->n_changes; i++) {
		ObjectiveChange *c = &r->changes[i];
		c->objective = &o[i];
		load_metric(e, o[i].name, u);
		varied |= !all_equal(u->base, u->n) || !all_equal(u->cand, u->n);
		c->baseline = interval_of(u->base, u->n, e->confidence);
		c->candidate = interval_of(u->cand, u->n, e->confidence);
		c->diff = interval_of(u->diff, u->n, e->confidence);
		c->regress = objective_regress(&o[i], c->baseline.mean, c->candidate.mean);
		c->beyond_tolerance = c->regress > o[i].tolerance;
	}
	return varied;
}

/* By which share the mean of a metric grew; NAN where it was not measured in every pair. */
static double growth(const WinnerEvidence *e, const Usable *u, const char *name)
{
	double base = 0, cand = 0;
	for (size_t i = 0; i < u->n; i++) {
		const Metric *b = measurement_get(e->baseline[u->pair[i]], name);
		const Metric *c = measurement_get(e->candidate[u->pair[i]], name);
		if (!b || !c)
			return (double)NAN;
		base += b->value;
		cand += c->value;
	}
	if (!(base > 0))
		return (double)NAN;
	return (cand - base) / base;
}

static bool has_seed_mark(const WinnerEvidence *e, const Usable *u)
{
	const double mark = 0.10 - 1e-12; /* 10 %, where rounding must not decide */
	return -growth(e, u, "stt_latency_ms") >= mark || -growth(e, u, "llm_latency_ms") >= mark ||
	       growth(e, u, "concurrent_capacity") >= mark;
}

/* A workload under which the candidate is significantly worse; NULL: none. `diff` holds fitness. */
static const char *worse_workload(const WinnerEvidence *e, const Usable *u, char *ret_name,
				  size_t size)
{
	for (size_t i = 0; e->workload && i < u->n; i++) {
		size_t workload = e->workload[u->pair[i]], n = 0;
		for (size_t j = 0; j < u->n; j++)
			if (e->workload[u->pair[j]] == workload)
				u->group[n++] = u->diff[j];
		if (!(interval_of(u->group, n, e->confidence).hi < 0))
			continue;
		if (e->workload_names)
			snprintf(ret_name, size, "%.60s", e->workload_names[workload]);
		else
			snprintf(ret_name, size, "workload %zu", workload + 1);
		return ret_name;
	}
	return NULL;
}

static const ObjectiveChange *worst_regress(const WinnerReport *r)
{
	const ObjectiveChange *worst = NULL;
	for (size_t i = 0; i < r->n_changes; i++)
		if (r->changes[i].beyond_tolerance &&
		    (!worst || r->changes[i].regress > worst->regress))
			worst = &r->changes[i];
	return worst;
}

static void too_few(const WinnerEvidence *e, size_t needed, WinnerReport *r)
{
	char left_out[96] = "";
	if (r->pairs_void || r->pairs_baseline_failed)
		snprintf(left_out, sizeof(left_out),
			 ": %zu void, and in %zu the baseline itself failed", r->pairs_void,
			 r->pairs_baseline_failed);
	decide(r, WINNER_INCONCLUSIVE, "%zu of %zu pairs can be compared and %zu are needed%s",
	       r->pairs_used, e->n_pairs, needed, left_out);
}

static void judge_difference(const WinnerEvidence *e, const Usable *u, WinnerReport *r)
{
	const Interval *d = &r->fitness_diff;
	const ObjectiveChange *regress = worst_regress(r);
	char name[72];
	double percent = 100 * e->confidence;
	if (d->hi < 0)
		decide(r, WINNER_WORSE,
		       "fitness is %.4g lower than the baseline's (%.4g %% interval %+.4g to "
		       "%+.4g)",
		       -d->mean, percent, d->lo, d->hi);
	else if (!(d->lo > 0))
		decide(r, WINNER_NOT_BETTER,
		       "the difference in fitness, %+.4g, may be chance (%.4g %% interval %+.4g "
		       "to %+.4g)",
		       d->mean, percent, d->lo, d->hi);
	else if (regress)
		decide(r, WINNER_REGRESSES,
		       "fitness is better, but %s is %.3g %% worse and %.3g %% is tolerated",
		       regress->objective->name, 100 * regress->regress,
		       100 * regress->objective->tolerance);
	else if (worse_workload(e, u, name, sizeof(name)))
		decide(r, WINNER_REGRESSES,
		       "fitness is better over all workloads, but worse under %s", name);
	else
		decide(r, WINNER_YES,
		       "fitness is %.4g higher than the baseline's (%.4g %% interval %+.4g to "
		       "%+.4g, %zu pairs)",
		       d->mean, percent, d->lo, d->hi, d->n);
}

/* Whatever it returns, usable_done() is for the caller to call. */
static int usable_init(Usable *u, size_t n_pairs)
{
	size_t n = n_pairs ? n_pairs : 1;
	u->pair = calloc(n, sizeof(*u->pair));
	u->base = calloc(n, 4 * sizeof(*u->base));
	if (!u->pair || !u->base)
		return -ENOMEM;
	u->cand = u->base + n;
	u->diff = u->cand + n;
	u->group = u->diff + n;
	return 0;
}

static void judge(const WinnerEvidence *e, Usable *u, WinnerReport *r)
{
	bool sound = sort_pairs(e, u, r);
	r->fitness_baseline = interval_of(u->base, u->n, e->confidence);
	r->fitness_candidate = interval_of(u->cand, u->n, e->confidence);
	r->fitness_diff = interval_of(u->diff, u->n, e->confidence);
	bool varied = fill_changes(e, u, r);
	for (size_t i = 0; i < u->n; i++) /* fill_changes() used the room */
		u->diff[i] = fitness_of(e->goals, e->candidate[u->pair[i]]).value -
			     fitness_of(e->goals, e->baseline[u->pair[i]]).value;
	r->seed_mark = u->n > 0 && has_seed_mark(e, u);

	size_t needed = e->min_pairs > 2 ? e->min_pairs : 2;
	if (!sound)
		return;
	if (u->n < needed)
		too_few(e, needed, r);
	else if (!varied && r->fitness_diff.mean == 0)
		decide(r, WINNER_NOT_BETTER,
		       "all %zu repeats gave exactly the same numbers, and fitness does not "
		       "differ: was "
		       "the candidate applied at all?",
		       u->n);
	else if (!varied && !e->exact)
		decide(r, WINNER_INCONCLUSIVE,
		       "all %zu repeats gave exactly the same numbers, which measurements never "
		       "do: nothing is known about the noise",
		       u->n);
	else
		judge_difference(e, u, r);
}

int winner_judge(const WinnerEvidence *e, WinnerReport *ret)
{
	size_t n = e->goals->objectives.n;
	if (n == 0 || !(e->confidence > 0 && e->confidence < 1))
		return -EINVAL;
	for (size_t i = 0; i < e->n_pairs; i++)
		if (!e->baseline[i] || !e->candidate[i])
			return -EINVAL;
	_cleanup_(usable_done) Usable u = {0};
	int r = usable_init(&u, e->n_pairs);
	if (r < 0)
		return r;
	WinnerReport report = {.changes = calloc(n, sizeof(*report.changes)), .n_changes = n};
	if (!report.changes)
		return -ENOMEM;
	judge(e, &u, &report);
	*ret = report;
	return 0;
}

void winner_report_done(WinnerReport *r)
{
	free(r->changes);
	*r = (WinnerReport){0};
}
