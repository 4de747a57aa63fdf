#pragma once
/* The memory model of an experiment over its whole space, one point at a time: what the search
 * leaves out, and what the verbs print. */
#include "config/config.h"

/* The memory model's verdict; FIT_UNKNOWN where the experiment has none. `fp` stands in for the
 * experiment's own when not NULL. */
int scan_point(const Experiment *x, const Footprint *fp, const Point *p, Fit *ret,
	       Err *err) _must_check_;

typedef struct Scan {
	uint64_t points;		   /* looked at */
	uint64_t allowed;		   /* of them, by bounds and forbidden combinations */
	uint64_t fit, infeasible, unknown; /* of those allowed */
	bool whole;			   /* every point was looked at */
} Scan;

/* Called for every allowed point; 0 goes on. */
typedef int ScanFn(void *userdata, const Point *p, const Fit *fit);
/* Walks at most `max` points (0: all). `fn` may be NULL. */
int scan_space(const Experiment *x, const Footprint *fp, uint64_t max, ScanFn *fn, void *userdata,
	       Scan *ret, Err *err) _must_check_;
