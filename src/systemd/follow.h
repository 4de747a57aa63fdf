#pragma once
/* What units write to the journal, as it is written: nothing is polled where the journal's files
 * tell that they grew. Bounded work at a time, at most a few times a second. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct Follow Follow;

typedef struct FollowHandler {
	/* One message of units[unit]: of its processes, or of the manager about it. `at_us` is the
	 * wall clock's time at which the journal got it. */
	void (*line)(void *ctx, size_t unit, int64_t at_us, const char *text, size_t len);
	void (*rest)(void *ctx); /* no more for now */
} FollowHandler;

/* From now on. `units` is borrowed; NULL entries are passed over. `user`: units of our own manager.
 * -EACCES, -ENOENT as journal_access(). */
int follow_start(sd_event *loop, const char *const *units, size_t n, bool user,
		 const FollowHandler *h, void *ctx, Follow **ret, Err *err) _must_check_;
/* Reads now what there is, without waiting for its turn: after a process died, for its last words.
 * Not from inside a handler. */
void follow_turn(Follow *f);
Follow *follow_stop(Follow *f); /* accepts NULL, returns NULL; not from inside a handler */
DEFINE_CLEANUP(Follow *, follow_stop)
