/* The request: what an evaluator is asked, as one line of JSON (docs/evaluator.md). */
#include "base/json.h"
#include "eval/internal.h"

static json_t *milliseconds(int64_t us)
{
	return js_number((double)us / 1e3);
}

static json_t *lengths_json(const Lengths *l)
{
	return json_pack("{s:f,s:f,s:I,s:I}", "median", l->median, "sigma", l->sigma, "min",
			 (json_int_t)l->min, "max", (json_int_t)l->max);
}

static void arrivals_json(json_t *o, const Stream *s, bool *failed)
{
	js_set(o, "arrivals", json_string(arrivals_name(s->arrivals)), failed);
	if (s->arrivals == ARRIVALS_CLOSED) {
		js_set(o, "users", json_integer(s->users), failed);
		js_set(o, "think_ms", milliseconds(s->think_us), failed);
	} else if (s->arrivals == ARRIVALS_REPLAY) {
		js_set(o, "trace", js_text(s->trace ? s->trace : ""), failed);
		js_set(o, "speed", js_number(s->speed > 0 ? s->speed : 1), failed);
	} else {
		js_set(o, "rate", js_number(s->rate), failed);
	}
	if (s->arrivals == ARRIVALS_GAMMA)
		js_set(o, "cv", js_number(s->cv), failed);
	if (s->arrivals == ARRIVALS_RAMP)
		js_set(o, "rate_to", js_number(s->rate_to), failed);
}

static json_t *stream_json(const Stream *s, bool audio, bool *failed)
{
	if (!s)
		return json_null();
	json_t *o = json_object();
	arrivals_json(o, s, failed);
	js_set(o, "requests", json_integer(s->requests), failed);
	js_set(o, "warmup", json_integer(s->warmup), failed);
	if (s->limit_us > 0)
		js_set(o, "limit_ms", milliseconds(s->limit_us), failed);
	if (s->ttft_limit_us > 0)
		js_set(o, "ttft_limit_ms", milliseconds(s->ttft_limit_us), failed);
	if (s->tpot_limit_us > 0)
		js_set(o, "tpot_limit_ms", milliseconds(s->tpot_limit_us), failed);
	if (audio) {
		js_set(o, "clip_ms", lengths_json(&s->clip_ms), failed);
	} else {
		js_set(o, "prompt_tokens", lengths_json(&s->prompt), failed);
		js_set(o, "output_tokens", lengths_json(&s->output), failed);
	}
	return o;
}

static json_t *workload_json(const Workload *w, bool *failed)
{
	if (!w)
		return json_null();
	json_t *o = json_object();
	js_set(o, "name", js_text(w->name ? w->name : ""), failed);
	js_set(o, "llm", stream_json(w->llm, false, failed), failed);
	js_set(o, "stt", stream_json(w->stt, true, failed), failed);
	js_set(o, "capacity_max", json_integer(w->capacity_max), failed);
	js_set(o, "capacity_share", js_number(w->capacity_share), failed);
	return o;
}

static json_t *service_json(const ServiceSpec *s, const json_t *params, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "name", js_text(s->name), failed);
	js_set(o, "kind", js_text(s->kind), failed);
	if (s->unit)
		js_set(o, "unit", js_text(s->unit), failed);
	if (s->version)
		js_set(o, "version", js_text(s->version), failed);
	js_set(o, "tuned", json_boolean(service_is_tuned(s)), failed);
	js_set(o, "settings", service_settings(s, params), failed);
	return o;
}

static json_t *services_json(const EvalRequest *rq, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; i < rq->n_services; i++)
		*failed |= json_array_append_new(
			       list, service_json(&rq->services[i], rq->params, failed)) < 0;
	return list;
}

static json_t *gpu_json(const EvalRequest *rq)
{
	if (!rq->lease)
		return json_null();
	return json_pack("{s:s?}", "uuid", eval_leased_gpu(rq));
}

int eval_request_text(const EvalRequest *rq, Stage stage, const json_t *extra, Str *out, Err *err)
{
	bool failed = false;
	json_auto_t *o = json_object();

	js_set(o, "schema", json_string("dream.eval-request/v1"), &failed);
	js_set(o, "experiment", js_text(rq->experiment ? rq->experiment : ""), &failed);
	js_set(o, "spica_id", js_text(rq->spica_id ? rq->spica_id : ""), &failed);
	js_set(o, "params", js_deep_copy(rq->params), &failed);
	js_set(o, "services", services_json(rq, &failed), &failed);
	js_set(o, "workload", workload_json(rq->workload, &failed), &failed);
	js_set(o, "all_services", json_boolean(rq->all_services), &failed);
	js_set(o, "stage", json_string(stage_name(stage)), &failed);
	/* 63 bits: many readers have no unsigned 64-bit numbers. */
	js_set(o, "seed", json_integer((json_int_t)(rq->seed & INT64_MAX)), &failed);
	js_set(o, "generation", json_integer(rq->generation), &failed);
	js_set(o, "budget", json_pack("{s:o}", "timeout_ms", milliseconds(rq->timeout_us)),
	       &failed);
	js_set(o, "gpu", gpu_json(rq), &failed);
	if (extra)
		js_set(o, "evaluator", js_deep_copy(extra), &failed);
	if (!o || failed)
		return err_oom(err);
	js_canonical(o, out);
	str_addc(out, '\n');
	return out->failed ? err_oom(err) : 0;
}
