/* What it was, in the end: all evidence to the verdict, then the metrics that hold whatever
 * happened. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "footprint/learn.h"
#include "server/vllm_log.h"
#include "systemd/journal.h"
#include "worker/internal.h"

enum {
	KERNEL_MAX = 1 << 20,
	GPU_LEFT_US = 5000000,
	TAIL_BYTES = 6000, /* of a service's output, in the evidence of a failure */
};

/* --- Gathering ------------------------------------------------------------------------------- */

static ServiceEvidence evidence_of(Party *p)
{
	ServiceEvidence e = {
	    .name = p->spec->name,
	    .kind = p->kind,
	    .was_ready = p->was_ready,
	    .pids = p->pids,
	    .n_pids = p->n_pids,
	    .requests = p->requests,
	    .failed_requests = p->failed_requests,
	    .refused_requests = p->refused_requests,
	    .placement = p->placement,
	    .wants_gpu = p->wants_gpu,
	    .account_gpu_bytes = p->account_gpu_bytes,
	    .account_all_bytes = p->account_all_bytes,
	};
	(void)snprintf(e.client_words, sizeof(e.client_words), "%s", p->client_words);
	if (!p->instance) {
		e.running = p->was_ready;
		return e;
	}
	e.output = instance_output(p->instance, &e.output_len);
	e.running = instance_phase(p->instance) != INSTANCE_ENDED;
	e.end = e.running ? NULL : instance_end(p->instance);
	return e;
}

/* Where production took the GPU back, the ends of services say nothing more; a broken card does. */
static int weigh(Worker *w, const TrialEvidence *all, json_t **ret, Err *err)
{
	bool gave_way = w->m.outcome == OUTCOME_CONTENDED && strcmp(w->m.cause, "quiesce") == 0;
	Measurement aside = MEASUREMENT_INIT;
	int r = trial_verdict(all, gave_way ? &aside : &w->m, ret, err);
	if (r >= 0 && aside.outcome == OUTCOME_HARDWARE_FAULT)
		(void)measurement_fail(&w->m, OUTCOME_HARDWARE_FAULT, NULL, "%s",
				       aside.reason ? aside.reason : "");
	measurement_done(&aside);
	return r;
}

static int judge(Worker *w, const SamplerReport *gpu, Err *err)
{
	ServiceEvidence services[PARTIES_MAX];
	_cleanup_free_ char *kernel = NULL;
	size_t kernel_len = 0, n = 0;
	for (size_t i = 0; i < w->n_parties; i++)
		if (w->parties[i].instance || w->parties[i].client)
			services[n++] = evidence_of(&w->parties[i]);
	if (w->kernel_cursor &&
	    journal_read_kernel(w->kernel_cursor, KERNEL_MAX, &kernel, &kernel_len, NULL) < 0)
		kernel = NULL;
	TrialEvidence all = {
	    .services = services, .n = n, .gpu = gpu, .kernel = kernel, .kernel_len = kernel_len};
	json_t *proof = NULL;
	int r = weigh(w, &all, &proof, err);
	if (r < 0)
		return r;
	return !proof || json_object_set_new(w->evidence, "verdict", proof) == 0 ? 0 : err_oom(err);
}

/* --- Metrics --------------------------------------------------------------------------------- */

static int plain(Worker *w, const char *name, const char *unit, double value, Err *err)
{
	Metric m = {.value = value, .lo = (double)NAN, .hi = (double)NAN, .n = 1};
	if (!isfinite(value))
		return 0;
	(void)snprintf(m.name, sizeof(m.name), "%s", name);
	(void)snprintf(m.unit, sizeof(m.unit), "%s", unit);
	return measurement_set(&w->m, &m, err);
}

static bool ran_out_of_memory(const Measurement *m)
{
	return m->outcome == OUTCOME_OOM ||
	       (m->outcome == OUTCOME_START_FAILED &&
		(strcmp(m->cause, "oom") == 0 || strcmp(m->cause, "kv_cache") == 0));
}

static int start_times(Worker *w, Err *err)
{
	double all = 0;
	bool complete = true;
	for (size_t i = 0; i < w->n_parties; i++) {
		Party *p = &w->parties[i];
		int64_t us = p->instance ? instance_ready_us(p->instance) : -1;
		complete &= us >= 0;
		all += (double)us / 1e6;
	}
	return complete ? plain(w, "start_s", "s", all, err) : 0;
}

