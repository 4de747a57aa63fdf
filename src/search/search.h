#pragma once
/* A strategy proposes candidates and is told how they did. Pure: it sees no clock, file or GPU, and
 * an ask depends only on (strategy and its version, seed, what was asked and told so far, what is
 * pending). So a run resumes after a crash by replaying what the store kept, and a test repeats any
 * bug from its seed.
 *
 * One Search is one evolution: it starts with an initial population and ends by itself (generations
 * done, plateau, space exhausted). The next evolution is a new Search that is given what is already
 * known. */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "space/space.h"
#include "trial/trial.h"

typedef struct Search Search;

typedef enum SearchOrigin {
	ORIGIN_BASELINE, /* what production runs */
	ORIGIN_WARM,	 /* survived the last evolution */
	ORIGIN_RANDOM,	 /* initial population, or a plain draw */
	ORIGIN_GRID,
	ORIGIN_ELITE, /* the best so far, measured again on purpose */
	ORIGIN_CROSSOVER,
	ORIGIN_MUTATION,
	ORIGIN_FRESH, /* new blood of a generation */
	ORIGIN_MAX_,
} SearchOrigin;

const char *search_origin_name(SearchOrigin o);

/* Does a candidate stand a chance at all? Pure; the memory model answers here, so that what cannot
 * start costs no trial. */
typedef bool SearchFeasible(void *userdata, const Point *p);

/* One candidate that is known from before (an earlier evolution). */
typedef struct SearchKnown {
	Point point;
	Outcome outcome;
	double fitness, se;
	bool survivor; /* of the last evolution: warm start */
} SearchKnown;

typedef struct SearchSpec {
	const char *strategy; /* "rzero", "random", "grid" */
	const Space *space;   /* borrowed, outlives the Search */
	uint64_t seed;
	/* NULL: none; else always in the initial population, even where it is predicted not to run:
	 * production says that it does. -EINVAL when the space does not allow it. */
	const Point *baseline;
	SearchFeasible *feasible; /* NULL: everything is; called for allowed points only */
	void *feasible_userdata;
	const SearchKnown *known; /* copied */
	size_t n_known;
	/* The seeds' knobs. */
	uint32_t max_candidates; /* in one generation; also the initial population. For strategies
				    without generations of their own: asks that count as one */
	uint32_t max_generations;
	uint32_t tournament_size, survivors, elitism, fresh_inject;
	uint32_t patience_gens; /* generations without a better best before it stops; 0: never */
	double noise; /* repeat the elite while its standard error exceeds this share of fitness; 0:
			 never */
} SearchSpec;

typedef enum SearchStop {
	SEARCH_RUNNING,
	SEARCH_STOP_GENERATIONS,
	SEARCH_STOP_PLATEAU,
	SEARCH_STOP_EXHAUSTED, /* every feasible candidate is known */
	SEARCH_STOP_MAX_,
} SearchStop;

const char *search_stop_text(SearchStop s); /* "every feasible candidate has been measured" */

typedef struct SearchAsk {
	uint64_t number; /* 0, 1, 2, ... within this Search */
	Point point;
	SearchOrigin origin;
	uint32_t generation; /* from 0 */
	int64_t
	    parents[2]; /* ask numbers; -1: none (a known candidate from before: -2 - its index) */
	uint32_t mutated; /* bit set of parameters that differ from parents[0] */
	bool repeat;	  /* a deliberate second measurement */
} SearchAsk;

typedef struct SearchTell {
	uint64_t number; /* of the ask */
	Outcome outcome;
	double fitness, se;
	const Measurement *measurement; /* borrowed during the call; may be NULL */
} SearchTell;

/* -ENOENT: no such strategy; -EINVAL: a knob out of range. */
int search_new(const SearchSpec *spec, Search **ret, Err *err) _must_check_;
Search *search_free(Search *s); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Search *, search_free)

/* 1: *ret is filled and pending; 0: nothing until pending ones are told, or ever again when
 * search_stopped() is not SEARCH_RUNNING. Negative: out of memory. */
int search_ask(Search *s, SearchAsk *ret, Err *err) _must_check_;
/* Any order. -ENOENT: not pending (never asked, or told before); -EINVAL: a fitness or error that
 * is not finite. Told void (outcome_is_void()), a candidate is asked again under a new number,
 * twice at most; after that nothing is known of it and it takes no further part. A void repeat is
 * dropped. */
int search_tell(Search *s, const SearchTell *t, Err *err) _must_check_;

/* Decided by the search_ask() that returns 0. */
SearchStop search_stopped(const Search *s);
uint32_t search_generation(const Search *s);
/* The survivors of the last finished generation (without generations: the best so far), best first;
 * at most `max` and at most spec.survivors points. A generation is finished when search_ask() was
 * called after its last tell. */
size_t search_survivors(const Search *s, Point *ret, size_t max);
/* How many asks at most are still to come, pending ones included: for progress. */
uint64_t search_remaining(const Search *s);

typedef struct SearchStrategy {
	const char *name, *help;
	unsigned version; /* changes when the same inputs would give other asks */
} SearchStrategy;

/* The i-th strategy, NULL past the end. */
const SearchStrategy *search_strategy(size_t i);
