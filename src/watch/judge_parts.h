#pragma once
/* What the files of the judge share. */
#include "stats/sequential.h"
#include "watch/judge.h"

enum {
	/* Samples beyond the quantile in one count of the tail's test, on average. */
	TAIL_EXPECTED = 2,
	/* Fewer counts before than this tell nothing about clusters of them. */
	TAIL_COUNTS_MIN = 8,
	/* Fewer samples of the baseline at a like load are no company. */
	LIKE_MIN = 10,
	/* Values beyond so many robust deviations count as if they were there: one request that
	 * hung moves no mean. Failed ones stand at this end. */
	CLIP_DEVIATIONS = 4,
	HISTOGRAM = 4096,
	AGAIN = 2,
	AGAIN_EVERY = 48,
};

/* The load's share of a latency: log value = a quadratic in log load, fitted to the baseline. */
typedef struct LoadModel {
	bool known;	   /* the baseline's loads are known */
	size_t covariates; /* 2; 0: the load did not vary, or is not known */
	double offset;	   /* so that no load at all has a logarithm */
	double centre, scale, coef[3];
	double *sorted; /* log loads of the baseline */
	size_t n;
	double lo, hi, within;
} LoadModel;

/* `s` are usable samples. -ENOMEM. */
int load_fit(LoadModel *m, const JudgeSample *s, size_t n, double ratio) _must_check_;
void load_model_done(LoadModel *m);
double load_log(const LoadModel *m, double load);
bool load_alike(const LoadModel *m, double load); /* has the baseline enough at such a load? */
void load_covariates(const LoadModel *m, double load, double *ret);
/* Of the logarithm of a value at this load. */
double load_expected(const LoadModel *m, double load);

typedef struct Batch {
	double sum, covariates[SHIFT_COVARIATES_MAX];
	size_t n, full;
} Batch;

typedef enum NoBasis {
	BASIS_OK,
	BASIS_EMPTY,
	BASIS_FEW,
	BASIS_CONSTANT,
	BASIS_FAILED,
} NoBasis;

/* A test that began later than the watch. */
typedef struct Again {
	Shift *test;
	bool running;
	double weight, log_evidence;
} Again;

struct Judge {
	JudgeSpec spec;
	JudgeSample *baseline; /* usable ones, by value, those that failed last */
	size_t n_baseline, n_baseline_failed;
	NoBasis no_basis;
	double n_effective, rho, variance; /* of the baseline */
	LoadModel load;
	double allowed;		 /* log(1 + margin) */
	double clip_lo, clip_hi; /* of a logarithm less what is expected at its load */
	double tail_at;		 /* beyond it is the tail */
	double tail_allowed;	 /* a shift of the count that "no worse" excludes */
	bool tail_known;	 /* there were enough counts for it to say "worse" */
	double tail_share;	 /* of the baseline beyond tail_at */
	Shift *mean, *tail;
	Shift *ready; /* the mean's as it was at the end of the baseline */
	Again again[AGAIN];
	Batch mean_batch, tail_batch;
	size_t mean_values, next_look, tail_values, tail_asked;

	int64_t baseline_last_us, interval_us, last_us, last_counted_us;
	bool any;
	size_t n, n_unlike, n_failed, n_bad, n_stuck, n_tail, n_back;
	double run_value;
	size_t run, run_limit;
	double load_sum; /* of log loads that counted */
	uint32_t histogram[HISTOGRAM];

	JudgeVerdict verdict, harmless;
	bool by_tail;
	double log_mean, log_tail; /* evidence of worse */
};

enum {
	BASELINE_MAX = 32768, /* the newest */
};

int judge_prepare(Judge *j, const JudgeSample *baseline, size_t n) _must_check_;
bool judge_usable(const JudgeSample *s);
/* Into the batches; true: the mean part got a value. */
bool judge_feed(Judge *j, const JudgeSample *s, double threshold);
extern const ShiftAsk judge_ask_worse, judge_ask_no_worse;
