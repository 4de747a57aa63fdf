/* vLLM's endpoints: what a request asks, and what is wrong with it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/rng.h"
#include "twin/vllm.h"

enum {
	BODY_MAX = 64 << 20,
	COMPLETION_TOKENS = 16, /* of an answer whose length nobody gave: /v1/completions */
	ANSWER_MEDIAN = 128,	/* and of a chat, which ends by itself */
	CHAT_TOKENS = 3,	/* that a template adds, and for each message: */
	MESSAGE_TOKENS = 4,
	WORD_BYTES = 8, /* of a word that is one token; then one for each piece: */
	PIECE_BYTES = 4,
};

const char *vllm_name(const Vllm *v)
{
	return v->args.names[0];
}

void vllm_log_access(const Vllm *v, const Incoming *rq, int status)
{
	static const struct {
		int status;
		const char *words;
	} words[] = {{200, "OK"},
		     {400, "Bad Request"},
		     {401, "Unauthorized"},
		     {404, "Not Found"},
		     {405, "Method Not Allowed"},
		     {500, "Internal Server Error"},
		     {503, "Service Unavailable"}};
	const char *text = "";
	if (v->args.quiet_access)
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (words[i].status == status)
			text = words[i].words;
	printf("(APIServer pid=%d) INFO:     127.0.0.1:0 - \"%s %s HTTP/1.1\" %d %s\n",
	       (int)getpid(), incoming_method(rq), incoming_path(rq), status, text);
}

void vllm_refuse(Vllm *v, Incoming *rq, int status, const char *type, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	bool failed = false;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	json_t *error = json_object(), *body = json_object();
	js_set(error, "message", text.s ? js_text(text.s) : NULL, &failed);
	js_set(error, "type", json_string(type), &failed);
	js_set(error, "param", json_null(), &failed);
	js_set(error, "code", json_integer(status), &failed);
	js_set(body, "error", error, &failed);
	vllm_log_access(v, rq, status);
	if (failed)
		json_decref(body);
	program_answer(rq, status, failed ? NULL : body);
}

static void bad(Vllm *v, Incoming *rq, const char *message)
{
	vllm_refuse(v, rq, 400, "BadRequestError", "%s", message);
}

/* --- What is asked --------------------------------------------------------------------------- */

/* A tokenizer is not known here: a short word is one token, a long one several. */
int64_t vllm_count_tokens(const char *text)
{
	int64_t n = 0;
	while (*text) {
		text += strspn(text, " \t\r\n");
		size_t len = strcspn(text, " \t\r\n");
		if (len > 0)
			n++;
		if (len > WORD_BYTES)
			n += (int64_t)((len - WORD_BYTES + PIECE_BYTES - 1) / PIECE_BYTES);
		text += len;
	}
	return n;
}

/* A text, a list with one text, or token numbers. -1: something else. */
static int64_t prompt_tokens(const json_t *prompt)
{
	if (json_is_string(prompt))
		return vllm_count_tokens(json_string_value(prompt));
	if (!json_is_array(prompt) || json_array_size(prompt) == 0)
		return -1;
	const json_t *first = json_array_get(prompt, 0);
	if (json_is_integer(first))
		return (int64_t)json_array_size(prompt);
	return json_array_size(prompt) == 1 ? prompt_tokens(first) : -1;
}

static int64_t content_tokens(const json_t *content)
{
	int64_t n = 0;
	size_t i;
	json_t *part;
	if (json_is_string(content))
		return vllm_count_tokens(json_string_value(content));
	json_array_foreach (content, i, part)
		n += vllm_count_tokens(js_str(part, "text", ""));
	return n;
}

static int64_t message_tokens(const json_t *messages)
{
	int64_t n = CHAT_TOKENS;
	size_t i;
	json_t *one;
	if (!json_is_array(messages) || json_array_size(messages) == 0)
		return -1;
	json_array_foreach (messages, i, one) {
		if (!json_is_object(one) || !json_is_string(json_object_get(one, "role")))
			return -1;
		n += MESSAGE_TOKENS + content_tokens(json_object_get(one, "content"));
	}
	return n;
}

