#pragma once
/* A production A/B: two values of one parameter take turns in blocks, in an order drawn by lot, so
 * that drift and the time of day strike both alike. Afterwards production is as it was: the answer
 * is a comparison, never a change. */
#include "rollout/rollout.h"

enum {
	AB_PAIRS_MAX = 200,
};

typedef struct AbSpec {
	const char *parameter;
	const char *values[2];
	uint32_t pairs;	    /* blocks of each */
	int64_t block_us;   /* that count */
	int64_t discard_us; /* after each restart: warming up */
	uint64_t seed;
	double confidence;
} AbSpec;

/* One figure of one service under both values. */
typedef struct AbFigure {
	char *service, *metric;
	size_t pairs;	       /* complete */
	double value[2];       /* medians of the blocks' medians */
	double change, lo, hi; /* of B against A, as a share; NAN: too few pairs */
} AbFigure;

typedef struct AbReport {
	AbFigure *figures;
	size_t n;
	uint32_t restarts;
} AbReport;

void ab_report_done(AbReport *r);

/* As rollout_start(); handler.done() comes when production is as it was. -EPERM: the memory model
 * says that one of them does not start. */
int rollout_ab(const RolloutWorld *w, const AbSpec *spec, const Approver *by,
	       const RolloutHandler *h, void *ctx, Rollout **ret, Err *err) _must_check_;
/* What came of it, also of one that ended early. */
int rollout_ab_report(const Rollout *r, AbReport *ret, Err *err) _must_check_;
