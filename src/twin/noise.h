#pragma once
/* How fast the box is now, as a factor on its speed: the luck of this start, the slow drift of the
 * box, and a jitter that one second hands to the next. */
#include "base/rng.h"
#include "twin/box.h"

enum {
	NOISE_TICK_US = 1000000,
};

typedef struct Noise {
	const NoiseSpec *spec;
	Rng rng;
	double trial;  /* fixed for one start */
	double jitter; /* in deviations */
	int64_t at_us; /* where on the box's drift time 0 of the trial lies */
} Noise;

Noise noise_start(const NoiseSpec *spec, uint64_t seed, int64_t drift_at_us);
/* Moves the jitter on by one tick and gives the factor at this time of the trial. */
double noise_tick(Noise *n, int64_t now_us);
/* The drift alone, in deviations: a smooth curve with correlation over `drift_us`, the same for
 * every caller. */
double noise_drift(const NoiseSpec *spec, int64_t at_us);
