/* Drawing candidates that are new, allowed and feasible. */
#include "search/ops.h"

enum {
	DRAW_TRIES = 200, /* at random, before walking through the space */
};

#define WALK_MAX (UINT64_C(1) << 22) /* points that one walk looks at */

uint32_t draw_level(const Search *s, Rng *r, size_t dim)
{
	uint32_t n = s->n_open[dim], i = n > 1 ? (uint32_t)rng_below(r, n) : 0;
	return s->open[dim] ? s->open[dim][i] : i;
}

static void draw_point(const Search *s, Rng *r, Point *ret)
{
	*ret = (Point){0};
	for (uint32_t d = 0; d < s->dims; d++)
		ret->level[d] = draw_level(s, r, d);
	space_canonical(s->spec.space, ret);
}

bool draw_usable(const Search *s, const Point *p)
{
	return space_allows(s->spec.space, p, NULL) &&
	       (!s->spec.feasible || s->spec.feasible(s->spec.feasible_userdata, p));
}

uint32_t draw_admit(Search *s, const Point *p)
{
	if (pool_find(&s->pool, p) != POOL_NONE)
		return POOL_NONE;
	if (draw_usable(s, p))
		return pool_add(&s->pool, p);
	pool_refuse(&s->pool, p);
	return POOL_NONE;
}

uint32_t draw_baseline(Search *s)
{
	if (!s->has_baseline)
		return POOL_NONE;
	if (pool_find(&s->pool, &s->baseline) != POOL_NONE)
		return POOL_NONE;
	return pool_add(&s->pool, &s->baseline);
}

/* Keeps a uniform sample of the unknown candidates (reservoir sampling), or all of them if they are
 * few. A space too large to walk is looked at from a random point on. */
static void walk(Search *s, Rng *r)
{
	const Space *space = s->spec.space;
	uint64_t steps = s->space_size < WALK_MAX ? s->space_size : WALK_MAX, found = 0;
	Point p;
	draw_point(s, r, &p);
	s->rest.n = 0;
	for (uint64_t i = 0; i < steps; i++) {
		if (pool_find(&s->pool, &p) == POOL_NONE && draw_usable(s, &p)) {
			uint64_t at = found < SEARCH_REST_MAX ? found : rng_below(r, found + 1);
			if (at < SEARCH_REST_MAX)
				s->rest.points[at] = p;
			found++;
		}
		if (!space_next(space, &p))
			space_first(space, &p);
	}
	s->rest.n = found < SEARCH_REST_MAX ? (uint32_t)found : SEARCH_REST_MAX;
	s->rest.complete = found <= SEARCH_REST_MAX;
	s->rest.walks++;
}

static uint32_t take_rest(Search *s, Rng *r)
{
	while (s->rest.n > 0) {
		uint32_t i = (uint32_t)rng_below(r, s->rest.n);
		Point p = s->rest.points[i];
		s->rest.points[i] = s->rest.points[--s->rest.n];
		uint32_t cand = draw_admit(s, &p);
		if (cand != POOL_NONE)
			return cand;
	}
	return POOL_NONE;
}

uint32_t draw_fresh(Search *s, Rng *r)
{
	for (int i = 0; i < DRAW_TRIES && !s->rest.walks; i++) {
		Point p;
		draw_point(s, r, &p);
		uint32_t cand = draw_admit(s, &p);
		if (cand != POOL_NONE)
			return cand;
	}
	for (;;) {
		uint32_t cand = take_rest(s, r);
		if (cand != POOL_NONE || (s->rest.walks && s->rest.complete))
			return cand;
		walk(s, r);
	}
}
