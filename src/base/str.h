#pragma once
/* A growing string. Appending never fails at the call: a failed allocation is remembered, further
 * appends do nothing, and str_take() reports it. So text is built without a check per line. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

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
