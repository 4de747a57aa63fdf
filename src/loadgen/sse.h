#pragma once
/* Server-sent events, put together from bytes as they come. Lines end in LF, CR LF or CR; several
 * data lines of one event are joined by a line feed; comments, ids and retry times are passed over.
 * An event is handed over at its empty line. Bounded: -EFBIG. */
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum {
	SSE_EVENT_MAX = 1 << 20
};

/* `error`: the event was named "error", or (llama.cpp) its field was "error" instead of "data".
 * The data is valid during the call. Negative: stops the feeding with this. */
typedef int SseEvent(void *ctx, const char *data, size_t len, bool error);

typedef struct Sse {
	Str line; /* of the reads before: a line without its end */
	Str data; /* of the event */
	/* One data line that lies in the present read and was not copied. */
	const char *direct;
	size_t direct_len;
	bool has_data, error, after_cr;
	unsigned bom; /* how many bytes of a byte order mark were seen; 3: no more to come */
} Sse;

#define SSE_INIT ((Sse){0})

void sse_done(Sse *s);
void sse_reset(Sse *s); /* for the next stream; memory is kept */
int sse_feed(Sse *s, const char *p, size_t n, SseEvent *event, void *ctx);
/* The stream is over. An event that lacks its empty line is handed over all the same: whoever reads
 * it must see that its data may be cut. */
int sse_end(Sse *s, SseEvent *event, void *ctx);
