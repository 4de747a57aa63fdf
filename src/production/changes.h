#pragma once
/* What the intent log says: records, and what they come to. Pure. */
#include "base/str.h"
#include "production/generation.h"

typedef struct Changes {
	OpenChange change;
	char good[GOOD_MAX][GENERATION_ID_SIZE]; /* newest first */
	size_t n_good;
} Changes;

/* One record, oldest first. -EBADMSG: not one of ours, or it cannot have come after those before.
 */
int changes_apply(Changes *c, const char *data, size_t len, Err *err) _must_check_;

/* Records as text. */
int record_begin(const char *rollout, const char *from, int64_t at_us, Str *out) _must_check_;
int record_flip(const char *to, Str *out) _must_check_;
int record_commit(const char *id, Str *out) _must_check_;
int record_undo(Str *out) _must_check_;
/* What counts as known to start from now on; says nothing of a change. */
int record_good(const Changes *c, Str *out) _must_check_;

/* `id` is the newest that is known to start. */
void changes_good(Changes *c, const char *id);
bool rollout_name_ok(const char *name);
