/* Every candidate in the order of the file, the baseline first: for spaces small enough to try all
 * of, and to see a whole surface. */
#include <stdlib.h>

#include "search/ops.h"

typedef struct Grid {
	Point at;
	bool more;
} Grid;

static int start(Search *s)
{
	Grid *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->more = space_first(s->spec.space, &g->at);
	s->state = g;
	return 0;
}

static void done(Search *s)
{
	free(s->state);
}

static int next(Search *s, Plan *ret)
{
	Grid *g = s->state;
	if (plain_spent(s))
		return plain_end(s, SEARCH_STOP_GENERATIONS);
	int e = pool_promise(&s->pool, 1);
	if (e < 0)
		return e;
	uint32_t cand = draw_baseline(s);
	SearchOrigin origin = cand != POOL_NONE ? ORIGIN_BASELINE : ORIGIN_GRID;
	for (; cand == POOL_NONE && g->more; g->more = space_next(s->spec.space, &g->at))
		cand = draw_admit(s, &g->at);
	if (cand == POOL_NONE)
		return plain_end(s, SEARCH_STOP_EXHAUSTED);
	*ret = plain_plan(s, cand, origin);
	return 1;
}

const SearchOps search_grid = {
    .about = {"grid", "every candidate in the order of the configuration", 1},
    .start = start,
    .done = done,
    .next = next,
    .generation = plain_generation,
    .survivors = plain_survivors,
    .planned = plain_planned,
};
