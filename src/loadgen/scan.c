#include "loadgen/scan.h"

#include <string.h>

typedef struct Cursor {
	const char *at, *end;
} Cursor;

static void skip_blank(Cursor *c)
{
	while (c->at < c->end &&
	       (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

/* --- Values without members ------------------------------------------------------------------ */

static bool hex4(const char *s, const char *end, uint32_t *ret)
{
	uint32_t v = 0;
	if (end - s < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = s[i];
		uint32_t d = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
			     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
			     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
						    : 16;
		if (d > 15)
			return false;
		v = v << 4 | d;
	}
	*ret = v;
	return true;
}

static bool skip_escape(Cursor *c)
{
	uint32_t code;
	if (++c->at >= c->end)
		return false;
	if (*c->at == 'u') {
		if (!hex4(c->at + 1, c->end, &code))
			return false;
		c->at += 5;
		return true;
	}
	if (!memchr("\"\\/bfnrt", *c->at, 8))
		return false;
	c->at++;
	return true;
}

/* From the opening quote. */
static bool take_string(Cursor *c, ScanValue *ret)
{
	const char *begin = ++c->at;
	while (c->at < c->end) {
		unsigned char b = (unsigned char)*c->at;
		if (b == '"') {
			*ret = (ScanValue){SCAN_STRING, begin, (size_t)(c->at - begin)};
			c->at++;
			return true;
		}
		if (b < 0x20)
			return false;
		if (b != '\\')
			c->at++;
		else if (!skip_escape(c))
			return false;
	}
	return false;
}

static bool skip_digits(Cursor *c)
{
	const char *begin = c->at;
	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > begin;
}

static bool take_number(Cursor *c, ScanValue *ret)
{
	const char *begin = c->at;
	if (*c->at == '-')
		c->at++;
	if (c->at < c->end && *c->at == '0')
		c->at++;
	else if (!skip_digits(c))
		return false;
	if (c->at < c->end && *c->at == '.') {
		c->at++;
		if (!skip_digits(c))
			return false;
	}
	if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
		c->at++;
		if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
			c->at++;
		if (!skip_digits(c))
			return false;
	}
	*ret = (ScanValue){SCAN_NUMBER, begin, (size_t)(c->at - begin)};
	return true;
}

static bool take_word(Cursor *c, const char *word, ScanKind kind, ScanValue *ret)
{
	size_t n = strlen(word);
	if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
		return false;
	*ret = (ScanValue){kind, c->at, n};
	c->at += n;
	return true;
}

static bool take_plain(Cursor *c, ScanValue *ret)
{
	switch (*c->at) {
	case '"':
		return take_string(c, ret);
	case 'n':
		return take_word(c, "null", SCAN_NULL, ret);
	case 't':
		return take_word(c, "true", SCAN_TRUE, ret);
	case 'f':
		return take_word(c, "false", SCAN_FALSE, ret);
	default:
		return take_number(c, ret);
	}
}

/* --- Objects and arrays ---------------------------------------------------------------------- */

/* What closes each level that is open, from the outside in. */
typedef struct Levels {
	char close[SCAN_DEPTH_MAX];
	int n;
} Levels;

static bool take_key(Cursor *c)
{
	ScanValue key;
	skip_blank(c);
	if (c->at >= c->end || *c->at != '"' || !take_string(c, &key))
		return false;
	skip_blank(c);
	if (c->at >= c->end || *c->at != ':')
		return false;
	c->at++;
	return true;
}

/* At '{' or '['. An empty one is closed at once; *ret_open: there is a value to come. */
static bool open_level(Cursor *c, Levels *l, bool *ret_open)
{
	bool object = *c->at == '{';
	if (l->n >= SCAN_DEPTH_MAX)
		return false;
	l->close[l->n++] = object ? '}' : ']';
	c->at++;
	skip_blank(c);
	if (c->at < c->end && *c->at == l->close[l->n - 1]) {
		c->at++;
		l->n--;
		*ret_open = false;
		return true;
	}
	*ret_open = true;
	return !object || take_key(c);
}

/* After a value: closes what ends here; at a comma the next value is to come. */
static bool after_value(Cursor *c, Levels *l)
{
	while (l->n > 0) {
		skip_blank(c);
		if (c->at >= c->end)
			return false;
		if (*c->at == ',') {
			c->at++;
			return l->close[l->n - 1] == ']' || take_key(c);
		}
		if (*c->at != l->close[l->n - 1])
			return false;
		c->at++;
		l->n--;
	}
	return true;
}

/* One value, whatever is in it. */
static bool take_value(Cursor *c, ScanValue *ret)
{
	Levels l = {.n = 0};
	skip_blank(c);
	if (c->at >= c->end)
		return false;
	const char *begin = c->at;
	bool nested = *begin == '{' || *begin == '[';
	if (!nested)
		return take_plain(c, ret);
	do {
		ScanValue inner;
		bool open = false;
		skip_blank(c);
		if (c->at >= c->end)
			return false;
		if (*c->at == '{' || *c->at == '[') {
			if (!open_level(c, &l, &open))
				return false;
		} else if (!take_plain(c, &inner)) {
			return false;
		}
		if (!open && !after_value(c, &l))
			return false;
	} while (l.n > 0);
	*ret =
	    (ScanValue){*begin == '{' ? SCAN_OBJECT : SCAN_ARRAY, begin, (size_t)(c->at - begin)};
	return true;
}

bool scan_whole(const char *text, size_t len, ScanValue *ret)
{
	Cursor c = {text, text + len};
	if (!take_value(&c, ret))
		return false;
	skip_blank(&c);
	return c.at == c.end;
}

/* --- Looking into it ------------------------------------------------------------------------- */

ScanIter scan_iter(const ScanValue *v)
{
	if (v->kind != SCAN_OBJECT && v->kind != SCAN_ARRAY)
		return (ScanIter){0};
	return (ScanIter){v->s + 1, v->s + v->len - 1, v->kind == SCAN_OBJECT};
}

bool scan_next(ScanIter *i, ScanValue *ret_key, ScanValue *ret)
{
	Cursor c = {i->at, i->end};
	*ret_key = (ScanValue){0};
	if (!i->at)
		return false;
	skip_blank(&c);
	if (c.at < c.end && *c.at == ',')
		c.at++;
	skip_blank(&c);
	if (c.at >= c.end)
		return false;
	if (i->object) {
		if (*c.at != '"' || !take_string(&c, ret_key))
			return false;
		skip_blank(&c);
		if (c.at >= c.end || *c.at != ':')
			return false;
		c.at++;
	}
	if (!take_value(&c, ret))
		return false;
	i->at = c.at;
	return true;
}

bool scan_is(const ScanValue *v, const char *text)
{
	return v->kind == SCAN_STRING && strlen(text) == v->len && memcmp(v->s, text, v->len) == 0;
}

bool scan_get(const ScanValue *object, const char *key, ScanValue *ret)
{
	ScanValue name, value;
	if (object->kind != SCAN_OBJECT)
		return false;
	for (ScanIter i = scan_iter(object); scan_next(&i, &name, &value);) {
		if (scan_is(&name, key)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

bool scan_int(const ScanValue *v, int64_t *ret)
{
	char text[40];
	if (v->kind != SCAN_NUMBER || v->len >= sizeof(text))
		return false;
	memcpy(text, v->s, v->len);
	text[v->len] = '\0';
	double d = strtod(text, NULL);
	if (!(d >= -0x1p53 && d <= 0x1p53))
		return false;
	*ret = (int64_t)d;
	return true;
}

static void add_utf8(Str *out, uint32_t code)
{
	char b[4];
	size_t n = 0;
	if (code < 0x80) {
		b[n++] = (char)code;
	} else if (code < 0x800) {
		b[n++] = (char)(0xc0 | code >> 6);
		b[n++] = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		b[n++] = (char)(0xe0 | code >> 12);
		b[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		b[n++] = (char)(0x80 | (code & 0x3f));
	} else {
		b[n++] = (char)(0xf0 | code >> 18);
		b[n++] = (char)(0x80 | (code >> 12 & 0x3f));
		b[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		b[n++] = (char)(0x80 | (code & 0x3f));
	}
	str_addn(out, b, n);
}

/* After "\u". Returns what follows. */
static const char *add_unicode(const char *at, const char *end, Str *out)
{
	uint32_t code = 0xfffd, low;
	if (!hex4(at, end, &code))
		return end;
	at += 4;
	if (code >= 0xd800 && code < 0xdc00) {
		if (end - at >= 6 && at[0] == '\\' && at[1] == 'u' && hex4(at + 2, end, &low) &&
		    low >= 0xdc00 && low < 0xe000) {
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
			at += 6;
		} else {
			code = 0xfffd;
		}
	} else if (code >= 0xdc00 && code < 0xe000) {
		code = 0xfffd;
	}
	add_utf8(out, code);
	return at;
}

void scan_text(const ScanValue *string, Str *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = string->s, *end = at + string->len;
	if (string->kind != SCAN_STRING)
		return;
	while (at < end) {
		const char *escape = memchr(at, '\\', (size_t)(end - at));
		const char *stop = escape ? escape : end;
		str_addn(out, at, (size_t)(stop - at));
		at = stop;
		if (!escape || end - at < 2)
			return;
		const char *which = memchr(from, at[1], sizeof(from) - 1);
		if (which)
			str_addc(out, to[which - from]);
		at += 2;
		if (!which)
			at = add_unicode(at, end, out);
	}
}
