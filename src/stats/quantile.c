/* How far a quantile can be trusted: by which order statistics it lies between, without any
 * assumption about the distribution. */
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

/* The place r in (0, n + 1) with P(the r-th smallest of n uniform numbers <= q) = p. That number
 * has the distribution beta(r, n + 1 - r), which also says what "the 3.7th smallest" is. */
static double place(double n, double q, double p)
{
	/* Far more than that number ever strays; it is found to a millionth of a place. */
	double reach = 12 * sqrt(n * q * (1 - q)) + 4;
	double lo = fmax(0, n * q - reach), hi = fmin(n + 1, n * q + reach);
	while (hi - lo > 1e-6) {
		double mid = 0.5 * (lo + hi);
		if (stats_beta_cdf(q, mid, n + 1 - mid) > p)
			lo = mid; /* too far to the left */
		else
			hi = mid;
	}
	return 0.5 * (lo + hi);
}

/* The value at a place between two order statistics, counted from 1. */
static double value_at(const double *sorted, size_t n, double at)
{
	return stats_quantile(sorted, n, (at - 1) / (double)(n - 1));
}

/* The ends are the fractional order statistics of Stigler and Hutson: beta() is asked for the
 * places where the quantile lies below or above with just the wanted probability, and the value
 * there is read on the line between its neighbours. For a dependent sample the places are those of
 * the smaller independent sample that it is worth, stretched to the sample's own size. */
int stats_quantile_interval_near(const double *sorted, size_t n, double effective, double q,
				 double confidence, double *ret_lo, double *ret_hi,
				 size_t *ret_needs)
{
	if (!(q > 0 && q < 1) || !(confidence > 0 && confidence < 1) || !(effective > 0) ||
	    effective > (double)n)
		return -EINVAL;
	double tail = (1 - confidence) / 2, stretch = ((double)n + 1) / (effective + 1);
	double lo = place(effective, q, 1 - tail), hi = place(effective, q, tail);
	if (ret_needs)
		*ret_needs = (size_t)ceil((double)interval_needs(q, tail) * (double)n / effective);
	if (n < 2 || lo < 1 || hi > effective)
		return -ENODATA;
	*ret_lo = value_at(sorted, n, lo * stretch);
	*ret_hi = value_at(sorted, n, hi * stretch);
	return 0;
}

/* P(at most one of n lies beyond a quantile that `rare` of all lie beyond). */
static double at_most_one(double n, double rare)
{
	return exp(n * log1p(-rare)) + n * rare * exp((n - 1) * log1p(-rare));
}

size_t stats_quantile_floor(double q, double confidence)
{
	double rare = q < 0.5 ? q : 1 - q;
	if (!(rare > 0) || !(confidence > 0 && confidence < 1))
		return SIZE_MAX;
	size_t lo = 1, hi = 2;
	while (at_most_one((double)hi, rare) > 1 - confidence && hi < SIZE_MAX / 4)
		hi *= 2;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (at_most_one((double)mid, rare) > 1 - confidence)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}
