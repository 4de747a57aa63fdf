/* From the engine's tokens to what the client reads: through the front end, whose delay is the
 * box's `request`, as a stream of events or one answer. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"
#include "twin/vllm.h"

/* What it says has no meaning; that each token is one of these words, and the same request number
 * gets the same ones, is enough. */
static const char *const words[] = {
    "the",   "a",     "card",  "memory", "model",    "server", "token",	 "box",
    "fast",  "slow",  "when",  "each",	 "one",	     "holds",  "gives",	 "runs",
    "waits", "small", "large", "answer", "question", "is",     "was",	 "more",
    "less",  "and",   "or",    "then",	 "because",  "never",  "always", "before",
    "after", "light", "step",  "time",	 "number",   "word",
};

static const char *word(const Call *c, int64_t number)
{
	Rng rng = {c->words * UINT64_C(0xd1342543de82ef95) + (uint64_t)number};
	return words[rng_below(&rng, sizeof(words) / sizeof(*words))];
}

static void add_words(const Call *c, int64_t from, int64_t to, Str *out)
{
	for (int64_t i = from; i < to; i++) {
		str_addc(out, ' ');
		str_add(out, word(c, i));
	}
}

static const char *reason(const Call *c)
{
	return c->natural ? "stop" : "length";
}

static void add_usage(const Call *c, int64_t made, Str *out)
{
	str_addf(out,
		 "{\"prompt_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64
		 ",\"completion_tokens\":%" PRId64 ",\"prompt_tokens_details\":null}",
		 c->prompt, c->prompt + made, made);
}

/* --- A stream -------------------------------------------------------------------------------- */

static void add_head(const Call *c, Str *out)
{
	str_addf(out,
		 "data: {\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":%s,"
		 "\"choices\":[",
		 c->id, c->chat ? "chat.completion.chunk" : "text_completion", c->created_s,
		 c->server->name_json);
}

static void add_role(const Call *c, Str *out)
{
	add_head(c, out);
	str_add(out, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
		     "\"logprobs\":null,\"finish_reason\":null}]}\n\n");
}

static void add_chunk(const Call *c, int64_t from, int64_t to, bool complete, Str *out)
{
	add_head(c, out);
	str_add(out,
		c->chat ? "{\"index\":0,\"delta\":{\"content\":\"" : "{\"index\":0,\"text\":\"");
	add_words(c, from, to, out);
	str_add(out, c->chat ? "\"},\"logprobs\":null,\"finish_reason\":"
			     : "\",\"logprobs\":null,\"finish_reason\":");
	if (complete)
		str_addf(out, "\"%s\",\"stop_reason\":null}]", reason(c));
	else
		str_add(out, c->chat ? "null}]" : "null,\"stop_reason\":null}]");
	str_add(out, c->chat ? "}\n\n" : ",\"usage\":null}\n\n");
}

static void add_end(const Call *c, int64_t made, Str *out)
{
	if (c->usage) {
		add_head(c, out);
		str_add(out, "],\"usage\":");
		add_usage(c, made, out);
		str_add(out, "}\n\n");
	}
	str_add(out, "data: [DONE]\n\n");
}

/* The request is gone after this when it was the last token, or half of a half stream. */
static void stream_token(Vllm *v, Call *c, const Outgoing *o)
{
	Str *out = &c->text;
	bool breaks = v->program.o.faults.half_stream && o->made > c->output / 2;
	str_clear(out);
	if (!c->begun) {
		c->begun = true;
		vllm_log_access(v, c->rq, 200);
		(void)incoming_stream(c->rq, 200, "text/event-stream; charset=utf-8");
		if (c->chat)
			add_role(c, out);
	}
	add_chunk(c, c->said, o->made, o->complete && !breaks, out);
	if (o->complete && !breaks)
		add_end(c, o->made, out);
	c->said = o->made;
	if (out->failed || !c->rq) {
		Incoming *rq = TAKE_PTR(c->rq);
		if (rq) {
			incoming_remember(rq, NULL);
			incoming_abort(rq);
		}
		return;
	}
	(void)incoming_write(c->rq, out->s, out->len);
	Incoming *rq = c->rq; /* NULL: the client was found gone */
	if (!rq || (!o->complete && !breaks))
		return;
	c->rq = NULL;
	incoming_remember(rq, NULL);
	if (breaks)
		incoming_abort(rq);
	else
		incoming_end(rq);
}

