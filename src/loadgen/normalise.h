#pragma once
/* The steps of the English normalisation, one file each. All take and give lower-case words with
 * single blanks between, in one Str. Pure. */
#include "base/str.h"

/* "forty two dollars" -> "$42", "thirty first" -> "31st", "ninety percent" -> "90%". */
void normalise_numbers(const char *words, Str *out);
/* British to American spelling, word by word. */
void normalise_spelling(const char *words, Str *out);
/* One word; *ret borrowed from the tables, or written to `room`. */
const char *american_word(const char *word, char *room, size_t size);
