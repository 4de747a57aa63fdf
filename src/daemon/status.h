#pragma once
/* What production runs, what is going on, what waits for whom, as dream.status/v1. From the store
 * and the helper alone, so that it can be said while the daemon is down; the daemon adds what only
 * it knows. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"
#include "store/store.h"

typedef struct StatusSource {
	const Plan *plan;      /* NULL: none */
	Store *store;	       /* NULL: none, or it cannot be opened */
	const char *state_dir; /* beside the store */
	const char *pinned_key_hex;
	const json_t *helper; /* its answer to "status"; NULL: it was not asked */
	int64_t now_us;
} StatusSource;

/* {schema, at_us, production, waiting, paused, alerts, problems}. What cannot be read is one of the
 * problems, not an error. New object; NULL: out of memory. */
json_t *status_json(const StatusSource *s);

/* Promotions that are not rejected, not too old, and were not rolled out yet, newest first:
 * [{id, experiment, changes, at_us, approval, decision, policy}]. `decision` is null, or {by,
 * reason, at_us, expires_at_us} of an approval that still holds; `policy` the sentence why it was
 * not approved by policy, or null. */
int promotions_waiting(Store *s, const Plan *plan, const char *pinned_key_hex, int64_t now_us,
		       json_t **ret, Err *err) _must_check_;
