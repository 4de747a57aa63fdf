/* How far a number can be trusted: order statistics, Student's t, the BCa bootstrap. */
#include "stats/stats.h"

#include <errno.h>
#include <math.h>

static double log_binomial(size_t n, size_t k, double q)
{
	int sign;
	double choose = lgamma_r((double)n + 1, &sign) - lgamma_r((double)k + 1, &sign) -
			lgamma_r((double)(n - k) + 1, &sign);
	return choose + (double)k * log(q) + (double)(n - k) * log1p(-q);
}

/* The lower end of the interval, as a rank from 1: the highest l with P(fewer than l values lie
 * below the quantile) <= tail. 0: even the smallest value is not low enough. */
static size_t lower_rank(size_t n, double q, double tail)
{
	double below = 0;
	size_t l = 0;
	while (l < n) {
		below += exp(log_binomial(n, l, q));
		if (below > tail)
			break;
		l++;
	}
	return l;
}

/* How many it takes before both the smallest and the largest value can be ends. */
static size_t interval_needs(double q, double tail)
{
	double rare = q < 0.5 ? q : 1 - q;
	/* A hair below the quotient, so that an exact power is not rounded up to the next. */
	return (size_t)ceil(log(tail) / log1p(-rare) - 1e-9);
}

int stats_quantile_interval(const double *sorted, size_t n, double q, double confidence,
			    double *ret_lo, double *ret_hi, size_t *ret_needs)
{
	if (!(q > 0 && q < 1) || !(confidence > 0 && confidence < 1))
		return -EINVAL;
	double tail = (1 - confidence) / 2;
	size_t lo = lower_rank(n, q, tail);
	size_t mirrored = lower_rank(n, 1 - q, tail); /* the upper end, counted from the top */
	if (ret_needs)
		*ret_needs = interval_needs(q, tail);
	if (lo == 0 || mirrored == 0)
		return -ENODATA;
	*ret_lo = sorted[lo - 1];
	*ret_hi = sorted[n - mirrored];
	return 0;
}

int stats_t_interval(const double *x, size_t n, double confidence, double *ret_lo, double *ret_hi)
{
	if (!(confidence > 0 && confidence < 1))
		return -EINVAL;
	if (n < 2)
		return -ENODATA;
	double mean = stats_mean(x, n);
	double half = stats_t_quantile(0.5 + confidence / 2, (double)(n - 1)) * stats_se(x, n);
	*ret_lo = mean - half;
	*ret_hi = mean + half;
	return 0;
}

/* How skewed the mean's own distribution is (Efron 1987): from the jackknife, which for a mean is
 * the third moment. */
static double acceleration(const double *x, size_t n, double mean)
{
	double square = 0, cube = 0;
	for (size_t i = 0; i < n; i++) {
		double d = x[i] - mean;
		square += d * d;
		cube += d * d * d;
	}
	return square > 0 ? cube / (6 * pow(square, 1.5)) : 0;
}

/* Where in the sorted resamples the end for normal deviate z lies, after the two corrections. */
static double corrected_share(double z, double bias, double accel)
{
	double shifted = bias + z;
	return stats_normal_cdf(bias + shifted / (1 - accel * shifted));
}

int stats_bootstrap_mean(const double *x, size_t n, double confidence, size_t rounds, Rng *rng,
			 double *scratch, double *ret_lo, double *ret_hi)
{
	if (!(confidence > 0 && confidence < 1) || rounds == 0)
		return -EINVAL;
	if (n < 2)
		return -ENODATA;
	double mean = stats_mean(x, n), *means = scratch + n, below = 0;
	for (size_t r = 0; r < rounds; r++) {
		for (size_t i = 0; i < n; i++)
			scratch[i] = x[rng_below(rng, n)];
		means[r] = stats_mean(scratch, n);
		/* Ties count half, so that constant data has no bias. */
		below += means[r] < mean ? 1 : means[r] == mean ? 0.5 : 0;
	}
	stats_sort(means, rounds);
	double share = below / (double)rounds, edge = 0.5 / (double)rounds;
	double bias = stats_normal_quantile(fmin(fmax(share, edge), 1 - edge));
	double accel = acceleration(x, n, mean), z = stats_normal_quantile(0.5 + confidence / 2);
	*ret_lo = stats_quantile(means, rounds, corrected_share(-z, bias, accel));
	*ret_hi = stats_quantile(means, rounds, corrected_share(z, bias, accel));
	return 0;
}
