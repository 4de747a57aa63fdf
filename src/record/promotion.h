#pragma once
/* A promotion: the proposal to change production, with its evidence. Its canonical JSON is what is
 * signed and what the chain keeps; the YAML file is an export of the same value. */
#include <jansson.h>

#include "base/err.h"
#include "record/sign.h"

#define PROMOTION_SCHEMA "dream.promotion/v1"

enum {
	PROMOTION_ID_MAX = 63,
};

/* Gives a body its `id`, which says which experiment and, by 8 digits of its content, which
 * promotion. -ENOMEM. */
int promotion_add_id(json_t *body) _must_check_;

/* `body` is the promotion without its `signature` member; the result has it: {key, digest, value}.
 */
int promotion_sign(const json_t *body, const SignKey *key, json_t **ret, Err *err) _must_check_;
/* 0: the signature fits the content and the key in it (and `pinned_key_hex` if not NULL). -EBADMSG
 * otherwise, with a sentence. */
int promotion_verify(const json_t *promotion, const char *pinned_key_hex, Err *err) _must_check_;

/* As YAML text: the members in a readable order, any JSON value representable. New string. */
int promotion_yaml(const json_t *promotion, char **ret, Err *err) _must_check_;
