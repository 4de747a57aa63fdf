#pragma once
/* Looks into a JSON text without building anything: answers come as hundreds of thousands of small
 * objects a second, and only a few of their members matter. Walks each value once, checks its
 * grammar, allocates nothing. Keys with escapes in them are never ours and match nothing. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum {
	SCAN_DEPTH_MAX = 64
};

typedef enum ScanKind {
	SCAN_NULL,
	SCAN_FALSE,
	SCAN_TRUE,
	SCAN_NUMBER,
	SCAN_STRING,
	SCAN_OBJECT,
	SCAN_ARRAY,
} ScanKind;

/* A value: its text, of a string without the quotes. */
typedef struct ScanValue {
	ScanKind kind;
	const char *s;
	size_t len;
} ScanValue;

/* The text is one value and nothing else. False: it is none. */
bool scan_whole(const char *text, size_t len, ScanValue *ret);

/* Walks the members of an object or the items of an array, which scan_whole() has seen:
 *     for (ScanIter i = scan_iter(&v); scan_next(&i, &key, &value);) ...
 * `key` is zeroed for items. */
typedef struct ScanIter {
	const char *at, *end;
	bool object;
} ScanIter;
ScanIter scan_iter(const ScanValue *v);
bool scan_next(ScanIter *i, ScanValue *ret_key, ScanValue *ret);

bool scan_is(const ScanValue *v, const char *text); /* a string, exactly this */
/* The member, else false. The first one, when there are two. */
bool scan_get(const ScanValue *object, const char *key, ScanValue *ret);
/* A whole number, rounded towards 0 when it is none; false: no number, or beyond +-2^53. */
bool scan_int(const ScanValue *v, int64_t *ret);
/* Appends a string's content, escapes resolved; half a surrogate becomes U+FFFD. */
void scan_text(const ScanValue *string, Str *out);
