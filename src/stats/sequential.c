/* The evidence for a shift (sequential.h). Each way of resemblance whitens the series by its Kalman
 * filter. Filters are linear and their gains do not depend on the data, so the constant, the
 * covariates and the steps go through the same filter as the values, and all that is needed later
 * are sums of products of what comes out. */
#include "stats/sequential.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Columns: the regressors first (constant, covariates), then the value, then the step. */
	REGRESSORS_MAX = 1 + SHIFT_COVARIATES_MAX,
	COLUMNS = REGRESSORS_MAX + 2,
	PHIS = 7,
	LAMBDAS = 6,
	WAYS = 1 + PHIS * LAMBDAS,
	BISECTIONS = 40,
	/* A logarithm of likelihood this far below the best adds nothing that is seen. */
	NEGLIGIBLE = 20,
};

/* Of the slow part: how much of it is left after one step, and its variance in that of the noise.
 */
static const double phis[PHIS] = {.25, .5, .8, .93, .98, .995, .999};
static const double lambdas[LAMBDAS] = {.03, .12, .5, 2, 8, 32};
/* How likely each way is held before anything is known, in that of one which is not slow. No slow
 * part at all is likely; one so slow that a day of values cannot tell it from a shift is not, but
 * where it is so large that the basis shows it, it wins all the same. */
#define NONE_WEIGHT 4.0
#define SLOW_FROM   0.95
#define SLOW_WEIGHT 0.1
typedef struct Way {
	double phi, lambda;
	double weight; /* before anything is known */
	double p;      /* variance of the slow part as predicted */
	double f, log, log_f;
	double slow[COLUMNS]; /* the slow part as predicted, of each column */
	double sum[COLUMNS][COLUMNS];
} Way;

struct Shift {
	size_t regressors, n, n_since;
	double prior_n, prior_squares; /* of the noise */
	bool begun;
	Way ways[WAYS];
};

int shift_new(size_t covariates, Shift **ret)
{
	if (covariates > SHIFT_COVARIATES_MAX)
		return -EINVAL;
	Shift *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->regressors = 1 + covariates;
	for (size_t w = 1; w < WAYS; w++) {
		s->ways[w].phi = phis[(w - 1) / LAMBDAS];
		s->ways[w].lambda = lambdas[(w - 1) % LAMBDAS];
		s->ways[w].p = s->ways[w].lambda;
		s->ways[w].weight = s->ways[w].phi < SLOW_FROM ? 1 : SLOW_WEIGHT;
	}
	s->ways[0].weight = NONE_WEIGHT;
	*ret = s;
	return 0;
}

Shift *shift_free(Shift *s)
{
	free(s);
	return NULL;
}

Shift *shift_copy(const Shift *s)
{
	Shift *copy = malloc(sizeof(*copy));
	if (copy)
		*copy = *s;
	return copy;
}

void shift_assign(Shift *to, const Shift *from)
{
	*to = *from;
}

static size_t value_column(const Shift *s)
{
	return s->regressors;
}

static size_t step_column(const Shift *s)
{
	return s->regressors + 1;
}

/* One value of every column through one filter. */
static void filter(Way *w, const double *row, size_t columns)
{
	double f = w->p + 1, gain = w->p / f, fresh[COLUMNS];
	for (size_t c = 0; c < columns; c++) {
		fresh[c] = row[c] - w->slow[c];
		w->slow[c] = w->phi * (w->slow[c] + gain * fresh[c]);
	}
	for (size_t a = 0; a < columns; a++) {
		double scaled = fresh[a] / f;
		for (size_t b = 0; b <= a; b++)
			w->sum[a][b] += scaled * fresh[b];
	}
	if (f != w->f) { /* it settles, and then the logarithm is the same */
		w->f = f;
		w->log = log(f);
	}
	w->log_f += w->log;
	w->p = w->phi * w->phi * gain + w->lambda * (1 - w->phi * w->phi);
}

void shift_expect(Shift *s, double variance, double worth)
{
	s->prior_n = worth;
	s->prior_squares = worth * variance;
}

void shift_begin(Shift *s)
{
	s->begun = true;
}

void shift_add(Shift *s, double value, const double *covariates)
{
	double row[COLUMNS] = {0};
	row[0] = 1;
	for (size_t i = 1; i < s->regressors; i++)
		row[i] = covariates[i - 1];
	row[value_column(s)] = value;
	row[step_column(s)] = s->begun ? 1 : 0;
	for (size_t w = 0; w < WAYS; w++)
		filter(&s->ways[w], row, step_column(s) + s->begun);
	s->n++;
	s->n_since += s->begun;
}

void shift_gap(Shift *s, double steps)
{
	if (!(steps > 0))
		return;
	for (size_t i = 1; i < WAYS; i++) {
		Way *w = &s->ways[i];
		double left = pow(w->phi, steps);
		for (size_t c = 0; c < COLUMNS; c++)
			w->slow[c] *= left;
		w->p = left * left * w->p + w->lambda * (1 - left * left);
	}
}

/* What one way says once level and covariates are integrated out: the logarithm of the likelihood
 * is base - half * log(squares), where the squares are those of the value less any step. */
typedef struct Told {
	double base, vv, vs, ss;
} Told;

static bool tell(const Shift *s, const Way *w, Told *ret)
{
	double m[COLUMNS][COLUMNS], log_det = 0;
	size_t v = value_column(s), step = step_column(s);
	memcpy(m, w->sum, sizeof(m));
	for (size_t p = 0; p < s->regressors; p++) {
		if (!(m[p][p] > 1e-12))
			return false; /* a covariate that says nothing */
		log_det += log(m[p][p]);
		for (size_t a = p + 1; a <= step; a++) {
			double by = m[a][p] / m[p][p];
			for (size_t b = p + 1; b <= a; b++)
				m[a][b] -= by * m[b][p];
		}
	}
	*ret = (Told){.base = -0.5 * w->log_f - 0.5 * log_det,
		      .vv = m[v][v] + s->prior_squares,
		      .vs = m[step][v],
		      .ss = m[step][step]};
	return ret->vv > 0;
}

