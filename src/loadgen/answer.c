/* What is the same for every protocol: the forms of a body, the end, the failures. */
#include "loadgen/answer.h"

#include <errno.h>
#include <string.h>

#include "loadgen/decode.h"

enum {
	REFUSAL_MAX = 4096
};

void answer_begin(Answer *a, Protocol protocol, bool streaming, bool keep_text)
{
	sse_reset(&a->sse);
	ndjson_reset(&a->lines);
	str_clear(&a->body);
	str_clear(&a->text);
	*a = (Answer){
	    .protocol = protocol,
	    .streaming = streaming,
	    .keep_text = keep_text,
	    .load_us = -1,
	    .prompt_us = -1,
	    .output_us = -1,
	    .tokens_in = -1,
	    .tokens_out = -1,
	    .gaps_us = a->gaps_us,
	    .cap_gaps = a->cap_gaps,
	    .sse = a->sse,
	    .lines = a->lines,
	    .body = a->body,
	    .text = a->text,
	};
}

void answer_done(Answer *a)
{
	sse_done(&a->sse);
	ndjson_done(&a->lines);
	str_done(&a->body);
	str_done(&a->text);
	free(a->gaps_us);
	*a = (Answer){0};
}

/* --- What the decoders tell ------------------------------------------------------------------ */

void answer_fails(Answer *a, ExchangeFailure failed, const char *why, size_t len)
{
	_cleanup_(str_done) Str shown = STR_INIT;
	if (a->failed != EXCHANGE_OK)
		return;
	a->failed = failed;
	str_add_safe(&shown, why, len, 0);
	size_t n = shown.len < sizeof(a->why) ? shown.len : sizeof(a->why) - 1;
	if (n > 0)
		memcpy(a->why, shown.s, n);
	a->why[n] = '\0';
}

static void garbage(Answer *a, const char *why)
{
	answer_fails(a, EXCHANGE_GARBAGE, why, strlen(why));
}

static void add_gap(Answer *a, int64_t gap_us)
{
	if (a->n_gaps == a->cap_gaps) {
		size_t cap = a->cap_gaps ? 2 * a->cap_gaps : 64;
		uint32_t *more = realloc(a->gaps_us, cap * sizeof(*more));
		if (!more) {
			a->no_memory = true;
			return;
		}
		a->gaps_us = more;
		a->cap_gaps = cap;
	}
	a->gaps_us[a->n_gaps++] = gap_us < 0		? 0
				  : gap_us > UINT32_MAX ? UINT32_MAX
							: (uint32_t)gap_us;
}

void answer_text(Answer *a, const ScanValue *text)
{
	if (text->kind != SCAN_STRING || text->len == 0)
		return;
	a->content = true;
	if (a->keep_text && a->text.len + text->len <= ANSWER_TEXT_MAX)
		scan_text(text, &a->text);
}

void answer_chunk(Answer *a)
{
	if (a->form == ANSWER_WHOLE)
		return;
	if (a->chunks >= ANSWER_CHUNKS_MAX) {
		garbage(a, "the stream has more pieces than any answer");
		return;
	}
	a->chunks++;
	if (a->first_us == 0)
		a->first_us = a->at_us;
	else
		add_gap(a, a->at_us - a->last_us);
	a->last_us = a->at_us;
}

/* --- The forms of a body --------------------------------------------------------------------- */

static bool is_type(const char *type, const char *want)
{
	return type && strncasecmp(type, want, strlen(want)) == 0;
}

/* A server that was asked for a stream may answer in one piece all the same, mostly to say that
 * something is wrong. */
static AnswerForm form_of(const Answer *a, const char *type)
{
	if (a->status < 200 || a->status > 299)
		return ANSWER_REFUSAL;
	if (a->protocol == PROTOCOL_HTTP)
		return ANSWER_BYTES;
	if (!a->streaming || protocol_is_stt(a->protocol))
		return ANSWER_WHOLE;
	if (protocol_is_ollama(a->protocol))
		return ANSWER_LINES;
	return is_type(type, "application/json") ? ANSWER_WHOLE : ANSWER_EVENTS;
}

void answer_head(Answer *a, int status, const char *content_type)
{
	a->status = status;
	a->form = form_of(a, content_type);
}

static int on_event(void *ctx, const char *data, size_t len, bool error)
{
	Answer *a = ctx;
	ScanValue v;
	if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
		a->ended = true;
		return 0;
	}
	if (a->failed != EXCHANGE_OK || len == 0)
		return 0;
	if (!scan_whole(data, len, &v) || v.kind != SCAN_OBJECT)
		garbage(a, "an event of the stream is no JSON object");
	else if (error)
		decode_error(a, &v);
	else
		decode_openai(a, &v);
	return 0;
}

static int on_line(void *ctx, const char *line, size_t len)
{
	Answer *a = ctx;
	ScanValue v;
	if (a->failed != EXCHANGE_OK)
		return 0;
	if (!scan_whole(line, len, &v) || v.kind != SCAN_OBJECT)
		garbage(a, "a line of the stream is no JSON object");
	else
		decode_ollama(a, &v);
	return 0;
}

static void keep(Answer *a, const char *p, size_t n)
{
	size_t max = a->form == ANSWER_REFUSAL ? REFUSAL_MAX : ANSWER_BODY_MAX;
	size_t room = max - a->body.len;
	if (n > room && a->form == ANSWER_WHOLE) {
		garbage(a, "the answer is longer than 16 MiB");
		return;
	}
	str_addn(&a->body, p, n < room ? n : room);
}

static void took(Answer *a, int r)
{
	if (r == -EFBIG)
		garbage(a, "one piece of the stream is longer than 1 MiB");
	else if (r < 0)
		a->no_memory = true;
}

