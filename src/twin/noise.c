#include "twin/noise.h"

#include <math.h>

Noise noise_start(const NoiseSpec *spec, uint64_t seed, int64_t drift_at_us)
{
	Noise n = {.spec = spec, .rng = rng_derive(seed, "twin noise", 0), .at_us = drift_at_us};
	n.trial = exp(spec->trial_pct / 100 * rng_normal(&n.rng));
	n.jitter = rng_normal(&n.rng);
	return n;
}

/* One normal number for each knot of the curve, from its number alone: any time can be asked for in
 * any order. */
static double knot(const NoiseSpec *spec, int64_t number)
{
	Rng rng = rng_derive((uint64_t)spec->seed, "twin drift", (uint64_t)number);
	return rng_normal(&rng);
}

double noise_drift(const NoiseSpec *spec, int64_t at_us)
{
	int64_t number = at_us / spec->drift_us - (at_us % spec->drift_us < 0);
	double part = (double)(at_us - number * spec->drift_us) / (double)spec->drift_us;
	/* Weights on a quarter circle keep the deviation the same between knots as at them. */
	double turn = part * M_PI / 2;
	return cos(turn) * knot(spec, number) + sin(turn) * knot(spec, number + 1);
}

double noise_tick(Noise *n, int64_t now_us)
{
	const NoiseSpec *s = n->spec;
	double rho = s->jitter_correlation;
	double factor = n->trial * exp(s->drift_pct / 100 * noise_drift(s, n->at_us + now_us) +
				       s->jitter_pct / 100 * n->jitter);
	n->jitter = rho * n->jitter + sqrt(1 - rho * rho) * rng_normal(&n->rng);
	return factor;
}
