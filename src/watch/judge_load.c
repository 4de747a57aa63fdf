/* Latency at its load: what the baseline says about it, and whether it says anything. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "stats/stats.h"
#include "watch/judge_parts.h"

/* Most of the loads must be known, or none counts. */
#define KNOWN_SHARE 0.9
/* The rarest loads of the baseline are no company for others. */
#define RARE 0.005
/* Where the load hardly varied, a tenth more or less is still the same. */
#define ALMOST 0.1

static bool is_load(double load)
{
	return isfinite(load) && load >= 0;
}

double load_log(const LoadModel *m, double load)
{
	return log(load + m->offset);
}

void load_covariates(const LoadModel *m, double load, double *ret)
{
	ret[0] = ret[1] = 0;
	if (m->covariates == 0 || !is_load(load))
		return;
	ret[0] = (load_log(m, load) - m->centre) / m->scale;
	if (m->covariates > 1)
		ret[1] = ret[0] * ret[0] - 1;
}

double load_expected(const LoadModel *m, double load)
{
	double x[SHIFT_COVARIATES_MAX];
	load_covariates(m, load, x);
	return m->coef[0] + m->coef[1] * x[0] + m->coef[2] * x[1];
}

static size_t below(const LoadModel *m, double z)
{
	size_t lo = 0, hi = m->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (m->sorted[mid] < z)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool load_alike(const LoadModel *m, double load)
{
	if (!m->known)
		return true;
	if (!is_load(load))
		return false;
	double z = load_log(m, load);
	if (z < m->lo || z > m->hi)
		return false;
	size_t company = below(m, z + m->within) - below(m, z - m->within);
	return company >= LIKE_MIN && company * 50 >= m->n;
}

/* Three equations; a regressor that adds nothing keeps the coefficient 0. How many added. */
static size_t solve(double a[3][4], double *coef)
{
	size_t n = 0;
	bool used[3];
	double whole[3];
	for (int i = 0; i < 3; i++)
		whole[i] = a[i][i];
	for (int p = 0; p < 3; p++) {
		used[p] = a[p][p] > 1e-6 * whole[p] && a[p][p] > 0;
		for (int r = 0; used[p] && r < 3; r++) {
			double by = a[r][p] / a[p][p];
			for (int c = 0; r != p && c < 4; c++)
				a[r][c] -= by * a[p][c];
		}
	}
	for (int p = 0; p < 3; p++) {
		coef[p] = used[p] ? a[p][3] / a[p][p] : 0;
		n += used[p];
	}
	return n;
}

static size_t regress(LoadModel *m, const JudgeSample *s, const double *logs, size_t n)
{
	double a[3][4] = {0};
	for (size_t i = 0; i < n; i++) {
		if (isnan(logs[i]))
			continue;
		double x[3] = {1};
		load_covariates(m, s[i].load, x + 1);
		for (int r = 0; r < 3; r++) {
			for (int c = 0; c < 3; c++)
				a[r][c] += x[r] * x[c];
			a[r][3] += x[r] * logs[i];
		}
	}
	return solve(a, m->coef);
}

/* Once more with the outliers of the first fit drawn in. `scratch` is room for n. */
static void fit(LoadModel *m, const JudgeSample *s, size_t n, double *logs, double *scratch)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		logs[i] = s[i].failed ? (double)NAN : log(s[i].value);
	size_t used = regress(m, s, logs, n);
	if (used > 0 && used - 1 < m->covariates)
		m->covariates = used - 1; /* loads of two kinds have no square of their own */
	for (size_t i = 0; i < n; i++)
		if (!s[i].failed)
			scratch[k++] = logs[i] - load_expected(m, s[i].load);
	if (k == 0)
		return;
	stats_sort(scratch, k);
	double middle = stats_median(scratch, k);
	double far = 2 * (stats_quantile(scratch, k, 0.84) - stats_quantile(scratch, k, 0.16));
	for (size_t i = 0; i < n; i++) {
		double at = load_expected(m, s[i].load) + middle;
		if (!s[i].failed && far > 0)
			logs[i] = fmin(fmax(logs[i], at - far), at + far);
	}
	(void)regress(m, s, logs, n);
}

static void measure_loads(LoadModel *m, const JudgeSample *s, size_t n)
{
	double total = 0;
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if (is_load(s[i].load))
			total += fmin(s[i].load, 1e12), k++;
	m->known = k > 0 && (double)k >= KNOWN_SHARE * (double)n;
	if (!m->known)
		return;
	m->offset = total > 0 ? 0.1 * total / (double)k : 1;
	for (size_t i = 0; i < n; i++)
		if (is_load(s[i].load))
			m->sorted[m->n++] = load_log(m, s[i].load);
	m->centre = stats_mean(m->sorted, m->n);
	m->scale = m->n > 1 ? stats_sd(m->sorted, m->n) : 0;
	stats_sort(m->sorted, m->n);
	double middle = stats_median(m->sorted, m->n);
	m->lo = fmin(stats_quantile(m->sorted, m->n, RARE), middle - ALMOST);
	m->hi = fmax(stats_quantile(m->sorted, m->n, 1 - RARE), middle + ALMOST);
	/* Below one per cent there is nothing to learn, and nothing to correct. */
	m->covariates = m->scale > 0.01 ? 2 : 0;
}

int load_fit(LoadModel *m, const JudgeSample *s, size_t n, double ratio)
{
	*m = (LoadModel){.within = log(ratio), .offset = 1};
	if (n == 0)
		return 0;
	m->sorted = calloc(n, sizeof(*m->sorted));
	_cleanup_free_ double *logs = calloc(2 * n, sizeof(*logs));
	if (!m->sorted || !logs)
		return -ENOMEM;
	measure_loads(m, s, n);
	fit(m, s, n, logs, logs + n);
	return 0;
}

void load_model_done(LoadModel *m)
{
	free(m->sorted);
	*m = (LoadModel){0};
}
