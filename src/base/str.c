#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Room for `more` bytes and the NUL. */
static bool reserve(Str *b, size_t more)
{
	if (b->failed)
		return false;
	if (more >= SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return false;
	}
	size_t need = b->len + more + 1;
	if (need <= b->cap)
		return true;

	size_t cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap *= 2;
	char *s = realloc(b->s, cap);
	if (!s) {
		b->failed = true;
		return false;
	}
	b->s = s;
	b->cap = cap;
	return true;
}

void str_addn(Str *b, const char *text, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len > 0)
		memcpy(b->s + b->len, text, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void str_add(Str *b, const char *text)
{
	str_addn(b, text, strlen(text));
}

void str_addc(Str *b, char c)
{
	str_addn(b, &c, 1);
}

void str_addv(Str *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (!reserve(b, (size_t)n))
		return;
	(void)vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void str_addf(Str *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str_addv(b, fmt, ap);
	va_end(ap);
}

void str_clear(Str *b)
{
	b->len = 0;
	if (b->s)
		b->s[0] = '\0';
}

void str_done(Str *b)
{
	free(b->s);
	*b = STR_INIT;
}

int str_take(Str *b, char **ret)
{
	str_addn(b, "", 0);
	if (b->failed) {
		str_done(b);
		return -ENOMEM;
	}
	*ret = b->s;
	*b = STR_INIT;
	return 0;
}

char *str_fmt(const char *fmt, ...)
{
	Str b = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&b, fmt, ap);
	va_end(ap);

	char *text = NULL;
	return str_take(&b, &text) < 0 ? NULL : text;
}

/* Bytes that a sequence starting with `lead` has, and the smallest code point worth that many. */
static size_t sequence_len(unsigned char lead, uint32_t *ret_min, uint32_t *ret_bits)
{
	if (lead >= 0xc2 && lead <= 0xdf) {
		*ret_min = 0x80;
		*ret_bits = lead & 0x1f;
		return 2;
	}
	if (lead >= 0xe0 && lead <= 0xef) {
		*ret_min = 0x800;
		*ret_bits = lead & 0x0f;
		return 3;
	}
	if (lead >= 0xf0 && lead <= 0xf4) {
		*ret_min = 0x10000;
		*ret_bits = lead & 0x07;
		return 4;
	}
	return 0;
}

size_t utf8_next(const char *s, size_t len, uint32_t *ret)
{
	if (len == 0)
		return 0;
	const unsigned char *u = (const unsigned char *)s;
	if (u[0] < 0x80) {
		*ret = u[0];
		return 1;
	}

	uint32_t min = 0, cp = 0;
	size_t n = sequence_len(u[0], &min, &cp);
	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (u[i] & 0x3f);
	}
	if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	*ret = cp;
	return n;
}

bool utf8_valid(const char *s, size_t len)
{
	uint32_t cp;
	for (size_t at = 0, n; at < len; at += n) {
		n = utf8_next(s + at, len - at, &cp);
		if (n == 0)
			return false;
	}
	return true;
}

/* What could act on a terminal or reorder the line: C0, DEL, C1, bidirectional overrides, line and
 * paragraph separators. */
static bool is_unsafe(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x061c || cp == 0x200e ||
	       cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) ||
	       cp == 0xfeff;
}

static void add_escaped(Str *b, uint32_t cp)
{
	if (cp == '\n')
		str_add(b, "\\n");
	else if (cp == '\t')
		str_add(b, "\\t");
	else if (cp == '\r')
		str_add(b, "\\r");
	else if (cp < 0x100)
		str_addf(b, "\\x%02x", cp);
	else
		str_addf(b, "\\u%04x", cp);
}

void str_add_safe(Str *b, const char *text, size_t len, size_t max_chars)
{
	for (size_t at = 0, chars = 0; at < len; chars++) {
		if (max_chars > 0 && chars == max_chars) {
			str_add(b, "...");
			return;
		}
		uint32_t cp = 0;
		size_t n = utf8_next(text + at, len - at, &cp);
		if (n == 0) {
			str_addf(b, "\\x%02x", (unsigned char)text[at]);
			n = 1;
		} else if (is_unsafe(cp)) {
			add_escaped(b, cp);
		} else {
			str_addn(b, text + at, n);
		}
		at += n;
	}
}
