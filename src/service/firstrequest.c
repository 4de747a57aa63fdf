#include "service/firstrequest.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

enum {
	CLIP_MAX = 64 << 20,
	ANSWER_MAX = 4 << 20,
	SILENCE_HZ = 16000,
	FIRST_TOKENS = 8,
};

static const char boundary[] = "----dream-first-request-1f0c7a";

void firstrequest_done(FirstRequest *f)
{
	free(f->type);
	free(f->body);
	*f = (FirstRequest){0};
}

/* --- Text ------------------------------------------------------------------------------------ */

static json_t *hello_messages(void)
{
	return json_pack("[{s:s,s:s}]", "role", "user", "content", "Hello");
}

static json_t *llm_body(const FirstRequestSpec *spec)
{
	bool failed = false;
	json_t *o = json_object();

	if (spec->model && *spec->model)
		js_set(o, "model", js_text(spec->model), &failed);
	switch (spec->protocol) {
	case PROTOCOL_OPENAI_CHAT:
		js_set(o, "messages", hello_messages(), &failed);
		js_set(o, "max_tokens", json_integer(FIRST_TOKENS), &failed);
		break;
	case PROTOCOL_OLLAMA_CHAT:
		js_set(o, "messages", hello_messages(), &failed);
		break;
	case PROTOCOL_OLLAMA_GENERATE:
		js_set(o, "prompt", js_text("Hello"), &failed);
		break;
	case PROTOCOL_OPENAI_COMPLETIONS:
	case PROTOCOL_OPENAI_STT:
	case PROTOCOL_WHISPERCPP:
	case PROTOCOL_HTTP:
	case PROTOCOL_MAX_:
		js_set(o, "prompt", js_text("Hello"), &failed);
		js_set(o, "max_tokens", json_integer(FIRST_TOKENS), &failed);
		break;
	}
	if (spec->protocol == PROTOCOL_OLLAMA_CHAT || spec->protocol == PROTOCOL_OLLAMA_GENERATE)
		js_set(o, "options", json_pack("{s:i}", "num_predict", FIRST_TOKENS), &failed);
	js_set(o, "stream", json_false(), &failed);
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)spec->ask, key, value)
		if (!json_object_get(o, key))
			js_set(o, key, json_incref(value), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int make_llm(const FirstRequestSpec *spec, FirstRequest *f, Err *err)
{
	json_auto_t *o = llm_body(spec);
	f->body = o ? json_dumps(o, JSON_COMPACT) : NULL;
	f->type = strdup("application/json");
	if (!f->body || !f->type)
		return err_oom(err);
	f->body_len = strlen(f->body);
	return 0;
}

/* --- Speech ---------------------------------------------------------------------------------- */

static void add_u32(Str *out, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		str_addc(out, (char)(v >> (8 * i)));
}

static void add_u16(Str *out, uint16_t v)
{
	str_addc(out, (char)v);
	str_addc(out, (char)(v >> 8));
}

/* 16 bit, one channel. */
static void add_silence(Str *out)
{
	uint32_t bytes = SILENCE_HZ * 2;
	str_add(out, "RIFF");
	add_u32(out, 36 + bytes);
	str_add(out, "WAVEfmt ");
	add_u32(out, 16);
	add_u16(out, 1);
	add_u16(out, 1);
	add_u32(out, SILENCE_HZ);
	add_u32(out, SILENCE_HZ * 2);
	add_u16(out, 2);
	add_u16(out, 16);
	str_add(out, "data");
	add_u32(out, bytes);
	for (uint32_t i = 0; i < bytes; i++)
		str_addc(out, '\0');
}

static int add_clip(const char *path, Str *out, Err *err)
{
	_cleanup_free_ char *clip = NULL;
	size_t len = 0;
	if (!path) {
		add_silence(out);
		return 0;
	}
	int r = file_read(path, CLIP_MAX, &clip, &len, err);
	if (r < 0)
		return err_wrap(err, r, "cannot read the clip of the first request");
	str_addn(out, clip, len);
	return 0;
}

static void add_field(Str *out, const char *name, const char *value)
{
	str_addf(out, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", boundary,
		 name, value);
}

static int make_stt(const FirstRequestSpec *spec, FirstRequest *f, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;

	if (spec->model && *spec->model && spec->protocol == PROTOCOL_OPENAI_STT)
		add_field(&out, "model", spec->model);
	add_field(&out, "response_format", "json");
	str_addf(&out,
		 "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"first.wav\"\r\n"
		 "Content-Type: audio/wav\r\n\r\n",
		 boundary);
	int r = add_clip(spec->clip, &out, err);
	if (r < 0)
		return r;
	str_addf(&out, "\r\n--%s--\r\n", boundary);
	f->type = str_fmt("multipart/form-data; boundary=%s", boundary);
	f->body_len = out.len;
	if (!f->type || str_take(&out, &f->body) < 0)
		return err_oom(err);
	return 0;
}

int firstrequest_make(const FirstRequestSpec *spec, FirstRequest *ret, Err *err)
{
	static const char *const paths[] = {
	    [PROTOCOL_OPENAI_CHAT] = "/v1/chat/completions",
	    [PROTOCOL_OPENAI_COMPLETIONS] = "/v1/completions",
	    [PROTOCOL_OLLAMA_CHAT] = "/api/chat",
	    [PROTOCOL_OLLAMA_GENERATE] = "/api/generate",
	    [PROTOCOL_OPENAI_STT] = "/v1/audio/transcriptions",
	    [PROTOCOL_WHISPERCPP] = "/inference",
	    [PROTOCOL_HTTP] = "/",
	};
	FirstRequest f = {.path = paths[spec->protocol]};
	int r = 0;

	if (protocol_is_stt(spec->protocol))
		r = make_stt(spec, &f, err);
	else if (spec->protocol != PROTOCOL_HTTP)
		r = make_llm(spec, &f, err);
	if (r < 0) {
		firstrequest_done(&f);
		return r;
	}
	*ret = f;
	return 0;
}

/* --- The answer ------------------------------------------------------------------------------ */

static int wrong(Err *err, const char *what, const char *body, size_t len)
{
	Str out = STR_INIT;
	str_add_safe(&out, body, len, 160);
	int r = err_set(err, -EBADMSG, "%s%s%s", what, out.len ? ": " : "", out.len ? out.s : "");
	str_done(&out);
	return r;
}

static bool is_answer(Protocol p, const json_t *o)
{
	switch (p) {
	case PROTOCOL_OPENAI_CHAT:
	case PROTOCOL_OPENAI_COMPLETIONS:
		return json_array_size(json_object_get(o, "choices")) > 0;
	case PROTOCOL_OLLAMA_CHAT:
		return json_is_object(json_object_get(o, "message"));
	case PROTOCOL_OLLAMA_GENERATE:
		return json_is_string(json_object_get(o, "response"));
	case PROTOCOL_OPENAI_STT:
	case PROTOCOL_WHISPERCPP:
		return json_is_string(json_object_get(o, "text"));
	case PROTOCOL_HTTP:
	case PROTOCOL_MAX_:
		break;
	}
	return true;
}

int firstrequest_check(Protocol p, int status, const char *body, size_t len, Err *err)
{
	json_auto_t *o = NULL;
	char words[48];

	if (status < 200 || status > 299) {
		(void)snprintf(words, sizeof(words), "it answered with status %d", status);
		return wrong(err, words, body, len);
	}
	if (p == PROTOCOL_HTTP)
		return 0;
	if (js_parse(body, len, ANSWER_MAX, &o, NULL) < 0)
		return wrong(err, "its answer is no JSON", body, len);
	if (json_object_get(o, "error") || !is_answer(p, o))
		return wrong(err, "its answer holds no result", body, len);
	return 0;
}
