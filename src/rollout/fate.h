#pragma once
/* What became of promotions: derived from the records of decisions and rollouts. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "rollout/approval.h"
#include "rollout/validate.h"
#include "store/store.h"

typedef enum PromotionState {
	PROMOTION_PROPOSED,
	PROMOTION_APPROVED,
	PROMOTION_REJECTED,
	PROMOTION_REFUSED, /* by validation, or ended before production was touched */
	PROMOTION_ROLLING_OUT,
	PROMOTION_COMMITTED,
	PROMOTION_PARTIALLY_COMMITTED,
	PROMOTION_ROLLED_BACK,
	PROMOTION_STUCK, /* undo failed too */
	PROMOTION_STATE_MAX_,
} PromotionState;

const char *promotion_state_name(PromotionState s); /* "rolling_out" */

typedef struct Fate {
	char promotion[64];
	PromotionState state; /* as the newest record says */
	bool decided;
	Approval decision; /* the newest that counts */
	char rollout[64];  /* "" when there was none */
	int64_t rollout_seq;
	char words[480]; /* what the rollout's newest record says */
} Fate;

typedef struct Fates Fates;
/* Decisions that the pinned key (NULL: any) did not sign do not count. */
int fates_load(Store *s, const char *pinned_key_hex, Fates **ret, Err *err) _must_check_;
Fates *fates_free(Fates *f); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Fates *, fates_free)
/* NULL: nothing became of it yet. */
const Fate *fates_of(const Fates *f, const char *promotion);

/* Writes down that a promotion was refused and why, once: 1: now; 0: it was said before (the same
 * checks failed against the same version of the baseline, and nothing came of it since). */
int promotion_refuse(Store *s, const SignKey *key, const json_t *promotion,
		     int64_t baseline_version, const Validation *v, Err *err) _must_check_;
/* Takes a signed promotion into the store. 1: it is new; 0: it is there already; -EEXIST: another
 * one is there under its id. */
int promotion_store(Store *s, const json_t *promotion, Err *err) _must_check_;
/* A promotion of the store by its id or the number of its record. -ENOENT. */
int promotion_find(Store *s, const char *id, json_t **ret, Err *err) _must_check_;
