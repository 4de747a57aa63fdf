/* The tables of docs/judge.md: how often the judge is wrong, how long it takes, and what others do
 * on the same rollouts.
 *
 *   bench-judge [ROLLOUTS [SEED [TABLE [RHO]]]]
 *
 * TABLE is false, odd, edge, delay, later or harmless; all without it. RHO: only those rows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/watch/series.h"
#include "rivals.h"
#include "stats/stats.h"

enum {
	BASELINE = SERIES_DAY,
	BASELINE_SHORT = 600,
	BASELINE_LONG = 4 * SERIES_DAY,
	WATCH = 5000,
	GAP = SERIES_DAY / 3,
	/* Kayenta's judge takes a hundred times as long as ours. */
	KAYENTA_SHARE = 20,
	/* What is no promise is said of fewer. */
	EXTRA_SHARE = 5,
	RIVALS_DELAY = 1000,
};

static const double rhos[] = {0, .3, .5, .7, .9};

typedef struct Place {
	const char *name;
	double drift_phi;
	bool daily;
} Place;

static const Place places[] = {
    {"steady", 0, false},
    {"drift", .99, false},
    {"daily load", 0, true},
    {"drift, daily load", .99, true},
    {"slow drift", 1 - 0.01 / 30, false}, /* as slow as the baseline is long */
};
/* No promise: what a day shows too little of. */
static const Place more_places[] = {
    {"slow drift, daily load", 1 - 0.01 / 30, true},
    {"drift ten times as slow", 1 - 0.001 / 30, false},
};

typedef struct Table {
	size_t rollouts;
	uint64_t seed;
	double only; /* one correlation; NAN: all */
	JudgeSample *baseline, *watch;
	double *scratch;
	double *delays;
} Table;

static bool left_out(const Table *t, double rho)
{
	return !isnan(t->only) && t->only != rho;
}

static Play make(double rho, const Place *at, size_t baseline, double change)
{
	return (Play){
	    .series = {.rho = rho,
		       .sigma = 0.25,
		       .drift_phi = at->drift_phi,
		       .drift_sd = 0.10,
		       .white_sd = at->drift_phi > 0 ? 0.05 : 0,
		       .daily = at->daily},
	    .judge = JUDGE_SPEC_DEFAULT,
	    .n_baseline = baseline,
	    .n_gap = at->daily ? GAP : 0,
	    .n_watch = WATCH,
	    .shift = log1p(change),
	};
}

static Played once(const Table *t, const Play *p, size_t i)
{
	Played got;
	if (play(p, t->seed, i, t->baseline, t->watch, &got) < 0) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return got;
}

static Rivals rivals(const Table *t, const Play *p)
{
	return (Rivals){t->baseline, t->watch, p->n_baseline, p->n_watch, t->scratch};
}

static double percent(size_t k, size_t n)
{
	return 100.0 * (double)k / (double)n;
}

static void false_row(const Table *t, double rho, const Place *at, size_t baseline)
{
	if (left_out(t, rho))
		return;
	Play p = make(rho, at, baseline, 0);
	size_t ours = 0, harmless = 0, rank = 0, margin = 0, limit = 0, kayenta = 0;
	size_t fewer = t->rollouts / KAYENTA_SHARE ? t->rollouts / KAYENTA_SHARE : 1;
	for (size_t i = 0; i < t->rollouts; i++) {
		Played got = once(t, &p, i);
		Rivals r = rivals(t, &p);
		ours += got.worse_at > 0;
		harmless += got.harmless_at > 0;
		if (i >= fewer)
			continue;
		rank += rival_mann_whitney(&r, p.judge.alpha, 0) > 0;
		margin += rival_mann_whitney(&r, p.judge.alpha, p.judge.margin) > 0;
		limit += rival_threshold(&r) > 0;
		kayenta += rival_kayenta(&r) > 0;
	}
	double bound = 100 * rate_bound(ours, t->rollouts);
	printf("| %s | %.1f | %zu | **%.2f** (%.2f) | %s | %.0f | %.1f | %.1f | %.1f | %.1f |\n",
	       at->name, rho, baseline, percent(ours, t->rollouts), bound,
	       bound <= 100 * p.judge.alpha ? "yes" : "NO", percent(harmless, t->rollouts),
	       percent(rank, fewer), percent(margin, fewer), percent(limit, fewer),
	       percent(kayenta, fewer));
	(void)fflush(stdout);
}

