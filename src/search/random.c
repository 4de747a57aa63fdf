/* Distinct candidates by lot: the yardstick for every other strategy. */
#include "search/ops.h"

static int next(Search *s, Plan *ret)
{
	if (plain_spent(s))
		return plain_end(s, SEARCH_STOP_GENERATIONS);
	int e = pool_promise(&s->pool, 1);
	if (e < 0)
		return e;
	Rng r = rng_derive(s->spec.seed, "random", s->next);
	uint32_t baseline = draw_baseline(s);
	uint32_t cand = baseline != POOL_NONE ? baseline : draw_fresh(s, &r);
	if (cand == POOL_NONE)
		return plain_end(s, SEARCH_STOP_EXHAUSTED);
	*ret = plain_plan(s, cand, baseline != POOL_NONE ? ORIGIN_BASELINE : ORIGIN_RANDOM);
	return 1;
}

const SearchOps search_random = {
    .about = {"random", "distinct candidates drawn at random", 1},
    .next = next,
    .generation = plain_generation,
    .survivors = plain_survivors,
    .planned = plain_planned,
};