void answer_data(Answer *a, const char *p, size_t n, int64_t at_us)
{
	a->at_us = at_us;
	if (a->failed != EXCHANGE_OK)
		return;
	switch (a->form) {
	case ANSWER_EVENTS:
		took(a, sse_feed(&a->sse, p, n, on_event, a));
		break;
	case ANSWER_LINES:
		took(a, ndjson_feed(&a->lines, p, n, on_line, a));
		break;
	case ANSWER_WHOLE:
	case ANSWER_REFUSAL:
		keep(a, p, n);
		break;
	case ANSWER_BYTES:
		break;
	}
}

/* --- The end --------------------------------------------------------------------------------- */

static void end_whole(Answer *a)
{
	ScanValue v;
	if (!scan_whole(a->body.s ? a->body.s : "", a->body.len, &v) || v.kind != SCAN_OBJECT) {
		garbage(a, "the answer is no JSON object");
		return;
	}
	if (protocol_is_stt(a->protocol))
		decode_transcript(a, &v);
	else if (protocol_is_ollama(a->protocol))
		decode_ollama(a, &v);
	else
		decode_openai(a, &v);
	a->ended = true;
}

/* What is left without its empty line counts when it is the end mark; anything else may be cut. */
static int on_last_event(void *ctx, const char *data, size_t len, bool error)
{
	Answer *a = ctx;
	(void)error;
	if (len == 6 && memcmp(data, "[DONE]", 6) == 0)
		a->ended = true;
	return 0;
}

/* A last line without its end counts when it is whole. */
static int on_last_line(void *ctx, const char *line, size_t len)
{
	ScanValue v;
	return scan_whole(line, len, &v) ? on_line(ctx, line, len) : 0;
}

static void end_stream(Answer *a)
{
	if (a->form == ANSWER_EVENTS)
		took(a, sse_end(&a->sse, on_last_event, a));
	else
		took(a, ndjson_end(&a->lines, on_last_line, a));
	if (!a->ended)
		answer_fails(a, EXCHANGE_HALF, "the stream ended without its end mark",
			     strlen("the stream ended without its end mark"));
}

static void check_generated(Answer *a)
{
	static const char why[] = "nothing was generated";
	if (!a->content && a->tokens_out <= 0)
		answer_fails(a, EXCHANGE_EMPTY, why, strlen(why));
	/* A count of nothing beside text is a server that does not count. */
	if (a->content && a->tokens_out == 0)
		a->tokens_out = -1;
	if (a->content && a->tokens_in == 0)
		a->tokens_in = -1;
	/* Tokens without text (parts of a letter, control tokens) are tokens all the same. */
	if (a->form != ANSWER_WHOLE && a->first_us == 0 && a->tokens_out > 0)
		a->first_us = a->last_us = a->seen_us;
}

static void end_refused(Answer *a)
{
	char why[ANSWER_WHY_MAX];
	ScanValue v;
	a->failed = EXCHANGE_OK;
	if (a->body.len > 0 && scan_whole(a->body.s, a->body.len, &v) && v.kind == SCAN_OBJECT)
		decode_error(a, &v);
	_cleanup_(str_done) Str said = STR_INIT;
	if (a->failed == EXCHANGE_OK && a->body.len > 0)
		str_add_safe(&said, a->body.s, a->body.len, 100);
	const char *text = a->failed != EXCHANGE_OK ? a->why : said.s ? said.s : "";
	(void)snprintf(why, sizeof(why), "status %d%s%.150s", a->status, *text ? ": " : "", text);
	a->failed = EXCHANGE_OK;
	answer_fails(a, a->status == 429 || a->status == 503 ? EXCHANGE_REFUSED : EXCHANGE_STATUS,
		     why, strlen(why));
}

/* What a system's own words would say wrongly, or not at all. */
static const char *fault_words(const HttpEnd *end)
{
	if (end->fault == HTTP_TIMEOUT)
		return "no whole answer came in time";
	if (end->error > 0)
		return strerror(end->error);
	if (end->fault == HTTP_CLOSED)
		return "the server closed the connection without an answer";
	return end->fault == HTTP_TRUNCATED ? "the server closed in the middle of its answer"
					    : NULL;
}

static void end_transport(Answer *a, const HttpEnd *end)
{
	char why[ANSWER_WHY_MAX];
	const char *more = end->why ? end->why : fault_words(end);
	(void)snprintf(why, sizeof(why), "%s%s%s", http_fault_name(end->fault), more ? ": " : "",
		       more ? more : "");
	a->failed = EXCHANGE_OK;
	answer_fails(a, EXCHANGE_TRANSPORT, why, strlen(why));
}

void answer_end(Answer *a, const HttpEnd *end)
{
	if (end->fault != HTTP_FINE) {
		end_transport(a, end);
		return;
	}
	if (a->status == 0)
		answer_head(a, end->status, NULL);
	if (a->body.failed || a->text.failed)
		a->no_memory = true;
	switch (a->form) {
	case ANSWER_REFUSAL:
		end_refused(a);
		return;
	case ANSWER_BYTES:
		break;
	case ANSWER_WHOLE:
		if (a->failed == EXCHANGE_OK)
			end_whole(a);
		break;
	case ANSWER_EVENTS:
	case ANSWER_LINES:
		if (a->failed == EXCHANGE_OK)
			end_stream(a);
		break;
	}
	if (a->protocol == PROTOCOL_HTTP || protocol_is_stt(a->protocol)) {
		a->first_us = end->first_us;
		a->last_us = end->end_us;
	} else if (a->failed == EXCHANGE_OK) {
		check_generated(a);
	}
}
