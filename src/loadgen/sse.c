#include "loadgen/sse.h"

#include <errno.h>
#include <string.h>

void sse_done(Sse *s)
{
	str_done(&s->line);
	str_done(&s->data);
	*s = SSE_INIT;
}

void sse_reset(Sse *s)
{
	str_clear(&s->line);
	str_clear(&s->data);
	*s = (Sse){.line = s->line, .data = s->data};
}

static void clear_event(Sse *s)
{
	str_clear(&s->data);
	s->direct = NULL;
	s->has_data = s->error = false;
}

/* Moves a line that was not copied into `data`, since more is to come after it. */
static void settle(Sse *s)
{
	if (!s->direct)
		return;
	str_addn(&s->data, s->direct, s->direct_len);
	s->direct = NULL;
}

static int emit(Sse *s, SseEvent *event, void *ctx)
{
	int r = 0;
	if (s->data.failed)
		return -ENOMEM;
	if (s->has_data)
		r = event(ctx,
			  s->direct	    ? s->direct
			  : s->data.len > 0 ? s->data.s
					    : "",
			  s->direct ? s->direct_len : s->data.len, s->error);
	clear_event(s);
	return r;
}

static bool starts(const char *p, size_t n, const char *word, size_t *ret_value)
{
	size_t len = strlen(word);
	if (n < len || memcmp(p, word, len) != 0)
		return false;
	if (n > len && p[len] != ':')
		return false;
	size_t at = n > len ? len + 1 : len;
	if (at < n && p[at] == ' ')
		at++;
	*ret_value = at;
	return true;
}

/* One line without its end. `stays`: it lies in the present read, not in our own memory. */
static int take_line(Sse *s, const char *p, size_t n, bool stays, SseEvent *event, void *ctx)
{
	size_t at;
	if (n == 0)
		return emit(s, event, ctx);
	bool data = starts(p, n, "data", &at), error = !data && starts(p, n, "error", &at);
	if (data || error) {
		s->error |= error;
		if (s->has_data) {
			settle(s);
			str_addc(&s->data, '\n');
		}
		if (s->data.len + (n - at) > SSE_EVENT_MAX)
			return -EFBIG;
		if (!s->has_data && stays) {
			s->direct = p + at;
			s->direct_len = n - at;
		} else {
			str_addn(&s->data, p + at, n - at);
		}
		s->has_data = true;
	} else if (starts(p, n, "event", &at)) {
		s->error = n - at == 5 && memcmp(p + at, "error", 5) == 0;
	}
	return 0;
}

static int end_line(Sse *s, const char *p, size_t n, SseEvent *event, void *ctx)
{
	if (s->line.len == 0)
		return take_line(s, p, n, true, event, ctx);
	if (s->line.len + n > SSE_EVENT_MAX)
		return -EFBIG;
	str_addn(&s->line, p, n);
	if (s->line.failed)
		return -ENOMEM;
	int r = take_line(s, s->line.s, s->line.len, false, event, ctx);
	str_clear(&s->line);
	return r;
}

/* A byte order mark at the very beginning is not part of the first line. */
static void skip_bom(Sse *s, const char **p, const char *end)
{
	static const char mark[] = "\xef\xbb\xbf";
	while (s->bom < 3 && *p < end) {
		if (**p != mark[s->bom]) {
			str_addn(&s->line, mark, s->bom); /* it was none */
			s->bom = 3;
			return;
		}
		s->bom++;
		(*p)++;
	}
}

static const char *line_end(const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	const char *cr = memchr(p, '\r', (size_t)((lf ? lf : end) - p));
	return cr ? cr : lf;
}

int sse_feed(Sse *s, const char *p, size_t n, SseEvent *event, void *ctx)
{
	const char *end = p + n;
	if (s->bom < 3)
		skip_bom(s, &p, end);
	while (p < end) {
		if (s->after_cr && *p == '\n') {
			p++;
			s->after_cr = false;
			continue;
		}
		s->after_cr = false;
		const char *stop = line_end(p, end);
		if (!stop)
			break;
		int r = end_line(s, p, (size_t)(stop - p), event, ctx);
		if (r < 0)
			return r;
		s->after_cr = *stop == '\r';
		p = stop + 1;
	}
	settle(s);
	if (s->line.len + (size_t)(end - p) > SSE_EVENT_MAX)
		return -EFBIG;
	if (p < end)
		str_addn(&s->line, p, (size_t)(end - p));
	return s->line.failed || s->data.failed ? -ENOMEM : 0;
}

int sse_end(Sse *s, SseEvent *event, void *ctx)
{
	int r = 0;
	if (s->line.len > 0)
		r = end_line(s, "", 0, event, ctx);
	return r < 0 ? r : emit(s, event, ctx);
}
