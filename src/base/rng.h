#pragma once
/* A seeded stream (SplitMix64). Nothing else in the program makes randomness that decides anything.
 * The same seed gives the same numbers on every compiler and build. */
#include <stddef.h>
#include <stdint.h>

typedef struct Rng {
	uint64_t s;
} Rng;

static inline uint64_t rng_u64(Rng *r)
{
	uint64_t z = (r->s += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* In [0, 1). */
static inline double rng_unit(Rng *r)
{
	return (double)(rng_u64(r) >> 11) * 0x1.0p-53;
}

/* An independent stream for purpose `label` (a short constant text) and number `n`: what one part
 * draws never shifts what another part sees. */
Rng rng_derive(uint64_t seed, const char *label, uint64_t n);

uint64_t rng_below(Rng *r, uint64_t n); /* uniform in [0, n), without bias; n > 0 */
double rng_normal(Rng *r);		/* mean 0, deviation 1 */
double rng_exponential(Rng *r);		/* mean 1 */
double rng_gamma(Rng *r, double shape); /* mean `shape`, scale 1; shape > 0 */
double rng_lognormal(Rng *r, double median, double sigma);
