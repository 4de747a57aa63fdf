/* The words of a text. The English rules are those that the authors of Whisper describe
 * (arXiv 2212.04356, appendix C), so that a rate can be compared with published ones. One thing is
 * ours: a typographic apostrophe is an apostrophe. */
#include "loadgen/normalise.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "loadgen/unicode.h"
#include "loadgen/wer.h"

const char *normaliser_name(Normaliser n)
{
	return n == NORMALISE_ENGLISH ? "whisper-english" : "plain";
}

Normaliser normaliser_for(const char *language)
{
	if (!language)
		return NORMALISE_PLAIN;
	bool english = strncasecmp(language, "en", 2) == 0 &&
		       (language[2] == '\0' || language[2] == '-' || language[2] == '_' ||
			strcasecmp(language, "english") == 0);
	return english ? NORMALISE_ENGLISH : NORMALISE_PLAIN;
}

/* --- Characters ------------------------------------------------------------------------------ */

enum {
	APOSTROPHE = 0x2019
};

static int to_lower(const char *text, size_t len, Str *out)
{
	for (size_t at = 0; at < len;) {
		uint32_t c;
		size_t n = utf8_next(text + at, len - at, &c);
		if (n == 0)
			return -EBADMSG;
		at += n;
		if (c == 0)
			c = ' ';
		unicode_add(out, c == APOSTROPHE ? '\'' : unicode_lower(c));
	}
	str_add(out, "");
	return 0;
}

/* What stands in [] or <>, or in (), is said about the sound and is not speech. An
 * opening one without its end is a symbol like any other. */
static void drop_brackets(const char *text, Str *out)
{
	bool square = true, round = true; /* is there still an end ahead? */
	while (*text) {
		const char *end = NULL;
		if (square && (*text == '[' || *text == '<')) {
			end = strpbrk(text, "]>");
			square = end;
		} else if (round && *text == '(' && text[1] != ')') {
			end = strchr(text, ')');
			round = end;
		}
		if (end)
			text = end + 1;
		else
			str_addc(out, *text++);
	}
}

/* Symbols become blanks, accents go; what is in `keep` stays. */
static void drop_symbols(const char *text, const char *keep, bool accents, Str *out)
{
	size_t len = strlen(text);
	for (size_t at = 0; at < len;) {
		uint32_t c;
		size_t n = utf8_next(text + at, len - at, &c);
		if (n == 0)
			break;
		const char *base = accents ? unicode_base(c) : NULL;
		if (c == 0xa2 || c == 0xa3 || c == 0x20ac) /* cent, pound, euro */
			str_addn(out, *keep ? text + at : " ", *keep ? n : 1);
		else if (c < 0x80 && strchr(keep, (int)c))
			str_addc(out, (char)c);
		else if (base)
			str_add(out, base);
		else if (unicode_is_symbol(c) || unicode_is_space(c))
			str_addc(out, ' ');
		else if (!unicode_is_invisible(c) || (!accents && c >= 0x300 && c <= 0x36f))
			str_addn(out, text + at, n);
		at += n;
	}
	str_add(out, "");
}

static void squeeze(const char *text, Str *out)
{
	bool wanted = false;
	for (; *text; text++) {
		if (*text == ' ') {
			wanted = true;
			continue;
		}
		if (wanted && out->len > 0)
			str_addc(out, ' ');
		wanted = false;
		str_addc(out, *text);
	}
	str_add(out, "");
}

/* --- English --------------------------------------------------------------------------------- */

typedef struct Replacement {
	const char *from, *to;
	bool open_left; /* may be the end of a longer word */
} Replacement;

/* In this order. */
static const Replacement fillers[] = {
    {"hmm", "", false}, {"mm", "", false}, {"mhm", "", false},
    {"mmm", "", false}, {"uh", "", false}, {"um", "", false},
};

static const Replacement contractions[] = {
    {"won't", "will not", false},
    {"can't", "can not", false},
    {"let's", "let us", false},
    {"ain't", "aint", false},
    {"y'all", "you all", false},
    {"wanna", "want to", false},
    {"gotta", "got to", false},
    {"gonna", "going to", false},
    {"i'ma", "i am going to", false},
    {"imma", "i am going to", false},
    {"woulda", "would have", false},
    {"coulda", "could have", false},
    {"shoulda", "should have", false},
    {"ma'am", "madam", false},
    {"mr", "mister ", false},
    {"mrs", "missus ", false},
    {"st", "saint ", false},
    {"dr", "doctor ", false},
    {"prof", "professor ", false},
    {"capt", "captain ", false},
    {"gov", "governor ", false},
    {"ald", "alderman ", false},
    {"gen", "general ", false},
    {"sen", "senator ", false},
    {"rep", "representative ", false},
    {"pres", "president ", false},
    {"rev", "reverend ", false},
    {"hon", "honorable ", false},
    {"asst", "assistant ", false},
    {"assoc", "associate ", false},
    {"lt", "lieutenant ", false},
    {"col", "colonel ", false},
    {"jr", "junior ", false},
    {"sr", "senior ", false},
    {"esq", "esquire ", false},
    /* 's and 'd before a participle are has and had. */
    {"'d been", " had been", true},
    {"'s been", " has been", true},
    {"'d gone", " had gone", true},
    {"'s gone", " has gone", true},
    {"'d done", " had done", true},
    {"'s got", " has got", true},
    {"n't", " not", true},
    {"'re", " are", true},
    {"'s", " is", true},
    {"'d", " would", true},
    {"'ll", " will", true},
    {"'t", " not", true},
    {"'ve", " have", true},
    {"'m", " am", true},
};

