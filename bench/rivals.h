#pragma once
/* What others do to decide that a release is worse, for the table beside our judge. Each gives the
 * number of samples of the watch after which it says so, 0: never. */
#include "watch/judge.h"

typedef struct Rivals {
	const JudgeSample *baseline, *watch;
	size_t n_baseline, n_watch;
	double *scratch; /* room for n_baseline and for RIVALS_PAIRS */
} Rivals;

enum {
	RIVALS_WINDOW = 60, /* Kayenta's: that many newest samples on either side */
	RIVALS_BLOCK = 30,  /* of the threshold's means */
	RIVALS_PAIRS = RIVALS_WINDOW * RIVALS_WINDOW,
};

/* Mann and Whitney's rank test, one-sided at `alpha`, of all of the watch so far, each value
 * divided by 1 + margin, after every sample from the twentieth on. */
size_t rival_mann_whitney(const Rivals *r, double alpha, double margin);
/* The mean of a block is more than three standard deviations of such means above the baseline's:
 * once is enough, as in Argo Rollouts without a failureLimit. */
size_t rival_threshold(const Rivals *r);
/* Kayenta's judge after each window: the lower end of the 98 % interval of Hodges and Lehmann's
 * shift above a quarter of its estimate, and a larger mean. */
size_t rival_kayenta(const Rivals *r);
