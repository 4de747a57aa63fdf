/* What the judge takes from the baseline: what is usual at which load, how far values lie apart,
 * how much they resemble their neighbours, and whether all that is enough to compare with. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "stats/stats.h"
#include "watch/judge_parts.h"

/* "No worse" excludes that the tail has become this many times as likely. */
#define TAIL_FACTOR 2

enum {
	/* A run of equal values this much longer than any in the baseline is no chance. */
	RUN_FACTOR = 3,
	RUN_MORE = 10,
	/* Whatever the configuration says: fewer have no neighbours to speak of. */
	BASELINE_MIN = 16,
	/* A short baseline is cut into smaller batches, so that there are so many. */
	BATCHES = 32,
	BATCH_MIN = 2,
	BATCH_MAX = 10,
	BATCH_LONGEST = 60,
};

/* Where neighbours resemble each other much, larger batches: so many times as long as that lasts.
 * The test knows one slow part. Were it needed for what is left between the means of batches, what
 * drifts as slowly as the baseline is long would look like a shift. */
#define BATCH_FACTOR 4.0

/* The newest usable samples, oldest first, without those out of order. */
static size_t pick(const JudgeSample *from, size_t n, JudgeSample *to)
{
	size_t k = 0, skip = n > BASELINE_MAX ? n - BASELINE_MAX : 0;
	for (size_t i = skip; i < n; i++)
		if (judge_usable(&from[i]) && (k == 0 || from[i].at_us > to[k - 1].at_us))
			to[k++] = from[i];
	return k;
}

/* Those of a load that has no company in the baseline itself are left out: they could not be
 * compared with. */
static size_t pick_alike(Judge *j, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if (load_alike(&j->load, j->baseline[i].load))
			j->baseline[k++] = j->baseline[i];
	return k;
}

static int64_t usual_interval(const JudgeSample *s, size_t n, double *scratch)
{
	if (n < 2)
		return 0;
	for (size_t i = 1; i < n; i++)
		scratch[i - 1] = (double)s[i].at_us - (double)s[i - 1].at_us;
	stats_sort(scratch, n - 1);
	return (int64_t)fmin(stats_median(scratch, n - 1), 1e15);
}

static size_t longest_run(const JudgeSample *s, size_t n)
{
	size_t longest = 0, run = 0;
	for (size_t i = 0; i < n; i++) {
		bool same =
		    i > 0 && !s[i].failed && !s[i - 1].failed && s[i].value == s[i - 1].value;
		run = same ? run + 1 : 1;
		longest = run > longest ? run : longest;
	}
	return longest;
}

/* `off` are logarithms less what is expected; sorted, the failed ones last. */
static void find_limits(Judge *j, const double *off, size_t n)
{
	size_t finite = n - j->n_baseline_failed;
	double middle = stats_quantile(off, finite, 0.5);
	double away =
	    (stats_quantile(off, finite, 0.8413) - stats_quantile(off, finite, 0.1587)) / 2;
	if (!(away > 0))
		away = stats_sd(off, finite);
	/* Where a steady production may become much slower, what is not allowed must not be cut
	 * off. */
	double room = fmax(CLIP_DEVIATIONS * away, j->allowed + CLIP_DEVIATIONS * away / 2);
	j->clip_lo = middle - CLIP_DEVIATIONS * away;
	j->clip_hi = middle + room;
	size_t at = (size_t)(j->spec.tail_q * (double)(n - 1)), beyond = 0;
	j->tail_at = off[at < finite ? at : finite - 1];
	for (size_t i = 0; i < n; i++)
		beyond += off[i] > j->tail_at;
	j->tail_share = (double)beyond / (double)n;
}

static bool apart(const double *off, size_t finite)
{
	return finite > 1 && off[finite - 1] - off[0] > 1e-9;
}

static size_t batch_length(size_t n, double rho)
{
	size_t each = n / BATCHES, longest = BATCH_MAX;
	if (rho > 0 && rho < 1)
		longest = (size_t)fmin(fmax(BATCH_FACTOR * (1 + rho) / (1 - rho), BATCH_MAX),
				       BATCH_LONGEST);
	return each < BATCH_MIN ? BATCH_MIN : each > longest ? longest : each;
}

