#pragma once
/* The candidates a search knows of: a set of points with what is known about each. Points are kept
 * as their space_dims() levels only, so that a hundred thousand of them stay small. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "space/space.h"
#include "trial/trial.h"

#define POOL_NONE UINT32_MAX

typedef enum CandState {
	CAND_REFUSED,  /* not allowed or not feasible: remembered to ask only once */
	CAND_OPEN,     /* to be measured: planned or asked */
	CAND_MEASURED, /* has an outcome */
	CAND_LOST,     /* every trial was void: nothing is known, and nobody asks again */
} CandState;

typedef struct Cand {
	int64_t id; /* the ask that measured it; -2 - index of a known one; -1: none */
	double fitness, se;
	uint32_t results; /* combined in fitness and se */
	CandState state;
	Outcome outcome;
	uint8_t tries;
} Cand;

typedef struct Pool {
	const Space *space;
	uint32_t dims;
	uint32_t *levels; /* dims a candidate */
	Cand *items;
	uint32_t *slots; /* open addressing; index + 1, 0 is free */
	size_t n_slots;
	uint32_t n, cap;
	uint32_t promised;
	uint32_t refused;
} Pool;

void pool_init(Pool *p, const Space *space);
void pool_done(Pool *p);

/* Makes sure that the next n candidates can be added without failure. */
int pool_promise(Pool *p, uint32_t n) _must_check_;
uint32_t pool_find(const Pool *p, const Point *point);
/* The point must not be in the pool. Uses up a promise. */
uint32_t pool_add(Pool *p, const Point *point);
/* Remembers a refused point, if there is room for it: it is a cache only. */
void pool_refuse(Pool *p, const Point *point);
void pool_point(const Pool *p, uint32_t i, Point *ret);

/* Adds a result to what is known of a candidate. `id` as in Cand. */
void cand_result(Cand *c, int64_t id, Outcome outcome, double fitness, double se);
/* Above zero when a did better than b, 0 for a tie: ended ok before not, then by fitness. Both
 * measured. */
int cand_compare(const Cand *a, const Cand *b);
