#include "loadgen/form.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "loadgen/decode.h"

static const struct {
	const char *name, *method, *path;
} protocols[] = {
    [PROTOCOL_OPENAI_CHAT] = {"openai-chat", "POST", "/v1/chat/completions"},
    [PROTOCOL_OPENAI_COMPLETIONS] = {"openai-completions", "POST", "/v1/completions"},
    [PROTOCOL_OLLAMA_CHAT] = {"ollama-chat", "POST", "/api/chat"},
    [PROTOCOL_OLLAMA_GENERATE] = {"ollama-generate", "POST", "/api/generate"},
    [PROTOCOL_OPENAI_STT] = {"openai-stt", "POST", "/v1/audio/transcriptions"},
    [PROTOCOL_WHISPERCPP] = {"whispercpp", "POST", "/inference"},
    [PROTOCOL_HTTP] = {"http", "GET", "/"},
};

const char *protocol_name(Protocol p)
{
	return (unsigned)p < PROTOCOL_MAX_ ? protocols[p].name : "unknown";
}

bool protocol_from_name(const char *name, Protocol *ret)
{
	for (int p = 0; p < PROTOCOL_MAX_; p++) {
		if (strcmp(protocols[p].name, name) == 0) {
			*ret = (Protocol)p;
			return true;
		}
	}
	return false;
}

bool protocol_is_stt(Protocol p)
{
	return p == PROTOCOL_OPENAI_STT || p == PROTOCOL_WHISPERCPP;
}

bool protocol_is_ollama(Protocol p)
{
	return p == PROTOCOL_OLLAMA_CHAT || p == PROTOCOL_OLLAMA_GENERATE;
}

static bool is_chat(Protocol p)
{
	return p == PROTOCOL_OPENAI_CHAT || p == PROTOCOL_OLLAMA_CHAT;
}

/* --- JSON requests --------------------------------------------------------------------------- */

/* Writes members one after another; the value is consumed. */
typedef struct Members {
	Str *out;
	bool any, failed;
} Members;

