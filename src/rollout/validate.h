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
	/* "schema", "signature", "lineage", "age", "experiment", "baseline", "bounds", "adopted",
	 * "memory", "stages" */
	char name[24];
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
	const char *const *keys; /* public keys that are trusted, hex, NULL-terminated; the first
				    is our own */
	Store *store;		 /* for lineage; NULL: not looked at (then it fails) */
	const Footprint *memory; /* with what was learned; NULL: no model, or switched off */
	int64_t others_bytes;	 /* of the GPU, by current neighbours that are not services of the
				    experiment; -1: unknown */
	int64_t now_us, max_age_us;
} ValidateInput;

/* Does what is fit, and says everything that is not: every check is made and has its words. What
 * speaks against it is a value (`ok`), an error is a fault of ours. A promotion that is no
 * promotion (schema) is looked at no further. */
int promotion_validate(const ValidateInput *in, Validation *ret, Err *err) _must_check_;

/* What is wrong, in one line: "the signature ...; production is at ...". "" when it is fit. */
void validation_words(const Validation *v, Str *out);
json_t *validation_json(const Validation *v); /* NULL: out of memory */
/* "2026-11-20T12:30:05.123456Z"; false when it is no such time. */
bool time_from_rfc3339(const char *text, int64_t *ret_us);
