/* Numbers in words as figures. A number is collected word by word: it is a whole value while words
 * add up ("two hundred" and "five"), and a row of digits once they stand side by side ("nineteen"
 * "ninety" "nine") or a point has been spoken. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "loadgen/normalise.h"
#include "loadgen/numword.h"

enum {
	DIGITS_MAX = 48,
};

static bool plain(const Word *w, Kind kind)
{
	return w && w->kind == kind && !*w->suffix;
}

/* Can it go on in a number after a point? */
static bool is_decimal(const Word *w)
{
	return plain(w, ZERO) || plain(w, ONES) || plain(w, TENS);
}

/* --- The number that is being collected ------------------------------------------------------ */

typedef struct Number {
	bool any, row; /* row: digits side by side, not to be added to */
	uint64_t value;
	char digits[DIGITS_MAX];
	char prefix[8];
	Str *out;
} Number;

static void put(Number *n, const char *s, size_t len, const char *suffix)
{
	if (n->out->len > 0)
		str_addc(n->out, ' ');
	str_add(n->out, n->prefix);
	str_addn(n->out, s, len);
	str_add(n->out, suffix);
	n->prefix[0] = '\0';
	n->any = n->row = false;
}

static const char *digits_of(Number *n)
{
	if (!n->row)
		snprintf(n->digits, sizeof(n->digits), "%" PRIu64, n->value);
	return n->digits;
}

static void finish(Number *n, const char *suffix)
{
	if (!n->any)
		return;
	const char *digits = digits_of(n);
	put(n, digits, strlen(digits), suffix);
}

static void begin(Number *n, uint64_t value)
{
	n->any = true;
	n->row = false;
	n->value = value;
}

static void append(Number *n, const char *digits)
{
	if (!n->any)
		n->digits[0] = '\0';
	else
		(void)digits_of(n);
	if (strlen(n->digits) + strlen(digits) >= sizeof(n->digits)) {
		n->any = n->row = true;
		finish(n, "");
		n->digits[0] = '\0';
	}
	strncat(n->digits, digits, sizeof(n->digits) - strlen(n->digits) - 1);
	n->any = n->row = true;
}

static void append_value(Number *n, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	append(n, text);
}

/* "twenty" "one" is 21 also in a row of digits. */
static void add_ones(Number *n, const Word *w, const Word *before)
{
	size_t len;
	if (!n->any) {
		begin(n, w->value);
	} else if (n->row || plain(before, ONES)) {
		len = strlen(digits_of(n));
		if (plain(before, TENS) && w->value < 10 && len > 0 && n->digits[len - 1] == '0')
			n->digits[len - 1] = '\0';
		append_value(n, w->value);
	} else if (n->value % (w->value < 10 ? 10 : 100) == 0) {
		n->value += w->value;
	} else {
		append_value(n, w->value);
	}
}

static void add_tens(Number *n, const Word *w)
{
	if (!n->any)
		begin(n, w->value);
	else if (!n->row && n->value % 100 == 0)
		n->value += w->value;
	else
		append_value(n, w->value);
}

/* A row of digits times a power of ten, when that is a whole number: the point moves. */
static bool shifted(const char *digits, uint64_t power, uint64_t *ret)
{
	uint64_t v = 0;
	bool point = false;
	for (; *digits; digits++) {
		if (*digits == '.') {
			point = true;
			continue;
		}
		if (point && power % 10 != 0)
			return false;
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*digits - '0'), &v))
			return false;
		power = point ? power / 10 : power;
	}
	return !__builtin_mul_overflow(v, power, ret);
}

static void multiply(Number *n, uint64_t by)
{
	uint64_t product;
	if (!n->any) {
		begin(n, by);
	} else if (n->row || n->value == 0) {
		if (shifted(digits_of(n), by, &product)) {
			begin(n, product);
		} else {
			finish(n, "");
			begin(n, by);
		}
	} else if (!__builtin_mul_overflow(n->value % 1000, by, &product) &&
		   !__builtin_add_overflow(n->value / 1000 * 1000, product, &product)) {
		n->value = product;
	} else {
		finish(n, "");
		begin(n, by);
	}
}

