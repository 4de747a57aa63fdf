/* Is the finalist's speech recognition not worse than the baseline's? Clip by clip, over all pairs
 * of the confirmation: a mean of rates would not see which clips they were. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "loadgen/wer.h"
#include "run/internal.h"

enum {
	CLIPS_MAX = 100000,
	WORDS_MAX = 100000, /* of a clip; a record that says more was edited */
	TRIALS_MAX = 10000, /* of a clip that count; products and sums fit in 64 bits */
};

/* Errors and words of each clip, summed over the trials of an arm that heard it. */
typedef struct Clips {
	json_t *arm[2]; /* owned: clip -> [errors, words, trials] */
} Clips;

static void clips_done(Clips *c)
{
	json_decref(c->arm[0]);
	json_decref(c->arm[1]);
}

static json_int_t number(const json_t *list, size_t i)
{
	return json_integer_value(json_array_get(list, i));
}

static int add_clip(json_t *sums, const char *name, const json_t *pair)
{
	json_int_t errors = number(pair, 0), words = number(pair, 1), trials = 1;
	const json_t *old = json_object_get(sums, name);
	if (errors < 0 || errors > WORDS_MAX || words < 0 || words > WORDS_MAX ||
	    number(old, 2) >= TRIALS_MAX || (!old && json_object_size(sums) >= CLIPS_MAX))
		return 0;
	errors += number(old, 0);
	words += number(old, 1);
	trials += number(old, 2);
	bool failed = false;
	js_set(sums, name, json_pack("[I,I,I]", errors, words, trials), &failed);
	return failed ? -ENOMEM : 0;
}

static int add_trial(json_t *sums, const StoreTrial *trial)
{
	const json_t *clips = json_object_get(json_object_get(trial->m.evidence, "wer"), "clips");
	const char *name;
	json_t *pair;
	json_object_foreach ((json_t *)(uintptr_t)clips, name, pair)
		if (add_clip(sums, name, pair) < 0)
			return -ENOMEM;
	return 0;
}

static int gather(const Turn *t, Clips *c, Err *err)
{
	for (size_t step = 0; step < compare_steps(t->compare); step++) {
		CompareStep at = compare_step(t->compare, step);
		CompareRole role = compare_arm(t->compare, at.arm)->role;
		if (!t->confirm_seqs[step] || (role != ROLE_BASELINE && role != ROLE_CANDIDATE))
			continue;
		StoreTrial trial = {0};
		int r = finalists_trial(t, t->confirm_seqs[step], &trial, err);
		if (r < 0)
			return r;
		r = add_trial(c->arm[role == ROLE_CANDIDATE], &trial);
		store_trial_done(&trial);
		if (r < 0)
			return err_oom(err);
	}
	return 0;
}

/* As if it had been heard as often by both: in a trial under load not every clip has its turn. */
static WordErrors errors_of(const json_t *sum, json_int_t times)
{
	return (WordErrors){.substitutions = (long)(number(sum, 0) * times),
			    .words = (long)(number(sum, 1) * times)};
}

/* *ret_n clips that both heard, against the same text. */
static int pair_up(const Clips *c, WordErrors **ret_base, WordErrors **ret_cand, size_t *ret_n)
{
	const char *name;
	json_t *pair;
	size_t n = 0, most = json_object_size(c->arm[0]) + 1;
	WordErrors *base = calloc(most, sizeof(*base)), *cand = calloc(most, sizeof(*cand));
	*ret_base = base;
	*ret_cand = cand;
	if (!base || !cand)
		return -ENOMEM;
	json_object_foreach (c->arm[0], name, pair) {
		const json_t *other = json_object_get(c->arm[1], name);
		if (!other)
			continue;
		base[n] = errors_of(pair, number(other, 2));
		cand[n] = errors_of(other, number(pair, 2));
		n += base[n].words == cand[n].words; /* else its transcript was edited meanwhile */
	}
	*ret_n = n;
	return 0;
}

static long words_of(const WordErrors *clips, size_t n)
{
	long words = 0;
	for (size_t i = 0; i < n; i++)
		words += clips[i].words;
	return words;
}

static void refuse(WinnerReport *report, const char *fmt, ...) _printf_(2, 3);
static void refuse(WinnerReport *report, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(report->reason, sizeof(report->reason), fmt, ap);
	va_end(ap);
	report->verdict = WINNER_REGRESSES;
}

static int compare_words(Turn *t, const WordErrors *base, const WordErrors *cand, size_t n,
			 WinnerReport *report, Err *err)
{
	double margin = t->x->confirm.wer_margin_pct;
	double confidence = confirm_confidence(&t->x->confirm);
	WerComparison c;
	if (n < 2 || words_of(base, n) == 0) {
		refuse(report,
		       "whether its words are heard as well is not known: the trials have no "
		       "clips with transcripts in common");
		return 0;
	}
	Rng rng = rng_derive(turn_seed(t, "words", t->finalist), "words", 0);
	int r = wer_compare(base, cand, n, margin, confidence, &rng, &c, err);
	if (r < 0)
		return r;
	turn_say(
	    t, RUN_MESSAGE, NULL, NULL,
	    "word errors %+.2f points on the same %zu clips, at most %+.2f: %s the margin of %.2f",
	    c.difference_pct, n, c.upper_pct, c.not_worse ? "within" : "not within", margin);
	if (!c.not_worse)
		refuse(report,
		       "it may hear words worse than the baseline: %+.2f points, at most %+.2f, "
		       "and the "
		       "margin is %.2f",
		       c.difference_pct, c.upper_pct, margin);
	return 0;
}

int words_judge(Turn *t, WinnerReport *report, Err *err)
{
	_cleanup_(clips_done) Clips c = {.arm = {json_object(), json_object()}};
	_cleanup_free_ WordErrors *base = NULL, *cand = NULL;
	size_t n = 0;
	if (report->verdict != WINNER_YES || t->x->confirm.wer_margin_pct < 0)
		return 0;
	if (!c.arm[0] || !c.arm[1])
		return err_oom(err);
	int r = gather(t, &c, err);
	if (r < 0)
		return r;
	if (pair_up(&c, &base, &cand, &n) < 0)
		return err_oom(err);
	return compare_words(t, base, cand, n, report, err);
}
