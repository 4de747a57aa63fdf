#include "loadgen/wer.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stats/stats.h"

enum {
	CELLS_MAX = 64 << 20,
	ROUNDS = 2000,
};

/* --- Alignment ------------------------------------------------------------------------------- */

typedef struct Words {
	const char **s; /* owned; what they point to is borrowed */
	uint32_t *len;	/* owned */
	size_t n;
} Words;

static void words_done(Words *w)
{
	free(w->s);
	free(w->len);
}

static int split(const char *text, Words *w)
{
	size_t cap = 0;
	for (const char *p = text; *p; p++)
		cap += *p != ' ' && (p == text || p[-1] == ' ');
	w->s = calloc(cap + 1, sizeof(*w->s));
	w->len = calloc(cap + 1, sizeof(*w->len));
	if (!w->s || !w->len)
		return -ENOMEM;
	for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");
		w->s[w->n] = p;
		w->len[w->n++] = (uint32_t)len;
		p += len;
	}
	return 0;
}

static bool same(const Words *a, size_t i, const Words *b, size_t k)
{
	return a->len[i] == b->len[k] && memcmp(a->s[i], b->s[k], a->len[i]) == 0;
}

/* The best way to some place of the alignment: how many steps of each kind. The hits follow from
 * the length of the reference. */
typedef struct Way {
	uint32_t substitutions, deletions, insertions;
} Way;

static uint32_t cost(const Way *w)
{
	return w->substitutions + w->deletions + w->insertions;
}

/* Row by row; only the last row is kept. Among equally good ways a substitution is preferred to a
 * deletion, and that to an insertion. `row` has a place for every word heard, and one before. */
static void align(const Words *reference, const Words *heard, Way *row)
{
	for (size_t k = 0; k <= heard->n; k++)
		row[k] = (Way){.insertions = (uint32_t)k};
	for (size_t i = 0; i < reference->n; i++) {
		Way diagonal = row[0];
		row[0].deletions++;
		for (size_t k = 0; k < heard->n; k++) {
			Way best = diagonal, deleted = row[k + 1], inserted = row[k];
			diagonal = row[k + 1];
			deleted.deletions++;
			inserted.insertions++;
			if (!same(reference, i, heard, k))
				best.substitutions++;
			if (cost(&deleted) < cost(&best))
				best = deleted;
			if (cost(&inserted) < cost(&best))
				best = inserted;
			row[k + 1] = best;
		}
	}
}

int word_errors(const char *reference, const char *heard, WordErrors *ret)
{
	_cleanup_(words_done) Words a = {0};
	_cleanup_(words_done) Words b = {0};
	if (split(reference, &a) < 0 || split(heard, &b) < 0)
		return -ENOMEM;
	if (b.n > 0 && a.n > CELLS_MAX / b.n)
		return -E2BIG;
	_cleanup_free_ Way *row = calloc(b.n + 1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	align(&a, &b, row);
	const Way *w = &row[b.n];
	*ret = (WordErrors){
	    .substitutions = w->substitutions,
	    .deletions = w->deletions,
	    .insertions = w->insertions,
	    .hits = (long)a.n - w->substitutions - w->deletions,
	    .words = (long)a.n,
	};
	return 0;
}

/* --- Rates ----------------------------------------------------------------------------------- */

static long errors_of(const WordErrors *w)
{
	return w->substitutions + w->deletions + w->insertions;
}

/* Room for two columns of numbers and the bootstrap's scratch behind them. */
static double *room_new(size_t n)
{
	return calloc(3 * n + ROUNDS, sizeof(double));
}

/* Clips are resampled whole: errors inside one clip come together. */
int wer_of(const WordErrors *clips, size_t n, Rng *rng, Wer *ret, Err *err)
{
	_cleanup_free_ double *room = room_new(n);
	Wer w = {.pct = (double)NAN,
		 .lo = (double)NAN,
		 .hi = (double)NAN,
		 .se = (double)NAN,
		 .clips = n};
	if (!room)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		room[i] = (double)errors_of(&clips[i]);
		room[n + i] = (double)clips[i].words;
		w.errors += errors_of(&clips[i]);
		w.words += clips[i].words;
	}
	if (w.words > 0)
		w.pct = 100 * (double)w.errors / (double)w.words;
	double *scratch = room + 2 * n;
	if (w.words > 0 && stats_bootstrap_ratio(room, room + n, n, 0.95, ROUNDS, rng, scratch,
						 &w.lo, &w.hi) == 0) {
		w.lo *= 100;
		w.hi *= 100;
		w.se = 100 * stats_sd(scratch + n, ROUNDS);
	}
	*ret = w;
	return 0;
}

int wer_compare(const WordErrors *baseline, const WordErrors *candidate, size_t n,
		double margin_pct, double confidence, Rng *rng, WerComparison *ret, Err *err)
{
	_cleanup_free_ double *room = room_new(n);
	double lo, hi, more = 0, words = 0;
	if (!room)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		if (baseline[i].words != candidate[i].words)
			return err_set(err, -EINVAL,
				       "clip %zu has %ld words for the baseline and %ld for the "
				       "candidate: they were not compared with the same text",
				       i + 1, baseline[i].words, candidate[i].words);
		room[i] = (double)(errors_of(&candidate[i]) - errors_of(&baseline[i]));
		room[n + i] = (double)baseline[i].words;
		more += room[i];
		words += room[n + i];
	}
	if (!(confidence > 0.5 && confidence < 1))
		return err_set(err, -EINVAL, "a confidence lies between 0.5 and 1, not at %g",
			       confidence);
	/* A one-sided bound is an end of the two-sided interval with twice the tail. */
	int r = stats_bootstrap_ratio(room, room + n, n, 2 * confidence - 1, ROUNDS, rng,
				      room + 2 * n, &lo, &hi);
	if (r < 0)
		return err_set(err, r,
			       "two recognisers cannot be compared on %zu clips with %g "
			       "words",
			       n, words);
	*ret = (WerComparison){.difference_pct = 100 * more / words,
			       .upper_pct = 100 * hi,
			       .not_worse = 100 * hi <= margin_pct};
	return 0;
}