static bool serves(const Vllm *v, const char *name)
{
	for (size_t i = 0; i < v->args.n_names; i++)
		if (strcmp(v->args.names[i], name) == 0)
			return true;
	return false;
}

/* How long the answer is. 0: fine; else what is wrong was answered. */
static int read_length(Vllm *v, Call *c, Incoming *rq, const json_t *body)
{
	const int64_t longest = v->llm.service->set.vllm.max_model_len;
	int64_t limit = js_int(body, "max_completion_tokens", js_int(body, "max_tokens", -1));
	if (c->prompt >= longest) {
		vllm_refuse(v, rq, 400, "BadRequestError",
			    "This model's maximum context length is %" PRId64
			    " tokens. However, your request has %" PRId64
			    " input tokens. Please reduce the length of the input messages.",
			    longest, c->prompt);
		return -1;
	}
	if (limit > longest - c->prompt) {
		vllm_refuse(v, rq, 400, "BadRequestError",
			    "'max_tokens' or 'max_completion_tokens' is too large: %" PRId64
			    ". This model's maximum context length is %" PRId64
			    " tokens and your request has %" PRId64 " input tokens (%" PRId64
			    " > %" PRId64 " - %" PRId64 ").",
			    limit, longest, c->prompt, limit, longest, c->prompt);
		return -1;
	}
	if (limit == 0 || limit < -1) {
		vllm_refuse(v, rq, 400, "BadRequestError",
			    "max_tokens must be at least 1, got %" PRId64 ".", limit);
		return -1;
	}
	c->output = limit > 0 ? limit : c->chat ? longest - c->prompt : COMPLETION_TOKENS;
	/* Nobody said how long, and it may end when it has said enough. */
	if (limit < 0 && c->chat && !js_bool(body, "ignore_eos", false)) {
		Rng rng = rng_derive(c->words, "twin answer", 0);
		int64_t length = 1 + (int64_t)rng_lognormal(&rng, ANSWER_MEDIAN, 0.6);
		c->natural = length <= c->output;
		c->output = c->natural ? length : c->output;
	}
	return 0;
}

static int read_body(Vllm *v, Call *c, Incoming *rq, const json_t *body)
{
	const char *model = js_str(body, "model", vllm_name(v));
	if (!serves(v, model)) {
		vllm_refuse(v, rq, 404, "NotFoundError", "The model `%.200s` does not exist.",
			    model);
		return -1;
	}
	c->prompt = c->chat ? message_tokens(json_object_get(body, "messages"))
			    : prompt_tokens(json_object_get(body, "prompt"));
	if (c->prompt < 0) {
		bad(v, rq,
		    c->chat ? "messages: a list of messages with a role is required"
			    : "prompt: one text or one list of token numbers is served");
		return -1;
	}
	if (js_int(body, "n", 1) != 1) {
		bad(v, rq, "n: only one answer for a prompt is served");
		return -1;
	}
	const json_t *options = json_object_get(body, "stream_options");
	c->stream = js_bool(body, "stream", false);
	c->usage = v->args.usage_forced || js_bool(options, "include_usage", false);
	if (!c->stream && json_is_object(options)) {
		bad(v, rq, "Stream options can only be defined when `stream=True`.");
		return -1;
	}
	if (c->prompt == 0) {
		bad(v, rq, "The decoder prompt cannot be empty");
		return -1;
	}
	return read_length(v, c, rq, body);
}

/* --- Into the engine ------------------------------------------------------------------------- */

static void link_call(Vllm *v, Call *c)
{
	c->after = v->calls;
	if (v->calls)
		v->calls->before = c;
	v->calls = c;
	v->n_calls++;
}

void call_free(Call *c)
{
	Vllm *v = c->server;
	if (c->rq || c->in_engine || c->under_way > 0)
		return;
	if (c->before)
		c->before->after = c->after;
	else
		v->calls = c->after;
	if (c->after)
		c->after->before = c->before;
	v->n_calls--;
	str_done(&c->text);
	free(c);
	vllm_idle(v);
}