static void false_table(const Table *t)
{
	printf("False \"worse\" in %% of rollouts that changed nothing (in brackets the one-sided "
	       "99 %% bound), alpha 1 %%, %zu rollouts a row, %d samples each, looked at after "
	       "every one.\n\n",
	       t->rollouts, WATCH);
	printf(
	    "| production | rho | baseline | dream | kept | called no worse | Mann-Whitney | the "
	    "same with margin | threshold | Kayenta |\n|---|---|---|---|---|---|---|---|---|---|"
	    "\n");
	for (size_t c = 0; c < sizeof(places) / sizeof(*places); c++)
		for (size_t r = 0; r < sizeof(rhos) / sizeof(*rhos); r++)
			false_row(t, rhos[r], &places[c], BASELINE);
	Table extra = *t;
	extra.rollouts = t->rollouts < EXTRA_SHARE ? 1 : t->rollouts / EXTRA_SHARE;
	for (size_t r = 0; r < sizeof(rhos) / sizeof(*rhos); r++)
		false_row(&extra, rhos[r], &places[0], BASELINE_SHORT);
	for (size_t c = 0; c < sizeof(more_places) / sizeof(*more_places); c++)
		for (size_t r = 0; r < sizeof(rhos) / sizeof(*rhos); r++)
			false_row(&extra, rhos[r], &more_places[c], BASELINE);
}

static void odd_table(const Table *t)
{
	static const char *const names[] = {
	    [ODD_HEAVY] = "heavy tails (Student's t, 3 degrees of freedom)",
	    [ODD_TWO_KINDS] = "one request in seven takes four times as long, in bunches",
	    [ODD_ROUNDED] = "whole milliseconds, about eight",
	    [ODD_PERIODIC] = "every seventh takes twice as long",
	    [ODD_OUTLIERS] = "one in a hundred takes twenty times as long",
	    [ODD_TWO_SPEEDS] = "two resemblances, over 2 and over 20 samples",
	    [ODD_REGIMES] = "regimes 20 % apart, of 500 samples on average",
	    [ODD_LONG_REGIMES] = "regimes 20 % apart, of 3000 samples on average",
	};
	if (left_out(t, .5))
		return;
	printf("\nOther productions that changed nothing, rho 0.5, baseline %d: \"worse\" and \"no "
	       "worse\" in %% of %zu rollouts.\n\n| production | \"worse\" (99 %% bound) | \"no "
	       "worse\" |\n|---|---|---|\n",
	       BASELINE, t->rollouts);
	for (int o = ODD_HEAVY; o <= ODD_LONG_REGIMES; o++) {
		Play p = make(.5, &places[0], BASELINE, 0);
		size_t worse = 0, harmless = 0;
		p.series.odd = (SeriesOdd)o;
		for (size_t i = 0; i < t->rollouts; i++) {
			Played got = once(t, &p, i);
			worse += got.worse_at > 0;
			harmless += got.harmless_at > 0;
		}
		printf("| %s | **%.2f** (%.2f) | %.0f |\n", names[o], percent(worse, t->rollouts),
		       100 * rate_bound(worse, t->rollouts), percent(harmless, t->rollouts));
		(void)fflush(stdout);
	}
}

static void edge_row(const Table *t, double rho, const Place *at, size_t baseline)
{
	if (left_out(t, rho))
		return;
	Play p = make(rho, at, baseline, JUDGE_SPEC_DEFAULT.margin);
	size_t worse = 0;
	for (size_t i = 0; i < t->rollouts; i++)
		worse += once(t, &p, i).worse_at > 0;
	double bound = 100 * rate_bound(worse, t->rollouts);
	printf("| %s | %.1f | %zu | **%.2f** (%.2f) | %s |\n", at->name, rho, baseline,
	       percent(worse, t->rollouts), bound, bound <= 100 * p.judge.alpha ? "yes" : "NO");
	(void)fflush(stdout);
}

