#pragma once
/* Simulated production, for the judge: latencies that resemble their neighbours, drift, and follow
 * the load of the day. Everything follows from the seed. */
#include "base/rng.h"
#include "watch/judge.h"

enum {
	SERIES_DAY = 2880, /* samples: one every 30 s */
	SERIES_INTERVAL_US = 30 * 1000 * 1000,
};

/* What is no AR(1) of logarithms. */
typedef enum SeriesOdd {
	ODD_NONE,
	ODD_HEAVY,     /* Student's t with three degrees of freedom */
	ODD_TWO_KINDS, /* one request in seven takes four times as long, and they come in bunches */
	ODD_ROUNDED,   /* whole milliseconds, about eight */
	ODD_PERIODIC,  /* every seventh takes twice as long */
	ODD_OUTLIERS,  /* one in a hundred takes twenty times as long */
	ODD_TWO_SPEEDS,	 /* a second resemblance, over twenty samples */
	ODD_REGIMES,	 /* a tenth up or down, changing every 500 samples or so */
	ODD_LONG_REGIMES /* every 3000: longer than the baseline */
} SeriesOdd;

typedef struct SeriesSpec {
	SeriesOdd odd;
	double rho;	  /* lag-1 correlation of the logarithms */
	double sigma;	  /* their standard deviation: 0.25 */
	double drift_phi; /* of a second, slow AR(1) on the logarithms; 0: none */
	double drift_sd;
	double white_sd; /* more noise, of the measurement */
	bool daily;	 /* the load follows a sine of the day, and the latency the load */
	bool unknown;	 /* the load is not told */
	int64_t day;	 /* samples; 0: SERIES_DAY */
} SeriesSpec;

typedef struct Series {
	SeriesSpec spec;
	Rng rng;
	double fast, slow, phase, second;
	bool up;
	int64_t t;
} Series;

Series series_start(const SeriesSpec *spec, uint64_t seed, uint64_t number);
/* The next sample, its latency e^shift times what it would have been. */
JudgeSample series_next(Series *s, double shift);
void series_skip(Series *s, size_t n);

/* One rollout as the judge sees it: a baseline, a gap, a watch of which every latency is e^shift
 * times as large. */
typedef struct Play {
	SeriesSpec series;
	JudgeSpec judge;
	size_t n_baseline, n_gap, n_watch;
	size_t n_before; /* samples of the watch before it shifts */
	double shift;
	bool stop_at_harmless; /* "no worse" ends it too */
} Play;

typedef struct Played {
	JudgeVerdict ended; /* "worse" if it was ever said, else the last */
	size_t worse_at;    /* samples of the watch; 0: never */
	size_t harmless_at; /* "no worse" or "better" the first time; 0: never */
	double n_effective;
} Played;

/* `baseline` and `watch` are room for as many samples; filled for whoever else wants to judge.
 * -ENOMEM. */
int play(const Play *p, uint64_t seed, uint64_t number, JudgeSample *baseline, JudgeSample *watch,
	 Played *ret);

/* The upper end of the one-sided 99 % interval of a rate, k of n (Clopper and Pearson). */
double rate_bound(size_t k, size_t n);
