/* The evidence of a trial. */
#include "base/json.h"
#include "gpu/sampler_internal.h"

static json_t *bytes_json(int64_t v)
{
	return v >= 0 ? json_integer(v) : json_null();
}

static json_t *services_json(const Sampler *s, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < s->n_owned; i++) {
		const Owned *w = &s->owned[i];
		json_t *o = json_object();
		js_set(o, "service", js_text(w->name), failed);
		js_set(o, "peak_bytes", bytes_json(s->begun ? w->peak_bytes : -1), failed);
		js_set(o, "last_bytes", bytes_json(s->begun ? w->now_bytes : -1), failed);
		*failed |= json_array_append_new(list, o) < 0;
	}
	return list;
}

static json_t *tenants_json(const Sampler *s, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < s->contention.n_tenants; i++) {
		const Tenant *t = &s->contention.tenants[i];
		/* Who went by for a moment and was never believed is no tenant. */
		if (!t->before && !t->found && !t->present)
			continue;
		json_t *o = json_object();
		js_set(o, "pid", json_integer(t->pid), failed);
		js_set(o, "who", js_text(sampler_who(s, t->pid)), failed);
		js_set(o, "before", json_boolean(t->before), failed);
		js_set(o, "after", json_boolean(t->present), failed);
		js_set(o, "before_bytes", bytes_json(t->before_bytes), failed);
		js_set(o, "last_bytes", bytes_json(t->present ? t->now_bytes : 0), failed);
		js_set(o, "peak_bytes", bytes_json(t->peak_bytes), failed);
		js_set(o, "peak_sm_pct",
		       s->activity_known ? json_integer(t->peak_sm_pct) : json_null(), failed);
		*failed |= json_array_append_new(list, o) < 0;
	}
	return list;
}

static json_t *xids_json(const Sampler *s, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < s->n_xids; i++) {
		json_t *o = json_object();
		js_set(o, "xid", json_integer((json_int_t)s->xids[i].xid), failed);
		js_set(o, "hardware", json_boolean(xid_is_hardware(s->xids[i].xid)), failed);
		js_set(o, "after_s", js_number((double)(s->xids[i].at_us - s->begin_us) / 1e6),
		       failed);
		*failed |= json_array_append_new(list, o) < 0;
	}
	return list;
}

static json_t *words_json(const char *words)
{
	return *words ? js_text(words) : json_null();
}

json_t *sampler_json(const Sampler *s)
{
	SamplerReport r;
	char throttle[128];
	bool failed = false;
	json_t *o = json_object();

	sampler_report(s, &r);
	gpu_throttle_words(r.throttle_bits, throttle, sizeof(throttle));
	js_set(o, "gpu", js_text(nvml_info(s->spec.nvml, s->spec.gpu)->uuid), &failed);
	js_set(o, "looks", json_integer(r.looks), &failed);
	js_set(o, "missed", json_integer(r.missed), &failed);
	js_set(o, "total_bytes", bytes_json(r.total_bytes), &failed);
	js_set(o, "used_peak_bytes", bytes_json(r.used_peak_bytes), &failed);
	js_set(o, "unattributed_peak_bytes", bytes_json(s->unattributed_peak_bytes), &failed);
	js_set(o, "processes_known", json_boolean(s->state.processes_known), &failed);
	js_set(o, "bytes_known", json_boolean(s->bytes_known), &failed);
	js_set(o, "activity_known", json_boolean(s->activity_known), &failed);
	js_set(o, "services", services_json(s, &failed), &failed);
	js_set(o, "tenants", tenants_json(s, &failed), &failed);
	js_set(o, "tenants_complete", json_boolean(s->begun && !s->contention.overflow), &failed);
	js_set(o, "contention", words_json(r.contention), &failed);
	js_set(o, "hardware", words_json(r.hardware_words), &failed);
	js_set(o, "throttled_share", js_number(r.throttled_share), &failed);
	js_set(o, "throttle", words_json(throttle), &failed);
	js_set(o, "xids", xids_json(s, &failed), &failed);
	if (o && failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}
