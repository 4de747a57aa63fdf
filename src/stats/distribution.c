/* The normal and Student's t distribution. Quantiles are found by Newton steps on the distribution
 * function inside a bracket, so that they are as accurate as the function itself. */
#include "stats/stats.h"

#include <math.h>

double stats_normal_cdf(double z)
{
	return 0.5 * erfc(-z * M_SQRT1_2);
}

/* The lower tail, where the distribution function keeps its relative accuracy. Newton on its
 * logarithm, which is concave: from the left of the root it never overshoots. */
static double normal_lower(double p)
{
	double z = -sqrt(-2 * log(p)); /* left of the root for every p < 1/2 */
	for (int i = 0; i < 100; i++) {
		double cdf = stats_normal_cdf(z);
		double pdf = exp(-0.5 * z * z) / sqrt(2 * M_PI);
		double step = (log(cdf) - log(p)) * cdf / pdf;
		z -= step;
		if (fabs(step) <= 1e-15 * fabs(z))
			break;
	}
	return z;
}

double stats_normal_quantile(double p)
{
	if (!(p >= 0 && p <= 1))
		return (double)NAN;
	if (p == 0 || p == 1)
		return p == 0 ? -(double)INFINITY : (double)INFINITY;
	if (p == 0.5)
		return 0;
	return p < 0.5 ? normal_lower(p) : -normal_lower(1 - p);
}

/* The continued fraction of the incomplete beta function (Abramowitz & Stegun 26.5.8), evaluated
 * from the front by the modified Lentz method. */
static double beta_fraction(double x, double a, double b)
{
	const double tiny = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1);
	d = 1 / (fabs(d) < tiny ? tiny : d);
	double f = d;
	for (int m = 1; m < 1000; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		const double terms[] = {even, odd};
		double change = 1;
		for (int k = 0; k < 2; k++) {
			d = 1 + terms[k] * d;
			c = 1 + terms[k] / c;
			d = 1 / (fabs(d) < tiny ? tiny : d);
			c = fabs(c) < tiny ? tiny : c;
			change = c * d;
			f *= change;
		}
		if (fabs(change - 1) < 1e-16)
			break;
	}
	return f;
}

static double log_gamma(double x)
{
	int sign;
	return lgamma_r(x, &sign);
}

double stats_beta_cdf(double x, double a, double b)
{
	if (x <= 0)
		return 0;
	if (x >= 1)
		return 1;
	double front =
	    exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(x, a, b) / a;
	return 1 - front * beta_fraction(1 - x, b, a) / b;
}

/* P(T > t) for t >= 0. */
static double t_upper(double t, double df)
{
	if (t * t < df) /* near the middle the other tail of the beta is the accurate one */
		return 0.5 - 0.5 * stats_beta_cdf(t * t / (df + t * t), 0.5, df / 2);
	return 0.5 * stats_beta_cdf(df / (df + t * t), df / 2, 0.5);
}

static double t_density(double t, double df)
{
	return exp(log_gamma((df + 1) / 2) - log_gamma(df / 2) - (df + 1) / 2 * log1p(t * t / df)) /
	       sqrt(df * M_PI);
}

/* The t >= 0 whose upper tail is p <= 1/2. */
static double t_upper_quantile(double p, double df)
{
	double lo = 0, hi = 1;
	while (t_upper(hi, df) > p && hi < 1e300)
		hi *= 2;
	double t = 0.5 * (lo + hi);
	for (int i = 0; i < 200; i++) {
		double over = t_upper(t, df) - p;
		if (over > 0)
			lo = t;
		else
			hi = t;
		double next = t + over / t_density(t, df);
		if (!(next > lo && next < hi))
			next = 0.5 * (lo + hi);
		if (fabs(next - t) <= 1e-15 * next)
			return next;
		t = next;
	}
	return t;
}

/* Cornish-Fisher: for many degrees of freedom, where the gamma functions above cancel. */
static double t_from_normal(double z, double df)
{
	double z3 = z * z * z;
	return z + (z3 + z) / (4 * df) + (5 * z3 * z * z + 16 * z3 + 3 * z) / (96 * df * df);
}

double stats_t_quantile(double p, double df)
{
	if (!(p >= 0 && p <= 1) || !(df > 0))
		return (double)NAN;
	if (p == 0 || p == 1)
		return p == 0 ? -(double)INFINITY : (double)INFINITY;
	if (df > 2e4)
		return t_from_normal(stats_normal_quantile(p), df);
	if (p == 0.5)
		return 0;
	return p < 0.5 ? -t_upper_quantile(p, df) : t_upper_quantile(1 - p, df);
}
