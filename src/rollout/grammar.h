#pragma once
/* The shape of a promotion: which members there are, of what type, how long. */
#include <jansson.h>

#include "base/err.h"

enum {
	GRAMMAR_DEPTH_MAX = 8,
	PARAMETER_NAME_MAX = 63,
};

/* Where in a value the mistake is: keys, and places in lists where key is NULL. Keys are borrowed
 * from the value. */
typedef struct GrammarPath {
	struct {
		const char *key;
		size_t index;
	} step[GRAMMAR_DEPTH_MAX];
	size_t n;
} GrammarPath;

/* 0; -EBADMSG with the place in *ret_path (may be NULL) and in the message. */
int promotion_grammar(const json_t *v, GrammarPath *ret_path, Err *err) _must_check_;
