#pragma once
/* Does production answer worse than before? A sequential judge of one figure of one service, looked
 * at after every sample, with a stated rate of false alarms that holds for samples that resemble
 * their neighbours, for slow drift, and for a load that follows the day. Pure: the caller brings
 * the samples and the time. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct JudgeSample {
	int64_t at_us;
	double value; /* greater is worse (a latency in ms); NAN with failed */
	double load;  /* requests running or a second when it was taken; NAN: not known */
	bool failed;  /* no answer within `limit`: worse than any value, not a number */
} JudgeSample;

typedef struct JudgeSpec {
	double alpha;	       /* false alarms over the whole watch, 0.01 */
	double alpha_harmless; /* of a change that is called no worse and is not; 0: alpha */
	double margin;	       /* what is allowed: 0.05 is five per cent worse */
	double tail_q;	     /* 0.95: values above this quantile of the baseline are counted too */
	double load_ratio;   /* loads within this factor are alike: 2 */
	size_t min_baseline; /* effective samples; fewer is no basis: 30 */
	size_t min_samples;  /* effective samples before "no worse" may be said */
} JudgeSpec;

#define JUDGE_SPEC_DEFAULT               \
	((JudgeSpec){.alpha = 0.01,      \
		     .margin = 0.05,     \
		     .tail_q = 0.95,     \
		     .load_ratio = 2,    \
		     .min_baseline = 30, \
		     .min_samples = 30})

typedef enum JudgeVerdict {
	JUDGE_INCONCLUSIVE, /* also: no data, no basis, unlike load. Never promotes */
	JUDGE_NO_WORSE,	    /* within the margin, with the stated confidence */
	JUDGE_BETTER,
	JUDGE_WORSE, /* at once when it is found; stays */
} JudgeVerdict;

const char *judge_verdict_name(JudgeVerdict v); /* "inconclusive", "no_worse", "better", "worse" */

typedef struct JudgeReport {
	JudgeVerdict verdict;
	double baseline, now; /* medians at like load; NAN */
	double change;	      /* of the middle, at equal load: 0.2 is a fifth worse; NAN */
	double lo, hi;	      /* of the change, at the stated error rate; NAN, or infinite */
	double rho,
	    variance;	    /* of the baseline: lag-1 correlation, long-run variance of the logs */
	double n_effective; /* independent samples that the baseline is worth */
	double evidence;    /* how near to "worse": 1 is there */
	size_t n_baseline, n;
	size_t n_unlike; /* at a load that the baseline does not know: not counted */
	size_t n_failed; /* counted, as worse than any value */
	size_t n_unfit;	 /* no number, not positive, out of order or stuck: not counted */
	char words[240];
} JudgeReport;

typedef struct Judge Judge;

/* The newest 32768 samples of the baseline are copied. -ENOMEM, -EINVAL for a spec out of range.
 * Too few samples are no error: the verdict stays inconclusive and says so. */
int judge_new(const JudgeSpec *spec, const JudgeSample *baseline, size_t n, Judge **ret,
	      Err *err) _must_check_;
Judge *judge_free(Judge *j); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Judge *, judge_free)
/* After each one the verdict may be asked. Samples come in the order of their time, that of the
 * baseline first. Constant time and memory; 0. */
int judge_add(Judge *j, const JudgeSample *s) _must_check_;
JudgeVerdict judge_verdict(const Judge *j);	     /* cheap */
void judge_report(const Judge *j, JudgeReport *ret); /* looks through the baseline: about a ms */