static double preemptions(const Worker *w)
{
	double sum = (double)NAN;
	for (size_t i = 0; i < w->n_parties; i++) {
		const Party *p = &w->parties[i];
		double before = js_num(p->metrics_before, "preemptions", (double)NAN);
		double after = js_num(p->metrics_after, "preemptions", (double)NAN);
		if (isfinite(after - before))
			sum = (isfinite(sum) ? sum : 0) + after - before;
	}
	return sum;
}

static int lasting_metrics(Worker *w, const SamplerReport *gpu, Err *err)
{
	bool oom = ran_out_of_memory(&w->m);
	int r = 0;
	if (gpu && gpu->total_bytes > 0)
		r = plain(w, "gpu_memory_pct", "%",
			  100 * (double)gpu->used_peak_bytes / (double)gpu->total_bytes, err);
	if (r >= 0 && (oom || w->m.outcome == OUTCOME_OK))
		r = plain(w, "oom_events", "", oom, err);
	if (r >= 0)
		r = start_times(w, err);
	return r < 0 ? r : plain(w, "preemptions", "", preemptions(w), err);
}

/* --- Evidence -------------------------------------------------------------------------------- */

static json_t *slowdown_json(const Party *p)
{
	const Figure *alone = &p->alone.e2e_ms.p[0], *together = &p->together.e2e_ms.p[0];
	if (!p->has_alone || !p->has_together || !isfinite(alone->value) || !(alone->value > 0))
		return NULL;
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "alone_ms", js_number(alone->value), &failed);
	js_set(o, "together_ms", js_number(together->value), &failed);
	js_set(o, "factor", js_number(together->value / alone->value), &failed);
	js_set(o, "alone_p95_ms", js_number(p->alone.e2e_ms.p[2].value), &failed);
	js_set(o, "together_p95_ms", js_number(p->together.e2e_ms.p[2].value), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static void add_words(Party *p, json_t *o, bool *failed)
{
	size_t len = 0;
	ServerWords words = {0};
	const char *text = p->instance ? instance_output(p->instance, &len) : NULL;
	if (!text || !p->kind || server_words(p->kind, text, len, &words, NULL) < 0)
		return;
	if (words.facts)
		js_set(o, "start", json_incref(words.facts), failed);
	if (*words.cause)
		js_set(o, "cause", json_string(words.cause), failed);
	server_words_done(&words);
}

/* What CUDA can give out, which servers count their share of: without what the driver keeps. */
static int64_t cuda_bytes(const Worker *w)
{
	const GpuState *s = w->sampler ? sampler_state(w->sampler) : NULL;
	if (!s || s->total_bytes <= 0)
		return 0;
	return s->total_bytes - (s->reserved_bytes > 0 ? s->reserved_bytes : 0);
}

/* What the memory model learns from. Few versions say how large the card is. */
static void add_memory(const Worker *w, Party *p, json_t *o, bool *failed)
{
	size_t len = 0;
	VllmLog log = {0};
	const char *text = p->instance ? instance_output(p->instance, &len) : NULL;
	if (!text || strcmp(p->spec->kind, "vllm") != 0 ||
	    vllm_log_parse(text, len, &log, NULL) < 0)
		return;
	if (log.start.total_bytes <= 0)
		log.start.total_bytes = cuda_bytes(w);
	js_set(o, "memory", vllm_start_json(&log.start), failed);
	vllm_log_done(&log);
}

/* Only tuned keys: an environment or a command line may hold secrets, and a record is for ever. */
static json_t *party_json(Worker *w, Party *p)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "kind", js_text(p->spec->kind), &failed);
	if (p->spec->version)
		js_set(o, "version", js_text(p->spec->version), &failed);
	js_set(o, "settings", p->settings ? js_deep_copy(p->settings) : json_object(), &failed);
	if (p->instance && *instance_unlimited(p->instance))
		js_set(o, "not_limited", js_text(instance_unlimited(p->instance)), &failed);
	if (p->instance && instance_ready_us(p->instance) >= 0)
		js_set(o, "ready_ms", js_number((double)instance_ready_us(p->instance) / 1e3),
		       &failed);
	if (p->wants_gpu && w->sampler)
		js_set(o, "placement", json_string(placement_name(p->placement.placement)),
		       &failed);
	add_words(p, o, &failed);
	add_memory(w, p, o, &failed);
	if (p->has_together)
		js_set(o, "load", stream_figures_json(&p->together), &failed);
	json_t *slow = slowdown_json(p);
	if (slow)
		js_set(o, "slowdown", slow, &failed);
	size_t len = 0;
	const char *text = p->instance ? instance_output(p->instance, &len) : NULL;
	if (text && w->m.outcome != OUTCOME_OK) {
		size_t from = len > TAIL_BYTES ? len - TAIL_BYTES : 0;
		_cleanup_free_ char *tail = strndup(text + from, len - from);
		js_set(o, "output_tail", tail ? js_text(tail) : NULL, &failed);
	}
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static int write_evidence(Worker *w, Err *err)
{
	bool failed = false;
	json_t *services = json_object();
	for (size_t i = 0; i < w->n_parties; i++)
		js_set(services, w->parties[i].spec->name, party_json(w, &w->parties[i]), &failed);
	js_set(w->evidence, "services", services, &failed);
	if (w->sampler)
		js_set(w->evidence, "gpu", sampler_json(w->sampler), &failed);
	if (w->job.gpu_uuid)
		js_set(w->evidence, "gpu_uuid", js_text(w->job.gpu_uuid), &failed);
	return failed ? err_oom(err) : 0;
}

