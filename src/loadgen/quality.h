#pragma once
/* Does a language model still answer what it should? Prompts with known answers, each marked right
 * or wrong by a plain rule. The asking is the caller's (traffic with keep_text). Pure. */
#include "base/err.h"
#include "base/rng.h"

typedef enum QualityRule {
	QUALITY_EXACT,	  /* the answer's words are the expected ones */
	QUALITY_CONTAINS, /* the expected words come in it, in a row */
	QUALITY_CHOICE,	  /* the letter that it chooses: "B", "(b)", "the answer is B." */
	QUALITY_RULE_MAX_,
} QualityRule;

typedef struct QualityItem {
	char *prompt;	/* owned */
	char **answers; /* owned: any of these is right */
	size_t n_answers;
	int rule; /* QualityRule */
} QualityItem;

typedef struct QualitySet {
	QualityItem *items; /* owned: n of them, n > 0 */
	size_t n;
} QualitySet;

enum {
	QUALITY_ITEMS_MAX = 10000
};

/* JSON lines {"prompt", "answer": text or list of texts, "rule": "contains"}; the rule may be left
 * out (contains). -EBADMSG names the line. */
int quality_parse(const char *text, size_t len, QualitySet *ret, Err *err) _must_check_;
int quality_read(const char *path, QualitySet *ret, Err *err) _must_check_;
void quality_done(QualitySet *s);

/* NULL: no answer came, which is wrong. -ENOMEM. */
int quality_right(const QualityItem *item, const char *answer, bool *ret) _must_check_;

typedef struct QualityScore {
	double pct;    /* NAN: nothing was asked */
	double lo, hi; /* 95 %, Wilson */
	size_t right, n;
} QualityScore;

QualityScore quality_score(const bool *right, size_t n);

/* Is the candidate not worse than the baseline by more than `margin_pct` points, on the same
 * prompts? One-sided, by the pairs in which they differ (Wald with the correction of Agresti and
 * Min, which keeps a width when they never differ). -ENODATA for n < 2. */
typedef struct QualityComparison {
	double difference_pct, lower_pct; /* candidate - baseline, and its lower bound */
	bool not_worse;
} QualityComparison;
int quality_compare(const bool *baseline, const bool *candidate, size_t n, double margin_pct,
		    double confidence, QualityComparison *ret) _must_check_;
