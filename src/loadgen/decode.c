/* The answers of LLM servers and of speech-to-text, as far as they matter here. */
#include "loadgen/decode.h"

#include <string.h>

/* --- Errors ---------------------------------------------------------------------------------- */

static void says(Answer *a, const ScanValue *v)
{
	_cleanup_(str_done) Str text = STR_INIT;
	if (v->kind == SCAN_STRING)
		scan_text(v, &text);
	else
		str_addn(&text, v->s, v->len);
	answer_fails(a, EXCHANGE_SAYS_ERROR, text.s ? text.s : "", text.len);
}

void decode_error(Answer *a, const ScanValue *object)
{
	ScanValue error, message;
	if (scan_get(object, "error", &error)) {
		if (!scan_get(&error, "message", &message))
			message = error;
		says(a, &message);
	} else if (scan_get(object, "message", &message) || scan_get(object, "detail", &message)) {
		says(a, &message);
	} else {
		says(a, object);
	}
}

/* A member "error" that is not null or false. */
static bool is_error(const ScanValue *key, const ScanValue *v)
{
	return scan_is(key, "error") && v->kind != SCAN_NULL && v->kind != SCAN_FALSE;
}

/* --- Numbers --------------------------------------------------------------------------------- */

static void take_tokens(const ScanValue *v, int32_t *ret)
{
	int64_t n;
	if (scan_int(v, &n) && n >= 0 && n <= INT32_MAX)
		*ret = (int32_t)n;
}

/* A duration in units of so many nanoseconds. */
static void take_duration(const ScanValue *v, int64_t unit_ns, int64_t *ret_us)
{
	int64_t n;
	if (scan_int(v, &n) && n >= 0 && n < INT64_MAX / unit_ns)
		*ret_us = n * unit_ns / 1000;
}

/* --- OpenAI ---------------------------------------------------------------------------------- */

/* "delta" of a chat's chunk or "message" of a whole chat. */
static bool has_content(Answer *a, const ScanValue *delta)
{
	ScanValue key, v;
	bool any = false;
	for (ScanIter i = scan_iter(delta); scan_next(&i, &key, &v);) {
		if (scan_is(&key, "content")) {
			any |= v.kind == SCAN_STRING && v.len > 0;
			answer_text(a, &v);
		} else if (scan_is(&key, "reasoning_content") || scan_is(&key, "reasoning")) {
			any |= v.kind == SCAN_STRING && v.len > 0;
		} else if (scan_is(&key, "tool_calls")) {
			any |= v.kind == SCAN_ARRAY && v.len > 2;
		}
	}
	a->content |= any;
	return any;
}

static bool take_choice(Answer *a, const ScanValue *choice)
{
	ScanValue key, v;
	bool any = false;
	for (ScanIter i = scan_iter(choice); scan_next(&i, &key, &v);) {
		if (scan_is(&key, "delta") || scan_is(&key, "message")) {
			any |= has_content(a, &v);
		} else if (scan_is(&key, "text")) {
			any |= v.kind == SCAN_STRING && v.len > 0;
			answer_text(a, &v);
		} else if (scan_is(&key, "finish_reason") && v.kind == SCAN_STRING && v.len > 0) {
			a->ended = true; /* some say "" until then */
		}
	}
	return any;
}

static void take_choices(Answer *a, const ScanValue *choices)
{
	ScanValue key, v;
	bool any = false;
	for (ScanIter i = scan_iter(choices); scan_next(&i, &key, &v);) {
		if (a->seen_us == 0)
			a->seen_us = a->at_us;
		any |= take_choice(a, &v);
	}
	if (any)
		answer_chunk(a);
}

static void take_usage(Answer *a, const ScanValue *usage)
{
	ScanValue key, v;
	for (ScanIter i = scan_iter(usage); scan_next(&i, &key, &v);) {
		if (scan_is(&key, "prompt_tokens"))
			take_tokens(&v, &a->tokens_in);
		else if (scan_is(&key, "completion_tokens"))
			take_tokens(&v, &a->tokens_out);
	}
}

