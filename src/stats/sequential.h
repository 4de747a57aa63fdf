#pragma once
/* Has the level of a series shifted, since a moment that is known, by more than is allowed? Asked
 * as often as one likes, of values that resemble their neighbours in a way that is not known.
 *
 * A value is: a level, what covariates explain, a slow part (its next value is phi times this one
 * and something new) and noise. Nobody knows how slow the slow part is and how large: a fixed list
 * of ways is carried along, one Kalman filter each, and level, covariates and scale are integrated
 * out. The evidence for a shift is the likelihood of what was seen with one, averaged over all ways
 * and some sizes, in that without, averaged over all ways too. So each way counts by how well it
 * explains the basis: a drift that the series had before makes the evidence slow instead of wrong.
 * Over series drawn from the list the ratio ever exceeds 1/alpha with a probability of at most
 * alpha (Ville's inequality), however often it is looked at; for a single kind of series that is
 * measured (docs/judge.md).
 *
 * Constant memory (about 15 kB), constant time for a value (about 1 us) and for a question. */
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

enum {
	SHIFT_COVARIATES_MAX = 2,
	SHIFT_SIZES_MAX = 12,
};

typedef struct Shift Shift;

int shift_new(size_t covariates, Shift **ret) __attribute__((warn_unused_result)); /* -ENOMEM */
Shift *shift_free(Shift *s); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Shift *, shift_free)
Shift *shift_copy(const Shift *s); /* NULL: out of memory */
void shift_assign(Shift *to, const Shift *from);

/* The noise's variance is known to be about this, as if `worth` values had shown it. Before the
 * first value. Without it nothing is known. */
void shift_expect(Shift *s, double variance, double worth);
/* The next value, with its covariates. Both finite. */
void shift_add(Shift *s, double value, const double *covariates);
/* So many steps passed without a value (not whole ones; 0 or less: none). */
void shift_gap(Shift *s, double steps);
/* From the next value on the level may have shifted. Once; values before are the basis. */
void shift_begin(Shift *s);

typedef struct ShiftAsk {
	double null;	     /* the largest shift that is allowed, or, downward, the smallest */
	bool down;	     /* evidence that the shift is less than `null`; else that it is more */
	const double *sizes; /* how far beyond `null` it may be, each > 0 */
	size_t n_sizes;
} ShiftAsk;

/* The logarithm of the evidence. 0 before there is any value since the beginning. */
double shift_evidence(const Shift *s, const ShiftAsk *a);
/* The end of the interval of the shift at which the evidence is `log_evidence`: the lower one of
 * ask.down == false, the upper one of ask.down == true; infinite while there is none. ask.null is
 * not looked at. */
double shift_bound(const Shift *s, const ShiftAsk *a, double log_evidence);
/* By the way that fits best. NAN before the beginning. */
double shift_estimate(const Shift *s);

/* What the basis is worth: the variance of its mean, and that of a value of it. */
void shift_basis(const Shift *s, double *ret_mean_variance, double *ret_value_variance);