/* "12" is a value that words can go on with, "12.5" a row of digits, "12.0" is 12. */
static void take_figures(Number *n, const Word *w)
{
	char text[DIGITS_MAX] = "";
	bool after_point =
	    n->any && n->row && *n->digits && n->digits[strlen(n->digits) - 1] == '.';
	uint64_t whole;
	size_t skip = w->prefix ? w->prefix_len : 0;
	if (w->len - skip >= sizeof(text)) {
		finish(n, "");
		put(n, w->s, w->len, "");
		return;
	}
	memcpy(text, w->s + skip, w->len - skip);
	if (after_point && !w->prefix) {
		append(n, text);
		return;
	}
	finish(n, "");
	if (w->prefix)
		snprintf(n->prefix, sizeof(n->prefix), "%.*s", (int)w->prefix_len, w->prefix);
	char *point = strchr(text, '.');
	if (point && strspn(point + 1, "0") == strlen(point + 1))
		*point = '\0';
	if (!strchr(text, '.') && shifted(text, 1, &whole))
		begin(n, whole);
	else
		append(n, text);
}

static void put_word(Number *n, const Word *w)
{
	finish(n, "");
	put(n, w->s, w->len, "");
}

/* How many words it took. */
static size_t special(Number *n, const Word *w, const Word *before, const Word *after)
{
	bool goes_on = after && after->kind != OTHER;
	if (!goes_on) {
		put_word(n, w);
		return 1;
	}
	bool digit = plain(after, ZERO) || (plain(after, ONES) && after->value < 10);
	if (w->kind == REPEAT && digit) {
		for (uint64_t i = 0; i < w->value; i++)
			append_value(n, after->value);
		return 2;
	}
	if (w->kind == POINT && (is_decimal(after) || after->kind == FIGURES))
		append(n, ".");
	else if (w->kind != AND || !plain(before, MULTIPLIER))
		put_word(n, w);
	return 1;
}

static size_t unit(Number *n, const Word *w, const Word *after)
{
	bool per_cent =
	    w->kind == PER && after && after->len == 4 && memcmp(after->s, "cent", 4) == 0;
	if (!n->any) {
		put_word(n, w);
		return 1;
	}
	if (w->kind == CURRENCY) {
		snprintf(n->prefix, sizeof(n->prefix), "%s", w->prefix);
		finish(n, "");
	} else if (w->kind == PERCENT || per_cent) {
		finish(n, "%");
	} else {
		put_word(n, w);
	}
	return per_cent ? 2 : 1;
}

static size_t take(Number *n, const Word *w, const Word *before, const Word *after)
{
	switch (w->kind) {
	case OTHER:
		put_word(n, w);
		return 1;
	case FIGURES:
		take_figures(n, w);
		return 1;
	case ZERO:
		append(n, "0");
		return 1;
	case ONES:
		add_ones(n, w, before);
		break;
	case TENS:
		add_tens(n, w);
		break;
	case MULTIPLIER:
		multiply(n, w->value);
		break;
	case SIGN:
		finish(n, "");
		if (after && after->kind != OTHER)
			snprintf(n->prefix, sizeof(n->prefix), "%s", w->prefix);
		else
			put(n, w->s, w->len, "");
		return 1;
	case CURRENCY:
	case PERCENT:
	case PER:
		return unit(n, w, after);
	case AND:
	case REPEAT:
	case POINT:
		return special(n, w, before, after);
	}
	if (*w->suffix) /* an ordinal or a plural ends the number */
		finish(n, w->suffix);
	return 1;
}

/* --- Before and after ------------------------------------------------------------------------ */

/* Letters and figures are words of their own ("b747", "10km"), but an ordinal's ending stays. */
static void split_figures(const char *text, Str *out)
{
	for (const char *p = text; *p; p++) {
		char before = p > text ? p[-1] : ' ';
		bool letter = islower((unsigned char)*p), digit = isdigit((unsigned char)*p);
		if ((letter && isdigit((unsigned char)before)) ||
		    (digit && islower((unsigned char)before)))
			str_addc(out, ' ');
		str_addc(out, *p);
	}
	str_add(out, "");
}

static bool is_ending(const char *s, size_t len)
{
	static const char *const endings[] = {"st", "nd", "rd", "th", "s"};
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
		if (strlen(endings[i]) == len && memcmp(s, endings[i], len) == 0)
			return true;
	return false;
}

static void join_endings(const char *text, Str *out)
{
	for (const char *p = text; *p; p++) {
		bool after_digit = p > text && isdigit((unsigned char)p[-1]);
		if (*p != ' ' || !after_digit || !is_ending(p + 1, strcspn(p + 1, " ")))
			str_addc(out, *p);
	}
	str_add(out, "");
}

