/* A stream of events from a server: the same events come out however the reads cut it, and what an
 * LLM's decoder makes of them stays within its bounds. */
#include <string.h>

#include "fuzz.h"
#include "loadgen/answer.h"

static int note(void *ctx, const char *data, size_t len, bool error)
{
	Str *out = ctx;
	str_addc(out, error ? '!' : '[');
	str_addn(out, data, len);
	str_addc(out, ']');
	return 0;
}

static void feed(const char *p, size_t n, size_t step, Str *out)
{
	Sse s = SSE_INIT;
	for (size_t at = 0; at < n; at += step) {
		size_t k = n - at < step ? n - at : step;
		MUST(sse_feed(&s, p + at, k, note, out) == 0);
	}
	MUST(sse_end(&s, note, out) == 0);
	sse_done(&s);
}

static void decode(const char *p, size_t n, Protocol protocol, bool streaming)
{
	Answer a = {0};
	HttpEnd end = {.status = 200, .first_us = 5, .end_us = 9};
	answer_begin(&a, protocol, streaming, true);
	answer_head(&a, 200, protocol == PROTOCOL_OPENAI_CHAT ? "text/event-stream" : NULL);
	answer_data(&a, p, n / 2, 6);
	answer_data(&a, p + n / 2, n - n / 2, 7);
	answer_end(&a, &end);
	MUST((unsigned)a.failed < EXCHANGE_FAILURE_MAX_);
	MUST(a.failed != EXCHANGE_OK || a.why[0] == '\0');
	MUST(a.n_gaps == (a.chunks > 0 ? (size_t)a.chunks - 1 : 0));
	MUST(a.tokens_in >= -1 && a.tokens_out >= -1);
	for (const char *w = a.why; *w; w++)
		MUST((unsigned char)*w >= 0x20);
	answer_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	_cleanup_(str_done) Str whole = STR_INIT, cut = STR_INIT;
	if (size == 0 || size > 65536)
		return 0;
	feed(p, size, size, &whole);
	feed(p, size, 1 + size % 7, &cut);
	MUST(whole.len == cut.len && (whole.len == 0 || memcmp(whole.s, cut.s, whole.len) == 0));
	for (int protocol = 0; protocol < PROTOCOL_MAX_; protocol++) {
		decode(p, size, (Protocol)protocol, true);
		decode(p, size, (Protocol)protocol, false);
	}
	return 0;
}
