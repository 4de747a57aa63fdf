/* R-Zero: generations of candidates, tournaments drawn by lot, the best always kept, new blood in
 * every generation.
 *
 * A generation is planned as a whole once every trial of the last one is told, from the results
 * alone and a random stream of its own, so neither the order of the tells nor a restart changes it.
 * Survivors are members of the next generation with the result they have; they are not measured
 * again, except the best one on purpose while its standard error is large. */
#include <math.h>
#include <stdlib.h>

#include "search/child.h"
#include "search/ops.h"

typedef struct Ranked {
	Cand result;
	uint64_t lot;
	uint32_t cand;
} Ranked;

typedef struct Rzero {
	uint32_t *members; /* of this generation */
	uint32_t n_members;
	Plan *plans; /* its asks */
	uint32_t n_plans, given;
	uint32_t *survivors; /* of the last finished generation, best first */
	uint32_t n_survivors;
	Ranked *ranked;	 /* scratch: the members that have a result, best first */
	uint32_t *field; /* scratch: those that still compete, by their rank */
	uint32_t n_max;	 /* members at most */
	uint32_t keep;	 /* survivors at most */
	uint32_t generation;
	uint32_t best;	/* in the pool; POOL_NONE before the first generation ended */
	uint32_t stale; /* generations since the best was found */
	bool begun;
} Rzero;

/* Somebody new has to fit in beside the survivors. */
static uint32_t survivors_at_most(const SearchSpec *spec)
{
	uint32_t room = spec->max_candidates > 1 ? spec->max_candidates - 1 : 1;
	return spec->survivors < room ? spec->survivors : room;
}

static uint32_t asks_beside(const Search *s, uint32_t survivors)
{
	return s->spec.max_candidates > survivors ? s->spec.max_candidates - survivors : 1;
}

static void done(Search *s)
{
	Rzero *z = s->state;
	if (!z)
		return;
	free(z->members);
	free(z->plans);
	free(z->survivors);
	free(z->ranked);
	free(z->field);
	free(z);
}

static void add_plan(Search *s, Plan p)
{
	Rzero *z = s->state;
	p.generation = z->generation;
	z->plans[z->n_plans++] = p;
	if (!p.repeat)
		z->members[z->n_members++] = p.cand;
}

static bool add_fresh(Search *s, Rng *r, SearchOrigin origin)
{
	uint32_t cand = draw_fresh(s, r);
	if (cand == POOL_NONE)
		return false;
	add_plan(s, (Plan){.cand = cand, .origin = origin, .parents = {-1, -1}});
	return true;
}

static bool is_member(const Rzero *z, uint32_t cand)
{
	for (uint32_t i = 0; i < z->n_members; i++)
		if (z->members[i] == cand)
			return true;
	return false;
}

/* A survivor of the last evolution: carried with its result, or asked for when it has none. */
static void add_warm(Search *s, const SearchKnown *k)
{
	Rzero *z = s->state;
	Point p = k->point;
	space_canonical(s->spec.space, &p);
	uint32_t cand = pool_find(&s->pool, &p);
	if (cand == POOL_NONE) {
		cand = draw_admit(s, &p);
		if (cand != POOL_NONE)
			add_plan(s,
				 (Plan){.cand = cand, .origin = ORIGIN_WARM, .parents = {-1, -1}});
		return;
	}
	if (s->pool.items[cand].state == CAND_MEASURED && !is_member(z, cand) && draw_usable(s, &p))
		z->members[z->n_members++] = cand;
}

/* The baseline, then survivors from before; the rest is drawn by lot. */
static int plan_first(Search *s)
{
	Rzero *z = s->state;
	int e = pool_promise(&s->pool, z->n_max);
	if (e < 0)
		return e;
	uint32_t baseline = draw_baseline(s);
	if (baseline != POOL_NONE)
		add_plan(s,
			 (Plan){.cand = baseline, .origin = ORIGIN_BASELINE, .parents = {-1, -1}});
	else if (s->has_baseline)
		z->members[z->n_members++] = pool_find(&s->pool, &s->baseline);
	for (size_t i = 0; i < s->spec.n_known && z->n_members < s->spec.max_candidates; i++)
		if (s->spec.known[i].survivor)
			add_warm(s, &s->spec.known[i]);
	Rng r = rng_derive(s->spec.seed, "rzero", 0);
	while (z->n_members < s->spec.max_candidates && add_fresh(s, &r, ORIGIN_RANDOM))
		;
	return 0;
}

