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

int stats_share_interval(size_t k, size_t n, double confidence, double *ret_lo, double *ret_hi)
{
	if (!(confidence > 0 && confidence < 1) || k > n)
		return -EINVAL;
	if (n == 0)
		return -ENODATA;
	double z = stats_normal_quantile(0.5 + confidence / 2), m = (double)n;
	double share = (double)k / m, shrink = 1 + z * z / m;
	double middle = (share + z * z / (2 * m)) / shrink;
	double half = z / shrink * sqrt(share * (1 - share) / m + z * z / (4 * m * m));
	*ret_lo = k == 0 ? 0 : middle - half;
	*ret_hi = k == n ? 1 : middle + half;
	return 0;
}
