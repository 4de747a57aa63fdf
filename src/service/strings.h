#pragma once
/* Lists of strings that end in NULL: command lines and environments. Inside this folder. */
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"

size_t strings_count(char *const *list);
char **strings_free(char **list); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(char **, strings_free)
char **strings_copy(char *const *list); /* NULL when out of memory; an empty list for NULL */
/* Takes `one` over, also when it fails; -ENOMEM also for NULL. */
int strings_add(char ***list, char *one) _must_check_;
/* Takes the i-th out. */
void strings_remove(char **list, size_t i);
/* Puts a copy of `one` before the i-th. */
int strings_insert(char ***list, size_t i, const char *one) _must_check_;

bool env_name_valid(const char *name, size_t len);
const char *env_get(char *const *env, const char *name, size_t name_len); /* NULL: not there */
/* Adds or replaces; value NULL: takes it out. */
int env_set(char ***env, const char *name, const char *value) _must_check_;
/* Where this environment's PATH has the program, not ours; a name with a slash is itself. -ENOENT.
 */
int env_find_program(char *const *env, const char *name, char **ret) _must_check_;
/* Splits at blanks as the manager does for $NAME: quotes hold a word together and go, a backslash
 * takes the next character as it is. Appends to `out`. */
int words_split(const char *text, char ***out) _must_check_;
/* "/usr/bin/x" -> "x" */
const char *path_base(const char *path);