static int into_engine(Vllm *v, Call *c)
{
	Wall *w = &v->program.wall;
	Sim *s = &v->program.host.sim;
	int r = wall_catch_up(w);
	const Request rq = {.number = (int64_t)v->numbers,
			    .planned_us = s->now_us,
			    .prompt = c->prompt,
			    .output = c->output,
			    .own = c};
	c->in_engine = true;
	if (r >= 0)
		r = llm_send(s, &v->llm, &rq);
	if (r >= 0)
		r = wall_go_on(w);
	return r;
}

static void take_call(Vllm *v, Call *c, Incoming *rq)
{
	c->rq = rq;
	c->sent_us = clock_mono_us(v->program.clock);
	c->created_s = clock_now_us(v->program.clock) / 1000000;
	incoming_remember(rq, c);
	link_call(v, c);
	v->metrics.prompt_tokens += (uint64_t)c->prompt;
	if (v->program.o.faults.hang)
		return;
	int r = into_engine(v, c);
	if (r < 0)
		v->program.wall.halted(v->program.wall.ctx, r);
}

static void generate(Vllm *v, Incoming *rq, bool chat)
{
	size_t len;
	Err err = ERR_INIT;
	json_auto_t *body = NULL;
	const char *text = incoming_body(rq, &len);
	if (js_parse(text, len, BODY_MAX, &body, &err) < 0 || !json_is_object(body)) {
		vllm_refuse(v, rq, 400, "Bad Request",
			    "[{'type': 'json_invalid', 'loc': ('body', 0), 'msg': 'JSON decode "
			    "error', 'input': {}}]");
		return;
	}
	Call *c = calloc(1, sizeof(*c));
	if (!c) {
		incoming_abort(rq);
		return;
	}
	*c = (Call){.server = v, .chat = chat, .words = ++v->numbers};
	snprintf(c->id, sizeof(c->id), "%s-%016" PRIx64 "%08x", chat ? "chatcmpl" : "cmpl",
		 v->numbers * UINT64_C(0x9e3779b97f4a7c15), (unsigned)getpid());
	if (read_body(v, c, rq, body) < 0)
		free(c);
	else
		take_call(v, c, rq);
}

void vllm_closed(void *ctx, Incoming *rq)
{
	Vllm *v = ctx;
	Call *c = incoming_own(rq);
	if (!c)
		return;
	c->rq = NULL;
	v->metrics.aborted++;
	bool outside = !v->delivering && !v->dead;
	c->under_way++; /* it stays while what is due is delivered */
	if (outside)
		(void)wall_catch_up(&v->program.wall);
	if (c->in_engine && llm_abort(&v->llm, c))
		c->in_engine = false;
	if (outside)
		(void)wall_go_on(&v->program.wall);
	c->under_way--;
	call_free(c);
}

int vllm_drop_all(Vllm *v, bool with_500)
{
	Call *after;
	int n = 0;
	for (Call *c = v->calls; c; c = after, n++) {
		Incoming *rq = c->rq;
		after = c->after;
		c->rq = NULL;
		c->in_engine = false;
		c->under_way = 0;
		if (rq)
			incoming_remember(rq, NULL); /* closed() is not about it any more */
		if (!rq)
			;
		else if (!with_500)
			incoming_abort(rq);
		else if (!c->begun)
			vllm_refuse(v, rq, 500, "InternalServerError",
				    "EngineCore encountered an issue. See stack trace (above) for "
				    "the root cause.");
		else {
			static const char last[] =
			    "data: {\"error\":{\"message\":\"EngineCore encountered an issue. See "
			    "stack trace (above) for the root cause.\",\"type\":"
			    "\"InternalServerError\",\"param\":null,\"code\":500}}\n\n"
			    "data: [DONE]\n\n";
			(void)incoming_write(rq, last, sizeof(last) - 1);
			incoming_end(rq);
		}
		call_free(c);
	}
	v->n = 0;
	return n;
}

/* --- Endpoints ------------------------------------------------------------------------------- */