static void edge_table(const Table *t)
{
	printf("\nThe hardest case that is still allowed: really 5 %% worse, which is the margin; "
	       "\"worse\" in %% of %zu rollouts.\n\n| production | rho | baseline | \"worse\" | "
	       "kept |\n|---|---|---|---|---|\n",
	       t->rollouts);
	for (size_t c = 0; c < sizeof(places) / sizeof(*places); c++)
		for (size_t r = 0; r < sizeof(rhos) / sizeof(*rhos); r++)
			edge_row(t, rhos[r], &places[c], BASELINE);
	for (size_t r = 0; r < sizeof(rhos) / sizeof(*rhos); r++)
		edge_row(t, rhos[r], &places[0], BASELINE_SHORT);
}

/* Never counts as longer than any. */
static double later(size_t at)
{
	return at > 0 ? (double)at : (double)INFINITY;
}

static void print_delay(double delay)
{
	if (isfinite(delay))
		printf(" %.0f |", delay);
	else
		printf(" never |");
}

/* The k-th of n in order, so that "never" stays what it is. */
static void print_delays(double *delays, size_t n)
{
	stats_sort(delays, n);
	print_delay(delays[n / 2]);
	print_delay(delays[n * 9 / 10]);
}

static void delay_row(const Table *t, double rho, const Place *at, size_t baseline, double change)
{
	if (left_out(t, rho))
		return;
	Play p = make(rho, at, baseline, change);
	for (size_t i = 0; i < t->rollouts; i++)
		t->delays[i] = later(once(t, &p, i).worse_at);
	printf("| %s | %.1f | %zu | +%.0f %% |", at->name, rho, baseline, 100 * change);
	print_delays(t->delays, t->rollouts);
	size_t n = t->rollouts < RIVALS_DELAY ? t->rollouts : RIVALS_DELAY;
	for (int which = 0; which < 3; which++) {
		for (size_t i = 0; i < n; i++) {
			(void)once(t, &p, i);
			Rivals r = rivals(t, &p);
			t->delays[i] = later(which == 0	  ? rival_mann_whitney(&r, p.judge.alpha, 0)
					     : which == 1 ? rival_threshold(&r)
							  : rival_kayenta(&r));
		}
		stats_sort(t->delays, n);
		print_delay(t->delays[n * 9 / 10]);
	}
	printf("\n");
	(void)fflush(stdout);
}

static void delay_table(const Table *t)
{
	static const double changes[] = {.10, .20, .50};
	printf("\nSamples until \"worse\" is said, median and 90th percentile of %zu rollouts "
	       "(never: not in %d samples); the 90th of the others, false alarms included.\n\n",
	       t->rollouts, WATCH);
	printf(
	    "| production | rho | baseline | change | median | p90 | Mann-Whitney p90 | threshold "
	    "p90 | Kayenta p90 |\n|---|---|---|---|---|---|---|---|---|\n");
	for (size_t r = 0; r < sizeof(rhos) / sizeof(*rhos); r++)
		for (size_t c = 0; c < sizeof(changes) / sizeof(*changes); c++)
			delay_row(t, rhos[r], &places[0], BASELINE, changes[c]);
	for (size_t b = 0; b < 2; b++)
		for (size_t c = 0; c < sizeof(changes) / sizeof(*changes); c++)
			delay_row(t, .5, &places[0], b ? BASELINE_LONG : BASELINE_SHORT,
				  changes[c]);
	for (size_t at = 1; at < sizeof(places) / sizeof(*places); at++)
		for (size_t c = 1; c < sizeof(changes) / sizeof(*changes); c++)
			delay_row(t, .5, &places[at], BASELINE, changes[c]);
}

static void later_row(const Table *t, double rho, size_t after, double change)
{
	if (left_out(t, rho))
		return;
	Play p = make(rho, &places[0], BASELINE, change);
	size_t early = 0;
	p.n_before = after;
	for (size_t i = 0; i < t->rollouts; i++) {
		Played got = once(t, &p, i);
		bool found = got.worse_at > after;
		early += got.worse_at > 0 && !found;
		t->delays[i] = later(found ? got.worse_at - after : 0);
	}
	printf("| %.1f | %zu | +%.0f %% |", rho, after, 100 * change);
	print_delays(t->delays, t->rollouts);
	printf(" %.2f |\n", percent(early, t->rollouts));
	(void)fflush(stdout);
}

