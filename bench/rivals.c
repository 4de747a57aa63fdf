#include "rivals.h"

#include <math.h>
#include <string.h>

#include "stats/stats.h"

enum {
	FIRST_LOOK = 20,
};

static size_t below(const double *sorted, size_t n, double x)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (sorted[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t rival_mann_whitney(const Rivals *r, double alpha, double margin)
{
	double limit = stats_normal_quantile(1 - alpha), u = 0, n = (double)r->n_baseline;
	for (size_t i = 0; i < r->n_baseline; i++)
		r->scratch[i] = r->baseline[i].value;
	stats_sort(r->scratch, r->n_baseline);
	for (size_t i = 0; i < r->n_watch; i++) {
		double m = (double)(i + 1);
		u += (double)below(r->scratch, r->n_baseline, r->watch[i].value / (1 + margin));
		if (i + 1 >= FIRST_LOOK && u - n * m / 2 > limit * sqrt(n * m * (n + m + 1) / 12))
			return i + 1;
	}
	return 0;
}

static double block(const JudgeSample *s)
{
	double sum = 0;
	for (size_t i = 0; i < RIVALS_BLOCK; i++)
		sum += s[i].value;
	return sum / RIVALS_BLOCK;
}

size_t rival_threshold(const Rivals *r)
{
	size_t blocks = r->n_baseline / RIVALS_BLOCK;
	for (size_t b = 0; b < blocks; b++)
		r->scratch[b] = block(r->baseline + b * RIVALS_BLOCK);
	double limit = stats_mean(r->scratch, blocks) + 3 * stats_sd(r->scratch, blocks);
	for (size_t i = 0; i + RIVALS_BLOCK <= r->n_watch; i += RIVALS_BLOCK)
		if (block(r->watch + i) > limit)
			return i + RIVALS_BLOCK;
	return 0;
}

/* The k-th smallest, by Hoare's selection; reorders. */
static double select_kth(double *x, ptrdiff_t n, ptrdiff_t k)
{
	ptrdiff_t lo = 0, hi = n - 1;
	while (lo < hi) {
		double pivot = x[k];
		ptrdiff_t i = lo, j = hi;
		while (i <= j) {
			while (x[i] < pivot)
				i++;
			while (x[j] > pivot)
				j--;
			if (i <= j) {
				double swap = x[i];
				x[i++] = x[j];
				x[j--] = swap;
			}
		}
		if (j < k)
			lo = i;
		if (k < i)
			hi = j;
	}
	return x[k];
}

static bool kayenta_high(const double *before, const double *now, double *pairs)
{
	ptrdiff_t n = 0;
	double z = stats_normal_quantile(0.99), w = RIVALS_WINDOW;
	for (size_t a = 0; a < RIVALS_WINDOW; a++)
		for (size_t b = 0; b < RIVALS_WINDOW; b++)
			pairs[n++] = now[a] - before[b];
	ptrdiff_t k = (ptrdiff_t)(w * w / 2 - z * sqrt(w * w * (2 * w + 1) / 12));
	double shift = select_kth(pairs, n, n / 2), lower = select_kth(pairs, n, k);
	return lower > 0.25 * fabs(shift) &&
	       stats_mean(now, RIVALS_WINDOW) >= stats_mean(before, RIVALS_WINDOW);
}

size_t rival_kayenta(const Rivals *r)
{
	double before[RIVALS_WINDOW], now[RIVALS_WINDOW];
	for (size_t i = 0; i < RIVALS_WINDOW; i++)
		before[i] = r->baseline[r->n_baseline - RIVALS_WINDOW + i].value;
	for (size_t at = 0; at + RIVALS_WINDOW <= r->n_watch; at += RIVALS_WINDOW) {
		for (size_t i = 0; i < RIVALS_WINDOW; i++)
			now[i] = r->watch[at + i].value;
		if (kayenta_high(before, now, r->scratch))
			return at + RIVALS_WINDOW;
	}
	return 0;
}
