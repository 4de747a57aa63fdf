#pragma once
/* JSON as we read and hash it, on top of jansson's json_t.
 * Reading is strict and bounded: one value, nothing after it, no duplicate keys, no NUL bytes, no
 * NaN or infinity, at most JS_DEPTH_MAX deep. Canonical text is what is hashed: sorted keys,
 * separators ", " and ": ", ASCII escapes, and the shortest float that reads back the same, written
 * as Python's repr() writes it (0.45, 1e-05, 1e+16, 5.0). */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

enum {
	JS_DEPTH_MAX = 64
};

/* jansson has json_auto_t: a json_t that drops its reference at the end of the block. */

/* -EBADMSG: not such a value (the message says where and why); -EFBIG: longer than max_len. */
int js_parse(const char *text, size_t len, size_t max_len, json_t **ret, Err *err) _must_check_;

/* A NULL value (a builder that failed) makes `out` fail. */
void js_canonical(const json_t *v, Str *out);
/* The number alone, as canonical text writes it. `ret` holds at least 32 bytes. */
void js_double(double v, char *ret);

/* Builders with a sticky failure, like Str: `o` may be NULL (then nothing happens), the value is
 * always consumed, and a NULL value or a failed set is remembered in *failed. */
void js_set(json_t *o, const char *key, json_t *value, bool *failed);
/* A copy, of the top level alone or of everything; NULL when out of memory. (jansson's own lose
 * members silently then.) */
json_t *js_copy(const json_t *v);
json_t *js_deep_copy(const json_t *v);
/* A real that is finite, else JSON null: a missing number is missing. */
json_t *js_number(double v);
/* A string of any bytes: what is not UTF-8 is replaced by U+FFFD. */
json_t *js_text(const char *s);

/* Reading a member, with a default when it is absent or of another type. */
const char *js_str(const json_t *o, const char *key, const char *otherwise);
int64_t js_int(const json_t *o, const char *key, int64_t otherwise);
double js_num(const json_t *o, const char *key, double otherwise); /* integer or real */
bool js_bool(const json_t *o, const char *key, bool otherwise);