/* llama.cpp's own account, in milliseconds; its counts stand in where there is no usage. */
static void take_timings(Answer *a, const ScanValue *timings)
{
	ScanValue key, v;
	for (ScanIter i = scan_iter(timings); scan_next(&i, &key, &v);) {
		if (scan_is(&key, "prompt_ms"))
			take_duration(&v, 1000000, &a->prompt_us);
		else if (scan_is(&key, "predicted_ms"))
			take_duration(&v, 1000000, &a->output_us);
		else if (scan_is(&key, "predicted_n") && a->tokens_out <= 0)
			take_tokens(&v, &a->tokens_out);
		else if (scan_is(&key, "prompt_n") && a->tokens_in <= 0)
			take_tokens(&v, &a->tokens_in);
	}
}

void decode_openai(Answer *a, const ScanValue *object)
{
	ScanValue key, v;
	bool known = false;
	for (ScanIter i = scan_iter(object); scan_next(&i, &key, &v);) {
		if (scan_is(&key, "choices")) {
			known |= v.kind == SCAN_ARRAY;
			take_choices(a, &v);
		} else if (scan_is(&key, "usage") && v.kind == SCAN_OBJECT) {
			known = true;
			take_usage(a, &v);
		} else if (scan_is(&key, "timings")) {
			take_timings(a, &v);
		} else if (is_error(&key, &v) ||
			   (scan_is(&key, "object") && scan_is(&v, "error"))) {
			decode_error(a, object);
			return;
		}
	}
	if (!known) {
		static const char why[] = "the answer has no choices";
		answer_fails(a, EXCHANGE_GARBAGE, why, strlen(why));
	}
}

/* --- Ollama ---------------------------------------------------------------------------------- */

static bool take_message(Answer *a, const ScanValue *object)
{
	ScanValue key, v;
	bool any = false;
	for (ScanIter i = scan_iter(object); scan_next(&i, &key, &v);) {
		if (scan_is(&key, "content") || scan_is(&key, "response")) {
			any |= v.kind == SCAN_STRING && v.len > 0;
			answer_text(a, &v);
		} else if (scan_is(&key, "thinking")) {
			any |= v.kind == SCAN_STRING && v.len > 0;
		} else if (scan_is(&key, "tool_calls")) {
			any |= v.kind == SCAN_ARRAY && v.len > 2;
		}
	}
	a->content |= any;
	return any;
}

/* Durations are in nanoseconds. A prompt that was remembered is not counted by the server. */
static void take_account(Answer *a, const ScanValue *key, const ScanValue *v)
{
	if (scan_is(key, "eval_count"))
		take_tokens(v, &a->tokens_out);
	else if (scan_is(key, "prompt_eval_count"))
		take_tokens(v, &a->tokens_in);
	else if (scan_is(key, "load_duration"))
		take_duration(v, 1, &a->load_us);
	else if (scan_is(key, "prompt_eval_duration"))
		take_duration(v, 1, &a->prompt_us);
	else if (scan_is(key, "eval_duration"))
		take_duration(v, 1, &a->output_us);
}

void decode_ollama(Answer *a, const ScanValue *object)
{
	ScanValue key, v;
	bool known = false, any = false;
	if (a->seen_us == 0)
		a->seen_us = a->at_us;
	any |= take_message(a, object); /* generate: "response" at the top */
	for (ScanIter i = scan_iter(object); scan_next(&i, &key, &v);) {
		if (is_error(&key, &v)) {
			decode_error(a, object);
			return;
		}
		if (scan_is(&key, "message"))
			any |= take_message(a, &v);
		else if (scan_is(&key, "done"))
			a->ended |= v.kind == SCAN_TRUE;
		else
			take_account(a, &key, &v);
		known |=
		    scan_is(&key, "message") || scan_is(&key, "response") || scan_is(&key, "done");
	}
	if (any)
		answer_chunk(a);
	if (!known) {
		static const char why[] = "the answer has no message and no response";
		answer_fails(a, EXCHANGE_GARBAGE, why, strlen(why));
	}
}

/* --- Speech-to-text -------------------------------------------------------------------------- */

void decode_transcript(Answer *a, const ScanValue *object)
{
	ScanValue key, v;
	bool known = false;
	for (ScanIter i = scan_iter(object); scan_next(&i, &key, &v);) {
		if (is_error(&key, &v)) {
			decode_error(a, object);
			return;
		}
		if (scan_is(&key, "text") && v.kind == SCAN_STRING) {
			known = true;
			answer_text(a, &v);
		}
	}
	if (!known) {
		static const char why[] = "the answer has no text";
		answer_fails(a, EXCHANGE_GARBAGE, why, strlen(why));
	}
}
