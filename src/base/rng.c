#include "base/rng.h"

#include <math.h>

/* The label by FNV-1a; then each of the three parts goes through a whole SplitMix64 step, so that
 * neighbouring seeds and numbers give unrelated streams. */
Rng rng_derive(uint64_t seed, const char *label, uint64_t n)
{
	uint64_t name = UINT64_C(0xcbf29ce484222325);
	for (const char *p = label; *p; p++)
		name = (name ^ (unsigned char)*p) * UINT64_C(0x100000001b3);

	Rng r = {seed};
	r.s = rng_u64(&r) ^ name;
	r.s = rng_u64(&r) ^ n;
	r.s = rng_u64(&r);
	return r;
}

/* Draws above the largest multiple of n are thrown away: the rest divides evenly. */
uint64_t rng_below(Rng *r, uint64_t n)
{
	uint64_t skip = -n % n;
	uint64_t x;
	do
		x = rng_u64(r);
	while (x < skip);
	return x % n;
}

/* Box-Muller. The second value is not kept: a stream's state is its counter alone. */
double rng_normal(Rng *r)
{
	double u = 1 - rng_unit(r);
	double angle = 2 * M_PI * rng_unit(r);
	return sqrt(-2 * log(u)) * cos(angle);
}

double rng_exponential(Rng *r)
{
	return -log(1 - rng_unit(r));
}

/* Marsaglia and Tsang, "A simple method for generating gamma variables" (2000). */
static double gamma_from_one(Rng *r, double shape)
{
	double d = shape - 1.0 / 3;
	double c = 1 / sqrt(9 * d);
	for (;;) {
		double x = rng_normal(r);
		double t = 1 + c * x;
		if (t <= 0)
			continue;
		double v = t * t * t;
		double u = 1 - rng_unit(r);
		if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
			return d * v;
	}
}

double rng_gamma(Rng *r, double shape)
{
	if (shape >= 1)
		return gamma_from_one(r, shape);
	double u = 1 - rng_unit(r);
	return gamma_from_one(r, shape + 1) * pow(u, 1 / shape);
}

double rng_lognormal(Rng *r, double median, double sigma)
{
	return median * exp(sigma * rng_normal(r));
}
