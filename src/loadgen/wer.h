#pragma once
/* Word errors. The rate is that of the corpus: the sum of the errors over the sum of the words.
 * Pure. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

/* Names the rules, since a rate without them says little: "whisper-english", "plain". */
typedef enum Normaliser {
	NORMALISE_ENGLISH, /* the rules that Whisper's authors describe for English */
	NORMALISE_PLAIN,   /* any language: lower case, no punctuation or symbols, single spaces */
} Normaliser;

const char *normaliser_name(Normaliser n);
Normaliser normaliser_for(const char *language); /* "en", "english": the first; else the second */
/* The words of a text, one blank between. -EBADMSG: not UTF-8. */
int normalise(Normaliser n, const char *text, size_t len, Str *out) _must_check_;

/* Of one clip. */
typedef struct WordErrors {
	long substitutions, deletions, insertions, hits;
	long words; /* of the reference */
} WordErrors;

/* Both normalised. -ENOMEM; -E2BIG above a million cells times 64. */
int word_errors(const char *reference, const char *heard, WordErrors *ret) _must_check_;

typedef struct Wer {
	double pct;    /* NAN: the references have no words */
	double lo, hi; /* 95 %, from resampling clips; NAN with fewer than 2 clips */
	double se;
	long errors, words;
	size_t clips;
} Wer;

int wer_of(const WordErrors *clips, size_t n, Rng *rng, Wer *ret, Err *err) _must_check_;

/* Is the candidate not worse than the baseline by more than `margin_pct` points, on the same clips?
 * One-sided, by resampling clips in pairs. */
typedef struct WerComparison {
	double difference_pct,
	    upper_pct; /* candidate - baseline, and its upper bound at `confidence` */
	bool not_worse;
} WerComparison;
int wer_compare(const WordErrors *baseline, const WordErrors *candidate, size_t n,
		double margin_pct, double confidence, Rng *rng, WerComparison *ret,
		Err *err) _must_check_;
