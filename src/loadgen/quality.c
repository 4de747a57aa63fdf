#include "loadgen/quality.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "loadgen/wer.h"
#include "stats/stats.h"

enum {
	FILE_MAX_BYTES = 64 << 20,
	LINE_MAX_BYTES = 1 << 20,
	ANSWERS_MAX = 64,
};

static const char *const rules[] = {"exact", "contains", "choice"};

/* --- Reading --------------------------------------------------------------------------------- */

static void item_done(QualityItem *item)
{
	for (size_t i = 0; i < item->n_answers; i++)
		free(item->answers[i]);
	free(item->answers);
	free(item->prompt);
	*item = (QualityItem){0};
}

void quality_done(QualitySet *s)
{
	for (size_t i = 0; i < s->n; i++)
		item_done(&s->items[i]);
	free(s->items);
	*s = (QualitySet){0};
}

static int read_rule(const json_t *o, int *ret)
{
	const char *name = js_str(o, "rule", "contains");
	for (int i = 0; i < QUALITY_RULE_MAX_; i++) {
		if (strcmp(rules[i], name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EBADMSG;
}

static bool is_letter(const char *s)
{
	return isalpha((unsigned char)s[0]) && s[1] == '\0';
}

static int read_answers(const json_t *o, QualityItem *item, size_t line, Err *err)
{
	const json_t *answer = json_object_get(o, "answer");
	size_t n = json_is_array(answer) ? json_array_size(answer) : 1;
	if (n == 0 || n > ANSWERS_MAX)
		return err_set(err, -EBADMSG, "line %zu: 'answer' is 1 to %d texts", line,
			       ANSWERS_MAX);
	item->answers = calloc(n, sizeof(*item->answers));
	if (!item->answers)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_is_array(answer) ? json_array_get(answer, i) : answer;
		const char *text = json_string_value(one);
		if (!text || !*text)
			return err_set(err, -EBADMSG,
				       "line %zu: 'answer' is a text or a list of texts", line);
		if (item->rule == QUALITY_CHOICE && !is_letter(text))
			return err_set(err, -EBADMSG,
				       "line %zu: the answer of a choice is one letter, not '%s'",
				       line, text);
		item->answers[i] = strdup(text);
		if (!item->answers[i])
			return err_oom(err);
		item->n_answers++;
	}
	return 0;
}

static int read_item(const char *text, size_t len, size_t line, QualityItem *ret, Err *err)
{
	json_auto_t *o = NULL;
	QualityItem item = {0};
	int r = js_parse(text, len, LINE_MAX_BYTES, &o, err);
	if (r < 0)
		return err_wrap(err, r, "line %zu", line);
	const char *prompt = js_str(o, "prompt", NULL);
	if (!prompt || !*prompt)
		return err_set(err, -EBADMSG, "line %zu: there is no 'prompt'", line);
	if (read_rule(o, &item.rule) < 0)
		return err_set(err, -EBADMSG, "line %zu: 'rule' is exact, contains or choice",
			       line);
	item.prompt = strdup(prompt);
	r = item.prompt ? read_answers(o, &item, line, err) : err_oom(err);
	if (r < 0)
		item_done(&item);
	else
		*ret = item;
	return r;
}

static int add_item(QualitySet *s, const char *text, size_t len, size_t line, Err *err)
{
	if (s->n >= QUALITY_ITEMS_MAX)
		return err_set(err, -EBADMSG, "more than %d prompts", QUALITY_ITEMS_MAX);
	if ((s->n & (s->n - 1)) == 0) { /* full at every power of two */
		size_t cap = s->n ? 2 * s->n : 1;
		QualityItem *more = reallocarray(s->items, cap, sizeof(*more));
		if (!more)
			return err_oom(err);
		s->items = more;
	}
	int r = read_item(text, len, line, &s->items[s->n], err);
	if (r >= 0)
		s->n++;
	return r;
}

int quality_parse(const char *text, size_t len, QualitySet *ret, Err *err)
{
	_cleanup_(quality_done) QualitySet s = {0};
	size_t line = 1;
	for (size_t at = 0; at < len; line++) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - (text + at)) : len - at, blanks = 0;
		while (blanks < n && isspace((unsigned char)text[at + blanks]))
			blanks++;
		int r = blanks < n ? add_item(&s, text + at, n, line, err) : 0;
		if (r < 0)
			return r;
		at += n + 1;
	}
	if (s.n == 0)
		return err_set(err, -EBADMSG, "there is no prompt in it");
	*ret = s;
	s = (QualitySet){0};
	return 0;
}

