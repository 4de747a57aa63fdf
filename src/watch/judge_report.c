/* What the judge tells people: figures, and one sentence with the reason. */
#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "watch/judge_parts.h"

/* Of the baseline, at loads like the mean one that was compared. */
static double baseline_median(const Judge *j)
{
	double at = j->n > 0 ? j->load_sum / (double)j->n : (double)NAN;
	bool all = !j->load.known || j->n == 0;
	size_t alike = 0, seen = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < j->n_baseline; i++) {
			const JudgeSample *s = &j->baseline[i];
			if (!all && fabs(load_log(&j->load, s->load) - at) > j->load.within)
				continue;
			if (pass == 0)
				alike++;
			else if (2 * ++seen >= alike)
				return s->failed ? (double)NAN : s->value;
		}
	}
	return (double)NAN;
}

static double median_now(const Judge *j)
{
	size_t seen = 0;
	for (size_t i = 0; j->n > 0 && i < HISTOGRAM; i++) {
		seen += j->histogram[i];
		if (2 * seen >= j->n)
			return i == HISTOGRAM - 1
				   ? (double)NAN /* half of them failed */
				   : exp(((double)i + 0.5 - HISTOGRAM / 2.0) * 16 / HISTOGRAM +
					 j->load.coef[0]);
	}
	return (double)NAN;
}

static void intervals(const Judge *j, JudgeReport *r)
{
	double enough = -log(j->spec.alpha);
	double harmless = -log(j->spec.alpha_harmless > 0 ? j->spec.alpha_harmless : j->spec.alpha);
	r->change = expm1(shift_estimate(j->mean));
	r->lo = expm1(shift_bound(j->mean, &judge_ask_worse, enough + M_LN2));
	r->hi = expm1(shift_bound(j->mean, &judge_ask_no_worse, harmless));
}

static double percent(double share)
{
	return 100 * share;
}

static const char *how(double change)
{
	return change < 0 ? "better" : "worse";
}

static void say_no_basis(const Judge *j, JudgeReport *r)
{
	size_t size = sizeof(r->words);
	switch (j->no_basis) {
	case BASIS_OK:
		break;
	case BASIS_EMPTY:
		(void)snprintf(r->words, size, "there is no sample from before to compare with");
		break;
	case BASIS_FEW:
		(void)snprintf(r->words, size,
			       "no basis: %zu samples from before are worth %.0f independent ones, "
			       "%zu are needed",
			       j->n_baseline, floor(j->n_effective), j->spec.min_baseline);
		break;
	case BASIS_CONSTANT:
		(void)snprintf(
		    r->words, size,
		    "no basis: the same value again and again in %zu samples from before; "
		    "what measures it may be stuck",
		    j->n_baseline);
		break;
	case BASIS_FAILED:
		(void)snprintf(r->words, size, "no basis: %zu of %zu samples from before failed",
			       j->n_baseline_failed, j->n_baseline);
		break;
	}
}

/* One of the tests that began anew in the middle of the watch knows most of it. */
static bool is_lately(const Judge *j)
{
	for (size_t i = 0; i < AGAIN; i++)
		if (j->again[i].running && j->again[i].log_evidence > j->log_mean)
			return true;
	return false;
}

static void say_worse(const Judge *j, JudgeReport *r)
{
	size_t size = sizeof(r->words);
	if (j->by_tail)
		(void)snprintf(
		    r->words, size,
		    "slow ones are more frequent: %.1f %% of %zu samples are beyond what "
		    "%.1f %% were before (of %zu)",
		    percent((double)j->n_tail / (double)j->n), j->n, percent(j->tail_share),
		    j->n_baseline);
	else if (is_lately(j) && r->change <= j->spec.margin)
		(void)snprintf(r->words, size,
			       "lately more than the allowed %.1f %% worse (medians of before and "
			       "of the whole watch: %.3g and %.3g): %zu samples against %zu, %zu "
			       "failed",
			       percent(j->spec.margin), r->baseline, r->now, j->n, j->n_baseline,
			       j->n_failed);
	else
		(void)snprintf(r->words, size,
			       "%.1f %% worse, allowed are %.1f %%: %zu samples against %zu, "
			       "%zu failed",
			       percent(r->change), percent(j->spec.margin), j->n, j->n_baseline,
			       j->n_failed);
}

