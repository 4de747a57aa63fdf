#pragma once
/* The highest number of users at once for which enough requests meet the stream's limits, and no
 * backlog is left: levels are tried by bracketing (capacity.h), a hopeless one is ended early. On
 * the caller's event loop.
 *
 * The interval: for each request at the answer's level it is known which part of its limits it used
 * up; the quantile of these at `share` is what decides, and it has an interval. Latency grows with
 * the users, so a deciding value that is uncertain by a tenth makes the capacity uncertain by about
 * a tenth. It also reaches from the highest level whose good share is surely enough to the one
 * below the lowest where it surely is not: between them the search took a turn by chance. */
#include <stdbool.h>

#include "loadgen/capacity.h"
#include "loadgen/traffic.h"

typedef struct CapacityRunSpec {
	const TrafficStream *stream; /* its arrivals are replaced by closed ones; borrowed */
	const TrafficStream *beside; /* the usual load of the others, as background; borrowed */
	size_t n_beside;
	int64_t max;  /* the highest level that is tried */
	double share; /* of the requests that must meet the limits */
	/* What follows may be left out. */
	bool by_rate;	     /* levels are requests a second, in open loop, instead of users */
	int64_t time_max_us; /* no new level is begun after it; 0: 30 min */
	void (*progress)(void *ctx, int64_t level, const TrafficProgress *p);
} CapacityRunSpec;

typedef struct CapacityResult {
	int64_t capacity;  /* 0: not even one user */
	double se, lo, hi; /* lo and hi are NAN where the deciding value has no interval */
	int64_t n;	   /* requests at the level that is the answer */
	size_t levels;	   /* tried */
	bool limited_by_client;
	char words[320]; /* a sentence: how it was found */
} CapacityResult;

typedef void CapacityDone(void *ctx, const CapacityResult *r, const Err *err);
typedef struct CapacityRun CapacityRun;
int capacity_run_start(sd_event *loop, const CapacityRunSpec *spec, CapacityDone *done, void *ctx,
		       CapacityRun **ret, Err *err) _must_check_;
CapacityRun *capacity_run_stop(CapacityRun *r); /* accepts NULL, returns NULL; also after done() */
DEFINE_CLEANUP(CapacityRun *, capacity_run_stop)
