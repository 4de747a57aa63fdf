#include "loadgen/numword.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
	WORD_MAX = 64,
};

typedef struct Entry {
	const char *name;
	Kind kind;
	uint64_t value;
	const char *text;
} Entry;

static const Entry cardinals[] = {
    {"one", ONES, 1, 0},
    {"two", ONES, 2, 0},
    {"three", ONES, 3, 0},
    {"four", ONES, 4, 0},
    {"five", ONES, 5, 0},
    {"six", ONES, 6, 0},
    {"seven", ONES, 7, 0},
    {"eight", ONES, 8, 0},
    {"nine", ONES, 9, 0},
    {"ten", ONES, 10, 0},
    {"eleven", ONES, 11, 0},
    {"twelve", ONES, 12, 0},
    {"thirteen", ONES, 13, 0},
    {"fourteen", ONES, 14, 0},
    {"fifteen", ONES, 15, 0},
    {"sixteen", ONES, 16, 0},
    {"seventeen", ONES, 17, 0},
    {"eighteen", ONES, 18, 0},
    {"nineteen", ONES, 19, 0},
    {"twenty", TENS, 20, 0},
    {"thirty", TENS, 30, 0},
    {"forty", TENS, 40, 0},
    {"fifty", TENS, 50, 0},
    {"sixty", TENS, 60, 0},
    {"seventy", TENS, 70, 0},
    {"eighty", TENS, 80, 0},
    {"ninety", TENS, 90, 0},
    {"hundred", MULTIPLIER, 100, 0},
    {"thousand", MULTIPLIER, 1000, 0},
    {"million", MULTIPLIER, 1000000, 0},
    {"billion", MULTIPLIER, 1000000000, 0},
    {"trillion", MULTIPLIER, 1000000000000, 0},
    {"quadrillion", MULTIPLIER, 1000000000000000, 0},
    {"quintillion", MULTIPLIER, 1000000000000000000, 0},
};

/* Those that no rule makes out of the cardinal. */
static const Entry irregular[] = {
    {"zeroth", ONES, 0, "th"}, {"first", ONES, 1, "st"}, {"second", ONES, 2, "nd"},
    {"third", ONES, 3, "rd"},  {"fifth", ONES, 5, "th"}, {"eighth", ONES, 8, "th"},
    {"ninth", ONES, 9, "th"},  {"sixes", ONES, 6, "s"},	 {"twelfth", ONES, 12, "th"},
};

static const Entry helpers[] = {
    {"o", ZERO, 0, ""},
    {"oh", ZERO, 0, ""},
    {"zero", ZERO, 0, ""},
    {"minus", SIGN, 0, "-"},
    {"negative", SIGN, 0, "-"},
    {"plus", SIGN, 0, "+"},
    {"positive", SIGN, 0, "+"},
    {"pound", CURRENCY, 0, "\u00a3"},
    {"pounds", CURRENCY, 0, "\u00a3"},
    {"euro", CURRENCY, 0, "\u20ac"},
    {"euros", CURRENCY, 0, "\u20ac"},
    {"dollar", CURRENCY, 0, "$"},
    {"dollars", CURRENCY, 0, "$"},
    {"cent", CURRENCY, 0, "\u00a2"},
    {"cents", CURRENCY, 0, "\u00a2"},
    {"percent", PERCENT, 0, ""},
    {"per", PER, 0, ""},
    {"and", AND, 0, ""},
    {"double", REPEAT, 2, ""},
    {"triple", REPEAT, 3, ""},
    {"point", POINT, 0, ""},
};

/* --- What a word is -------------------------------------------------------------------------- */

static const Entry *find(const Entry *list, size_t n, const char *s, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i].name) == len && memcmp(list[i].name, s, len) == 0)
			return &list[i];
	return NULL;
}

#define FIND(list, s, len) find(list, sizeof(list) / sizeof(*(list)), s, len)

static bool ends_in(const Word *w, const char *end)
{
	size_t n = strlen(end);
	return w->len > n && memcmp(w->s + w->len - n, end, n) == 0;
}

static bool take_entry(Word *w, const Entry *e, const char *suffix)
{
	if (!e)
		return false;
	w->kind = e->kind;
	w->value = e->value;
	w->suffix = suffix;
	return true;
}

/* "sevenths" is none, but "seventh", "sevens", "twentieth", "twenties" are. */
static bool take_inflected(Word *w)
{
	static const struct {
		const char *end, *instead, *suffix;
	} rules[] = {{"ieth", "y", "th"}, {"ies", "y", "s"}, {"th", "", "th"}, {"s", "", "s"}};
	char stem[WORD_MAX];
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		if (w->len + 1 >= sizeof(stem) || !ends_in(w, rules[i].end))
			continue;
		int n = snprintf(stem, sizeof(stem), "%.*s%s", (int)(w->len - strlen(rules[i].end)),
				 w->s, rules[i].instead);
		const Entry *e = FIND(cardinals, stem, (size_t)n);
		/* "twentyth" and "fiveth" are no words. */
		bool is_word = e && !(e->kind == TENS && i == 2) && !(e->kind != TENS && i < 2);
		if (is_word)
			return take_entry(w, e, rules[i].suffix);
	}
	return false;
}

static bool all_figures(const char *s, size_t len)
{
	size_t whole = 0, part = 0;
	while (whole < len && isdigit((unsigned char)s[whole]))
		whole++;
	if (whole == 0 || whole == len)
		return whole > 0;
	if (s[whole] != '.')
		return false;
	while (whole + 1 + part < len && isdigit((unsigned char)s[whole + 1 + part]))
		part++;
	return part > 0 && whole + 1 + part == len;
}

static size_t written_prefix(const char *s, size_t len)
{
	static const char *const signs[] = {"$", "\u00a2", "\u00a3", "\u20ac", "-", "+"};
	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		size_t n = strlen(signs[i]);
		if (len > n && memcmp(s, signs[i], n) == 0)
			return n;
	}
	return 0;
}

void numword_classify(Word *w)
{
	w->kind = OTHER;
	w->suffix = "";
	w->prefix = NULL;
	w->prefix_len = written_prefix(w->s, w->len);
	if (all_figures(w->s + w->prefix_len, w->len - w->prefix_len)) {
		w->kind = FIGURES;
		w->prefix = w->prefix_len ? w->s : NULL;
		return;
	}
	const Entry *helper = FIND(helpers, w->s, w->len);
	if (helper) {
		take_entry(w, helper, "");
		w->prefix = helper->text;
		w->prefix_len = strlen(helper->text);
		return;
	}
	const Entry *e = FIND(irregular, w->s, w->len);
	if (!take_entry(w, FIND(cardinals, w->s, w->len), "") &&
	    !take_entry(w, e, e ? e->text : ""))
		(void)take_inflected(w);
}
