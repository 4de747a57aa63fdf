#pragma once
/* A growing string. Appending never fails at the call: a failed allocation is remembered, further
 * appends do nothing, and str_take() reports it. So text is built without a check per line. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct Str {
	char *s;    /* NUL-terminated once anything was added; NULL before */
	size_t len; /* without the NUL */
	size_t cap;
	bool failed;
} Str;

#define STR_INIT ((Str){0})

void str_add(Str *b, const char *text);
void str_addn(Str *b, const char *text, size_t len);
void str_addc(Str *b, char c);
void str_addf(Str *b, const char *fmt, ...) _printf_(2, 3);
void str_addv(Str *b, const char *fmt, va_list ap) _printf_(2, 0);
void str_clear(Str *b); /* empty, memory kept */
void str_done(Str *b);	/* for _cleanup_(str_done) */

/* Hands the text over (never NULL on success, at least ""). -ENOMEM if any append failed. */
int str_take(Str *b, char **ret) _must_check_;

/* A formatted copy, NULL when out of memory. */
char *str_fmt(const char *fmt, ...) _printf_(1, 2);

/* Text that somebody else wrote, made fit for a terminal and one line: control characters, bytes
 * that are not UTF-8 and bidirectional overrides appear as \n, \x1b, \u202e. After `max_chars`
 * characters it is cut and ends in "..."; 0: never cut. */
void str_add_safe(Str *b, const char *text, size_t len, size_t max_chars);

/* The code point that `s` starts with and how many bytes it takes; 0 when it is not UTF-8
 * (overlong forms, surrogates and what is past U+10FFFF are not) or nothing is left. */
size_t utf8_next(const char *s, size_t len, uint32_t *ret);
bool utf8_valid(const char *s, size_t len);
