#pragma once
/* What people and the orchestrator decide: records that carry a signature of whoever decided. The
 * signature covers the canonical JSON without its `signature` member. */
#include <jansson.h>

#include "base/err.h"
#include "record/sign.h"

#define APPROVAL_SCHEMA "dream.approval/v1"
#define BASELINE_SCHEMA "dream.baseline/v1"
#define ROLLOUT_SCHEMA	"dream.rollout/v1"
#define FEEDBACK_SCHEMA "dream.feedback/v1"

/* As promotion_sign() and promotion_verify(), for any object. The digest is SHA-256 of the
 * canonical JSON of the body. */
int decision_sign(const json_t *body, const SignKey *key, json_t **ret, Err *err) _must_check_;
int decision_verify(const json_t *decision, const char *pinned_key_hex, Err *err) _must_check_;
/* The digest alone, in hex, signature left out. */
int decision_digest(const json_t *decision, char ret[HASH_HEX_SIZE], Err *err) _must_check_;
