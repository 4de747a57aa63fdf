/* How far a mean and a share can be trusted. */
#include "stats/stats.h"

#include <errno.h>
#include <math.h>

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

int stats_share_interval_near(double share, double n, double confidence, double *ret_lo,
			      double *ret_hi)
{
	if (!(confidence > 0 && confidence < 1) || !(share >= 0 && share <= 1))
		return -EINVAL;
	if (!(n > 0))
		return -ENODATA;
	double z = stats_normal_quantile(0.5 + confidence / 2), shrink = 1 + z * z / n;
	double middle = (share + z * z / (2 * n)) / shrink;
	double half = z / shrink * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
	*ret_lo = share == 0 ? 0 : middle - half;
	*ret_hi = share == 1 ? 1 : middle + half;
	return 0;
}

int stats_share_interval(size_t k, size_t n, double confidence, double *ret_lo, double *ret_hi)
{
	if (k > n)
		return -EINVAL;
	return stats_share_interval_near(n > 0 ? (double)k / (double)n : 0, (double)n, confidence,
					 ret_lo, ret_hi);
}
