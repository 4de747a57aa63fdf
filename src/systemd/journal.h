#pragma once
/* What a unit wrote to the journal, by its invocation or since a cursor. Bounded. */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Where the journal ends now. New string. -EACCES: this user may not read it (the message says how
 * to allow it). */
int journal_cursor(char **ret, Err *err) _must_check_;
/* The messages, a line each, newest `max` bytes. `invocation` and `cursor` may be NULL. New string.
 */
int journal_read(const char *unit, const char *invocation, const char *cursor, size_t max,
		 char **ret, size_t *ret_len, Err *err) _must_check_;
/* Kernel messages since a cursor. */
int journal_read_kernel(const char *cursor, size_t max, char **ret, size_t *ret_len,
			Err *err) _must_check_;
/* -EACCES when this user cannot see system messages; 0 when it can. */
int journal_access(Err *err);