static double half(const Shift *s)
{
	return 0.5 * ((double)s->n + s->prior_n - (double)s->regressors);
}

/* The squares of the value less a step of `null`. */
static double squares(const Told *t, double null)
{
	double q = t->vv - 2 * null * t->vs + null * null * t->ss;
	return fmax(q, 1e-300);
}

/* What all ways say at one time. */
typedef struct Table {
	Told told[WAYS];
	bool fits[WAYS];
} Table;

static void tabulate(const Shift *s, Table *t)
{
	for (size_t w = 0; w < WAYS; w++)
		t->fits[w] = tell(s, &s->ways[w], &t->told[w]);
}

static double likelihood(double l)
{
	return l > -NEGLIGIBLE ? exp(l) : 0;
}

/* The average over the sizes of the step, in the likelihood of the best way without. Where even the
 * size that fits best adds next to nothing the logarithms are saved. */
static double of_step(const Shift *s, const Told *t, const ShiftAsk *a, double best)
{
	double q = squares(t, a->null), along = t->vs - a->null * t->ss, sum = 0;
	if (!(t->ss > 0))
		return 0;
	double least = fmax(q - along * along / t->ss, 1e-300);
	if (t->base - half(s) * log(least) < best - NEGLIGIBLE)
		return 0;
	for (size_t i = 0; i < a->n_sizes; i++) {
		double d = a->down ? -a->sizes[i] : a->sizes[i];
		double left = fmax(q - 2 * d * along + d * d * t->ss, 1e-300);
		sum += likelihood(t->base - half(s) * log(left) - best);
	}
	return sum / (double)a->n_sizes;
}

static double evidence(const Shift *s, const Table *t, const ShiftAsk *a)
{
	double likely[WAYS], best = -(double)INFINITY, with = 0, without = 0;
	for (size_t w = 0; w < WAYS; w++) {
		const Told *told = &t->told[w];
		likely[w] = -(double)INFINITY;
		if (t->fits[w])
			likely[w] = told->base - half(s) * log(squares(told, a->null));
		best = fmax(best, likely[w]);
	}
	if (!isfinite(best) || half(s) < 1)
		return 0;
	for (size_t w = 0; w < WAYS; w++) {
		if (!t->fits[w])
			continue;
		without += s->ways[w].weight * likelihood(likely[w] - best);
		with += s->ways[w].weight * of_step(s, &t->told[w], a, best);
	}
	return log(fmax(with / without, 1e-300));
}

double shift_evidence(const Shift *s, const ShiftAsk *a)
{
	if (s->n_since == 0)
		return 0;
	Table t;
	tabulate(s, &t);
	return evidence(s, &t, a);
}

static double estimate(const Shift *s, const Table *t)
{
	double best = -(double)INFINITY, at = (double)NAN;
	for (size_t w = 0; w < WAYS; w++) {
		const Told *told = &t->told[w];
		if (!t->fits[w] || !(told->ss > 0))
			continue;
		double peak = told->vs / told->ss;
		double l = told->base - half(s) * log(squares(told, peak));
		if (l > best) {
			best = l;
			at = peak;
		}
	}
	return at;
}

double shift_estimate(const Shift *s)
{
	if (s->n_since == 0)
		return (double)NAN;
	Table t;
	tabulate(s, &t);
	return estimate(s, &t);
}

/* The evidence against a null grows with its distance from the estimate. */
double shift_bound(const Shift *s, const ShiftAsk *a, double log_evidence)
{
	double none = a->down ? (double)INFINITY : -(double)INFINITY;
	if (s->n_since == 0)
		return none;
	Table t;
	tabulate(s, &t);
	ShiftAsk ask = *a;
	double near = estimate(s, &t), away = 1e-3;
	if (!isfinite(near))
		return none;
	double sign = a->down ? 1 : -1;
	for (;; away *= 2) {
		ask.null = near + sign * away;
		if (evidence(s, &t, &ask) >= log_evidence)
			break;
		if (away > 1e3)
			return none;
	}
	double lo = 0, hi = away;
	for (int i = 0; i < BISECTIONS && hi - lo > 1e-6 * hi; i++) {
		double mid = (lo + hi) / 2;
		ask.null = near + sign * mid;
		if (evidence(s, &t, &ask) >= log_evidence)
			hi = mid;
		else
			lo = mid;
	}
	return near + sign * hi;
}

/* Averages over the ways, each by how well it explains the basis alone. */
void shift_basis(const Shift *s, double *ret_mean_variance, double *ret_value_variance)
{
	Table t;
	tabulate(s, &t);
	double best = -(double)INFINITY, total = 0, precision = 0, value = 0;
	for (size_t w = 0; w < WAYS; w++)
		if (t.fits[w])
			best = fmax(best, t.told[w].base - half(s) * log(t.told[w].vv));
	for (size_t w = 0; w < WAYS && isfinite(best); w++) {
		if (!t.fits[w])
			continue;
		double weight =
		    s->ways[w].weight * exp(t.told[w].base - half(s) * log(t.told[w].vv) - best);
		double noise = t.told[w].vv / (2 * half(s));
		total += weight;
		precision += weight * s->ways[w].sum[0][0] / noise;
		value += weight * noise * (1 + s->ways[w].lambda);
	}
	*ret_mean_variance = total > 0 ? total / precision : (double)NAN;
	*ret_value_variance = total > 0 ? value / total : (double)NAN;
}
