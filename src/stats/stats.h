#pragma once
/* Numbers about numbers. Pure; callers own all memory. Empty input gives NAN, never a made-up 0. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

double stats_mean(const double *x, size_t n);
double stats_sd(const double *x, size_t n); /* n - 1 in the denominator; NAN for n < 2 */
double stats_se(const double *x, size_t n); /* of the mean */
double stats_median(const double *sorted, size_t n);
void stats_sort(double *x, size_t n);

/* Quantile q in [0, 1] of sorted data, linear between order statistics (type 7). */
double stats_quantile(const double *sorted, size_t n, double q);

/* Distribution-free interval of a quantile: order statistics by the binomial, coverage at least
 * `confidence`. -ENODATA when n is too small to have one; *ret_needs (may be NULL) is then how many
 * it takes. */
int stats_quantile_interval(const double *sorted, size_t n, double q, double confidence,
			    double *ret_lo, double *ret_hi, size_t *ret_needs);

/* The same with the ends between two order statistics, so that the real coverage is near
 * `confidence` instead of above it, and for a sample of which only `effective` (1 to n) count as
 * independent. -ENODATA as above; *ret_needs is then how many like these it takes. */
int stats_quantile_interval_near(const double *sorted, size_t n, double effective, double q,
				 double confidence, double *ret_lo, double *ret_hi,
				 size_t *ret_needs);
/* The fewest samples that say anything about a quantile: with probability `confidence` at least two
 * of so many lie beyond it, so that it is no guess at the single largest one. (The floor that
 * MLPerf's early stopping uses.) */
size_t stats_quantile_floor(double q, double confidence);

/* Wilson's interval of a share, k of n. -ENODATA for n = 0. */
int stats_share_interval(size_t k, size_t n, double confidence, double *ret_lo, double *ret_hi);
/* The same for a share of a sample that is worth `n` independent ones, whole or not. */
int stats_share_interval_near(double share, double n, double confidence, double *ret_lo,
			      double *ret_hi);

/* Student's t: two-sided interval of the mean. -ENODATA for n < 2. */
int stats_t_interval(const double *x, size_t n, double confidence, double *ret_lo, double *ret_hi);
double stats_t_quantile(double p, double df);
double stats_normal_quantile(double p);
double stats_normal_cdf(double z);

/* BCa bootstrap interval of the mean, `rounds` resamples. `scratch` holds n + rounds doubles.
 * -ENODATA for n < 2. */
int stats_bootstrap_mean(const double *x, size_t n, double confidence, size_t rounds, Rng *rng,
			 double *scratch, double *ret_lo, double *ret_hi);

/* The same for the ratio of two sums over the same n items, sum(above) / sum(below). `scratch`
 * holds n + rounds doubles. -ENODATA for n < 2 or when nothing is below. */
int stats_bootstrap_ratio(const double *above, const double *below, size_t n, double confidence,
			  size_t rounds, Rng *rng, double *scratch, double *ret_lo, double *ret_hi);

/* Wilcoxon signed-rank, one-sided p that the differences are shifted above 0; exact up to n = 25.
 */
double stats_signed_rank_p(const double *diff, size_t n, double *scratch /* 2 n */);

/* Lag-1 autocorrelation, and the effective number of independent samples it leaves (between 1 and
 * n). */
double stats_autocorrelation(const double *x, size_t n);
double stats_effective_n(const double *x, size_t n);
/* The same where the share of values at or below `at` is what is asked: a quantile is such a share,
 * and rare values resemble their neighbours less than middling ones do. */
double stats_effective_n_below(const double *x, size_t n, double at);

/* Where a series settles: *ret_cut values at its beginning, at most half, belong to something else
 * (a warm-up). False: what is left still drifts, and *ret_cut is 0. `scratch` holds 2 n doubles. */
bool stats_settled(const double *x, size_t n, double *scratch, size_t *ret_cut);

/* I_x(a, b), the regularised incomplete beta function: the distribution function of beta(a, b). */
double stats_beta_cdf(double x, double a, double b);
