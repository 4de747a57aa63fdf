#pragma once
/* What a model server says of itself on its metrics page, and what came between two looks at it:
 * from the differences of histograms and counters. Pure; the page is hostile. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/server.h"

enum {
	PAGE_BUCKETS_MAX = 64,
	PAGE_TAIL_MIN = 20, /* requests; of fewer nothing is said about the slowest twentieth */
};

/* Of several engines in one server: their sum. Counts are of everything up to the bound. */
typedef struct PageHistogram {
	bool there;
	size_t n;
	double bounds[PAGE_BUCKETS_MAX], below[PAGE_BUCKETS_MAX]; /* bounds grow */
	double sum, count;
} PageHistogram;

typedef struct ServerPage {
	PageHistogram e2e, ttft; /* in seconds */
	double token_s, tokens;	 /* of generation; NAN: not said */
	double running, waiting; /* NAN */
	double preemptions;	 /* NAN */
} ServerPage;

/* NAN: not said, or too little to say it. */
typedef struct PageFigures {
	double latency_ms, latency_p95_ms; /* mean and 95th percentile */
	double ttft_ms, ttft_p95_ms;
	double token_ms;
	double per_second; /* requests that were not ours */
	double preemptions;
	bool began_anew; /* the server counts from zero again: the figures are of that part */
} PageFigures;

/* -EBADMSG: nothing on it is known. */
int serverpage_read(const ServerKind *k, const char *text, size_t len,
		    ServerPage *ret) _must_check_;
/* `own`: how many of the requests were ours. */
void serverpage_between(const ServerPage *before, const ServerPage *after, int64_t dt_us,
			int64_t own, PageFigures *ret);
/* How many requests it had. */
double serverpage_load(const ServerPage *p);
