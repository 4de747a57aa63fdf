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

enum {
	APPROVAL_SKEW_US = 60 * 1000000, /* by which the clock may have been corrected since */
};

typedef struct Approver {
	uid_t uid;     /* of the socket's peer, or ours */
	char name[64]; /* "anna"; "policy" for an automatic one */
	char reason[240];
} Approver;

typedef struct Approval {
	bool approved; /* false: rejected */
	char promotion[64], digest[65];
	int64_t baseline_version, at_us, expires_at_us;
	int64_t lasts_us; /* only for approval_append() */
	Approver by;
	int64_t seq; /* of its record */
} Approval;

/* The decision that counts for a promotion: the first one that is in the chain for this digest and
 * baseline version, signed by the pinned key (NULL: by any; what another key signed does not
 * count). 1: *ret; 0: none yet. -EBADMSG: one that was changed after it was signed. */
int approval_find(Store *s, const char *pinned_key_hex, const char *promotion, const char *digest,
		  int64_t baseline_version, Approval *ret, Err *err) _must_check_;
/* The decision that a record of kind "approval" is. 1: *ret; 0: it does not count, another key
 * signed it. */
int approval_from_record(const Record *r, const json_t *body, const char *pinned_key_hex,
			 Approval *ret, Err *err) _must_check_;
/* Appends a decision and gives it in *ret; at_us is filled in, and expires_at_us counts from it
 * where it is 0 and lasts_us is not. -EALREADY: somebody decided before (*ret is what they
 * decided). */
int approval_append(Store *s, const SignKey *key, Approval *a, Approval *ret,
		    Err *err) _must_check_;
/* Does it hold now? 0, or -EKEYEXPIRED, -ESTALE, -EPERM with the sentence. Pure. */
int approval_holds(const Approval *a, const char *digest, int64_t baseline_version, int64_t now_us,
		   Err *err) _must_check_;
/* May policy approve by itself? 0; -EAGAIN: not yet (soak, window); -EPERM: a person is asked. The
 * message says why. Pure. */
/* `staged_since_us`: since when it has been proposed (approval_staged_since()). */
int approval_by_policy(const RolloutConfig *policy, const json_t *promotion,
		       int64_t staged_since_us, int64_t now_us, int utc_offset_min,
		       Err *err) _must_check_;
/* Since when the promotion has been proposed. -ESTALE: a newer one of the same experiment was
 * proposed since; -ENOENT: the store has none of that id. */
int approval_staged_since(Store *s, const char *promotion, int64_t *ret_us, Err *err) _must_check_;
json_t *approval_json(const Approval *a); /* NULL: out of memory */
