/* Pareto front and hypervolume. The volume is the one of While, Bradstreet and Barone, "A fast way
 * of calculating exact hypervolumes" (2012): the sum of what each point covers that the ones after
 * it do not. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "trial/pareto.h"

enum {
	DIMS_MAX = 8
};

static bool dominates(const double *a, const double *b, size_t dims)
{
	bool better = false;
	for (size_t k = 0; k < dims; k++) {
		if (a[k] < b[k])
			return false;
		better |= a[k] > b[k];
	}
	return better;
}

void pareto_front(const double *scores, size_t n, size_t dims, bool *ret_front)
{
	for (size_t i = 0; i < n; i++) {
		ret_front[i] = true;
		for (size_t j = 0; j < n && ret_front[i]; j++)
			ret_front[i] = !dominates(&scores[j * dims], &scores[i * dims], dims);
	}
}

static double box(const double *p, size_t dims)
{
	double volume = 1;
	for (size_t k = 0; k < dims; k++)
		volume *= p[k];
	return volume;
}

/* Keeps one of every set of equal rows and none that another covers. */
static size_t keep_front(double *rows, size_t n, size_t dims)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		const double *row = &rows[i * dims];
		bool covered = false;
		for (size_t j = 0; j < kept && !covered; j++)
			covered = dominates(&rows[j * dims], row, dims) ||
				  memcmp(&rows[j * dims], row, dims * sizeof(*row)) == 0;
		if (covered)
			continue;
		size_t still = 0;
		double copy[DIMS_MAX];
		memcpy(copy, row, dims * sizeof(*row));
		for (size_t j = 0; j < kept; j++)
			if (!dominates(copy, &rows[j * dims], dims))
				memmove(&rows[still++ * dims], &rows[j * dims],
					dims * sizeof(*row));
		memcpy(&rows[still++ * dims], copy, dims * sizeof(*row));
		kept = still;
	}
	return kept;
}

static int descending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x < y) - (x > y);
}

/* `rows` is reordered. */
static int volume(double *rows, size_t n, size_t dims, double *ret)
{
	*ret = 0;
	if (n == 0)
		return 0;
	n = keep_front(rows, n, dims);
	/* Largest first coordinate first: the rest then limits itself to few distinct points. */
	qsort(rows, n, dims * sizeof(*rows), descending);
	if (n == 1) {
		*ret = box(rows, dims);
		return 0;
	}
	_cleanup_free_ double *limited = calloc(n, dims * sizeof(*limited));
	if (!limited)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const double *p = &rows[i * dims];
		for (size_t j = i + 1; j < n; j++)
			for (size_t k = 0; k < dims; k++) {
				double q = rows[j * dims + k];
				limited[(j - i - 1) * dims + k] = q < p[k] ? q : p[k];
			}
		double covered;
		int r = volume(limited, n - i - 1, dims, &covered);
		if (r < 0)
			return r;
		*ret += box(p, dims) - covered;
	}
	return 0;
}

int pareto_hypervolume(const double *scores, size_t n, size_t dims, double *ret)
{
	if (dims == 0 || dims > DIMS_MAX)
		return -E2BIG;
	_cleanup_free_ double *rows = calloc(n ? n : 1, dims * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < n * dims; i++)
		rows[i] = scores[i] > 0 ? scores[i] : 0;
	return volume(rows, n, dims, ret);
}
