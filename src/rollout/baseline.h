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
/* The newest; version 0 when there is none. A record whose signature does not fit is -EBADMSG. */
int baseline_current(Store *s, const char *pinned_key_hex, Baseline *ret, Err *err) _must_check_;
int baseline_version(Store *s, const char *pinned_key_hex, int64_t version, Baseline *ret,
		     Err *err) _must_check_; /* -ENOENT */
typedef int BaselineFn(void *ctx, const Baseline *b);
int baseline_walk(Store *s, const char *pinned_key_hex, BaselineFn *fn, void *ctx,
		  Err *err) _must_check_; /* oldest first */
/* Appends one; `version`, `at_us` and `digest` are filled in. */
int baseline_append(Store *s, const SignKey *key, Baseline *b, Err *err) _must_check_;

/* One line for each value that is not as the version says. `real`: {unit: {parameter: text}}, null
 * where nothing runs. Pure; new array of texts, empty: no drift. */
json_t *baseline_drift(const Baseline *b, const json_t *real);
