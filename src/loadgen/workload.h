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
	ARRIVALS_GAMMA,	 /* rate as above, coefficient of variation `cv` (1: Poisson; 3: bursty) */
	ARRIVALS_RAMP,	 /* evenly, the rate growing in a line from `rate` to `rate_to` over the
			    measured requests */
	ARRIVALS_REPLAY, /* when and as long as the trace says */
	ARRIVALS_MAX_,
} Arrivals;

const char *arrivals_name(int arrivals); /* "poisson" */

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
	double rate_to;
	double cv;
	int64_t users;
	int64_t think_us;
	int64_t requests;	/* how many are measured, after the warm-up */
	int64_t warmup;		/* how many are sent first and not counted */
	Lengths prompt, output; /* tokens: LLM */
	Lengths clip_ms;	/* audio: STT */
	/* Limits of one request, for capacity and goodput; 0: none. All count from the planned
	 * time. */
	int64_t limit_us;      /* to the end of the answer */
	int64_t ttft_limit_us; /* LLM: to the first token */
	int64_t tpot_limit_us; /* LLM: from token to token, on average */
	char *trace;	       /* replay: the file; NULL: none */
	double speed;	       /* replay: times as fast as the trace; 0 is 1 */
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

int64_t lengths_draw(const Lengths *l, Rng *rng);

/* Has the stream limits at all, and did a request meet them all? `first_us` and `last_us` are of
 * its tokens (0: not seen one by one; the first is then as late as the end), `tokens` how many
 * there were (below 2: no time per token). */
bool stream_has_limits(const Stream *s);
bool stream_met(const Stream *s, int64_t planned_us, int64_t first_us, int64_t last_us,
		int64_t end_us, int64_t tokens);
