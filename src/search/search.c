/* The common part of every strategy: what was asked and is pending, what was told, and the asks
 * whose trial came back void. */
#include "search/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/ops.h"

static int check_spec(const SearchSpec *spec, Err *err)
{
	if (spec->max_candidates < 1 || spec->max_candidates > SEARCH_CANDIDATES_MAX)
		return err_set(err, -EINVAL,
			       "a search needs 1 to %d candidates in a generation, not %u",
			       SEARCH_CANDIDATES_MAX, spec->max_candidates);
	if (spec->max_generations < 1)
		return err_set(err, -EINVAL, "a search needs at least one generation");
	if (spec->tournament_size < 1)
		return err_set(err, -EINVAL, "a tournament needs at least one candidate");
	if (spec->survivors < 1 || spec->survivors > SEARCH_SURVIVORS_MAX)
		return err_set(err, -EINVAL, "1 to %d candidates can survive a generation, not %u",
			       SEARCH_SURVIVORS_MAX, spec->survivors);
	if (spec->elitism > spec->survivors)
		return err_set(err, -EINVAL,
			       "%u candidates cannot be kept by elitism when %u survive",
			       spec->elitism, spec->survivors);
	if (!(spec->noise >= 0))
		return err_set(err, -EINVAL,
			       "the noise that triggers a repeat is a share from 0 up");
	return 0;
}

static int set_baseline(Search *s, const Point *baseline, Err *err)
{
	_cleanup_(str_done) Str why = STR_INIT;
	if (!baseline)
		return 0;
	s->baseline = *baseline;
	s->has_baseline = true;
	space_canonical(s->spec.space, &s->baseline);
	if (!space_allows(s->spec.space, &s->baseline, &why))
		return err_set(err, -EINVAL, "the baseline cannot be measured: %s", why.s);
	return 0;
}

/* The levels within hard bounds, so that a tight bound does not spoil drawing at random. */
static int find_open_levels(Search *s)
{
	for (uint32_t d = 0; d < s->dims; d++) {
		uint32_t n = space_levels(s->spec.space, d);
		uint32_t *open = calloc(n, sizeof(*open));
		if (!open)
			return -ENOMEM;
		s->open[d] = open;
		for (uint32_t l = 0; l < n; l++)
			if (space_level_allowed(s->spec.space, d, l))
				open[s->n_open[d]++] = l;
		if (s->n_open[d] == n) {
			free(open);
			s->open[d] = NULL;
		}
	}
	return 0;
}

static int add_known(Search *s, const SearchSpec *spec)
{
	for (size_t i = 0; i < spec->n_known; i++) {
		const SearchKnown *k = &spec->known[i];
		if (outcome_is_void(k->outcome))
			continue;
		Point p = k->point;
		space_canonical(spec->space, &p);
		uint32_t cand = pool_find(&s->pool, &p);
		if (cand == POOL_NONE) {
			int e = pool_promise(&s->pool, 1);
			if (e < 0)
				return e;
			cand = pool_add(&s->pool, &p);
		}
		cand_result(&s->pool.items[cand], -2 - (int64_t)i, k->outcome, k->fitness, k->se);
	}
	return 0;
}

static int prepare(Search *s, const SearchSpec *spec)
{
	s->dims = (uint32_t)space_dims(spec->space);
	s->space_size = space_count(spec->space);
	pool_init(&s->pool, spec->space);
	s->rest.points = calloc(SEARCH_REST_MAX, sizeof(*s->rest.points));
	if (!s->rest.points)
		return -ENOMEM;
	int e = find_open_levels(s);
	if (e >= 0)
		e = add_known(s, spec);
	return e;
}

int search_new(const SearchSpec *spec, Search **ret, Err *err)
{
	const SearchOps *ops = NULL;
	for (size_t i = 0; search_ops(i) && !ops; i++)
		if (strcmp(search_ops(i)->about.name, spec->strategy) == 0)
			ops = search_ops(i);
	if (!ops)
		return err_set(err, -ENOENT, "no search strategy is called %s", spec->strategy);
	int e = check_spec(spec, err);
	if (e < 0)
		return e;
	_cleanup_(search_freep) Search *s = calloc(1, sizeof(*s));
	if (!s)
		return err_oom(err);
	s->ops = ops;
	s->spec = *spec;
	e = set_baseline(s, spec->baseline, err);
	if (e < 0)
		return e;
	e = prepare(s, spec);
	if (e >= 0 && ops->start)
		e = ops->start(s);
	if (e < 0)
		return err_oom(err);
	s->spec.known = NULL;
	s->spec.baseline = NULL;
	s->spec.strategy = ops->about.name;
	*ret = TAKE_PTR(s);
	return 0;
}

Search *search_free(Search *s)
{
	if (!s)
		return NULL;
	if (s->ops->done)
		s->ops->done(s);
	for (uint32_t d = 0; d < s->dims; d++)
		free(s->open[d]);
	pool_done(&s->pool);
	free(s->rest.points);
	free(s->asked);
	free(s);
	return NULL;
}

/* `number` is not done yet: first <= number < next. */
static Asked *asked_at(Search *s, uint64_t number)
{
	return &s->asked[s->asked_head + (size_t)(number - s->first)];
}