static int start(Search *s)
{
	Rzero *z = calloc(1, sizeof(*z));
	s->state = z;
	if (!z)
		return -ENOMEM;
	z->best = POOL_NONE;
	z->keep = survivors_at_most(&s->spec);
	z->n_max = s->spec.max_candidates;
	if (s->space_size < z->n_max)
		z->n_max = (uint32_t)s->space_size;
	z->n_max += z->keep + 1;
	z->members = calloc(z->n_max, sizeof(*z->members));
	z->plans = calloc(z->n_max, sizeof(*z->plans));
	z->survivors = calloc(z->keep, sizeof(*z->survivors));
	z->ranked = calloc(z->n_max, sizeof(*z->ranked));
	z->field = calloc(z->n_max, sizeof(*z->field));
	if (!z->members || !z->plans || !z->survivors || !z->ranked || !z->field)
		return -ENOMEM;
	return plan_first(s);
}

static int by_rank(const void *a, const void *b)
{
	const Ranked *x = a, *y = b;
	int c = cand_compare(&y->result, &x->result);
	if (c)
		return c;
	if (x->lot != y->lot)
		return x->lot < y->lot ? -1 : 1;
	return (x->cand > y->cand) - (x->cand < y->cand);
}

/* Best first; a tie is broken by lot, never by order. Members without a result take no part. */
static uint32_t rank_members(Search *s)
{
	Rzero *z = s->state;
	uint32_t n = 0;
	Rng lots = rng_derive(s->spec.seed, "rzero.lot", z->generation);
	for (uint32_t i = 0; i < z->n_members; i++) {
		const Cand *c = &s->pool.items[z->members[i]];
		uint64_t lot = rng_u64(&lots);
		if (c->state == CAND_MEASURED)
			z->ranked[n++] = (Ranked){*c, lot, z->members[i]};
	}
	qsort(z->ranked, n, sizeof(*z->ranked), by_rank);
	return n;
}