/* Everything that follows from the residuals; `x` is room for 2 n. */
static void learn(Judge *j, double *x)
{
	const JudgeSample *s = j->baseline;
	size_t n = j->n_baseline;
	double *sorted = x + n;
	for (size_t i = 0; i < n; i++)
		sorted[i] = x[i] = s[i].failed
				       ? (double)INFINITY
				       : log(s[i].value) - load_expected(&j->load, s[i].load);
	stats_sort(sorted, n);
	if (2 * j->n_baseline_failed >= n) {
		j->no_basis = BASIS_FAILED;
		return;
	}
	j->run_limit = RUN_FACTOR * longest_run(s, n) + RUN_MORE;
	if (!apart(sorted, n - j->n_baseline_failed) || longest_run(s, n) * 4 > n) {
		j->no_basis = BASIS_CONSTANT;
		return;
	}
	find_limits(j, sorted, n);
	for (size_t i = 0; i < n; i++)
		x[i] = fmin(fmax(x[i], j->clip_lo), j->clip_hi);
	j->rho = stats_autocorrelation(x, n);
	j->mean_batch.full = batch_length(n, j->rho);
	j->tail_batch.full = (size_t)ceil(TAIL_EXPECTED / (1 - j->spec.tail_q));
	double expected = j->tail_share * (double)j->tail_batch.full;
	j->tail_allowed = 2 * (sqrt(TAIL_FACTOR * expected + 0.375) - sqrt(expected + 0.375));
	/* The variance of a count as judge_feed() takes it, were the samples independent: that a
	 * few counts happen to be equal makes nobody certain. */
	shift_expect(j->tail, 1, TAIL_COUNTS_MIN);
	for (size_t i = 0; i < n; i++)
		(void)judge_feed(j, &s[i], j->tail_at);
}

/* How much the samples are worth: independent ones whose mean would be known as well. */
static void weigh(Judge *j, const double *clipped)
{
	size_t n = j->n_baseline;
	double mean_variance, batch_variance, sd = stats_sd(clipped, n);
	shift_basis(j->mean, &mean_variance, &batch_variance);
	j->variance = (double)n * mean_variance;
	j->n_effective = fmin(sd * sd / mean_variance, (double)n);
	if (!(j->n_effective >= (double)j->spec.min_baseline))
		j->no_basis = BASIS_FEW;
}

static int by_value(const void *a, const void *b)
{
	const JudgeSample *x = a, *y = b;
	if (x->failed != y->failed)
		return x->failed ? 1 : -1;
	if (x->failed)
		return 0;
	return (x->value > y->value) - (x->value < y->value);
}

/* The tests begin: what came before is their basis. */
static int begin(Judge *j)
{
	shift_begin(j->mean);
	shift_begin(j->tail);
	j->mean_batch = (Batch){.full = j->mean_batch.full};
	j->tail_batch = (Batch){.full = j->tail_batch.full};
	j->tail_known = j->tail_values >= TAIL_COUNTS_MIN;
	j->n_tail = j->tail_values = 0;
	j->last_counted_us = j->last_us = j->baseline_last_us;
	j->any = true;
	j->ready = shift_copy(j->mean);
	for (size_t i = 0; j->ready && i < AGAIN; i++)
		if (!(j->again[i].test = shift_copy(j->ready)))
			return -ENOMEM;
	return j->ready ? 0 : -ENOMEM;
}

int judge_prepare(Judge *j, const JudgeSample *baseline, size_t n)
{
	j->no_basis = BASIS_EMPTY;
	j->next_look = 1;
	if (n == 0)
		return 0;
	j->baseline = calloc(n < BASELINE_MAX ? n : BASELINE_MAX, sizeof(*j->baseline));
	if (!j->baseline)
		return -ENOMEM;
	size_t k = pick(baseline, n, j->baseline);
	if (k == 0)
		return 0;
	if (load_fit(&j->load, j->baseline, k, j->spec.load_ratio) < 0)
		return -ENOMEM;
	j->n_baseline = pick_alike(j, k);
	if (j->n_baseline < j->spec.min_baseline || j->n_baseline < BASELINE_MIN) {
		j->no_basis = BASIS_FEW;
		j->n_effective = (double)j->n_baseline;
		return 0;
	}
	for (size_t i = 0; i < j->n_baseline; i++)
		j->n_baseline_failed += j->baseline[i].failed;
	j->baseline_last_us = j->baseline[j->n_baseline - 1].at_us;
	_cleanup_free_ double *x = calloc(2 * j->n_baseline, sizeof(*x));
	if (!x || shift_new(j->load.covariates, &j->mean) < 0 ||
	    shift_new(j->load.covariates, &j->tail) < 0)
		return -ENOMEM;
	j->no_basis = BASIS_OK;
	j->interval_us = usual_interval(j->baseline, j->n_baseline, x);
	learn(j, x);
	if (j->no_basis != BASIS_OK)
		return 0;
	weigh(j, x);
	qsort(j->baseline, j->n_baseline, sizeof(*j->baseline), by_value);
	return begin(j);
}