static Asked *find_pending(Search *s, uint64_t number)
{
	if (number < s->first || number >= s->next)
		return NULL;
	Asked *a = asked_at(s, number);
	return a->state == ASK_PENDING ? a : NULL;
}

/* Room for one more ask: moves what is left to the front when half of the array is done with. */
static int reserve_ask(Search *s)
{
	size_t used = (size_t)(s->next - s->first);
	if (s->asked_head + used < s->asked_cap)
		return 0;
	if (s->asked_head >= used && s->asked_head > 0) {
		memmove(s->asked, s->asked + s->asked_head, used * sizeof(*s->asked));
		s->asked_head = 0;
		return 0;
	}
	size_t cap = s->asked_cap ? 2 * s->asked_cap : 64;
	Asked *grown = realloc(s->asked, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->asked = grown;
	s->asked_cap = cap;
	return 0;
}

static void forget_done(Search *s)
{
	while (s->first < s->next && s->asked[s->asked_head].state == ASK_DONE) {
		s->first++;
		s->asked_head++;
	}
}

/* The earliest ask whose trial was void, to be asked again under a new number. Chosen by number, so
 * that the order of the tells does not matter. */
static bool take_void(Search *s, Plan *ret)
{
	if (!s->n_void)
		return false;
	if (s->void_from < s->first)
		s->void_from = s->first;
	while (asked_at(s, s->void_from)->state != ASK_VOID)
		s->void_from++;
	Asked *a = asked_at(s, s->void_from);
	a->state = ASK_DONE;
	s->n_void--;
	*ret = a->plan;
	forget_done(s);
	return true;
}

int search_ask(Search *s, SearchAsk *ret, Err *err)
{
	Plan plan;
	if (s->stop != SEARCH_RUNNING)
		return 0;
	if (reserve_ask(s) < 0)
		return err_oom(err);
	if (!take_void(s, &plan)) {
		int e = s->ops->next(s, &plan);
		if (e <= 0)
			return e < 0 ? err_oom(err) : 0;
	}
	*asked_at(s, s->next) = (Asked){.plan = plan, .state = ASK_PENDING};
	*ret = (SearchAsk){.number = s->next++,
			   .origin = plan.origin,
			   .generation = plan.generation,
			   .parents = {plan.parents[0], plan.parents[1]},
			   .mutated = plan.mutated,
			   .repeat = plan.repeat};
	pool_point(&s->pool, plan.cand, &ret->point);
	s->n_pending++;
	return 1;
}

static void told_void(Search *s, Asked *a, uint64_t number)
{
	Cand *c = &s->pool.items[a->plan.cand];
	a->state = ASK_DONE;
	if (a->plan.repeat)
		return; /* what was known before still is */
	if (c->tries++ >= SEARCH_VOID_RETRIES) {
		c->state = CAND_LOST;
		return;
	}
	a->state = ASK_VOID;
	s->n_void++;
	if (number < s->void_from)
		s->void_from = number;
}

int search_tell(Search *s, const SearchTell *t, Err *err)
{
	Asked *a = find_pending(s, t->number);
	if (!a)
		return err_set(err, -ENOENT, "ask %llu is not pending",
			       (unsigned long long)t->number);
	if (t->outcome >= OUTCOME_MAX_ || !isfinite(t->fitness) || !(t->se >= 0))
		return err_set(err, -EINVAL, "the result of ask %llu is not a result",
			       (unsigned long long)t->number);
	s->n_pending--;
	if (outcome_is_void(t->outcome)) {
		told_void(s, a, t->number);
	} else {
		cand_result(&s->pool.items[a->plan.cand], (int64_t)t->number, t->outcome,
			    t->fitness, t->se);
		a->state = ASK_DONE;
	}
	forget_done(s);
	return 0;
}

SearchStop search_stopped(const Search *s)
{
	return s->stop;
}

uint32_t search_generation(const Search *s)
{
	return s->ops->generation(s);
}

size_t search_survivors(const Search *s, Point *ret, size_t max)
{
	uint32_t found[SEARCH_SURVIVORS_MAX];
	if (max > s->spec.survivors)
		max = s->spec.survivors;
	size_t n = s->ops->survivors(s, found, max);
	for (size_t i = 0; i < n; i++)
		pool_point(&s->pool, found[i], &ret[i]);
	return n;
}

/* What the strategy plans, but never more new candidates than there are left. */
uint64_t search_remaining(const Search *s)
{
	uint64_t under_way = s->n_pending + s->n_void, later;
	if (s->stop != SEARCH_RUNNING)
		return under_way;
	uint64_t chosen = s->ops->planned(s, &later);
	uint64_t unknown = s->space_size > s->pool.n ? s->space_size - s->pool.n : 0;
	if (s->space_size == UINT64_MAX)
		unknown = UINT64_MAX;
	if (s->rest.walks && s->rest.complete && s->rest.n < unknown)
		unknown = s->rest.n;
	if (s->spec.noise > 0 && unknown < UINT64_MAX - s->spec.max_generations)
		unknown += s->spec.max_generations; /* repeats, one a generation */
	return under_way + chosen + (later < unknown ? later : unknown);
}