static void member(Members *m, const char *key, json_t *value)
{
	json_auto_t *v = value;
	_cleanup_free_ char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_auto_t *k = json_string(key);
	_cleanup_free_ char *name = k ? json_dumps(k, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	if (!text || !name) {
		m->failed = true;
		return;
	}
	if (m->any)
		str_addc(m->out, ',');
	m->any = true;
	str_add(m->out, name);
	str_addc(m->out, ':');
	str_add(m->out, text);
}

static void members_of(Members *m, const json_t *object, const char *but)
{
	for (void *i = json_object_iter((json_t *)(uintptr_t)object); i;
	     i = json_object_iter_next((json_t *)(uintptr_t)object, i))
		if (!but || strcmp(json_object_iter_key(i), but) != 0)
			member(m, json_object_iter_key(i), json_incref(json_object_iter_value(i)));
}

static bool has(const json_t *o, const char *key)
{
	return json_object_get(o, key) != NULL;
}

static void write_prompt(Form *f, const TrafficStream *s, Members *m)
{
	const char *key = is_chat(s->protocol) ? "messages" : "prompt";
	if (has(s->extra, key))
		return;
	f->prompt = true;
	str_addf(&f->head, "%s\"%s\":%s", m->any ? "," : "", key,
		 is_chat(s->protocol) ? "[{\"role\":\"user\",\"content\":\"" : "\"");
	str_add(&f->middle, is_chat(s->protocol) ? "\"}]" : "\"");
}

/* Ollama's number of tokens is one of its options, which may have others. */
static void write_options(Form *f, const json_t *options, Members *m)
{
	Members inner = {.out = &f->middle};
	str_add(&f->middle, ",\"options\":{");
	members_of(&inner, options, NULL);
	m->failed |= inner.failed;
	if (has(options, "num_predict")) {
		str_add(&f->tail, "}}");
		return;
	}
	f->tokens = true;
	str_addf(&f->middle, "%s\"num_predict\":", inner.any ? "," : "");
	str_add(&f->tail, "}}");
}

static void write_tokens(Form *f, const json_t *extra)
{
	f->tokens = !has(extra, "max_tokens") && !has(extra, "max_completion_tokens");
	if (f->tokens)
		str_add(&f->middle, ",\"max_tokens\":");
	str_addc(&f->tail, '}');
}

static int write_llm(Form *f, const TrafficStream *s)
{
	bool ollama = protocol_is_ollama(s->protocol);
	Members m = {.out = &f->head};
	f->type = "application/json";
	str_addc(&f->head, '{');
	if (s->model && !has(s->extra, "model"))
		member(&m, "model", js_text(s->model));
	if (!has(s->extra, "stream"))
		member(&m, "stream", json_boolean(s->streaming));
	if (s->streaming && !ollama && !has(s->extra, "stream_options"))
		member(&m, "stream_options", json_pack("{s:b}", "include_usage", 1));
	members_of(&m, s->extra, ollama ? "options" : NULL);
	write_prompt(f, s, &m);
	if (ollama)
		write_options(f, json_object_get(s->extra, "options"), &m);
	else
		write_tokens(f, s->extra);
	return m.failed ? -ENOMEM : 0;
}

/* --- Clips ----------------------------------------------------------------------------------- */

/* Any line of its own; that it comes up in a recording is as likely as its 128 bits. */
#define BOUNDARY "dream-9f4c1e7ab2d84f0c86a5d31b7e20c9f4"

static void write_field(Str *out, const char *name, const char *value)
{
	str_addf(out, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n",
		 name, value);
}

static bool is_field_name(const char *s)
{
	return *s &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_[]-ABCDEFGHIJKLMNOPQRSTUVWXYZ")] ==
		   '\0';
}

static int write_extra_fields(Str *out, const json_t *extra, Err *err)
{
	for (void *i = json_object_iter((json_t *)(uintptr_t)extra); i;
	     i = json_object_iter_next((json_t *)(uintptr_t)extra, i)) {
		const char *key = json_object_iter_key(i);
		const json_t *v = json_object_iter_value(i);
		if (!is_field_name(key))
			return err_set(err, -EINVAL, "'%s' is no name of a form's field", key);
		_cleanup_free_ char *text = json_is_string(v)
						? strdup(json_string_value(v))
						: json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!text)
			return err_oom(err);
		write_field(out, key, text);
	}
	return 0;
}

static int write_stt(Form *f, const TrafficStream *s, Err *err)
{
	f->type = "multipart/form-data; boundary=" BOUNDARY;
	f->clip = true;
	if (s->model && !has(s->extra, "model"))
		write_field(&f->head, "model", s->model);
	if (s->language && !has(s->extra, "language"))
		write_field(&f->head, "language", s->language);
	if (!has(s->extra, "response_format"))
		write_field(&f->head, "response_format", "json");
	int r = write_extra_fields(&f->head, s->extra, err);
	str_add(&f->head,
		"--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"");
	str_add(&f->middle, "\"\r\nContent-Type: audio/wav\r\n\r\n");
	str_add(&f->tail, "\r\n--" BOUNDARY "--\r\n");
	return r;
}

/* As browsers write a name that has a quote or a line end in it. */
static void add_file_name(Str *out, const char *name)
{
	for (; *name; name++) {
		if (*name == '"' || (unsigned char)*name < 0x20)
			str_addf(out, "%%%02X", (unsigned)(unsigned char)*name);
		else
			str_addc(out, *name);
	}
}

/* --- Plain HTTP ------------------------------------------------------------------------------ */

/* `extra`: "method", "body" (a text, or anything that is sent as JSON), "type" of the body. */
static int write_http(Form *f, const TrafficStream *s, Err *err)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"};
	const json_t *body = json_object_get(s->extra, "body");
	const char *asked = js_str(s->extra, "method", body ? "POST" : "GET");
	f->method = NULL;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (strcmp(methods[i], asked) == 0)
			f->method = methods[i];
	if (!f->method)
		return err_set(err, -EINVAL, "'%s' is no method that is sent", asked);
	if (!body)
		return 0;
	if (json_is_string(body)) {
		f->type = "text/plain";
		str_addn(&f->head, json_string_value(body), json_string_length(body));
		return 0;
	}
	_cleanup_free_ char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!text)
		return err_oom(err);
	f->type = "application/json";
	str_add(&f->head, text);
	return 0;
}

