#pragma once
/* What strategies share and what each of them provides. To add one: a file with a SearchOps, and a
 * line in the list of registry.c. */
#include "base/rng.h"
#include "search/pool.h"
#include "search/search.h"

enum {
	SEARCH_CANDIDATES_MAX = 1000000, /* max_candidates */
	SEARCH_SURVIVORS_MAX = 1000,
	SEARCH_VOID_RETRIES = 2, /* a candidate whose trial was void is asked so often again */
	SEARCH_REST_MAX = 1024,	 /* unknown candidates that one walk through the space keeps */
};

/* An ask without its number: what a strategy wants measured. */
typedef struct Plan {
	int64_t parents[2];
	uint32_t cand; /* in the pool */
	uint32_t generation;
	uint32_t mutated;
	SearchOrigin origin;
	bool repeat;
} Plan;

typedef enum AskState {
	ASK_PENDING,
	ASK_VOID, /* told that nothing was measured, waits for another try */
	ASK_DONE,
} AskState;

typedef struct Asked {
	Plan plan;
	AskState state;
} Asked;

/* Unknown candidates found by a walk, for when drawing at random mostly meets known ones. */
typedef struct Rest {
	Point *points;
	uint32_t n;
	uint64_t walks;
	bool complete; /* every unknown candidate of the space is among `points` */
} Rest;

typedef struct SearchOps SearchOps;

struct Search {
	const SearchOps *ops;
	SearchSpec spec; /* `known` and `baseline` are not kept */
	Point baseline;
	bool has_baseline;
	uint32_t dims;
	uint32_t n_open[SPACE_DIMS_MAX]; /* levels within the hard bounds */
	uint32_t *open[SPACE_DIMS_MAX];	 /* which; NULL: all */
	uint64_t space_size;
	Pool pool;
	Rest rest;
	/* Asks number first ... next - 1; those before `first` are done. */
	Asked *asked;
	size_t asked_head, asked_cap;
	uint64_t first, next;
	uint64_t void_from; /* no ask before this number waits for another try */
	size_t n_pending, n_void;
	SearchStop stop;
	void *state; /* the strategy's own */
};

struct SearchOps {
	SearchStrategy about;
	int (*start)(Search *s); /* may be NULL */
	void (*done)(Search *s); /* may be NULL */
	/* 1: *ret is filled; 0: nothing now, or never again and s->stop is set; -ENOMEM, and then
	 * nothing has changed. */
	int (*next)(Search *s, Plan *ret);
	uint32_t (*generation)(const Search *s);
	size_t (*survivors)(const Search *s, uint32_t *ret, size_t max); /* pool indices */
	/* Asks to come, pending ones aside: candidates already chosen, and at most so many later.
	 */
	uint64_t (*planned)(const Search *s, uint64_t *ret_later);
};

extern const SearchOps search_rzero, search_random, search_grid;

/* The i-th, NULL past the end. */
const SearchOps *search_ops(size_t i);

/* --- draw.c: from points to candidates ------------------------------------------------------- */

/* A level of the parameter that its hard bound allows. */
uint32_t draw_level(const Search *s, Rng *r, size_t dim);
/* Allowed and feasible? */
bool draw_usable(const Search *s, const Point *p);
/* Puts the point into the pool as a candidate to measure, if it is allowed, feasible and unknown;
 * else POOL_NONE. Uses a promise of the pool. */
uint32_t draw_admit(Search *s, const Point *p);
/* An unknown candidate by lot; POOL_NONE when there is none left. Uses a promise of the pool. */
uint32_t draw_fresh(Search *s, Rng *r);
/* The baseline, if nobody measured it yet. Uses a promise of the pool. It is asked for even where
 * it is predicted not to run: production says that it does. */
uint32_t draw_baseline(Search *s);

/* --- plain.c: what strategies without generations of their own share -------------------------- */

Plan plain_plan(const Search *s, uint32_t cand, SearchOrigin origin);
/* Have all generations' worth of asks been made? */
bool plain_spent(const Search *s);
/* Nothing new to ask: sets the stop unless a pending trial may still come back void. Returns 0. */
int plain_end(Search *s, SearchStop stop);
uint32_t plain_generation(const Search *s);
size_t plain_survivors(const Search *s, uint32_t *ret, size_t max);
uint64_t plain_planned(const Search *s, uint64_t *ret_later);
