/* The endpoints of whisper.cpp's server (/inference) and of OpenAI's (/v1/audio/transcriptions). */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "twin/wav.h"
#include "twin/whisper.h"

enum {
	PARTS_MAX = 32,
};

static void refuse(Incoming *rq, int status, const char *message)
{
	program_answer(rq, status, json_pack("{s:s}", "error", message));
}

/* --- One clip -------------------------------------------------------------------------------- */

static void clip_free(Whisper *w, Clip *c)
{
	if (c->before)
		c->before->after = c->after;
	else
		w->clips = c->after;
	if (c->after)
		c->after->before = c->before;
	free(c->text);
	free(c);
	whisper_idle(w);
}

static void link_clip(Whisper *w, Clip *c)
{
	c->after = w->clips;
	if (w->clips)
		w->clips->before = c;
	w->clips = c;
}

static void answer(Whisper *w, Clip *c)
{
	_cleanup_(str_done) Str out = STR_INIT;
	Incoming *rq = c->rq;
	c->rq = NULL;
	incoming_remember(rq, NULL);
	whisper_format(c, &out);
	if (out.failed) {
		incoming_abort(rq);
	} else if (w->program.o.faults.half_stream) {
		if (incoming_stream(rq, 200, whisper_type(c->answer)) >= 0)
			(void)incoming_write(rq, out.s, out.len / 2);
		incoming_abort(rq);
	} else {
		(void)incoming_answer(rq, 200, whisper_type(c->answer), out.s, out.len);
	}
}

void whisper_hear(void *ctx, const Request *rq)
{
	Whisper *w = ctx;
	Clip *c = rq->own;
	if (!c)
		return; /* the client left while it was decoded */
	if (c->rq)
		answer(w, c);
	clip_free(w, c);
}

void whisper_closed(void *ctx, Incoming *rq)
{
	Whisper *w = ctx;
	Clip *c = incoming_own(rq);
	if (!c || !c->rq)
		return;
	c->rq = NULL;
	if (stt_abort(&w->stt, c) || w->program.o.faults.hang)
		clip_free(w, c);
}

void whisper_drop_all(Whisper *w, bool with_500)
{
	Clip *after;
	for (Clip *c = w->clips; c; c = after) {
		Incoming *rq = c->rq;
		after = c->after;
		c->rq = NULL;
		(void)stt_abort(&w->stt, c);
		if (rq)
			incoming_remember(rq, NULL);
		if (rq && with_500)
			refuse(rq, 500, "CUDA error: unspecified launch failure");
		else if (rq)
			incoming_abort(rq);
		clip_free(w, c);
	}
}

static int into_engine(Whisper *w, Clip *c)
{
	Wall *wall = &w->program.wall;
	Sim *s = &w->program.host.sim;
	int r = wall_catch_up(wall);
	const Request rq = {
	    .number = w->numbers++, .planned_us = s->now_us, .clip_ms = c->ms, .own = c};
	if (r >= 0)
		r = stt_send(s, &w->stt, &rq);
	return r < 0 ? r : wall_go_on(wall);
}

/* --- What is asked --------------------------------------------------------------------------- */

static bool is(const Part *p, const char *name)
{
	return p->name_len == strlen(name) && memcmp(p->name, name, p->name_len) == 0;
}

static Answer form_of(const Part *p)
{
	static const char *const names[] = {[ANSWER_JSON] = "json",
					    [ANSWER_TEXT] = "text",
					    [ANSWER_VERBOSE] = "verbose_json",
					    [ANSWER_SRT] = "srt",
					    [ANSWER_VTT] = "vtt"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (p->len == strlen(names[i]) && memcmp(p->data, names[i], p->len) == 0)
			return (Answer)i;
	return ANSWER_JSON;
}

static bool says_oom(Whisper *w, Incoming *rq)
{
	if (!w->program.o.faults.oom_under_load || w->program.service.on_cpu)
		return false;
	service_says_oom(&w->program.service, &w->program.host.sim.gpu,
			 w->program.service.set.whisper.model->steady_bytes);
	refuse(rq, 500, "CUDA out of memory.");
	return true;
}

static void transcribe(Whisper *w, Incoming *rq)
{
	Part parts[PARTS_MAX];
	const Part *file = NULL;
	size_t len, n = 0;
	Answer form = ANSWER_JSON;
	const char *body = incoming_body(rq, &len), *type = incoming_header(rq, "Content-Type");
	int r = type ? multipart_parse(type, body, len, parts, PARTS_MAX, &n) : -EBADMSG;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (is(&parts[i], "file"))
			file = &parts[i];
		else if (is(&parts[i], "response_format"))
			form = form_of(&parts[i]);
	}
	if (!file) {
		refuse(rq, 400, "no 'file' field in the request");
		return;
	}
	int64_t ms = wav_ms(file->data, file->len);
	if (ms < 0) {
		refuse(rq, 400, "failed to read audio data");
		return;
	}
	if (says_oom(w, rq))
		return;
	Clip *c = calloc(1, sizeof(*c));
	if (c)
		*c = (Clip){.rq = rq, .answer = form, .ms = ms};
	if (c)
		c->text = whisper_hears(w, file, ms);
	if (!c || !c->text) {
		free(c);
		incoming_abort(rq);
		return;
	}
	incoming_remember(rq, c);
	link_clip(w, c);
	if (!w->program.o.faults.hang && into_engine(w, c) < 0)
		w->program.wall.halted(w->program.wall.ctx, -ENOMEM);
}

/* --- Endpoints ------------------------------------------------------------------------------- */

static void health(const Whisper *w, Incoming *rq)
{
	program_answer(rq, w->program.ready ? 200 : 503,
		       json_pack("{s:s}", "status", w->program.ready ? "ok" : "loading model"));
}

static void models(const Whisper *w, Incoming *rq)
{
	program_answer(rq, 200,
		       json_pack("{s:s, s:[{s:s, s:s, s:s}]}", "object", "list", "data", "id",
				 w->size, "object", "model", "owned_by", "openai"));
}

static bool is_transcription(const Whisper *w, const char *path)
{
	size_t n = strlen(w->args.prefix);
	if (strcmp(path, "/v1/audio/transcriptions") == 0)
		return true;
	return strncmp(path, w->args.prefix, n) == 0 && strcmp(path + n, w->args.path) == 0;
}

void whisper_serve(void *ctx, Incoming *rq)
{
	Whisper *w = ctx;
	const char *path = incoming_path(rq), *method = incoming_method(rq);
	bool gets = strcmp(method, "GET") == 0, posts = strcmp(method, "POST") == 0;
	incoming_remember(rq, NULL);
	if (gets && strcmp(path, "/health") == 0)
		health(w, rq);
	else if (gets && strcmp(path, "/v1/models") == 0)
		models(w, rq);
	else if (!posts || !is_transcription(w, path))
		refuse(rq, 404, "File Not Found");
	else if (!w->program.ready)
		refuse(rq, 503, "loading model");
	else if (w->dead)
		refuse(rq, 500, "CUDA error: unspecified launch failure");
	else if (w->stopping || w->program.o.faults.unavailable)
		refuse(rq, 503, "the server is not available");
	else
		transcribe(w, rq);
}
