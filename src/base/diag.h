#pragma once
/* Everything that is wrong with an input, collected instead of stopping at the first. Each reads
 * `file:line:column: error: what is wrong; what would be accepted`. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

typedef enum DiagLevel {
	DIAG_ERROR,
	DIAG_WARNING,
} DiagLevel;

typedef struct Diag {
	DiagLevel level;
	unsigned line, column; /* from 1; 0 when the input has no such place */
	char *file;
	char *what;
	char *accept; /* what would be accepted; NULL when `what` says it all */
} Diag;

typedef struct Diags {
	Diag *items;
	size_t n;
	size_t errors;	/* how many of them are DIAG_ERROR */
	bool truncated; /* more than DIAGS_MAX were found, or memory ran out: `errors` still counts
			   them */
} Diags;

enum {
	DIAGS_MAX = 200
};

#define DIAGS_INIT ((Diags){0})

/* `accept` may be NULL. */
void diags_add(Diags *d, DiagLevel level, const char *file, unsigned line, unsigned column,
	       const char *accept, const char *fmt, ...) _printf_(7, 8);
void diags_sort(Diags *d);		   /* by file, line, column; stable */
void diags_text(const Diags *d, Str *out); /* one line each */
void diags_done(Diags *d);
