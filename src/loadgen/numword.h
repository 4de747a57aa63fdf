#pragma once
/* What a word says about numbers. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Kind {
	OTHER,
	ZERO,
	ONES, /* 1 to 19 */
	TENS,
	MULTIPLIER,
	SIGN,	  /* before: minus */
	CURRENCY, /* behind: dollars */
	PERCENT,
	PER,
	AND,
	REPEAT, /* double, triple */
	POINT,
	FIGURES, /* "12", "$3.5" */
} Kind;

typedef struct Word {
	const char *s;
	size_t len;
	Kind kind;
	uint64_t value;
	const char *suffix; /* "th" of an ordinal, "s" of a plural; "" */
	const char *prefix; /* SIGN, CURRENCY: what is written; FIGURES: NULL or what stood there */
	size_t prefix_len;
} Word;

/* From `s` and `len`, which stay borrowed: all the others. */
void numword_classify(Word *w);
