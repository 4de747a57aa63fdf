#pragma once
/* What the checks of a promotion share: a list that grows by sentences. */
#include "base/str.h"
#include "rollout/validate.h"

typedef struct Checks {
	const ValidateInput *in;
	Validation *v;
	bool failed; /* out of memory */
} Checks;

void checks_add(Checks *c, const char *name, bool ok, const char *fmt, ...) _printf_(4, 5);
/* The same with sentences that were gathered; "; " stands between them. */
void checks_add_words(Checks *c, const char *name, const Str *faults, const char *otherwise);

/* The change of a parameter, or NULL. */
const json_t *change_of(const json_t *promotion, const char *parameter);
/* "; " before every sentence but the first. */
void next_sentence(Str *s);

/* --- fit.c: what the machine says to it --------------------------------------------------------
 */
void check_bounds(Checks *c);
void check_adopted(Checks *c);
int check_memory(Checks *c, Err *err) _must_check_;
void check_stages(Checks *c);
