/* The BCa bootstrap (Efron 1987): intervals from resampling, corrected for bias and skew. */
#include "stats/stats.h"

#include <errno.h>
#include <math.h>

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

/* How far the ends of the interval stand to the left or right of the plain percentiles. `means` are
 * the resamples. */
static void corrected_ends(double *means, size_t rounds, double estimate, double accel,
			   double confidence, double *ret_lo, double *ret_hi)
{
	double below = 0;
	/* Ties count half, so that constant data has no bias. */
	for (size_t r = 0; r < rounds; r++)
		below += means[r] < estimate ? 1 : means[r] == estimate ? 0.5 : 0;
	stats_sort(means, rounds);
	double share = below / (double)rounds, edge = 0.5 / (double)rounds;
	double bias = stats_normal_quantile(fmin(fmax(share, edge), 1 - edge));
	double z = stats_normal_quantile(0.5 + confidence / 2);
	*ret_lo = stats_quantile(means, rounds, corrected_share(-z, bias, accel));
	*ret_hi = stats_quantile(means, rounds, corrected_share(z, bias, accel));
}

int stats_bootstrap_mean(const double *x, size_t n, double confidence, size_t rounds, Rng *rng,
			 double *scratch, double *ret_lo, double *ret_hi)
{
	if (!(confidence > 0 && confidence < 1) || rounds == 0)
		return -EINVAL;
	if (n < 2)
		return -ENODATA;
	double mean = stats_mean(x, n), *means = scratch + n;
	for (size_t r = 0; r < rounds; r++) {
		for (size_t i = 0; i < n; i++)
			scratch[i] = x[rng_below(rng, n)];
		means[r] = stats_mean(scratch, n);
	}
	corrected_ends(means, rounds, mean, acceleration(x, n, mean), confidence, ret_lo, ret_hi);
	return 0;
}

/* The ratio of one resample; of the whole again in the rare case that nothing is below. */
static double resampled_ratio(const double *above, const double *below, size_t n, double ratio,
			      Rng *rng)
{
	double a = 0, b = 0;
	for (size_t i = 0; i < n; i++) {
		size_t k = rng_below(rng, n);
		a += above[k];
		b += below[k];
	}
	return b > 0 ? a / b : ratio;
}

int stats_bootstrap_ratio(const double *above, const double *below, size_t n, double confidence,
			  size_t rounds, Rng *rng, double *scratch, double *ret_lo, double *ret_hi)
{
	if (!(confidence > 0 && confidence < 1) || rounds == 0)
		return -EINVAL;
	double a = 0, b = 0, *influence = scratch, *ratios = scratch + n;
	for (size_t i = 0; i < n; i++) {
		a += above[i];
		b += below[i];
	}
	if (n < 2 || !(b > 0))
		return -ENODATA;
	for (size_t r = 0; r < rounds; r++)
		ratios[r] = resampled_ratio(above, below, n, a / b, rng);
	/* What one item moves the ratio by, to first order: its influence is what the
	 * acceleration of a mean takes from the deviations. */
	for (size_t i = 0; i < n; i++)
		influence[i] = above[i] - a / b * below[i];
	corrected_ends(ratios, rounds, a / b, acceleration(influence, n, 0), confidence, ret_lo,
		       ret_hi);
	return 0;
}
