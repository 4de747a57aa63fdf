#pragma once
/* The figures of production as a rollout compares them: as they were before the first change, and
 * as they are now, with judges for each. Pure: the caller brings samples and time. Inside this
 * folder and its tests. */
#include "base/str.h"
#include "config/config.h"
#include "rollout/machine.h"
#include "watch/watch.h"

enum {
	FIGURES_MAX = 64,
	/* A watch has so many samples at the coarse spacing at least, or that one is not used. */
	COARSE_SAMPLES_MIN = 1000,
};

/* Samples of one figure from before the change, all about as far apart: what is further apart
 * resembles its neighbour less, so two spacings are never mixed. */
typedef struct Before {
	JudgeSample *list;
	size_t n, cap;
} Before;

/* One figure of one service. */
typedef struct Figure {
	char *service, *metric;
	Before close;  /* spaced as a watch asks */
	Before coarse; /* spaced as production is asked between rollouts; empty: not known */
	int64_t coarse_every_us;

	Judge *judge;	  /* against `close`; NULL: not begun */
	Judge *slow;	  /* against `coarse`; NULL: not asked */
	double close_us;  /* how long `close` lasted: with `slow` there, `judge` ends after it */
	size_t n_seen;	  /* samples that had counted when it was looked at last */
	int64_t began_us; /* the first sample of the watch; 0: none yet */
	int64_t slow_us;  /* the last one that `slow` was given */
} Figure;

typedef struct Figures {
	Figure list[FIGURES_MAX];
	size_t n;
} Figures;

/* NULL: it is not there, and was not to be added or could not be. */
Figure *figures_find(Figures *f, const char *service, const char *metric, bool add);
/* One more from before; those beyond a bound are left out. -ENOMEM. */
int before_add(Before *b, const JudgeSample *s) _must_check_;
/* Of samples in the order of their time those that are about `every_us` apart: closer ones are left
 * out, and the first after a longer gap. In place; how many are left. */
size_t samples_spaced(JudgeSample *list, size_t n, int64_t every_us);
void figures_forget(Figures *f); /* what was before */

/* Is this watch the one before, for want of a verdict or because a person says so? Nothing of
 * production was touched in between. */
bool figures_go_on(const Machine *m);
/* The judges begin, for a watch of that length. With `go_on` those that are there go on, with what
 * they have seen and what is left of their error rate: looking once more at what did not change is
 * one more look of the same watch. */
int figures_judge(Figures *f, const RolloutConfig *c, int64_t for_us, bool go_on,
		  Err *err) _must_check_;
/* One more of the watch. The judge that finds it worse; NULL: none, or none was begun. */
const Judge *figure_add(Figure *g, const JudgeSample *s);
/* What all of them say together, with their words: the least good word counts. A figure without a
 * sample since figures_judge() says nothing, whatever was seen before. */
MachineEvent figures_verdict(const Figures *f, Str *words);
void figures_stop(Figures *f); /* the judges */
void figures_done(Figures *f);
