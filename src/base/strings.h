#pragma once
/* Lists of strings that end in NULL: command lines, environments, names. A NULL list is an empty
 * one. */
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
bool strings_has(char *const *list, const char *one);
/* The same for a table of constant words. NULL is in none. */
bool words_have(const char *const *words, const char *one);
