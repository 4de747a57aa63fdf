#pragma once
/* Prompts made of plain words. No two have the same beginning, so that a server's prefix cache does
 * not make the second one look fast. */
#include <stdint.h>

#include "base/str.h"

enum {
	WORDS = 256
};

/* How many words make about so many tokens: as many. The words are short and common, so that each
 * is one token for most tokenisers (docs/measuring.md has which were tried); English text has 1.3
 * tokens a word because it also has rare words and punctuation. Exact counts come from the server's
 * `usage`. */
int64_t words_of_tokens(int64_t tokens);

/* Appends text number `number` of the family `seed`, `words` words long, without anything that JSON
 * would escape. The first word differs among any 256 numbers in a row, the first two among any
 * 65,536, and so on to eight; another seed gives other texts. */
void words_add(Str *out, uint64_t seed, uint64_t number, int64_t words);