/* --- One answer ------------------------------------------------------------------------------ */

static void answer_whole(Vllm *v, Call *c, int64_t made)
{
	_cleanup_(str_done) Str out = STR_INIT;
	Incoming *rq = c->rq;
	str_addf(&out,
		 "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64
		 ",\"model\":%s,\"choices\":[{\"index\":0,",
		 c->id, c->chat ? "chat.completion" : "text_completion", c->created_s,
		 v->name_json);
	str_add(&out,
		c->chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"text\":\"");
	add_words(c, 0, made, &out);
	str_add(&out, c->chat ? "\",\"refusal\":null,\"tool_calls\":[]}," : "\",");
	str_addf(&out,
		 "\"logprobs\":null,\"finish_reason\":\"%s\",\"stop_reason\":null}],\"usage\":",
		 reason(c));
	add_usage(c, made, &out);
	str_addc(&out, '}');
	c->rq = NULL;
	incoming_remember(rq, NULL);
	if (out.failed || v->program.o.faults.half_stream) {
		/* Half of an answer whose length was promised. */
		if (!out.failed && incoming_stream(rq, 200, "application/json") >= 0)
			(void)incoming_write(rq, out.s, out.len / 2);
		incoming_abort(rq);
		return;
	}
	vllm_log_access(v, rq, 200);
	(void)incoming_answer(rq, 200, "application/json", out.s, out.len);
}

/* --- The outbox ------------------------------------------------------------------------------ */

static void deliver(Vllm *v, const Outgoing *o)
{
	Call *c = o->call;
	int64_t now = clock_mono_us(v->program.clock);
	if (c->rq) {
		if (c->first_us == 0)
			metrics_first(v, c, now);
		else if (c->stream)
			metrics_gap(v, now - c->last_us);
		if (c->first_us == 0)
			c->first_us = now;
		c->last_us = now;
		if (o->complete)
			metrics_answered(v, c, now);
		if (c->stream)
			stream_token(v, c, o);
		else if (o->complete)
			answer_whole(v, c, o->made);
	}
	/* Broken off by us: the engine need not go on. */
	if (!c->rq && c->in_engine && llm_abort(&v->llm, c))
		c->in_engine = false;
	c->under_way--; /* until now it stays, even when its client is found gone */
	call_free(c);
}

int vllm_outbox_due(Sim *s, void *owner, uint32_t mark)
{
	(void)mark;
	Vllm *v = owner;
	v->outbox_armed = false;
	v->delivering = true;
	while (v->n > 0 && v->outbox[v->at].at_us <= s->now_us) {
		Outgoing o = v->outbox[v->at];
		v->at = (v->at + 1) & (v->cap - 1);
		v->n--;
		deliver(v, &o);
	}
	v->delivering = false;
	if (v->n == 0)
		return 0;
	v->outbox_armed = true;
	return sim_timer(s, v->outbox_timer, v->outbox[v->at].at_us, 0);
}

static bool room(Vllm *v)
{
	if (v->n < v->cap)
		return true;
	size_t cap = v->cap ? 2 * v->cap : 256;
	Outgoing *ring = calloc(cap, sizeof(*ring));
	if (!ring)
		return false;
	for (size_t i = 0; i < v->n; i++)
		ring[i] = v->outbox[(v->at + i) & (v->cap - 1)];
	free(v->outbox);
	v->outbox = ring;
	v->cap = cap;
	v->at = 0;
	return true;
}

void vllm_hear(void *ctx, const Seq *q, bool complete)
{
	Vllm *v = ctx;
	Call *c = q->rq.own;
	Sim *s = &v->program.host.sim;
	c->started_us = v->program.wall.zero_us + wall_us(&v->program.wall, q->started_us);
	v->metrics.generation_tokens++;
	if (complete)
		c->in_engine = false;
	if (!complete && !c->stream && q->made > 1)
		return; /* of an answer that goes out whole */
	if (!room(v)) {
		sim_halt(s);
		return;
	}
	int64_t at = s->now_us + v->llm.service->set.vllm.model->request_us;
	v->outbox[(v->at + v->n++) & (v->cap - 1)] = (Outgoing){at, c, q->made, complete};
	c->under_way++;
	if (!v->outbox_armed && sim_timer(s, v->outbox_timer, at, 0) == 0)
		v->outbox_armed = true;
}
