#pragma once
/* Load profiles: how many requests of what size arrive when. Read from `workloads:`; the twin runs
 * them in virtual time, the load generator for real. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "conf/conf.h"

typedef enum Arrivals {
	ARRIVALS_CLOSED,   /* `users` at a time, each sends its next request `think_us` after the
			      answer */
	ARRIVALS_CONSTANT, /* every 1 / rate */
	ARRIVALS_POISSON,
	ARRIVALS_GAMMA, /* rate as above, coefficient of variation `cv` (1: Poisson; 3: bursty) */
} Arrivals;

/* Whole numbers around a median, lognormal with `sigma` (0: always the median), clipped to [min,
 * max]. */
typedef struct Lengths {
	double median, sigma;
	int64_t min, max;
} Lengths;

/* What one kind of service is asked. */
typedef struct Stream {
	int arrivals; /* Arrivals */
	double rate;  /* requests a second */
	double cv;
	int64_t users;
	int64_t think_us;
	int64_t requests;	/* how many are measured, after the warm-up */
	int64_t warmup;		/* how many are sent first and not counted */
	Lengths prompt, output; /* tokens: LLM */
	Lengths clip_ms;	/* audio: STT */
	int64_t limit_us; /* end-to-end limit of one request: for capacity and goodput; 0: none */
} Stream;

/* One entry of `workloads:`, by name. */
typedef struct Workload {
	char *name;
	Stream *llm; /* NULL: none */
	Stream *stt;
	int64_t capacity_max;  /* the highest concurrency that the capacity search tries */
	double capacity_share; /* of the requests that must meet the limit: 0.95 */
} Workload;

extern const ConfTable workload_table;

/* A profile that is used when the configuration has none: "steady" (i = 0) and "bursty" (i = 1). */
int workload_default(size_t i, Workload *ret) _must_check_;
/* Requests come in clumps (gamma with cv > 1)? */
bool workload_is_bursty(const Workload *w);

/* The gap in microseconds before the next open-loop request. */
int64_t stream_gap_us(const Stream *s, Rng *rng);
int64_t lengths_draw(const Lengths *l, Rng *rng);
