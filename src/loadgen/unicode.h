#pragma once
/* The little that we need to know about characters, without the system's locale: the same text has
 * the same words on every machine. Pure. */
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

uint32_t unicode_lower(uint32_t c);
bool unicode_is_space(uint32_t c);
/* Punctuation, symbols, brackets, dashes, emoji. */
bool unicode_is_symbol(uint32_t c);
/* Combining accents and characters that only steer the layout. */
bool unicode_is_invisible(uint32_t c);
/* A Latin letter (lower case) without its accent, a ligature as letters; NULL: it stays. */
const char *unicode_base(uint32_t c);
void unicode_add(Str *out, uint32_t c);
