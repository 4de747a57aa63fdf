#pragma once
/* Lines of JSON, put together from bytes as they come; empty lines are passed over. Bounded:
 * -EFBIG. */
#include <stddef.h>

#include "base/str.h"

enum {
	NDJSON_LINE_MAX = 1 << 20
};

/* The line is valid during the call. Negative: stops the feeding with this. */
typedef int NdjsonLine(void *ctx, const char *line, size_t len);

typedef struct Ndjson {
	Str line; /* of the reads before: a line without its end */
} Ndjson;

#define NDJSON_INIT ((Ndjson){0})

void ndjson_done(Ndjson *n);
void ndjson_reset(Ndjson *n);
int ndjson_feed(Ndjson *n, const char *p, size_t len, NdjsonLine *line, void *ctx);
int ndjson_end(Ndjson *n, NdjsonLine *line, void *ctx); /* the last line may lack its end */
