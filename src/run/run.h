#pragma once
/* The D-REAM runner: takes the experiments in turn, asks the strategy, has candidates measured,
 * keeps every trial, confirms the finalist against the baseline, and writes down a winner and a
 * promotion or says what was missing. */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "store/store.h"
#include "trial/winner.h"

typedef enum RunEventKind {
	RUN_EPOCH_BEGIN, /* an experiment's turn begins */
	RUN_PREDICTED,	 /* how many candidates the memory model refused */
	RUN_TRIAL_BEGIN,
	RUN_TRIAL_PROGRESS, /* what the evaluator says of its way; often, and not logged */
	RUN_TRIAL_DONE,
	RUN_GENERATION_DONE,
	RUN_SEARCH_DONE,
	RUN_CONFIRM_BEGIN,
	RUN_CONFIRM_DONE,
	RUN_WINNER,
	RUN_NO_WINNER,
	RUN_PROMOTION,
	RUN_EPOCH_END,
	RUN_MESSAGE,
} RunEventKind;

typedef struct RunEvent {
	RunEventKind kind;
	const Experiment *experiment; /* NULL for a message about the whole run */
	int64_t epoch;
	const char *text;	    /* a sentence for people */
	const StoreTrial *trial;    /* RUN_TRIAL_DONE */
	const WinnerReport *report; /* RUN_CONFIRM_DONE */
	uint64_t done, total;	    /* trials of this epoch so far, and at most */
	double best;		    /* fitness; NAN: none yet */
	uint32_t generation;
	int64_t elapsed_us, left_us; /* left: -1 when unknown */
} RunEvent;

typedef void RunObserver(void *userdata, const RunEvent *e);

typedef struct RunOptions {
	const char *store_path;	  /* for the claims beside it */
	const char *experiment;	  /* only this one; NULL: every enabled one */
	const char *strategy;	  /* instead of the configured one; NULL */
	int64_t cycles;		  /* 0: until stopped */
	int64_t epochs_per_cycle; /* 0: as configured */
	int64_t max_parallel;	  /* 0: as configured */
	int64_t sleep_us;	  /* between cycles; -1: as configured */
	bool has_seed;
	uint64_t seed;
	int all_services; /* search with every service active: 1, 0; -1: as configured */
	const Clock *clock;
	RunObserver *observer; /* may be NULL */
	void *userdata;
} RunOptions;

typedef enum RunResult {
	RUN_OK,		    /* at least one promotion (exit 0) */
	RUN_NOTHING_BETTER, /* exit 3 */
	RUN_INTERRUPTED,    /* resumable, exit 4 */
} RunResult;

enum {
	PREVIEW_MAX = 64
};

/* What a run would do for one experiment. */
typedef struct RunPreview {
	const Experiment *experiment;
	const char *strategy;
	bool resumed;	     /* it would go on with an unfinished evolution */
	uint64_t candidates; /* allowed by bounds and forbidden combinations, of those looked at */
	uint64_t infeasible; /* of them */
	bool all_looked_at;
	Point next[PREVIEW_MAX]; /* what would be measured first: one generation */
	size_t n_next;
	uint64_t trials_at_most; /* of the epoch, confirmation included */
	int64_t trial_us;	 /* what a trial took on average in the last epoch; -1: unknown */
} RunPreview;

typedef int RunPreviewFn(void *userdata, const RunPreview *p);

/* Measures and writes nothing. `store` is NULL when there is none yet. A negative value of `fn`
 * ends it. */
int run_preview(const Plan *plan, Store *store, const RunOptions *options, RunPreviewFn *fn,
		void *userdata, Err *err) _must_check_;

/* Blocks SIGINT and SIGTERM while it runs: either finishes or abandons the current trial and
 * returns RUN_INTERRUPTED. Negative errno: a fault of the machine or the configuration. */
int run_plan(const Plan *plan, Store *store, const SignKey *key, Log *log,
	     const RunOptions *options, RunResult *ret, Err *err) _must_check_;
