#include "search/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	POOL_REFUSED_MAX = 1 << 18, /* refused points remembered */
	POOL_FIRST = 64,
};

void pool_init(Pool *p, const Space *space)
{
	*p = (Pool){.space = space, .dims = (uint32_t)space_dims(space)};
}

void pool_done(Pool *p)
{
	free(p->levels);
	free(p->items);
	free(p->slots);
}

void pool_point(const Pool *p, uint32_t i, Point *ret)
{
	size_t used = p->dims * sizeof(uint32_t);
	memcpy(ret->level, p->levels + (size_t)i * p->dims, used);
	memset(ret->level + p->dims, 0, sizeof(ret->level) - used);
}

/* The slot where the point is, or the free one where it belongs. */
static size_t slot_of(const Pool *p, const Point *point)
{
	size_t i = point_key(p->space, point) & (p->n_slots - 1);
	for (; p->slots[i]; i = (i + 1) & (p->n_slots - 1))
		if (memcmp(p->levels + (size_t)(p->slots[i] - 1) * p->dims, point->level,
			   p->dims * sizeof(uint32_t)) == 0)
			break;
	return i;
}

static int grow_slots(Pool *p, size_t n_slots)
{
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(p->slots);
	p->slots = slots;
	p->n_slots = n_slots;
	for (uint32_t i = 0; i < p->n; i++) {
		Point point;
		pool_point(p, i, &point);
		p->slots[slot_of(p, &point)] = i + 1;
	}
	return 0;
}

/* At most half of the slots are taken, so that a lookup meets few neighbours. */
static int grow(Pool *p, size_t wanted)
{
	size_t cap = p->cap ? p->cap : POOL_FIRST, slots = p->n_slots ? p->n_slots : 2 * POOL_FIRST;
	while (cap < wanted)
		cap *= 2;
	while (slots < 2 * cap)
		slots *= 2;
	if (cap >= POOL_NONE / 2)
		return -ENOMEM;
	if (cap > p->cap) {
		uint32_t *levels = realloc(p->levels, cap * p->dims * sizeof(*levels));
		if (!levels)
			return -ENOMEM;
		p->levels = levels;
		Cand *items = realloc(p->items, cap * sizeof(*items));
		if (!items)
			return -ENOMEM;
		p->items = items;
	}
	if (slots > p->n_slots && grow_slots(p, slots) < 0)
		return -ENOMEM;
	p->cap = (uint32_t)cap;
	return 0;
}

int pool_promise(Pool *p, uint32_t n)
{
	size_t wanted = (size_t)p->n + n;
	if (wanted > p->cap || !p->slots) {
		int e = grow(p, wanted);
		if (e < 0)
			return e;
	}
	p->promised = n;
	return 0;
}

uint32_t pool_find(const Pool *p, const Point *point)
{
	if (!p->n)
		return POOL_NONE;
	uint32_t found = p->slots[slot_of(p, point)];
	return found ? found - 1 : POOL_NONE;
}

static uint32_t insert(Pool *p, const Point *point, CandState state)
{
	uint32_t i = p->n;
	p->slots[slot_of(p, point)] = i + 1;
	memcpy(p->levels + (size_t)i * p->dims, point->level, p->dims * sizeof(uint32_t));
	p->items[i] = (Cand){.id = -1, .state = state};
	p->n++;
	return i;
}

uint32_t pool_add(Pool *p, const Point *point)
{
	p->promised--;
	return insert(p, point, CAND_OPEN);
}

void pool_refuse(Pool *p, const Point *point)
{
	if (p->refused >= POOL_REFUSED_MAX)
		return;
	if (p->n + p->promised >= p->cap && grow(p, (size_t)p->n + p->promised + 1) < 0)
		return;
	insert(p, point, CAND_REFUSED);
	p->refused++;
}

/* Several readings of one candidate: weighted by their variances where both are known, else each
 * counts once. One failure outweighs every success: what ran out of memory once may do so again. */
void cand_result(Cand *c, int64_t id, Outcome outcome, double fitness, double se)
{
	bool first = c->results == 0, was_ok = c->outcome == OUTCOME_OK, ok = outcome == OUTCOME_OK;
	c->id = id;
	c->state = CAND_MEASURED;
	c->results++;
	if (first || (was_ok && !ok)) {
		c->outcome = outcome;
		c->fitness = fitness;
		c->se = se;
		return;
	}
	if (was_ok != ok)
		return;
	double share = 1 / (double)c->results;
	if (c->se > 0 && se > 0) {
		share = c->se * c->se / (c->se * c->se + se * se);
		c->se = c->se * se / sqrt(c->se * c->se + se * se);
	}
	c->fitness += share * (fitness - c->fitness);
}

int cand_compare(const Cand *a, const Cand *b)
{
	bool a_ok = a->outcome == OUTCOME_OK, b_ok = b->outcome == OUTCOME_OK;
	if (a_ok != b_ok)
		return a_ok ? 1 : -1;
	return (a->fitness > b->fitness) - (a->fitness < b->fitness);
}