/* Draws the competitors to the front of the field and gives the place of the best of them. */
static uint32_t tournament(uint32_t *field, uint32_t n, uint32_t size, Rng *r)
{
	uint32_t best = 0;
	for (uint32_t i = 0; i < size && i < n; i++) {
		uint32_t j = i + (uint32_t)rng_below(r, n - i), drawn = field[j];
		field[j] = field[i];
		field[i] = drawn;
		if (drawn < field[best])
			best = i;
	}
	return best;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* The elite survives anyway; every other survivor has won a tournament of its own. */
static void select_survivors(Search *s, uint32_t n_ranked, Rng *r)
{
	Rzero *z = s->state;
	uint32_t n = 0, left = 0, keep = z->keep < n_ranked ? z->keep : n_ranked;
	for (uint32_t i = 0; i < n_ranked; i++) {
		if (i < s->spec.elitism && n < keep)
			z->survivors[n++] = i;
		else
			z->field[left++] = i;
	}
	while (n < keep) {
		uint32_t won = tournament(z->field, left, s->spec.tournament_size, r);
		z->survivors[n++] = z->field[won];
		z->field[won] = z->field[--left];
	}
	qsort(z->survivors, n, sizeof(*z->survivors), by_number);
	for (uint32_t i = 0; i < n; i++)
		z->survivors[i] = z->ranked[z->survivors[i]].cand;
	z->n_survivors = n;
}

static void watch_plateau(Search *s, uint32_t n_ranked)
{
	Rzero *z = s->state;
	uint32_t now = n_ranked ? z->ranked[0].cand : POOL_NONE;
	bool better = now != POOL_NONE && now != z->best &&
		      (z->best == POOL_NONE ||
		       cand_compare(&s->pool.items[now], &s->pool.items[z->best]) > 0);
	z->stale = better || z->generation == 0 ? 0 : z->stale + 1;
	if (better)
		z->best = now;
}

/* A deliberate second measurement: the best so far, while its fitness is not known well enough. */
static void plan_repeat(Search *s)
{
	Rzero *z = s->state;
	if (!z->n_survivors || !(s->spec.noise > 0))
		return;
	const Cand *c = &s->pool.items[z->survivors[0]];
	if (c->outcome != OUTCOME_OK || !(c->se > s->spec.noise * fabs(c->fitness)))
		return;
	add_plan(s, (Plan){.cand = z->survivors[0],
			   .origin = ORIGIN_ELITE,
			   .parents = {c->id, -1},
			   .repeat = true});
}

/* false: the space has nothing new to offer. */
static bool plan_next(Search *s, Rng *r)
{
	Rzero *z = s->state;
	uint32_t room = asks_beside(s, z->n_survivors), fresh = s->spec.fresh_inject;
	z->generation++;
	z->n_plans = z->given = 0;
	z->n_members = z->n_survivors;
	for (uint32_t i = 0; i < z->n_survivors; i++)
		z->members[i] = z->survivors[i];
	plan_repeat(s);
	uint32_t repeats = z->n_plans;
	while (z->n_plans < room && z->n_plans - repeats < fresh && add_fresh(s, r, ORIGIN_FRESH))
		;
	while (z->n_plans < room) {
		Plan child;
		if (child_make(s, z->survivors, z->n_survivors, r, &child))
			add_plan(s, child);
		else if (!add_fresh(s, r, ORIGIN_FRESH))
			break;
	}
	return z->n_plans > repeats;
}

static bool drained(const Search *s)
{
	return s->rest.walks && s->rest.complete && s->rest.n == 0;
}

/* Every trial of the generation is told: who survives, is it over, what comes next. */
static int advance(Search *s)
{
	Rzero *z = s->state;
	int e = pool_promise(&s->pool, z->n_max);
	if (e < 0)
		return e;
	Rng r = rng_derive(s->spec.seed, "rzero", (uint64_t)z->generation + 1);
	uint32_t n = rank_members(s);
	watch_plateau(s, n);
	select_survivors(s, n, &r);
	if (z->generation + 1 >= s->spec.max_generations)
		s->stop = drained(s) ? SEARCH_STOP_EXHAUSTED : SEARCH_STOP_GENERATIONS;
	else if (s->spec.patience_gens && z->stale >= s->spec.patience_gens)
		s->stop = SEARCH_STOP_PLATEAU;
	else if (!plan_next(s, &r)) {
		s->stop = SEARCH_STOP_EXHAUSTED;
		z->generation--;
	}
	return 0;
}

static int next(Search *s, Plan *ret)
{
	Rzero *z = s->state;
	while (z->given == z->n_plans) {
		if (s->n_pending > 0)
			return 0;
		int e = advance(s);
		if (e < 0 || s->stop != SEARCH_RUNNING)
			return e;
	}
	*ret = z->plans[z->given++];
	return 1;
}

static uint32_t generation(const Search *s)
{
	const Rzero *z = s->state;
	return z->generation;
}

static size_t survivors(const Search *s, uint32_t *ret, size_t max)
{
	const Rzero *z = s->state;
	size_t n = z->n_survivors < max ? z->n_survivors : max;
	for (size_t i = 0; i < n; i++)
		ret[i] = z->survivors[i];
	return n;
}

static uint64_t planned(const Search *s, uint64_t *ret_later)
{
	const Rzero *z = s->state;
	uint64_t to_come = s->spec.max_generations - 1 - z->generation;
	*ret_later = to_come * asks_beside(s, z->keep);
	return z->n_plans - z->given;
}

const SearchOps search_rzero = {
    .about = {"rzero", "tournaments of candidates, the best survive and breed", 1},
    .start = start,
    .done = done,
    .next = next,
    .generation = generation,
    .survivors = survivors,
    .planned = planned,
};