static void say_open(const Judge *j, JudgeReport *r)
{
	size_t size = sizeof(r->words);
	if (j->run > j->run_limit)
		(void)snprintf(r->words, size,
			       "the last %zu values are all %g: what measures them may be stuck",
			       j->run, j->run_value);
	else if (j->n == 0 && j->n_unlike > 0)
		(void)snprintf(r->words, size,
			       "none of %zu samples came at a load that the baseline knows",
			       j->n_unlike);
	else if (j->n == 0)
		(void)snprintf(r->words, size, "no sample that can be compared yet");
	else if (j->n_unlike > j->n)
		(void)snprintf(r->words, size,
			       "%zu of %zu samples came at a load that the baseline does not know; "
			       "the rest are too few",
			       j->n_unlike, j->n_unlike + j->n);
	else if (r->n_unfit > j->n)
		(void)snprintf(
		    r->words, size,
		    "%zu of %zu samples were no latency at all or out of order; the rest are "
		    "too few",
		    r->n_unfit, r->n_unfit + j->n);
	else if (isfinite(r->hi) && r->hi <= j->spec.margin)
		(void)snprintf(
		    r->words, size,
		    "at most %.1f %% worse, but it is not certain yet that slow ones are "
		    "no more frequent: %zu of %zu samples are beyond those of %zu",
		    fmax(percent(r->hi), 0), j->n_tail, j->n, j->n_baseline);
	else if (isfinite(r->lo) && isfinite(r->hi))
		(void)snprintf(r->words, size,
			       "not certain yet: between %.1f %% %s and %.1f %% %s by %zu samples "
			       "against %zu",
			       fabs(percent(r->lo)), how(r->lo), fabs(percent(r->hi)), how(r->hi),
			       j->n, j->n_baseline);
	else
		(void)snprintf(r->words, size, "not certain yet: %zu samples against %zu", j->n,
			       j->n_baseline);
}

static void say(const Judge *j, JudgeReport *r)
{
	size_t size = sizeof(r->words);
	switch (r->verdict) {
	case JUDGE_WORSE:
		say_worse(j, r);
		break;
	case JUDGE_NO_WORSE:
		(void)snprintf(
		    r->words, size,
		    "at most %.1f %% worse, allowed are %.1f %%: %zu samples against %zu",
		    percent(r->hi), percent(j->spec.margin), j->n, j->n_baseline);
		break;
	case JUDGE_BETTER:
		(void)snprintf(r->words, size,
			       "%.1f %% better, at least %.1f %%: %zu samples against %zu",
			       -percent(r->change), -percent(r->hi), j->n, j->n_baseline);
		break;
	case JUDGE_INCONCLUSIVE:
		say_open(j, r);
		break;
	}
}

void judge_report(const Judge *j, JudgeReport *ret)
{
	double nan = (double)NAN;
	*ret = (JudgeReport){
	    .verdict = judge_verdict(j),
	    .baseline = nan,
	    .now = nan,
	    .change = nan,
	    .lo = nan,
	    .hi = nan,
	    .rho = nan,
	    .variance = nan,
	    .n_effective = j->n_effective,
	    .n_baseline = j->n_baseline,
	    .n = j->n,
	    .n_unlike = j->n_unlike,
	    .n_failed = j->n_failed,
	    .n_unfit = j->n_bad + j->n_back + j->n_stuck,
	};
	if (j->no_basis != BASIS_OK) {
		say_no_basis(j, ret);
		return;
	}
	ret->rho = j->rho;
	ret->variance = j->variance;
	ret->baseline = baseline_median(j);
	ret->now = median_now(j);
	if (j->mean_values > 0)
		intervals(j, ret);
	double both = fmax(j->log_mean, j->log_tail) - M_LN2;
	ret->evidence =
	    ret->verdict == JUDGE_WORSE ? 1 : fmin(1, fmax(0, both / -log(j->spec.alpha)));
	say(j, ret);
}