/* "three and a half" -> "three point five" where a number in words comes before. */
static void spell_halves(const char *text, Str *out)
{
	static const char half[] = " and a half";
	const char *at = text;
	for (const char *p = strstr(text, half); p; p = strstr(p + 1, half)) {
		char end = p[sizeof(half) - 1];
		const char *from = p;
		while (from > text && from[-1] != ' ')
			from--;
		Word w = {.s = from, .len = (size_t)(p - from)};
		numword_classify(&w);
		if ((end != ' ' && end != '\0') || (!is_decimal(&w) && !plain(&w, MULTIPLIER)))
			continue;
		str_addn(out, at, (size_t)(p - at));
		str_add(out, " point five");
		at = p + sizeof(half) - 1;
	}
	str_add(out, at);
}

static bool next_word(const char **at, Word *w)
{
	*at += strspn(*at, " ");
	w->s = *at;
	w->len = strcspn(*at, " ");
	*at += w->len;
	if (w->len > 0)
		numword_classify(w);
	return w->len > 0;
}

/* The words one after the other, each with its neighbours. */
static void collect(const char *text, Str *out)
{
	Number n = {.out = out};
	Word before, now, after;
	bool has_before = false, has_after;
	bool has_now = next_word(&text, &now);
	while (has_now) {
		has_after = next_word(&text, &after);
		size_t took =
		    take(&n, &now, has_before ? &before : NULL, has_after ? &after : NULL);
		if (took == 2) {
			now = after;
			has_after = next_word(&text, &after);
		}
		before = now;
		now = after;
		has_before = true;
		has_now = has_after;
	}
	finish(&n, "");
	str_add(out, "");
}

/* A token's currency sign; its length, or 0. */
static size_t money(const char *s)
{
	static const char *const signs[] = {"$", "\u00a3", "\u20ac"};
	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
		if (strncmp(s, signs[i], strlen(signs[i])) == 0)
			return strlen(signs[i]);
	return 0;
}

/* What follows "$2": " and ¢70" or " ¢70"; the figures of the cents, and where it ends. */
static const char *cents_after(const char *s, size_t *ret_digits, const char **ret_end)
{
	static const char cent[] = "\u00a2";
	if (strncmp(s, " and ", 5) == 0)
		s += 4;
	if (*s != ' ' || strncmp(s + 1, cent, strlen(cent)) != 0)
		return NULL;
	s += 1 + strlen(cent);
	*ret_digits = strspn(s, "0123456789");
	*ret_end = s + *ret_digits;
	bool ends = **ret_end == ' ' || **ret_end == '\0';
	return ends && (*ret_digits == 1 || *ret_digits == 2) ? s : NULL;
}

/* "$2 and ¢70" -> "$2.70"; "$0.36" -> "¢36"; a lone 1 is "one", which reads better. */
static void tidy_token(const char *s, size_t len, const char **ret_end, Str *out)
{
	size_t sign = money(s), digits, n;
	const char *end, *cents;
	*ret_end = s + len;
	if (sign > 0) {
		n = strspn(s + sign, "0123456789");
		cents = n > 0 && sign + n == len ? cents_after(s + len, &digits, &end) : NULL;
		if (cents) {
			str_addn(out, s, len);
			str_addf(out, ".%s%.*s", digits == 1 ? "0" : "", (int)digits, cents);
			*ret_end = end;
			return;
		}
		if (n == 1 && s[sign] == '0' && s[sign + 1] == '.' && len - sign - 2 <= 2) {
			/* "$0.05" is five cents. */
			const char *part = s + sign + 2;
			size_t left = len - sign - 2;
			if (left == 2 && *part == '0') {
				part++;
				left--;
			}
			str_addf(out, "\u00a2%.*s", (int)left, part);
			return;
		}
	}
	bool one = *s == '1' && (len == 1 || (len == 2 && s[1] == 's'));
	str_addf(out, "%s%.*s", one ? "one" : "", (int)(one ? len - 1 : len), one ? s + 1 : s);
}

static void tidy(const char *text, Str *out)
{
	while (*text) {
		const char *end;
		tidy_token(text, strcspn(text, " "), &end, out);
		if (*end == ' ')
			str_addc(out, *end++);
		text = end;
	}
	str_add(out, "");
}

void normalise_numbers(const char *words, Str *out)
{
	_cleanup_(str_done) Str split = STR_INIT, joined = STR_INIT, halves = STR_INIT;
	_cleanup_(str_done) Str figures = STR_INIT;
	split_figures(words, &split);
	if (split.s)
		join_endings(split.s, &joined);
	if (joined.s)
		spell_halves(joined.s, &halves);
	if (halves.s)
		collect(halves.s, &figures);
	if (figures.s && !split.failed && !joined.failed && !halves.failed && !figures.failed)
		tidy(figures.s, out);
	else
		out->failed = true;
}
