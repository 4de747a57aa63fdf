#pragma once
/* Is this promotion fit to go to production, now? Everything that speaks against it, in words, at
 * once. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "production/adoption.h"
#include "rollout/baseline.h"

enum {
	PROMOTION_BYTES_MAX = 1 << 20,
};

/* A promotion from a file (YAML or JSON): hostile. Links are not followed, the size is capped, only
 * known members with the right types pass. -EBADMSG with line and column. */
int promotion_read_file(const char *path, json_t **ret, Err *err) _must_check_;
int promotion_read_text(const char *name, const char *text, size_t len, json_t **ret,
			Err *err) _must_check_;

typedef struct Check {
	char name[24]; /* "signature", "age", "baseline", "bounds", "memory", "stages", "adopted" */
	bool ok;
	char *words; /* a sentence, also when it is ok */
} Check;

typedef struct Validation {
	bool ok;
	Check *checks;
	size_t n;
	bool isolated, colocated; /* stages that it has not passed and policy asks for */
} Validation;

void validation_done(Validation *v);

typedef struct ValidateInput {
	const json_t *promotion;
	const Experiment *x;	  /* of the plan; NULL: it has none of that name */
	const Baseline *baseline; /* current */
	const Adoption *units;	  /* adopted */
	size_t n_units;
	const char *const *keys; /* public keys that are trusted, hex, NULL-terminated */
	Store *store;		 /* for lineage; NULL: not looked at (then it fails) */
	const Footprint *memory; /* with what was learned; NULL: no model, or switched off */
	int64_t others_bytes;	 /* of the GPU, by current neighbours that are not services of the
				    experiment; -1: unknown */
	int64_t now_us, max_age_us;
} ValidateInput;

int promotion_validate(const ValidateInput *in, Validation *ret, Err *err) _must_check_;
