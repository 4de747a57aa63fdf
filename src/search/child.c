/* Crossover and mutation within the grid. The longer the search for a child takes, the further it
 * goes from its parents: around a good candidate everything near may be known. */
#include "search/child.h"

enum {
	CHILD_TRIES = 12,
	CHILD_TRIES_PER_STEP = 3, /* after so many in vain one more parameter is changed */
};

/* A level near `level` of an ordered parameter: mostly a neighbour, now and then 2, 4, 8, ... away,
 * so that a fine range is crossed in few generations. At the end of the range it turns back. */
static uint32_t step_level(Rng *r, uint32_t level, uint32_t n)
{
	uint64_t step = 1;
	while (step < n / 2 && rng_below(r, 2) == 0)
		step *= 2;
	bool up = rng_below(r, 2) == 0;
	if (up ? level + step >= n : level < step)
		up = !up;
	if (up ? level + step >= n : level < step)
		return up ? n - 1 : 0;
	return (uint32_t)(up ? level + step : level - step);
}

static uint32_t other_level(Rng *r, uint32_t level, uint32_t n)
{
	uint32_t l = (uint32_t)rng_below(r, n - 1);
	return l + (l >= level);
}

/* Changes one parameter that exists and has another level. */
static void mutate_one(const Search *s, Rng *r, Point *p)
{
	const Space *space = s->spec.space;
	uint32_t can[SPACE_DIMS_MAX], n = 0;
	for (uint32_t d = 0; d < s->dims; d++)
		if (p->level[d] != SPACE_INACTIVE && space_levels(space, d) > 1)
			can[n++] = d;
	if (n == 0)
		return;
	uint32_t d = can[rng_below(r, n)], levels = space_levels(space, d);
	p->level[d] = space_ordered(space, d) ? step_level(r, p->level[d], levels)
					      : other_level(r, p->level[d], levels);
}

/* A parameter that comes into being gets a level by lot; then what must not exist goes. */
static void settle(const Search *s, Rng *r, Point *p)
{
	for (uint32_t d = 0; d < s->dims; d++)
		if (p->level[d] == SPACE_INACTIVE)
			p->level[d] = draw_level(s, r, d);
	space_canonical(s->spec.space, p);
}

static void cross(const Search *s, Rng *r, Point *p, const Point *with)
{
	for (uint32_t d = 0; d < s->dims; d++)
		if (rng_below(r, 2) == 0)
			p->level[d] = with->level[d];
}

static uint32_t differing(const Search *s, const Point *a, const Point *b)
{
	uint32_t bits = 0;
	for (uint32_t d = 0; d < s->dims; d++)
		if (a->level[d] != b->level[d])
			bits |= UINT32_C(1) << d;
	return bits;
}

bool child_make(Search *s, const uint32_t *parents, uint32_t n, Rng *r, Plan *ret)
{
	for (uint32_t t = 0; t < CHILD_TRIES && n > 0; t++) {
		uint32_t a = (uint32_t)rng_below(r, n), b = a;
		bool crossed = n > 1 && rng_below(r, 2) == 0;
		Point from, with, p;
		pool_point(&s->pool, parents[a], &from);
		p = from;
		if (crossed) {
			b = other_level(r, a, n);
			pool_point(&s->pool, parents[b], &with);
			cross(s, r, &p, &with);
			settle(s, r, &p);
		}
		uint32_t changes = t / CHILD_TRIES_PER_STEP;
		changes += crossed ? (uint32_t)rng_below(r, 2) : 1;
		while (rng_below(r, 4) == 0)
			changes++;
		for (uint32_t i = 0; i < changes; i++) {
			mutate_one(s, r, &p);
			settle(s, r, &p);
		}
		uint32_t cand = draw_admit(s, &p);
		if (cand == POOL_NONE)
			continue;
		*ret = (Plan){.cand = cand,
			      .origin = crossed ? ORIGIN_CROSSOVER : ORIGIN_MUTATION,
			      .mutated = differing(s, &from, &p),
			      .parents = {s->pool.items[parents[a]].id,
					  crossed ? s->pool.items[parents[b]].id : -1}};
		return true;
	}
	return false;
}
