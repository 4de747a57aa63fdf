/* multipart/form-data as browsers, curl and the client libraries of speech services write it. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/server.h"

enum {
	BOUNDARY_MAX = 70, /* RFC 2046 */
};

typedef struct Span {
	const char *p;
	size_t n;
} Span;

static Span span_of(const char *p, const char *end)
{
	return (Span){p, (size_t)(end - p)};
}

static bool same(Span s, const char *word)
{
	return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static Span trimmed(Span s)
{
	while (s.n > 0 && (*s.p == ' ' || *s.p == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The next "; name=value" of a header; a value may be quoted. Takes it from *rest. */
static bool next_parameter(Span *rest, Span *ret_name, Span *ret_value)
{
	const char *end = rest->p + rest->n;
	const char *p = memchr(rest->p, ';', rest->n);
	if (!p)
		return false;
	p++;
	const char *eq = memchr(p, '=', (size_t)(end - p));
	if (!eq)
		return false;
	*ret_name = trimmed(span_of(p, eq));
	p = eq + 1;
	const char *close;
	if (p < end && *p == '"') {
		p++;
		close = p;
		while (close < end && *close != '"')
			close += *close == '\\' && close + 1 < end ? 2 : 1;
		if (close >= end)
			return false;
		*ret_value = span_of(p, close);
		close++;
	} else {
		close = memchr(p, ';', (size_t)(end - p));
		if (!close)
			close = end;
		*ret_value = trimmed(span_of(p, close));
	}
	*rest = span_of(close, end);
	return true;
}

static bool find_parameter(Span header, const char *name, Span *ret)
{
	Span n, v;
	while (next_parameter(&header, &n, &v)) {
		if (same(n, name)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* The headers of a part; false: they are none. */
static bool read_part_head(Span head, Part *ret)
{
	while (head.n > 0) {
		const char *lf = memchr(head.p, '\n', head.n);
		const char *end = lf ? lf : head.p + head.n;
		Span line = span_of(head.p, end);
		head = span_of(lf ? lf + 1 : end, head.p + head.n);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		const char *colon = memchr(line.p, ':', line.n);
		if (!colon)
			return false;
		if (!same(trimmed(span_of(line.p, colon)), "content-disposition"))
			continue;
		Span value = span_of(colon + 1, line.p + line.n), v;
		if (find_parameter(value, "name", &v)) {
			ret->name = v.p;
			ret->name_len = v.n;
		}
		if (find_parameter(value, "filename", &v)) {
			ret->file_name = v.p;
			ret->file_name_len = v.n;
		}
	}
	return true;
}

/* What stands between two delimiters. */
static bool read_part(Span s, Part *ret)
{
	*ret = (Part){0};
	const char *gap = memmem(s.p, s.n, "\r\n\r\n", 4);
	size_t mark = 4;
	if (s.n >= 2 && memcmp(s.p, "\r\n", 2) == 0) { /* no headers at all */
		gap = s.p;
		mark = 2;
	}
	if (!gap || !read_part_head(span_of(s.p, gap), ret))
		return false;
	ret->data = gap + mark;
	ret->len = s.n - (size_t)(gap - s.p) - mark;
	return true;
}

/* Where "--boundary" next stands at the beginning of a line. */
static const char *find_delimiter(const char *body, Span rest, Span mark)
{
	while (rest.n >= mark.n) {
		const char *p = memmem(rest.p, rest.n, mark.p, mark.n);
		if (!p)
			return NULL;
		if (p == body || (p >= body + 2 && p[-1] == '\n' && p[-2] == '\r'))
			return p;
		rest = span_of(p + 1, rest.p + rest.n);
	}
	return NULL;
}

/* After a delimiter: "--" ends everything, else the line ends and a part begins. */
static const char *after_delimiter(const char *p, const char *end, bool *ret_last)
{
	*ret_last = end - p >= 2 && p[0] == '-' && p[1] == '-';
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (*ret_last)
		return p;
	return end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? p + 2 : NULL;
}

int multipart_parse(const char *content_type, const char *body, size_t len, Part *ret, size_t max,
		    size_t *ret_n)
{
	char mark[BOUNDARY_MAX + 3] = "--";
	Span boundary, type = {content_type, content_type ? strlen(content_type) : 0};
	const char *end = body + len;
	size_t n = 0;
	if (type.n < 19 || strncasecmp(type.p, "multipart/form-data", 19) != 0 ||
	    !find_parameter(type, "boundary", &boundary) || boundary.n == 0 ||
	    boundary.n > BOUNDARY_MAX)
		return -EBADMSG;
	memcpy(mark + 2, boundary.p, boundary.n);
	Span delimiter = {mark, boundary.n + 2};

	const char *at = find_delimiter(body, span_of(body, end), delimiter);
	for (bool last = false; at;) {
		const char *part = after_delimiter(at + delimiter.n, end, &last);
		if (!part)
			return -EBADMSG;
		if (last) {
			*ret_n = n;
			return 0;
		}
		at = find_delimiter(body, span_of(part, end), delimiter);
		if (!at || at - part < 2)
			return -EBADMSG;
		if (n == max)
			return -E2BIG;
		if (!read_part(span_of(part, at - 2), &ret[n]))
			return -EBADMSG;
		n++;
	}
	return -EBADMSG;
}