/* Part of a word: letters, digits, and all that is not ASCII. */
static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static void replace(Str *text, const Replacement *r)
{
	size_t len = strlen(r->from);
	const char *at = text->s, *found = at ? strstr(at, r->from) : NULL;
	if (!found)
		return;
	Str out = STR_INIT;
	for (; found; found = strstr(found, r->from)) {
		bool left = r->open_left || found == text->s || !is_word(found[-1]);
		if (!left || is_word(found[len])) {
			found++;
			continue;
		}
		str_addn(&out, at, (size_t)(found - at));
		str_add(&out, r->to);
		at = found += len;
	}
	str_add(&out, at);
	str_done(text);
	*text = out;
}

static void replace_all(Str *text, const Replacement *list, size_t n)
{
	for (size_t i = 0; i < n && !text->failed; i++)
		replace(text, &list[i]);
}

/* "do n't" and "it 's" are one word each; commas inside numbers go, and so do full stops that no
 * digit follows. */
static void join_apostrophes(const char *text, Str *out)
{
	for (const char *p = text; *p; p++) {
		size_t blanks = strspn(p, " \t\n");
		if (blanks > 0 && p[blanks] == '\'')
			p += blanks;
		str_addc(out, *p);
	}
	str_add(out, "");
}

static void drop_points(const char *text, Str *out)
{
	for (const char *p = text; *p; p++) {
		bool digit_left = p > text && isdigit((unsigned char)p[-1]);
		bool digit_right = isdigit((unsigned char)p[1]);
		if (*p == ',' && digit_left && digit_right)
			continue;
		str_addc(out, *p == '.' && !digit_right ? ' ' : *p);
	}
	str_add(out, "");
}

static bool is_currency(const char *p, size_t *ret_len)
{
	static const char *const signs[] = {"$", "\u00a2", "\u00a3", "\u20ac", "."};
	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		*ret_len = strlen(signs[i]);
		if (strncmp(p, signs[i], *ret_len) == 0)
			return true;
	}
	return false;
}

/* What was kept for the sake of numbers and belongs to none. */
static void drop_lone_signs(const char *text, Str *out)
{
	for (const char *p = text; *p;) {
		size_t len;
		bool before = p > text && isdigit((unsigned char)p[-1]);
		if (is_currency(p, &len) && !isdigit((unsigned char)p[len])) {
			str_addc(out, ' ');
			p += len;
		} else if (*p == '%' && !before) {
			str_addc(out, ' ');
			p++;
		} else {
			str_addc(out, *p++);
		}
	}
	str_add(out, "");
}

/* Runs one step from text to text. */
typedef void Step(const char *text, Str *out);

static void step(Str *text, Step *run)
{
	Str out = STR_INIT;
	if (text->failed)
		return;
	run(text->s ? text->s : "", &out);
	str_add(&out, "");
	str_done(text);
	*text = out;
}

static void symbols_but_numbers(const char *text, Str *out)
{
	drop_symbols(text, ".%$", true, out);
}

static void symbols(const char *text, Str *out)
{
	drop_symbols(text, "", false, out);
}

static void english(Str *text)
{
	step(text, drop_brackets);
	replace_all(text, fillers, sizeof(fillers) / sizeof(*fillers));
	step(text, join_apostrophes);
	replace_all(text, contractions, sizeof(contractions) / sizeof(*contractions));
	step(text, drop_points);
	step(text, symbols_but_numbers);
	step(text, squeeze);
	step(text, normalise_numbers);
	step(text, normalise_spelling);
	step(text, drop_lone_signs);
}

int normalise(Normaliser n, const char *text, size_t len, Str *out)
{
	_cleanup_(str_done) Str work = STR_INIT;
	int r = to_lower(text, len, &work);
	if (r < 0)
		return r;
	if (n == NORMALISE_ENGLISH) {
		english(&work);
	} else {
		step(&work, drop_brackets);
		step(&work, symbols);
	}
	if (work.failed)
		return -ENOMEM;
	_cleanup_(str_done) Str words = STR_INIT;
	squeeze(work.s ? work.s : "", &words);
	str_add(out, words.s ? words.s : "");
	return words.failed || out->failed ? -ENOMEM : 0;
}
