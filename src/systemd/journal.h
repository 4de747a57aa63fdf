#pragma once
/* What a unit wrote to the journal, by its invocation or since a cursor, bounded; and entries of
 * our own. */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Where the journal ends now; "" for an empty one. New string. -EACCES: this user may not read it
 * (the message says how to allow it); -ENOENT: there is none. */
int journal_cursor(char **ret, Err *err) _must_check_;
/* The messages of a unit, a line each, oldest first, of them the newest `max` bytes: what its
 * processes wrote and what the manager said about it. With an invocation only those of that one run
 * (`unit` may then be NULL); with a cursor only what came after it. New string. */
int journal_read(const char *unit, const char *invocation, const char *cursor, size_t max,
		 char **ret, size_t *ret_len, Err *err) _must_check_;
/* Kernel messages since a cursor. */
int journal_read_kernel(const char *cursor, size_t max, char **ret, size_t *ret_len,
			Err *err) _must_check_;
/* -EACCES when this user cannot see system messages; 0 when it can. */
int journal_access(Err *err);
/* Waits until everything that has reached the journal can be read: after a process died, before its
 * last words are looked for. Best effort: -EACCES for who is not root, -ETIMEDOUT. */
int journal_sync(int64_t timeout_us);

enum {
	JOURNAL_FIELDS_MAX = 32,
};

/* An entry of ours: "MESSAGE=...", "PRIORITY=4", ... Where there is no journal nobody hears it.
 * Fields beyond JOURNAL_FIELDS_MAX are left out. */
void journal_send(char *const *fields, size_t n);
