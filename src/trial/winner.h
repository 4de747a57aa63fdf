#pragma once
/* The winner rule, as a pure function of the evidence (DESIGN 4). Against the baseline measured in
 * the same run: fitness significantly better (the interval excludes zero), every constraint met, no
 * OOM, no objective missing, none worse than its tolerance, enough pairs. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "trial/objective.h"

typedef enum WinnerVerdict {
	WINNER_YES,
	WINNER_NOT_BETTER,   /* measured well enough, and not better */
	WINNER_WORSE,	     /* significantly worse */
	WINNER_REGRESSES,    /* better in sum, but an objective is worse than its tolerance, or it
				is significantly worse under one of the workloads */
	WINNER_INVALID,	     /* failed, OOM, constraint or missing objective in some pair */
	WINNER_INCONCLUSIVE, /* below the sample floor, or no repeat ever differed from another */
	WINNER_MAX_,
} WinnerVerdict;

const char *winner_verdict_name(WinnerVerdict v); /* "not_better" */

typedef struct Interval {
	double mean, lo, hi;
	size_t n;
} Interval;

/* One objective's change, candidate minus baseline, over the pairs. */
typedef struct ObjectiveChange {
	const Objective *objective;   /* borrowed */
	Interval baseline, candidate; /* of the metric itself */
	Interval diff;
	double regress; /* objective_regress() of the means; positive is worse */
	bool beyond_tolerance;
} ObjectiveChange;

typedef struct WinnerEvidence {
	const Goals *goals;
	/* Pairs in the order measured: n_pairs each. Every pair was run under the same conditions.
	 */
	const Measurement *const *baseline;
	const Measurement *const *candidate;
	size_t n_pairs;
	/* The workload of each pair (0, 1, ...), and their names; NULL: all alike, no names. */
	const size_t *workload;
	const char *const *workload_names;
	size_t min_pairs;  /* the sample floor; below 2 counts as 2 */
	double confidence; /* 0.95 */
	/* The evaluator computes instead of measuring: repeats that agree to the last digit are no
	 * reason for doubt. */
	bool exact;
} WinnerEvidence;

/* Pairs count when both members ended ok with every objective measured. One whose baseline failed,
 * or where a member is void, compares nothing: it is left out and counted here. A candidate that
 * failed by itself is never left out: it makes the verdict WINNER_INVALID. */
typedef struct WinnerReport {
	WinnerVerdict verdict;
	size_t pairs_used, pairs_void, pairs_baseline_failed;
	char reason[240]; /* a sentence for people: what was missing */
	Interval fitness_baseline, fitness_candidate, fitness_diff;
	ObjectiveChange *changes; /* owned, one an objective */
	size_t n_changes;
	bool seed_mark; /* the seeds' own mark: latency or capacity at least 10 % better */
} WinnerReport;

int winner_judge(const WinnerEvidence *e, WinnerReport *ret) _must_check_; /* -ENOMEM, -EINVAL */
void winner_report_done(WinnerReport *r);
