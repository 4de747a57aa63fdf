#pragma once
/* A recorded load: which request came when and how long it was. Two layouts are read, told apart by
 * the header line (docs/traces.md):
 *
 *   at_s,prompt_tokens,output_tokens        ours: seconds from the beginning; instead of the tokens
 *   at_s,clip                               the name of a clip, and any other columns beside them
 *   TIMESTAMP,ContextTokens,GeneratedTokens Azure's traces, times as "2023-11-16 18:15:46.6805900"
 *
 * Everything in it is hostile and bounded. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

enum {
	TRACE_BYTES_MAX = 256 << 20,
	TRACE_ROWS_MAX = 4 << 20,
};

typedef struct TraceRow {
	int64_t at_us;		/* from the first row's time; never less than the row's before */
	int32_t prompt, output; /* tokens; -1: not said */
	uint32_t clip_at;	/* into `names`; 0: none */
} TraceRow;

typedef struct Trace {
	TraceRow *rows; /* owned: n of them, n > 0 */
	size_t n;
	char *names; /* owned: clip names, each with its NUL; the first byte is a NUL */
	size_t names_len;
} Trace;

/* -EBADMSG: no such table, or its rows are not in the order of time; the message names the line. */
int trace_parse(const char *text, size_t len, Trace *ret, Err *err) _must_check_;
/* Only regular files. */
int trace_read(const char *path, Trace *ret, Err *err) _must_check_;
void trace_done(Trace *t);
const char *trace_clip(const Trace *t, const TraceRow *row); /* NULL: none is named */
