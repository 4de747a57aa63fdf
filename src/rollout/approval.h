#pragma once
/* Who allowed what, when, why, and until when. Bound to the promotion's digest and the baseline's
 * version, so that it cannot be used again after production moved. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "config/config.h"
#include "rollout/baseline.h"
#include "store/store.h"

typedef struct Approver {
	uid_t uid;     /* of the socket's peer, or ours */
	char name[64]; /* "anna"; "policy" for an automatic one */
	char reason[240];
} Approver;

typedef struct Approval {
	bool approved; /* false: rejected */
	char promotion[64], digest[65];
	int64_t baseline_version, at_us, expires_at_us;
	Approver by;
	int64_t seq; /* of its record */
} Approval;

/* The decision that counts for a promotion: the first one that is in the chain for this digest and
 * baseline version. 1: *ret; 0: none yet. */
int approval_find(Store *s, const char *pinned_key_hex, const char *promotion, const char *digest,
		  int64_t baseline_version, Approval *ret, Err *err) _must_check_;
/* Appends a decision. -EALREADY: somebody decided before (*ret is what they decided). */
int approval_append(Store *s, const SignKey *key, Approval *a, Approval *ret,
		    Err *err) _must_check_;
/* Does it hold now? 0, or -EKEYEXPIRED, -ESTALE, -EPERM with the sentence. Pure. */
int approval_holds(const Approval *a, const char *digest, int64_t baseline_version, int64_t now_us,
		   Err *err) _must_check_;
/* May policy approve by itself? 0; -EAGAIN: not yet (soak, window); -EPERM: a person is asked. The
 * message says why. Pure. */
int approval_by_policy(const RolloutConfig *policy, const json_t *promotion,
		       int64_t staged_since_us, int64_t now_us, int utc_offset_min,
		       Err *err) _must_check_;
