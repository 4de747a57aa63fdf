#include "series.h"

#include <math.h>

#include "stats/stats.h"

Series series_start(const SeriesSpec *spec, uint64_t seed, uint64_t number)
{
	Series s = {.spec = *spec, .rng = rng_derive(seed, "production", number)};
	s.fast = rng_normal(&s.rng);
	s.slow = rng_normal(&s.rng);
	s.phase = 2 * M_PI * rng_unit(&s.rng);
	return s;
}

static double ar(Rng *rng, double phi, double before)
{
	return phi * before + sqrt(1 - phi * phi) * rng_normal(rng);
}

/* Load: a factor of 2.7 between night and noon, and a tenth of noise. Latency: that of a queue
 * whose server is half used at noon. */
static double at_load(Series *s, double *ret_load)
{
	if (!s->spec.daily) {
		*ret_load = (double)NAN;
		return 0;
	}
	double day = s->spec.day ? (double)s->spec.day : SERIES_DAY;
	double log_load =
	    0.5 * sin(s->phase + 2 * M_PI * (double)s->t / day) + 0.1 * rng_normal(&s->rng);
	double used = 0.5 * exp(log_load - 0.5);
	*ret_load = s->spec.unknown ? (double)NAN : 10 * exp(log_load);
	return -log(1 - fmin(used, 0.9));
}

static double regime(Series *s, double length)
{
	if (rng_unit(&s->rng) < 1 / length)
		s->up = !s->up;
	return s->up ? 0.1 : -0.1;
}

/* What is added to the logarithm. */
static double odd(Series *s)
{
	switch (s->spec.odd) {
	case ODD_NONE:
	case ODD_ROUNDED:
		return 0;
	case ODD_HEAVY:
		return 0.8 * s->spec.sigma * s->fast / sqrt(rng_gamma(&s->rng, 1.5) / 1.5);
	case ODD_TWO_KINDS:
		if (rng_unit(&s->rng) < (s->up ? 0.2 : 0.035))
			s->up = !s->up;
		return s->up ? log(4) : 0;
	case ODD_PERIODIC:
		return s->t % 7 == 0 ? log(2) : 0;
	case ODD_OUTLIERS:
		return rng_unit(&s->rng) < 0.01 ? log(20) : 0;
	case ODD_TWO_SPEEDS:
		s->second = ar(&s->rng, 0.95, s->second);
		return 0.15 * s->second;
	case ODD_REGIMES:
		return regime(s, 500);
	case ODD_LONG_REGIMES:
		return regime(s, 3000);
	}
	return 0;
}

JudgeSample series_next(Series *s, double shift)
{
	double load, log_value = log(100) + shift + at_load(s, &load);
	s->fast = ar(&s->rng, s->spec.rho, s->fast);
	log_value += s->spec.odd == ODD_HEAVY ? 0 : s->spec.sigma * s->fast;
	if (s->spec.odd != ODD_NONE)
		log_value += odd(s);
	if (s->spec.drift_phi > 0) {
		s->slow = ar(&s->rng, s->spec.drift_phi, s->slow);
		log_value += s->spec.drift_sd * s->slow;
	}
	if (s->spec.white_sd > 0)
		log_value += s->spec.white_sd * rng_normal(&s->rng);
	s->t++;
	double value = exp(log_value);
	if (s->spec.odd == ODD_ROUNDED)
		value = fmax(1, round(0.08 * value));
	return (JudgeSample){.at_us = s->t * SERIES_INTERVAL_US, .value = value, .load = load};
}

void series_skip(Series *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)series_next(s, 0);
}

int play(const Play *p, uint64_t seed, uint64_t number, JudgeSample *baseline, JudgeSample *watch,
	 Played *ret)
{
	Series s = series_start(&p->series, seed, number);
	_cleanup_(judge_freep) Judge *j = NULL;
	*ret = (Played){0};
	for (size_t i = 0; i < p->n_baseline; i++)
		baseline[i] = series_next(&s, 0);
	series_skip(&s, p->n_gap);
	for (size_t i = 0; i < p->n_watch; i++)
		watch[i] = series_next(&s, i < p->n_before ? 0 : p->shift);
	int e = judge_new(&p->judge, baseline, p->n_baseline, &j, NULL);
	for (size_t i = 0; e >= 0 && i < p->n_watch; i++) {
		e = judge_add(j, &watch[i]);
		ret->ended = judge_verdict(j);
		if (ret->ended == JUDGE_WORSE) {
			ret->worse_at = i + 1;
			break;
		}
		if (ret->ended != JUDGE_INCONCLUSIVE && ret->harmless_at == 0)
			ret->harmless_at = i + 1;
		if (ret->harmless_at > 0 && p->stop_at_harmless)
			break;
	}
	return e;
}

double rate_bound(size_t k, size_t n)
{
	double lo = 0, hi = 1;
	for (int i = 0; i < 60 && k < n; i++) {
		double mid = (lo + hi) / 2;
		if (stats_beta_cdf(mid, (double)k + 1, (double)(n - k)) < 0.99)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}
