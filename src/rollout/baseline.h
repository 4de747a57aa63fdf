#pragma once
/* What production should run: append-only, signed versions in the store. A rollback is a new
 * version. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

typedef struct Baseline {
	int64_t version; /* from 1; 0: there is none */
	int64_t at_us;
	char generation[17];
	json_t *params; /* {parameter: text}: what it decides */
	json_t *values; /* {unit: {parameter: text}}, as in the generation */
	char why[24];	/* "adopted", "rollout", "rollback", "accepted" */
	char promotion[64], by[64], reason[240];
	int64_t of_version; /* of a rollback: the version whose values these are; 0 */
	char digest[65];    /* of the record */
} Baseline;

void baseline_done(Baseline *b);
/* The newest; version 0 when there is none. A record whose signature does not fit, or that does not
 * follow the one before (an old one put there again), is -EBADMSG. */
int baseline_current(Store *s, const char *pinned_key_hex, Baseline *ret, Err *err) _must_check_;
int baseline_version(Store *s, const char *pinned_key_hex, int64_t version, Baseline *ret,
		     Err *err) _must_check_; /* -ENOENT */
typedef int BaselineFn(void *ctx, const Baseline *b);
int baseline_walk(Store *s, const char *pinned_key_hex, BaselineFn *fn, void *ctx,
		  Err *err) _must_check_; /* oldest first */
/* Appends one; `version`, `at_us` and `digest` are filled in, and `params` from `values` where it
 * is NULL. */
int baseline_append(Store *s, const SignKey *key, Baseline *b, Err *err) _must_check_;

/* The first version, from what runs: the helper's answer to "status". Pure; *ret has no version
 * yet. -ENODATA: no unit is adopted, or there is no generation; -EBUSY: a change is open. */
int baseline_from_helper_status(const json_t *status, Baseline *ret, Err *err) _must_check_;
/* The current version; where there is none yet and `status` (may be NULL) tells of adopted units,
 * their values become version 1. 1: it was just made. `ret` has version 0 when there is still none.
 */
int baseline_ensure(Store *s, const SignKey *key, const char *pinned_key_hex, const json_t *status,
		    const char *by, Baseline *ret, Err *err) _must_check_;
/* {parameter: text} of {unit: {parameter: text}}; of a parameter in several units the first. NULL:
 * out of memory. */
json_t *baseline_params_of(const json_t *values);
int baseline_copy(const Baseline *from, Baseline *ret) _must_check_; /* -ENOMEM */
json_t *baseline_json(const Baseline *b);			     /* NULL: out of memory */

/* A value of the space as production has it: 0.5, small, true. New string; NULL when it is none
 * (null, a list) or memory ran out. */
char *baseline_value_text(const json_t *v);
/* Numbers by value: 0.5 is 0.50; everything else letter by letter. */
bool baseline_value_same(const char *a, const char *b);

/* One line for each value that is not as the version says. `real`: {unit: {parameter: text}}, null
 * where nothing runs. Pure; new array of texts, empty: no drift. */
json_t *baseline_drift(const Baseline *b, const json_t *real);
