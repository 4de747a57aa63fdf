/* Wilcoxon's signed-rank test. */
#include "stats/stats.h"

#include <math.h>

enum {
	EXACT_MAX = 25,
	/* Ranks are counted in halves, so that the mean rank of a tie is a whole number. */
	SUM_MAX = EXACT_MAX * (EXACT_MAX + 1),
};

/* Fills `sizes` with the sorted sizes of the differences that are not zero; how many there are. */
static size_t sizes_of(const double *diff, size_t n, double *sizes)
{
	size_t used = 0;
	for (size_t i = 0; i < n; i++)
		if (diff[i] != 0)
			sizes[used++] = fabs(diff[i]);
	stats_sort(sizes, used);
	return used;
}

/* Twice the mean rank of every place in `sizes`. */
static void double_ranks(const double *sizes, size_t n, double *ranks)
{
	for (size_t i = 0; i < n;) {
		size_t end = i + 1;
		while (end < n && sizes[end] == sizes[i])
			end++;
		for (size_t k = i; k < end; k++)
			ranks[k] = (double)(i + 1 + end);
		i = end;
	}
}

static double rank_of(double size, const double *sizes, const double *ranks, size_t n)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (sizes[mid] < size)
			lo = mid + 1;
		else
			hi = mid;
	}
	return ranks[lo];
}

/* P(sum >= w) when every rank is in the sum or not by the toss of a coin. */
static double exact_p(const double *ranks, size_t n, size_t w)
{
	double ways[SUM_MAX + 1] = {1};
	size_t top = 0;
	for (size_t i = 0; i < n; i++) {
		size_t rank = (size_t)ranks[i];
		top += rank;
		for (size_t s = top; s >= rank; s--)
			ways[s] += ways[s - rank];
	}
	double at_least = 0;
	for (size_t s = w; s <= top; s++)
		at_least += ways[s];
	return ldexp(at_least, -(int)n);
}

static double normal_p(const double *ranks, size_t n, double w)
{
	double mean = 0, variance = 0;
	for (size_t i = 0; i < n; i++) {
		mean += ranks[i] / 2;
		variance += ranks[i] * ranks[i] / 4;
	}
	/* One half of a rank for continuity; the scale here is two a rank. */
	return stats_normal_cdf((mean + 1 - w) / sqrt(variance));
}

double stats_signed_rank_p(const double *diff, size_t n, double *scratch)
{
	if (n == 0)
		return (double)NAN;
	double *sizes = scratch, *ranks = scratch + n, above = 0;
	size_t used = sizes_of(diff, n, sizes);
	if (used == 0)
		return 1;
	double_ranks(sizes, used, ranks);
	for (size_t i = 0; i < n; i++)
		if (diff[i] > 0)
			above += rank_of(diff[i], sizes, ranks, used);
	return used <= EXACT_MAX ? exact_p(ranks, used, (size_t)above)
				 : normal_p(ranks, used, above);
}