int quality_read(const char *path, QualitySet *ret, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = file_read(path, FILE_MAX_BYTES, &text, &len, err);
	if (r < 0)
		return r;
	r = quality_parse(text, len, ret, err);
	return r < 0 ? err_wrap(err, r, "%s", path) : 0;
}

/* --- Marking --------------------------------------------------------------------------------- */

static int words_of(const char *text, Str *out)
{
	int r = normalise(NORMALISE_ENGLISH, text, strlen(text), out);
	return r == -EBADMSG ? 0 : r; /* what is not text has no words */
}

/* Whole words: "12" is not in "120". */
static bool has_words(const char *words, const char *wanted)
{
	size_t len = strlen(wanted);
	if (len == 0)
		return false;
	for (const char *at = strstr(words, wanted); at; at = strstr(at + 1, wanted))
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static bool alone(const char *text, const char *p)
{
	return (p == text || !isalnum((unsigned char)p[-1])) && !isalnum((unsigned char)p[1]);
}

/* The letter that is chosen: the one behind the last "answer", else the first capital that stands
 * alone and is no article or pronoun, else the whole answer when it is one letter. */
static char chosen(const char *text)
{
	const char *from = NULL;
	for (const char *p = text; *p; p++)
		if (strncasecmp(p, "answer", 6) == 0)
			from = p + 6;
	for (const char *p = from; p && *p; p++)
		if (isupper((unsigned char)*p) && alone(text, p))
			return *p;
	for (const char *p = text; *p; p++) {
		bool word = (*p == 'A' || *p == 'I') && p[1] == ' ' && islower((unsigned char)p[2]);
		if (isupper((unsigned char)*p) && alone(text, p) && !word)
			return *p;
	}
	for (const char *p = text; *p; p++)
		if (isalpha((unsigned char)*p))
			return alone(text, p) ? (char)toupper((unsigned char)*p) : '\0';
	return '\0';
}

static int matches(const QualityItem *item, const char *answer, const char *words, bool *ret)
{
	for (size_t i = 0; i < item->n_answers && !*ret; i++) {
		const char *wanted = item->answers[i];
		_cleanup_(str_done) Str out = STR_INIT;
		if (item->rule == QUALITY_CHOICE) {
			*ret = chosen(answer) == toupper((unsigned char)*wanted);
			continue;
		}
		int r = words_of(wanted, &out);
		if (r < 0)
			return r;
		const char *expected = out.s ? out.s : "";
		*ret = item->rule == QUALITY_EXACT ? *expected && strcmp(words, expected) == 0
						   : has_words(words, expected);
	}
	return 0;
}

int quality_right(const QualityItem *item, const char *answer, bool *ret)
{
	_cleanup_(str_done) Str words = STR_INIT;
	bool right = false;
	int r = answer ? words_of(answer, &words) : 0;
	if (r >= 0 && answer)
		r = matches(item, answer, words.s ? words.s : "", &right);
	if (r >= 0)
		*ret = right;
	return r;
}

/* --- Scores ---------------------------------------------------------------------------------- */

QualityScore quality_score(const bool *right, size_t n)
{
	QualityScore s = {.pct = (double)NAN, .lo = (double)NAN, .hi = (double)NAN, .n = n};
	for (size_t i = 0; i < n; i++)
		s.right += right[i];
	if (stats_share_interval(s.right, n, 0.95, &s.lo, &s.hi) == 0) {
		s.pct = 100 * (double)s.right / (double)n;
		s.lo *= 100;
		s.hi *= 100;
	}
	return s;
}

int quality_compare(const bool *baseline, const bool *candidate, size_t n, double margin_pct,
		    double confidence, QualityComparison *ret)
{
	if (!(confidence > 0.5 && confidence < 1))
		return -EINVAL;
	if (n < 2)
		return -ENODATA;
	double gained = 0, lost = 0;
	for (size_t i = 0; i < n; i++) {
		gained += candidate[i] && !baseline[i];
		lost += baseline[i] && !candidate[i];
	}
	/* Half a pair more in each of the four cells. */
	double m = (double)n + 2, up = gained + 0.5, down = lost + 0.5, d = (up - down) / m;
	double se = sqrt((up + down) / m - d * d) / sqrt(m);
	double lower = d - stats_normal_quantile(confidence) * se;
	*ret = (QualityComparison){.difference_pct = 100 * (gained - lost) / (double)n,
				   .lower_pct = 100 * lower,
				   .not_worse = 100 * lower >= -margin_pct};
	return 0;
}
