#pragma once
/* Environments as lists of strings, and words as the manager splits them. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/strings.h"

bool env_name_valid(const char *name, size_t len);
const char *env_get(char *const *env, const char *name, size_t name_len); /* NULL: not there */
/* Adds or replaces; value NULL: takes it out. */
int env_set(char ***env, const char *name, const char *value) _must_check_;
/* Where this environment's PATH has the program, not ours; a name with a slash is itself. -ENOENT.
 */
int env_find_program(char *const *env, const char *name, char **ret) _must_check_;
/* Splits at blanks as the manager does for $NAME: quotes hold a word together and go, a backslash
 * takes the next character as it is. (The words of a unit's own line have C's escapes, and must
 * close their quotes: unitword_next() in production/unittext.h.) Appends to `out`. */
int words_split(const char *text, char ***out) _must_check_;