/* --- All of it ------------------------------------------------------------------------------- */

static int write_form(Form *f, const TrafficStream *s, Err *err)
{
	if (s->extra && !json_is_object(s->extra))
		return err_set(err, -EINVAL,
			       "what goes into each request beside the prompt is no JSON object");
	if (s->protocol == PROTOCOL_HTTP)
		return write_http(f, s, err);
	if (protocol_is_stt(s->protocol))
		return write_stt(f, s, err);
	return write_llm(f, s) < 0 ? err_oom(err) : 0;
}

int form_new(const TrafficStream *s, Form *ret, Err *err)
{
	Form f = {.method = protocols[s->protocol].method};
	int r = write_form(&f, s, err);
	f.path = strdup(s->path ? s->path : protocols[s->protocol].path);
	if (r == 0 && (!f.path || f.head.failed || f.middle.failed || f.tail.failed))
		r = err_oom(err);
	if (r < 0)
		form_done(&f);
	else
		*ret = f;
	return r;
}

void form_done(Form *f)
{
	free(f->path);
	str_done(&f->head);
	str_done(&f->middle);
	str_done(&f->tail);
	*f = (Form){0};
}

static void add(Str *out, const Str *part)
{
	if (part->len > 0)
		str_addn(out, part->s, part->len);
}

static void add_number(Str *out, int64_t v)
{
	char digits[24];
	size_t at = sizeof(digits);
	do
		digits[--at] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	str_addn(out, digits + at, sizeof(digits) - at);
}

static bool is_made_up(const Contents *c, const Size *size)
{
	return contents_clips(c) == 0 && !size->clip;
}

static int choose_clip(const Contents *c, const Size *size, Filled *ret)
{
	if (is_made_up(c, size)) {
		ret->clip = contents_next_made(c);
		ret->clip_ms = size->clip_ms;
		return 0;
	}
	int r = contents_clip(c, size->clip, &ret->clip);
	if (r == 0)
		ret->clip_ms = (contents_clip_us(c, ret->clip) + 500) / 1000;
	return r;
}

static void add_clip(const Contents *c, const Size *size, const Filled *filled, Str *body)
{
	size_t len;
	if (is_made_up(c, size)) {
		contents_made_file(c, filled->clip, filled->clip_ms, body);
		return;
	}
	const char *file = contents_clip_file(c, filled->clip, &len);
	str_addn(body, file, len);
}

int form_fill(const Form *f, const Contents *c, const Size *size, Str *body, Filled *ret)
{
	*ret = (Filled){.tokens = -1};
	str_clear(body);
	if (f->clip) {
		int r = choose_clip(c, size, ret);
		if (r < 0)
			return r;
	}
	add(body, &f->head);
	if (f->prompt)
		ret->words = contents_prompt(c, size->prompt, body);
	if (f->clip && is_made_up(c, size))
		str_addf(body, "made-up-%zu.wav", ret->clip);
	else if (f->clip)
		add_file_name(body, contents_clip_name(c, ret->clip));
	add(body, &f->middle);
	if (f->tokens) {
		ret->tokens = size->output;
		add_number(body, size->output > 0 ? size->output : 1);
	}
	if (f->clip)
		add_clip(c, size, ret, body);
	add(body, &f->tail);
	return body->failed ? -ENOMEM : 0;
}
