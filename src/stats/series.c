/* Samples in the order in which they came: how much neighbours resemble each other, and where the
 * series settles. */
#include "stats/stats.h"

#include <math.h>
#include <string.h>

enum {
	LAGS_MAX = 200,
	/* Settling is judged on means of so many values in a row. */
	BATCH = 5,
	BATCHES_MIN = 8,
	/* Drift is judged on so many stretches: few enough that one hardly depends on the next. */
	STRETCHES = 20,
};

double stats_autocorrelation(const double *x, size_t n)
{
	if (n < 2)
		return (double)NAN;
	double mean = stats_mean(x, n), all = 0, lagged = 0;
	for (size_t i = 0; i < n; i++) {
		all += (x[i] - mean) * (x[i] - mean);
		if (i > 0)
			lagged += (x[i] - mean) * (x[i - 1] - mean);
	}
	return all > 0 ? lagged / all : 0;
}

double stats_effective_n(const double *x, size_t n)
{
	if (n == 0)
		return (double)NAN;
	double rho = stats_autocorrelation(x, n);
	if (!(rho > 0))
		return (double)n; /* alternation is not extra information to rely on */
	double left = (double)n * (1 - rho) / (1 + rho);
	return left < 1 ? 1 : left;
}

typedef struct Shares {
	const double *x;
	size_t n;
	double at, share;
} Shares;

static double deviation(const Shares *s, size_t i)
{
	return (s->x[i] <= s->at ? 1 : 0) - s->share;
}

static double covariance(const Shares *s, size_t lag)
{
	double sum = 0;
	for (size_t i = lag; i < s->n; i++)
		sum += deviation(s, i) * deviation(s, i - lag);
	return sum / (double)s->n;
}

/* The sum of all autocorrelations, by Geyer's initial positive sequence: pairs of lags are added as
 * long as they are positive, since what comes after is noise. */
double stats_effective_n_below(const double *x, size_t n, double at)
{
	if (n == 0)
		return (double)NAN;
	Shares s = {.x = x, .n = n, .at = at};
	for (size_t i = 0; i < n; i++)
		s.share += x[i] <= at ? 1 : 0;
	s.share /= (double)n;
	double all = s.share * (1 - s.share), sum = -1;
	if (!(all > 0))
		return stats_effective_n(x, n);
	/* What chance alone makes of independent values is not corrected for: it would only make
	 * every interval a little wide. The values themselves tell that better than the shares. */
	if (stats_autocorrelation(x, n) < 1.645 / sqrt((double)n))
		return (double)n;
	for (size_t lag = 0; lag + 1 < n && lag < LAGS_MAX; lag += 2) {
		double pair = (covariance(&s, lag) + covariance(&s, lag + 1)) / all;
		if (pair <= 0)
			break;
		sum += 2 * pair;
	}
	return fmax(1, fmin((double)n, (double)n / sum));
}

/* The place of every value among all, between 0 and 1; those of equal values is the middle of
 * theirs. `sorted` is room for n. */
static void to_ranks(const double *x, size_t n, double *sorted, double *ranks)
{
	memcpy(sorted, x, n * sizeof(*x));
	stats_sort(sorted, n);
	for (size_t i = 0; i < n; i++) {
		size_t lo = 0, hi = n, first;
		while (lo < hi) { /* the first not below */
			size_t mid = (lo + hi) / 2;
			if (sorted[mid] < x[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		first = lo;
		for (hi = n; lo < hi;) { /* the first above */
			size_t mid = (lo + hi) / 2;
			if (sorted[mid] <= x[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		ranks[i] = (double)(first + lo) / 2 / (double)n;
	}
}

static size_t to_means(const double *x, size_t n, size_t each, double *means)
{
	for (size_t b = 0; b < n / each; b++)
		means[b] = stats_mean(x + b * each, each);
	return n / each;
}

/* How many batches to leave out so that the mean of the rest is known best: the smallest
 * sum (y - mean)^2 / (number left)^2, White's MSER. Not more than half. In one pass from the end,
 * by Welford's recurrence: there may be a hundred thousand batches. Of equals the first. */
static size_t best_cut(const double *y, size_t m)
{
	size_t best = 0;
	double smallest = (double)INFINITY, mean = 0, sum = 0;
	for (size_t cut = m; cut-- > 0;) {
		double left = (double)(m - cut), off = y[cut] - mean;
		mean += off / left;
		sum += off * (y[cut] - mean);
		if (cut <= m / 2 && sum / (left * left) <= smallest * (1 + 1e-12)) {
			smallest = sum / (left * left);
			best = cut;
		}
	}
	return best;
}

/* Is the beginning really something else than the rest, or was it cut by chance? By Student's t of
 * two samples at 0.1 %, strict since the cut was chosen to look best. */
static bool differs(const double *y, size_t m, size_t cut)
{
	if (cut == 0)
		return false;
	double sd = stats_sd(y + cut, m - cut);
	double se = sd * sqrt(1 / (double)cut + 1 / (double)(m - cut));
	double gap = fabs(stats_mean(y, cut) - stats_mean(y + cut, m - cut));
	return gap > stats_t_quantile(0.9995, (double)(m - cut - 1)) * se;
}

/* Does a straight line through the stretches rise or fall, at 1 %, and by more than a tenth of the
 * whole range of ranks from end to end? A drift that is only certain but small does no harm. */
static bool drifts(const double *y, size_t m)
{
	double middle = (double)(m - 1) / 2, mean = stats_mean(y, m), xx = 0, xy = 0, rest = 0;
	for (size_t i = 0; i < m; i++) {
		xx += ((double)i - middle) * ((double)i - middle);
		xy += ((double)i - middle) * (y[i] - mean);
	}
	double slope = xy / xx;
	for (size_t i = 0; i < m; i++) {
		double off = y[i] - mean - slope * ((double)i - middle);
		rest += off * off;
	}
	double se = sqrt(rest / (double)(m - 2) / xx);
	return fabs(slope) * (double)m > 0.1 &&
	       fabs(slope) > stats_t_quantile(0.995, (double)(m - 2)) * se;
}

/* All of it on ranks: one slow request must not look like a warm-up, nor a heavy tail like drift.
 * MSER-5 says where to cut; since it always finds some best place, the cut has to tell two really
 * different parts from each other, and the rest has to be without a slope. That last test is what
 * finds overload: a queue that grows has no good place to cut. */
bool stats_settled(const double *x, size_t n, double *scratch, size_t *ret_cut)
{
	*ret_cut = 0;
	if (n < (size_t)BATCH * BATCHES_MIN)
		return true; /* too few to tell; callers show n */
	double *ranks = scratch, *means = scratch + n;
	to_ranks(x, n, means, ranks);
	size_t m = to_means(ranks, n, BATCH, means);
	size_t cut = best_cut(means, m);
	if (!differs(means, m, cut))
		cut = 0;
	size_t left = n - cut * BATCH, each = left / STRETCHES > BATCH ? left / STRETCHES : BATCH;
	m = to_means(ranks + cut * BATCH, left, each, means);
	if (m >= 4 && drifts(means, m))
		return false;
	*ret_cut = cut * BATCH;
	return true;
}
