#pragma once
/* What people say of production, with the version that ran when they said it. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "rollout/approval.h"
#include "store/store.h"

typedef struct Feedback {
	bool good;
	char words[480];
	int64_t baseline_version, at_us;
	char rollout[64]; /* that was changing production then; "" */
	Approver by;
	int64_t seq;
} Feedback;

/* Signed; `at_us` and `seq` are filled in. */
int feedback_append(Store *s, const SignKey *key, Feedback *f, Err *err) _must_check_;
typedef int FeedbackFn(void *ctx, const Feedback *f);
/* Oldest first; what the pinned key (NULL: any) did not sign is left out. */
int feedback_walk(Store *s, const char *pinned_key_hex, FeedbackFn *fn, void *ctx,
		  Err *err) _must_check_;
/* How often somebody said that this version is bad, at or after `since_us`. */
int feedback_bad_since(Store *s, const char *pinned_key_hex, int64_t version, int64_t since_us,
		       Err *err) _must_check_;
