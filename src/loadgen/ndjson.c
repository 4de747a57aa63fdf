#include "loadgen/ndjson.h"

#include <errno.h>
#include <string.h>

void ndjson_done(Ndjson *n)
{
	str_done(&n->line);
}

void ndjson_reset(Ndjson *n)
{
	str_clear(&n->line);
}

static int take(const char *p, size_t len, NdjsonLine *line, void *ctx)
{
	while (len > 0 && (p[len - 1] == '\r' || p[len - 1] == ' '))
		len--;
	return len > 0 ? line(ctx, p, len) : 0;
}

static int take_kept(Ndjson *n, NdjsonLine *line, void *ctx)
{
	if (n->line.failed)
		return -ENOMEM;
	int r = take(n->line.s, n->line.len, line, ctx);
	str_clear(&n->line);
	return r;
}

int ndjson_feed(Ndjson *n, const char *p, size_t len, NdjsonLine *line, void *ctx)
{
	const char *end = p + len, *stop;
	while (p < end && (stop = memchr(p, '\n', (size_t)(end - p)))) {
		int r;
		size_t k = (size_t)(stop - p);
		if (n->line.len + k > NDJSON_LINE_MAX)
			return -EFBIG;
		if (n->line.len > 0) {
			str_addn(&n->line, p, k);
			r = take_kept(n, line, ctx);
		} else {
			r = take(p, k, line, ctx);
		}
		if (r < 0)
			return r;
		p = stop + 1;
	}
	if (n->line.len + (size_t)(end - p) > NDJSON_LINE_MAX)
		return -EFBIG;
	if (p < end)
		str_addn(&n->line, p, (size_t)(end - p));
	return n->line.failed ? -ENOMEM : 0;
}

int ndjson_end(Ndjson *n, NdjsonLine *line, void *ctx)
{
	return n->line.len > 0 ? take_kept(n, line, ctx) : 0;
}
