/* Who is confirmed: the best of the search that looked better than the baseline, did not fail in an
 * earlier confirmation, and gave up nothing that a winner may not give up. */
#include "run/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	SHORT_LIST = 32, /* the best of the search that are looked at */
};

typedef struct ShortList {
	Finalist items[SHORT_LIST]; /* by fitness, best first, every point once */
	size_t n;
} ShortList;

bool told_counts(const Turn *t, const Told *told)
{
	return told->known || told->evolution == t->history.evolution;
}

static bool looks_better(const Turn *t, const Told *told)
{
	return told->outcome == OUTCOME_OK && told->fitness > t->baseline_fitness &&
	       !point_equal(t->x->space, &told->point, &t->x->baseline_point);
}

static void forget(const Turn *t, ShortList *list, const Point *p)
{
	size_t kept = 0;
	for (size_t i = 0; i < list->n; i++)
		if (!point_equal(t->x->space, &list->items[i].point, p))
			list->items[kept++] = list->items[i];
	list->n = kept;
}

typedef struct Failures {
	const Turn *t;
	ShortList *list;
	size_t hint;
} Failures;

/* Has a candidate failed by itself in an earlier confirmation? */
static bool failed_before(Failures *f, const StoreTrial *trial)
{
	const History *h = &f->t->history;
	Outcome outcome = trial->m.outcome;
	if (outcome == OUTCOME_OK || outcome_is_void(outcome) || !trial->origin ||
	    strcmp(trial->origin, compare_role_name(ROLE_CANDIDATE)) != 0 ||
	    trial->evolution == h->evolution)
		return false;
	const SameEvolution *same = history_same(h, trial->evolution, &f->hint);
	return same && told_teaches(outcome, same->alike);
}

static int forget_failed(void *userdata, const StoreTrial *trial)
{
	Failures *f = userdata;
	Point p;
	if (failed_before(f, trial) &&
	    point_from_json(f->t->x->space, trial->params, &p, NULL) == 0)
		forget(f->t, f->list, &p);
	return 0;
}

/* What failed in an earlier confirmation would fail again: the next best gets its chance. */
static int forget_failures(const Turn *t, ShortList *list, Err *err)
{
	TrialQuery q = {.experiment = t->x->name, .purpose = "confirm"};
	Failures f = {.t = t, .list = list};
	return store_trials(t->r->store, &q, forget_failed, &f, err);
}

/* A point measured again counts as it was measured last. */
static void consider(const Turn *t, ShortList *list, const Told *told)
{
	size_t at = 0;
	forget(t, list, &told->point);
	if (!looks_better(t, told))
		return;
	while (at < list->n && list->items[at].fitness >= told->fitness)
		at++;
	if (at == SHORT_LIST)
		return;
	if (list->n == SHORT_LIST)
		list->n--;
	memmove(&list->items[at + 1], &list->items[at], (list->n - at) * sizeof(list->items[0]));
	list->items[at] =
	    (Finalist){.point = told->point, .seq = told->seq, .fitness = told->fitness};
	list->n++;
}

int finalists_trial(const Turn *t, int64_t seq, StoreTrial *ret, Err *err)
{
	char id[24];
	(void)snprintf(id, sizeof(id), "%" PRId64, seq);
	return store_trial(t->r->store, id, ret, err);
}

/* The first objective that the search saw get worse than its tolerance: such a candidate cannot
 * win, and its confirmation would be wasted. NULL: none. */
static const char *too_much_worse(const Goals *g, const Measurement *base,
				  const Measurement *candidate)
{
	const Objective *o = g->objectives.items;
	for (size_t i = 0; i < g->objectives.n; i++) {
		const Metric *b = measurement_get(base, o[i].name);
		const Metric *c = measurement_get(candidate, o[i].name);
		if (!c || (b && objective_regress(&o[i], b->value, c->value) > o[i].tolerance))
			return o[i].name;
	}
	return NULL;
}

static int keep_winnable(Turn *t, const ShortList *list, LeftOut *ret, Err *err)
{
	size_t max = (size_t)t->x->confirm.finalists;
	StoreTrial base = {0};
	int r = finalists_trial(t, t->baseline_seq, &base, err);
	for (size_t i = 0; r >= 0 && i < list->n && t->n_finalists < max; i++) {
		StoreTrial candidate = {0};
		r = finalists_trial(t, list->items[i].seq, &candidate, err);
		if (r < 0)
			break;
		const char *worse = too_much_worse(&t->x->goals, &base.m, &candidate.m);
		const char *unguarded =
		    quality_unguarded(t->x, &t->x->baseline_point, &list->items[i].point);
		if (unguarded && !ret->unguarded)
			ret->unguarded = unguarded;
		if (unguarded)
			turn_say(
			    t, RUN_MESSAGE, NULL, NULL,
			    "a candidate that looked better is left out: %s changes what the model "
			    "says, and nothing measures that (a constraint or objective on "
			    "llm_quality_pct)",
			    unguarded);
		else if (!worse)
			t->finalists[t->n_finalists++] = list->items[i];
		else if (!ret->worse)
			ret->worse = worse;
		store_trial_done(&candidate);
	}
	store_trial_done(&base);
	return r < 0 ? r : 0;
}

int finalists_choose(Turn *t, LeftOut *ret, Err *err)
{
	ShortList list = {.n = 0};
	t->finalists = calloc((size_t)t->x->confirm.finalists + 1, sizeof(*t->finalists));
	if (!t->finalists)
		return err_oom(err);
	for (size_t i = 0; i < t->history.n_told; i++)
		if (told_counts(t, &t->history.told[i]))
			consider(t, &list, &t->history.told[i]);
	*ret = (LeftOut){0};
	int r = forget_failures(t, &list, err);
	return r < 0 ? r : keep_winnable(t, &list, ret, err);
}

static void note_baseline(Turn *t, const Told *told)
{
	t->baseline_fitness = told->fitness;
	t->baseline_seq = told->seq;
}

void finalists_baseline(Turn *t)
{
	for (size_t i = t->history.n_told; i-- > 0 && isnan(t->baseline_fitness);) {
		const Told *told = &t->history.told[i];
		if (told_counts(t, told) && told->outcome == OUTCOME_OK &&
		    point_equal(t->x->space, &told->point, &t->x->baseline_point))
			note_baseline(t, told);
	}
}