static void later_table(const Table *t)
{
	static const size_t after[] = {200, 500, 1500};
	static const double changes[] = {.20, .40, 1};
	printf(
	    "\nWhat starts well and becomes worse in one step later: samples from the step until "
	    "\"worse\", %zu rollouts.\n\n| rho | good samples before | change | median | p90 | "
	    "said too early, %% |\n|---|---|---|---|---|---|\n",
	    t->rollouts);
	for (size_t a = 0; a < sizeof(after) / sizeof(*after); a++)
		for (size_t c = 0; c < sizeof(changes) / sizeof(*changes); c++)
			later_row(t, .5, after[a], changes[c]);
}

static void harmless_row(const Table *t, double rho, const Place *at, double change)
{
	if (left_out(t, rho))
		return;
	Play p = make(rho, at, BASELINE, change);
	size_t said = 0;
	p.stop_at_harmless = true;
	for (size_t i = 0; i < t->rollouts; i++) {
		Played got = once(t, &p, i);
		said += got.harmless_at > 0;
		t->delays[i] = later(got.harmless_at);
	}
	printf("| %s | %.1f | %+.0f %% | %.2f (%.2f) |", at->name, rho, 100 * change,
	       percent(said, t->rollouts), 100 * rate_bound(said, t->rollouts));
	print_delays(t->delays, t->rollouts);
	printf("\n");
	(void)fflush(stdout);
}

static void harmless_table(const Table *t)
{
	static const double changes[] = {-.10, 0, .05, .10};
	printf("\n\"No worse\" or \"better\" in %% of %zu rollouts, and samples until then. From "
	       "+5 %% on it is wrong.\n\n| production | rho | change | said (99 %% bound) | median "
	       "| p90 |\n|---|---|---|---|---|---|\n",
	       t->rollouts);
	for (size_t at = 0; at < sizeof(places) / sizeof(*places); at++)
		for (size_t r = 0; r < sizeof(rhos) / sizeof(*rhos); r += 2)
			for (size_t c = 0; c < sizeof(changes) / sizeof(*changes); c++)
				harmless_row(t, rhos[r], &places[at], changes[c]);
}

int main(int argc, char **argv)
{
	size_t room = (size_t)BASELINE_LONG + RIVALS_PAIRS;
	Table t = {.rollouts = argc > 1 ? strtoul(argv[1], NULL, 10) : 200,
		   .seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
		   .only = argc > 4 ? strtod(argv[4], NULL) : (double)NAN};
	const char *only = argc > 3 ? argv[3] : "";
	if (t.rollouts < 10 || t.rollouts > 10000000) {
		fprintf(stderr, "usage: %s [ROLLOUTS [SEED [TABLE [RHO]]]]\n", argv[0]);
		return 2;
	}
	_cleanup_free_ JudgeSample *baseline = calloc(BASELINE_LONG, sizeof(*baseline));
	_cleanup_free_ JudgeSample *watch = calloc(WATCH, sizeof(*watch));
	_cleanup_free_ double *scratch = calloc(room, sizeof(*scratch));
	_cleanup_free_ double *delays = calloc(t.rollouts, sizeof(*delays));
	if (!baseline || !watch || !scratch || !delays)
		return 1;
	t.baseline = baseline;
	t.watch = watch;
	t.scratch = scratch;
	t.delays = delays;
	if (!*only || strcmp(only, "false") == 0)
		false_table(&t);
	if (!*only || strcmp(only, "odd") == 0)
		odd_table(&t);
	if (!*only || strcmp(only, "edge") == 0)
		edge_table(&t);
	if (!*only || strcmp(only, "delay") == 0)
		delay_table(&t);
	if (!*only || strcmp(only, "later") == 0)
		later_table(&t);
	if (!*only || strcmp(only, "harmless") == 0)
		harmless_table(&t);
	return 0;
}
