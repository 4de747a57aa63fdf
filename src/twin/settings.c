#include "twin/settings.h"

#include <math.h>
#include <string.h>

typedef struct Reader {
	const ServiceSpec *service;
	json_t *settings; /* what is read is taken out, so that what is left is unknown */
	Err *err;
	int r;
} Reader;

static void fault(Reader *rd, const char *key, const char *want)
{
	if (rd->r == 0)
		rd->r =
		    err_set(rd->err, -EINVAL, "cannot start service %s: its setting %s must be %s",
			    rd->service->name, key, want);
}

static double number(Reader *rd, const char *key, double otherwise, double min, double max,
		     const char *want)
{
	const json_t *v = json_object_get(rd->settings, key);
	if (!v || json_is_null(v))
		return otherwise;
	double x = json_is_number(v) ? json_number_value(v) : (double)NAN;
	if (!(x >= min && x <= max))
		fault(rd, key, want);
	json_object_del(rd->settings, key);
	return x;
}

static int64_t whole(Reader *rd, const char *key, int64_t otherwise, int64_t min, int64_t max,
		     const char *want)
{
	const json_t *v = json_object_get(rd->settings, key);
	if (v && json_is_real(v) && json_real_value(v) != floor(json_real_value(v)))
		fault(rd, key, want);
	double x = number(rd, key, (double)otherwise, (double)min, (double)max, want);
	return rd->r == 0 ? (int64_t)x : otherwise;
}

static bool flag(Reader *rd, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(rd->settings, key);
	if (!v || json_is_null(v))
		return otherwise;
	bool on = json_is_true(v);
	if (!json_is_boolean(v))
		fault(rd, key, "true or false");
	json_object_del(rd->settings, key);
	return on;
}

/* The text stays valid until the reader is done: `keep` holds it. */
static const char *text(Reader *rd, const char *key, const char *otherwise, json_t **keep)
{
	json_t *v = json_object_get(rd->settings, key);
	if (!v || json_is_null(v))
		return otherwise;
	if (!json_is_string(v)) {
		fault(rd, key, "a text");
		return otherwise;
	}
	*keep = json_incref(v);
	json_object_del(rd->settings, key);
	return json_string_value(*keep);
}

static void read_vllm(Reader *rd, const Box *b, VllmSettings *v)
{
	json_auto_t *model = NULL, *dtype = NULL;
	const VllmDefaults *d = &b->vllm;
	const char *name = text(rd, "model", "", &model);
	v->model = box_llm(b, name);
	if (!v->model && rd->r == 0)
		rd->r = err_set(rd->err, -EINVAL,
				"cannot start service %s: the box %s has no language model '%s'",
				rd->service->name, b->name, name);
	v->share = number(rd, "gpu_memory_utilization", d->gpu_memory_utilization, 1e-6, 1,
			  "above 0 and at most 1");
	v->max_model_len = whole(rd, "max_model_len", d->max_model_len, 16, 10000000,
				 "a whole number from 16 to 10000000");
	v->max_num_seqs =
	    whole(rd, "max_num_seqs", d->max_num_seqs, 1, 4096, "a whole number from 1 to 4096");
	v->max_num_batched_tokens = whole(rd, "max_num_batched_tokens", d->max_num_batched_tokens,
					  16, 1000000, "a whole number from 16 to 1000000");
	v->eager = flag(rd, "enforce_eager", d->enforce_eager);
	const char *kv = text(rd, "kv_cache_dtype", "auto", &dtype);
	v->fp8 = strcmp(kv, "fp8") == 0;
	if (!v->fp8 && strcmp(kv, "auto") != 0)
		fault(rd, "kv_cache_dtype", "auto or fp8");
	if (v->max_num_batched_tokens < v->max_num_seqs && rd->r == 0)
		rd->r = err_set(rd->err, -EINVAL,
				"cannot start service %s: max_num_batched_tokens (%lld) must be "
				"greater than or equal to max_num_seqs (%lld)",
				rd->service->name, (long long)v->max_num_batched_tokens,
				(long long)v->max_num_seqs);
}

static void read_whisper(Reader *rd, const Box *b, WhisperSettings *w)
{
	json_auto_t *size = NULL, *engine = NULL;
	const char *name = text(rd, "model_size", "", &size);
	w->model = box_whisper(b, name);
	if (!w->model && rd->r == 0)
		rd->r = err_set(rd->err, -EINVAL,
				"cannot start service %s: the box %s has no Whisper model '%s'",
				rd->service->name, b->name, name);
	w->beams = whole(rd, "beam_size", 1, 1, 16, "a whole number from 1 to 16");
	const char *program = text(rd, "engine", b->whisper.engine, &engine);
	if (strcmp(program, b->whisper.engine) != 0 && rd->r == 0)
		rd->r = err_set(rd->err, -EINVAL,
				"cannot start service %s: the box %s serves Whisper by %s, not %s",
				rd->service->name, b->name, b->whisper.engine, program);
}

static const char *const kinds[] = {"vllm", "whisper", "process", NULL};

static int find_kind(const ServiceSpec *s, ServiceKind *ret, Err *err)
{
	for (int i = 0; kinds[i]; i++) {
		if (s->kind && strcmp(s->kind, kinds[i]) == 0) {
			*ret = (ServiceKind)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL,
		       "cannot start service %s: a simulated box knows the kinds vllm, whisper and "
		       "process, not %s",
		       s->name, s->kind ? s->kind : "(none)");
}

/* Whatever was not read is a setting that the kind does not have. */
static void refuse_unknown(Reader *rd)
{
	const char *key = json_object_iter_key(json_object_iter(rd->settings));
	if (key && rd->r == 0)
		rd->r = err_set(rd->err, -EINVAL,
				"cannot start service %s: a %s has no setting '%s' on a simulated "
				"box",
				rd->service->name, rd->service->kind, key);
}

int settings_read(const Box *b, const ServiceSpec *s, const json_t *params, Settings *ret, Err *err)
{
	Settings out = {0};
	int r = find_kind(s, &out.kind, err);
	if (r < 0)
		return r;
	json_auto_t *settings = service_settings(s, params);
	if (!settings)
		return err_oom(err);
	Reader rd = {.service = s, .settings = settings, .err = err};
	switch (out.kind) {
	case SERVICE_VLLM:
		read_vllm(&rd, b, &out.vllm);
		break;
	case SERVICE_WHISPER:
		read_whisper(&rd, b, &out.whisper);
		break;
	case SERVICE_PROCESS:
		out.tenant = box_tenant(b, s->name);
		if (!out.tenant)
			rd.r = err_set(err, -EINVAL,
				       "cannot start service %s: the box %s has no tenant of that "
				       "name",
				       s->name, b->name);
		/* What a process holds is the box's truth, not the plan's. */
		json_object_clear(settings);
		break;
	}
	refuse_unknown(&rd);
	if (rd.r == 0)
		*ret = out;
	return rd.r;
}
