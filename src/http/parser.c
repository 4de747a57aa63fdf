#include "http/parser.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A line's memory is kept from answer to answer up to this. */
enum {
	LINE_KEPT = 4096
};

void parser_start(Parser *p, bool no_body)
{
	Str line = p->line;
	if (line.cap > LINE_KEPT || line.failed)
		str_done(&line);
	str_clear(&line);
	*p = (Parser){.state = PARSE_STATUS, .no_body = no_body, .line = line};
}

void parser_done(Parser *p)
{
	str_done(&p->line);
}

static ParserPiece bad(Parser *p, const char *why)
{
	p->state = PARSE_FAILED;
	p->keep = false;
	p->why = why;
	return PARSER_BAD;
}

/* Header names and methods: letters, digits and some marks. */
static bool is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			  (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
		if (!ok)
			return false;
	}
	return n > 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool same(const char *s, size_t n, const char *word)
{
	return n == strlen(word) && strncasecmp(s, word, n) == 0;
}

/* The next line without its end, from the input or put together from pieces. 1: there is one, 0:
 * more bytes are needed. */
static int next_line(Parser *p, const char **at, size_t *n, const char **ret, size_t *ret_len)
{
	const char *lf = memchr(*at, '\n', *n);
	size_t take = lf ? (size_t)(lf - *at) + 1 : *n;
	if (take > PARSER_HEAD_MAX - p->head_bytes) {
		(void)bad(p, "its head is longer than 64 KiB");
		return -1;
	}
	p->head_bytes += take;
	const char *s = *at;
	size_t len = take;
	if (!lf || p->line.len > 0) {
		str_addn(&p->line, *at, take);
		s = p->line.s;
		len = p->line.len;
	}
	*at += take;
	*n -= take;
	if (p->line.failed) {
		(void)bad(p, "no memory for its head");
		return -1;
	}
	if (!lf)
		return 0;

	len--;
	if (len > 0 && s[len - 1] == '\r')
		len--;
	if (memchr(s, '\r', len) || memchr(s, '\0', len)) {
		(void)bad(p, "a line of its head has a control character");
		return -1;
	}
	*ret = s;
	*ret_len = len;
	return 1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool read_status(Parser *p, const char *s, size_t n)
{
	if (n < 12 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8] != ' ' ||
	    !is_digit(s[9]) || !is_digit(s[10]) || !is_digit(s[11]) || (n > 12 && s[12] != ' ')) {
		(void)bad(p, "it does not begin as an HTTP/1 answer");
		return false;
	}
	p->minor = s[7] - '0';
	p->status = (s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0');
	if (p->status < 100 || p->status == 101) {
		(void)bad(p, "its status is none that was asked for");
		return false;
	}
	p->keep = p->minor == 1;
	p->state = PARSE_HEADER;
	return true;
}

static bool read_length(Parser *p, const char *s, size_t n)
{
	uint64_t v = 0;
	if (n == 0 || n > 18) {
		(void)bad(p, "its Content-Length is no length");
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(s[i])) {
			(void)bad(p, "its Content-Length is no length");
			return false;
		}
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	if (p->has_length && p->left != v) {
		(void)bad(p, "it has two different lengths");
		return false;
	}
	p->has_length = true;
	p->left = v;
	return true;
}

/* No other coding was asked for, so none but chunked is understood. */
static bool read_coding(Parser *p, const char *s, size_t n)
{
	if (same(s, n, "chunked") && !p->chunked) {
		p->chunked = true;
	} else if (!same(s, n, "identity")) {
		(void)bad(p, "its Transfer-Encoding is none that was asked for");
		return false;
	}
	return true;
}

static void read_connection(Parser *p, const char *s, size_t n)
{
	while (n > 0) {
		const char *comma = memchr(s, ',', n);
		size_t len = comma ? (size_t)(comma - s) : n, skip = comma ? len + 1 : len;
		const char *word = s;
		while (len > 0 && is_blank(*word)) {
			word++;
			len--;
		}
		while (len > 0 && is_blank(word[len - 1]))
			len--;
		if (same(word, len, "close"))
			p->keep = false;
		else if (same(word, len, "keep-alive") && p->minor == 0)
			p->keep = true;
		s += skip;
		n -= skip;
	}
}

static void read_type(Parser *p, const char *s, size_t n)
{
	if (n >= sizeof(p->type))
		n = sizeof(p->type) - 1;
	memcpy(p->type, s, n);
	p->type[n] = '\0';
}

static bool read_header(Parser *p, const char *s, size_t n)
{
	const char *colon = memchr(s, ':', n);
	size_t name = colon ? (size_t)(colon - s) : 0;
	if (!is_token(s, name)) {
		(void)bad(p, "a line of its head is no header");
		return false;
	}
	const char *v = colon + 1;
	size_t len = n - name - 1;
	while (len > 0 && is_blank(*v)) {
		v++;
		len--;
	}
	while (len > 0 && is_blank(v[len - 1]))
		len--;

	/* By length first: most headers are none of these. */
	switch (name) {
	case 10:
		if (same(s, name, "connection"))
			read_connection(p, v, len);
		return true;
	case 12:
		if (same(s, name, "content-type"))
			read_type(p, v, len);
		return true;
	case 14:
		return same(s, name, "content-length") ? read_length(p, v, len) : true;
	case 17:
		return same(s, name, "transfer-encoding") ? read_coding(p, v, len) : true;
	default:
		return true;
	}
}

static ParserPiece end_of_head(Parser *p)
{
	if (p->status < 200) { /* the next head counts against the same limit */
		size_t used = p->head_bytes;
		parser_start(p, p->no_body);
		p->head_bytes = used;
		return PARSER_INTERIM;
	}
	p->state = PARSE_BODY;
	return PARSER_HEAD;
}

static ParserPiece read_head(Parser *p, const char **at, size_t *n)
{
	while (p->state == PARSE_STATUS || p->state == PARSE_HEADER) {
		const char *line;
		size_t len;
		int r = next_line(p, at, n, &line, &len);
		if (r <= 0)
			return r < 0 ? PARSER_BAD : PARSER_MORE;
		if (p->state == PARSE_HEADER && len == 0) {
			str_clear(&p->line);
			return end_of_head(p);
		}
		bool ok = p->state == PARSE_STATUS ? read_status(p, line, len)
						   : read_header(p, line, len);
		if (!ok)
			return PARSER_BAD;
		str_clear(&p->line);
	}
	return PARSER_MORE;
}

static void choose_body(Parser *p)
{
	if (p->no_body || p->status == 204 || p->status == 304) {
		p->state = PARSE_DONE;
	} else if (p->chunked) {
		/* Both, or chunks from a version that had none: read them, then trust no more. */
		if (p->has_length || p->minor == 0)
			p->keep = false;
		p->state = PARSE_CHUNK_FIRST;
	} else if (p->has_length) {
		p->state = p->left > 0 ? PARSE_LENGTH : PARSE_DONE;
	} else {
		p->keep = false;
		p->state = PARSE_UNTIL_CLOSE;
	}
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void size_known(Parser *p)
{
	p->head_bytes = 0;
	p->state = p->left > 0 ? PARSE_CHUNK_DATA : PARSE_TRAILER;
}

/* One byte of the lines around chunks. */
static void chunk_byte(Parser *p, char c)
{
	int v = hex_value(c);
	switch ((int)p->state) {
	case PARSE_CHUNK_FIRST:
		p->left = v < 0 ? 0 : (uint64_t)v;
		p->head_bytes = 0;
		if (v < 0)
			(void)bad(p, "a chunk has no size");
		else
			p->state = PARSE_CHUNK_SIZE;
		return;
	case PARSE_CHUNK_SIZE:
		if (v >= 0 && p->left >> 58 == 0) {
			p->left = p->left << 4 | (uint64_t)v;
			if (++p->head_bytes > 64) /* zeros without end */
				(void)bad(p, "a chunk's size is too long");
		} else if (c == '\n') {
			size_known(p);
		} else if (c == '\r' || c == ';' || is_blank(c)) {
			p->state = PARSE_CHUNK_EXTENSION;
		} else {
			(void)bad(p, "a chunk's size is none");
		}
		return;
	case PARSE_CHUNK_EXTENSION:
		if (c == '\n')
			size_known(p);
		else if (++p->head_bytes > PARSER_HEAD_MAX)
			(void)bad(p, "a chunk's extension is longer than 64 KiB");
		return;
	case PARSE_CHUNK_CR:
		if (c == '\r') {
			p->state = PARSE_CHUNK_LF;
			return;
		}
		__attribute__((fallthrough));
	default:
		if (c == '\n')
			p->state = PARSE_CHUNK_FIRST;
		else
			(void)bad(p, "a chunk is longer than its size");
	}
}

static ParserPiece take_data(Parser *p, const char **at, size_t *n, ParserState next,
			     const char **ret_data, size_t *ret_len)
{
	size_t len = *n < p->left ? *n : (size_t)p->left;
	*ret_data = *at;
	*ret_len = len;
	*at += len;
	*n -= len;
	p->left -= len;
	if (p->left == 0)
		p->state = next;
	return PARSER_DATA;
}

/* Trailers are read past; the empty line is the end. */
static ParserPiece read_trailers(Parser *p, const char **at, size_t *n)
{
	for (;;) {
		const char *line;
		size_t len;
		int r = next_line(p, at, n, &line, &len);
		if (r <= 0)
			return r < 0 ? PARSER_BAD : PARSER_MORE;
		str_clear(&p->line);
		if (len == 0) {
			p->state = PARSE_DONE;
			return PARSER_END;
		}
	}
}

ParserPiece parser_next(Parser *p, const char **at, size_t *n, const char **ret_data,
			size_t *ret_len)
{
	if (p->state == PARSE_BODY)
		choose_body(p);
	for (;;) {
		if (p->state == PARSE_DONE)
			return PARSER_END;
		if (p->state == PARSE_FAILED)
			return PARSER_BAD;
		if (*n == 0)
			return PARSER_MORE;
		switch ((int)p->state) {
		case PARSE_STATUS:
		case PARSE_HEADER:
			return read_head(p, at, n);
		case PARSE_LENGTH:
			return take_data(p, at, n, PARSE_DONE, ret_data, ret_len);
		case PARSE_CHUNK_DATA:
			return take_data(p, at, n, PARSE_CHUNK_CR, ret_data, ret_len);
		case PARSE_UNTIL_CLOSE:
			*ret_data = *at;
			*ret_len = *n;
			*at += *n;
			*n = 0;
			return PARSER_DATA;
		case PARSE_TRAILER:
			return read_trailers(p, at, n);
		default:
			chunk_byte(p, **at);
			(*at)++;
			(*n)--;
		}
	}
}

bool parser_closed(Parser *p)
{
	if (p->state == PARSE_BODY)
		choose_body(p);
	return p->state == PARSE_UNTIL_CLOSE || p->state == PARSE_DONE;
}
