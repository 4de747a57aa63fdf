/* An HTTP answer of anybody: however its bytes are cut into reads, the same pieces, the same
 * judgement, and never more body than came. The first byte says how. */
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "http/parser.h"

typedef struct Heard {
	Str body;
	int heads, interim, status;
	ParserPiece last;
	bool closed_well, keep;
	size_t left;
	char type[PARSER_TYPE_MAX];
	const char *why;
} Heard;

/* One piece. False: nothing will follow. */
static bool take(Parser *p, const char **at, size_t *n, Heard *h)
{
	const char *before = *at, *data = NULL;
	size_t had = *n, len = 0;
	h->last = parser_next(p, at, n, &data, &len);
	MUST(*at == before + (had - *n) && *n <= had);
	switch (h->last) {
	case PARSER_MORE:
		MUST(*n == 0);
		return true;
	case PARSER_INTERIM:
		MUST(h->heads == 0);
		h->interim++;
		return true;
	case PARSER_HEAD:
		MUST(++h->heads == 1 && p->status >= 200 && p->status <= 999);
		h->status = p->status;
		MUST(strlen(p->type) < sizeof(p->type));
		memcpy(h->type, p->type, sizeof(h->type));
		return true;
	case PARSER_DATA:
		MUST(h->heads == 1 && len > 0 && data >= before && data + len <= *at);
		str_addn(&h->body, data, len);
		return true;
	case PARSER_END:
		MUST(h->heads == 1);
		return false;
	case PARSER_BAD:
	default:
		MUST(h->last == PARSER_BAD && p->why && !p->keep);
		return false;
	}
}

static void hear(const char *data, size_t size, size_t cut, bool no_body, Heard *h)
{
	Parser p = {0};
	*h = (Heard){0};
	parser_start(&p, no_body);
	bool more = true;
	for (size_t at = 0; at < size && more;) {
		size_t len = size - at < cut ? size - at : cut, n = len;
		const char *s = data + at;
		do
			more = take(&p, &s, &n, h);
		while (more && h->last != PARSER_MORE);
		at += len - n;
		h->left = size - at;
	}
	h->closed_well = more && parser_closed(&p);
	h->keep = p.keep;
	h->why = p.why;
	MUST(h->body.len <= size);
	parser_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t cuts[] = {1, 2, 3, 7, 64, 1000};
	Heard whole, cut;
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	bool no_body = data[0] & 1;
	hear(text, size - 1, size, no_body, &whole);
	hear(text, size - 1, cuts[(data[0] >> 1) % 6], no_body, &cut);
	MUST(whole.last == cut.last);
	MUST(whole.heads == cut.heads && whole.interim == cut.interim);
	MUST(whole.status == cut.status && strcmp(whole.type, cut.type) == 0);
	MUST(whole.body.len == cut.body.len &&
	     (whole.body.len == 0 || memcmp(whole.body.s, cut.body.s, whole.body.len) == 0));
	MUST(whole.closed_well == cut.closed_well && whole.keep == cut.keep);
	MUST(whole.why == cut.why || (whole.why && cut.why && strcmp(whole.why, cut.why) == 0));
	if (whole.last == PARSER_END)
		MUST(whole.left == cut.left);
	MUST(!no_body || whole.body.len == 0);
	str_done(&whole.body);
	str_done(&cut.body);
	return 0;
}