static json_t *model_json(const Vllm *v, const char *name)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "id", js_text(name), &failed);
	js_set(o, "object", json_string("model"), &failed);
	js_set(o, "created", json_integer(v->created_s), &failed);
	js_set(o, "owned_by", json_string("vllm"), &failed);
	js_set(o, "root", js_text(v->program.o.faults.wrong_model ? name : v->args.model), &failed);
	js_set(o, "parent", json_null(), &failed);
	js_set(o, "max_model_len", json_integer(v->llm.service->set.vllm.max_model_len), &failed);
	js_set(o, "permission", json_array(), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static void models(Vllm *v, Incoming *rq)
{
	bool failed = false;
	json_t *body = json_object(), *list = json_array();
	for (size_t i = 0; i < v->args.n_names; i++)
		failed |= json_array_append_new(list, model_json(v, v->args.names[i])) < 0;
	js_set(body, "object", json_string("list"), &failed);
	js_set(body, "data", list, &failed);
	if (failed)
		json_decref(body);
	program_answer(rq, 200, failed ? NULL : body);
}

static void health(Vllm *v, Incoming *rq)
{
	(void)incoming_answer(rq, v->dead ? 503 : 200, "application/json", "", 0);
}

static void version(Vllm *v, Incoming *rq)
{
	(void)v;
	program_answer(rq, 200, json_pack("{s:s}", "version", VLLM_VERSION));
}

static void metrics(Vllm *v, Incoming *rq)
{
	_cleanup_(str_done) Str text = STR_INIT;
	(void)wall_catch_up(&v->program.wall);
	(void)wall_go_on(&v->program.wall);
	vllm_metrics_text(v, &text);
	if (text.failed)
		incoming_abort(rq);
	else
		(void)incoming_answer(rq, 200, "text/plain; version=0.0.4; charset=utf-8", text.s,
				      text.len);
}

static void completions(Vllm *v, Incoming *rq)
{
	generate(v, rq, false);
}

static void chat(Vllm *v, Incoming *rq)
{
	generate(v, rq, true);
}

static const struct {
	const char *path, *method;
	void (*serve)(Vllm *v, Incoming *rq);
	bool generates;
} endpoints[] = {
    {"/v1/completions", "POST", completions, true},
    {"/v1/chat/completions", "POST", chat, true},
    {"/v1/models", "GET", models, false},
    {"/health", "GET", health, false},
    {"/ping", "GET", health, false},
    {"/version", "GET", version, false},
    {"/metrics", "GET", metrics, false},
};

static bool may(const Vllm *v, const Incoming *rq)
{
	const char *given = incoming_header(rq, "Authorization");
	if (v->args.n_keys == 0 || strncmp(incoming_path(rq), "/v1", 3) != 0)
		return true;
	if (!given || strncmp(given, "Bearer ", 7) != 0)
		return false;
	for (size_t i = 0; i < v->args.n_keys; i++)
		if (strcmp(given + 7, v->args.keys[i]) == 0)
			return true;
	return false;
}

static void serve_endpoint(Vllm *v, Incoming *rq, size_t i)
{
	if (strcmp(incoming_method(rq), endpoints[i].method) != 0) {
		vllm_log_access(v, rq, 405);
		program_answer(rq, 405, json_pack("{s:s}", "detail", "Method Not Allowed"));
	} else if (endpoints[i].generates && (v->stopping || v->program.o.faults.unavailable)) {
		vllm_refuse(v, rq, v->dead ? 500 : 503, "ServiceUnavailableError",
			    "The server is not available.");
	} else {
		if (!endpoints[i].generates)
			vllm_log_access(v, rq, 200);
		endpoints[i].serve(v, rq);
	}
}

void vllm_serve(void *ctx, Incoming *rq)
{
	Vllm *v = ctx;
	incoming_remember(rq, NULL);
	if (!may(v, rq)) {
		vllm_log_access(v, rq, 401);
		program_answer(rq, 401, json_pack("{s:s}", "error", "Unauthorized"));
		return;
	}
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++) {
		if (strcmp(incoming_path(rq), endpoints[i].path) == 0) {
			serve_endpoint(v, rq, i);
			return;
		}
	}
	vllm_log_access(v, rq, 404);
	program_answer(rq, 404, json_pack("{s:s}", "detail", "Not Found"));
}
