#pragma once
/* Signing any JSON object, whatever it is called: promotions and decisions alike. The digest is
 * SHA-256 of the canonical JSON without the member `signature`, which is {key, digest, value}. */
#include <jansson.h>

#include "base/err.h"
#include "record/sign.h"

int signed_digest(const json_t *v, Hash *ret, Err *err) _must_check_;
int signed_make(const json_t *body, const SignKey *key, json_t **ret, Err *err) _must_check_;
/* `what` is what messages call it: "the promotion". */
int signed_verify(const json_t *v, const char *what, const char *pinned_key_hex,
		  Err *err) _must_check_;