/* Whose processes are not known cannot be told from strangers: a service that is observed in
 * another user's name, in a container or on another host. */
static bool knows_all(const Worker *w)
{
	for (size_t i = 0; i < w->n_parties; i++) {
		const Party *p = &w->parties[i];
		if (!p->instance && p->client && p->owner.leader <= 0 && !p->spec->cpu)
			return false;
	}
	return true;
}

int worker_conclude(Worker *w, Err *err)
{
	SamplerReport report, *gpu = NULL;
	if (w->sampler) {
		sampler_report(w->sampler, &report);
		gpu = &report;
		report.contended = report.contended && knows_all(w);
	}
	if (!w->over)
		w->m.outcome = OUTCOME_OK;
	int r = judge(w, gpu, err);
	w->over = true; /* decided: how services end from now on is our doing */
	if (r >= 0)
		r = lasting_metrics(w, gpu, err);
	return r < 0 ? r : write_evidence(w, err);
}

/* --- Afterwards ------------------------------------------------------------------------------ */

static const GpuProcess *still_there(const Worker *w, const GpuState *s, const Party **ret)
{
	for (size_t i = 0; i < s->n_processes; i++)
		for (size_t k = 0; k < w->n_parties; k++)
			for (size_t p = 0; w->parties[k].instance && p < w->parties[k].n_pids; p++)
				if (s->processes[i].pid == w->parties[k].pids[p]) {
					*ret = &w->parties[k];
					return &s->processes[i];
				}
	return NULL;
}

/* The driver takes a moment to notice that a process is dead. */
int worker_gpu_left(Worker *w, Err *err)
{
	const GpuProcess *who = NULL;
	const Party *party = NULL;
	int64_t until = clock_mono_us(&clock_system) + GPU_LEFT_US;
	_cleanup_free_ GpuState *s = calloc(1, sizeof(*s));
	if (!w->nvml)
		return 0;
	if (!s)
		return err_oom(err);
	do {
		int r = nvml_read(w->nvml, w->gpu, s, err);
		if (r < 0)
			return r;
		who = still_there(w, s, &party);
		if (!who)
			break;
		(void)sd_event_run(w->loop, SAMPLER_PERIOD_US);
	} while (clock_mono_us(&clock_system) < until);
	if (who)
		return err_set(err, -EBUSY,
			       "process %d of service %s is dead and still holds the GPU",
			       (int)who->pid, party->spec->name);
	return json_object_set_new(w->evidence, "gpu_after_bytes", json_integer(s->used_bytes)) < 0
		   ? err_oom(err)
		   : 0;
}
