#pragma once
/* Small things that the files of this folder share. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The member as text that fits; false when it is none or too long. */
bool text_take(const json_t *o, const char *key, char *ret, size_t size);
/* Letters, digits and "_.-", not beginning with '.' or '-': a name that is safe in a path, a
 * message, a terminal. */
bool text_is_name(const char *s, size_t max);
/* What fits of it, never a part of a character. */
void str_copy_to(const char *text, char *ret, size_t size);
