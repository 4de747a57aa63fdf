/* The verdict: what outranks what, and the sentence for the person who is woken by it. */
#include "service/verdict.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/proc.h"
#include "service/finding.h"

typedef struct Findings {
	const TrialEvidence *e;
	Finding *list;
	size_t n;
	uint64_t hardware_xid; /* 0: none */
	char *xid_line;
	json_t *xids; /* array, of any kind */
} Findings;

static void findings_done(Findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		finding_done(&f->list[i]);
	free(f->list);
	free(f->xid_line);
	json_decref(f->xids);
}

/* --- The card -------------------------------------------------------------------------------- */

static int note_xid(Findings *f, const KernelHit *hit)
{
	bool failed = false, hardware = xid_is_hardware(hit->xid);
	Str out = STR_INIT;
	char *line = NULL;

	str_add_safe(&out, f->e->kernel + hit->line_at, hit->line_len, LINE_CHARS);
	if (str_take(&out, &line) < 0)
		return -ENOMEM;
	json_t *o = json_object();
	js_set(o, "xid", json_integer((json_int_t)hit->xid), &failed);
	js_set(o, "hardware", json_boolean(hardware), &failed);
	js_set(o, "line", js_text(line), &failed);
	if (failed || json_array_append_new(f->xids, o) < 0) {
		free(line);
		return -ENOMEM;
	}
	if (hardware && !f->hardware_xid) {
		f->hardware_xid = hit->xid;
		f->xid_line = TAKE_PTR(line);
	}
	free(line);
	return 0;
}

static int read_xids(Findings *f)
{
	KernelHit hits[HITS_MAX];
	size_t n = 0;

	f->xids = json_array();
	if (!f->xids)
		return -ENOMEM;
	int r = f->e->kernel ? kernel_find(f->e->kernel, f->e->kernel_len, hits, HITS_MAX, &n) : 0;
	for (size_t i = 0; r >= 0 && i < n && i < HITS_MAX; i++)
		if (hits[i].xid)
			r = note_xid(f, &hits[i]);
	return r < 0 ? r : 0;
}

/* 1: said; 0: nothing of the kind happened. So do all that follow. */
static int judge_hardware(const Findings *f, Measurement *m)
{
	const SamplerReport *gpu = f->e->gpu;
	if (gpu && gpu->hardware)
		return measurement_fail(m, OUTCOME_HARDWARE_FAULT, NULL,
					"the GPU or its driver failed (%s); the candidate is not "
					"to blame",
					gpu->hardware_words) < 0
			   ? -ENOMEM
			   : 1;
	if (!f->hardware_xid)
		return 0;
	return measurement_fail(m, OUTCOME_HARDWARE_FAULT, NULL,
				"the GPU or its driver failed (Xid %" PRIu64 "); the candidate is "
				"not to blame: %s",
				f->hardware_xid, f->xid_line) < 0
		   ? -ENOMEM
		   : 1;
}

static int judge_contention(const Findings *f, Measurement *m)
{
	const SamplerReport *gpu = f->e->gpu;
	if (!gpu || !gpu->contended)
		return 0;
	return measurement_fail(m, OUTCOME_CONTENDED, NULL,
				"somebody else used the GPU, so that this says nothing about the "
				"candidate: %s",
				gpu->contention) < 0
		   ? -ENOMEM
		   : 1;
}

/* --- Out of memory --------------------------------------------------------------------------- */

static const char *oom_words(OomKind k, bool was_ready)
{
	switch (k) {
	case OOM_KV:
		return was_ready
			   ? "had no room for its KV cache"
			   : "could not start: there is no room for the KV cache in its share";
	case OOM_GPU:
		return was_ready ? "ran out of GPU memory" : "ran out of GPU memory at its start";
	case OOM_HOST:
		return was_ready ? "ran out of the host's memory and was killed"
				 : "ran out of the host's memory at its start";
	case OOM_NONE:
		break;
	}
	return "ran out of memory";
}

static int say_oom(const Finding *f, OomKind k, Measurement *m)
{
	const OomFinding *o = &f->oom[k];
	bool ready = f->service->was_ready;
	Str out = STR_INIT;

	str_addf(&out, "%s %s", f->service->name, oom_words(k, ready));
	if (o->events > 1)
		str_addf(&out, " (%lld times)", (long long)o->events);
	if (o->by)
		str_addf(&out, ", beside %s", o->by);
	if (o->line)
		str_addf(&out, ": %s", o->line);
	if (out.failed) {
		str_done(&out);
		return -ENOMEM;
	}
	/* A cache that does not fit is known at the start, whoever noticed it later. */
	bool at_start = !ready;
	const char *cause = k == OOM_KV ? "kv_cache" : at_start ? "oom" : oom_kind_name(k);
	int r =
	    measurement_fail(m, at_start ? OUTCOME_START_FAILED : OUTCOME_OOM, cause, "%s", out.s);
	str_done(&out);
	return r < 0 ? -ENOMEM : 1;
}

/* The one that ended for it first, since the others may only have felt it. */
static int judge_oom(const Findings *f, Measurement *m)
{
	static const OomKind order[] = {OOM_KV, OOM_GPU, OOM_HOST};
	for (int running = 0; running <= 1; running++)
		for (size_t i = 0; i < f->n; i++)
			for (size_t k = 0; k < 3; k++)
				if (f->list[i].service->running == (running == 1) &&
				    f->list[i].oom[order[k]].events > 0)
					return say_oom(&f->list[i], order[k], m);
	return 0;
}

/* --- Starts, placement, crashes, health ------------------------------------------------------ */

static const char *start_cause(const Finding *f)
{
	const InstanceEnd *end = f->service->end;
	if (end->not_executed)
		return "exec";
	if (end->port_taken || strcmp(f->words.cause, "port") == 0)
		return "port";
	if (f->words.failed && *f->words.cause)
		return f->words.cause;
	if (end->timed_out)
		return "timeout";
	return end->first_request_failed ? "first_request" : "exit";
}

static int judge_starts(const Findings *f, Measurement *m)
{
	for (size_t i = 0; i < f->n; i++) {
		const Finding *one = &f->list[i];
		if (!one->failed_start)
			continue;
		const char *line =
		    one->words.failed && one->words.line ? one->words.line : one->last_line;
		const InstanceEnd *end = one->service->end;
		int r = measurement_fail(m, OUTCOME_START_FAILED, start_cause(one),
					 "%s did not start: %s%s%s", one->service->name,
					 *end->words ? end->words : "it ended",
					 line && !strstr(end->words, line) ? "; it said: " : "",
					 line && !strstr(end->words, line) ? line : "");
		return r < 0 ? -ENOMEM : 1;
	}
	return 0;
}

static int judge_placement(const Findings *f, Measurement *m)
{
	for (size_t i = 0; i < f->n; i++) {
		const Finding *one = &f->list[i];
		const ServiceEvidence *s = one->service;
		int r = 1;
		if (!one->on_cpu)
			continue;
		if (s->account_all_bytes > 0 && s->account_gpu_bytes >= 0 &&
		    s->account_gpu_bytes < s->account_all_bytes)
			r = measurement_fail(m, OUTCOME_CPU_FALLBACK, "partial",
					     "%s says itself that only %.2f of its %.2f GiB are on "
					     "the GPU; the rest runs on the CPU",
					     s->name, (double)s->account_gpu_bytes / (1 << 30),
					     (double)s->account_all_bytes / (1 << 30));
		else
			r = measurement_fail(m, OUTCOME_CPU_FALLBACK, NULL,
					     "%s does not run on the GPU: %s", s->name,
					     s->placement.placement == PLACED_NOT ||
						     s->placement.placement == PLACED_LITTLE ||
						     !one->words.cpu_line
						 ? s->placement.reason
						 : one->words.cpu_line);
		return r < 0 ? -ENOMEM : 1;
	}
	return 0;
}

static int judge_crashes(const Findings *f, Measurement *m)
{
	for (size_t i = 0; i < f->n; i++) {
		const Finding *one = &f->list[i];
		if (!one->died)
			continue;
		const char *words = one->service->end->words;
		const char *line =
		    one->last_line && !strstr(words, one->last_line) ? one->last_line : NULL;
		int r =
		    measurement_fail(m, OUTCOME_CRASHED, NULL, "%s died while it served: %s%s%s",
				     one->service->name, *words ? words : "it ended",
				     line ? "; its last words: " : "", line ? line : "");
		return r < 0 ? -ENOMEM : 1;
	}
	return 0;
}

static int judge_health(const Findings *f, Measurement *m)
{
	for (size_t i = 0; i < f->n; i++) {
		const ServiceEvidence *s = f->list[i].service;
		if (!f->list[i].unhealthy)
			continue;
		int r =
		    measurement_fail(m, OUTCOME_UNHEALTHY, NULL,
				     "%s runs and does not serve: of %lld requests %lld failed "
				     "and %lld were refused%s%s",
				     s->name, (long long)s->requests, (long long)s->failed_requests,
				     (long long)s->refused_requests,
				     *s->client_words ? "; the first: " : "", s->client_words);
		return r < 0 ? -ENOMEM : 1;
	}
	return 0;
}

/* --- The evidence ---------------------------------------------------------------------------- */

static json_t *oom_event_json(const Finding *f, OomKind k)
{
	const OomFinding *o = &f->oom[k];
	bool failed = false;
	json_t *e = json_object();
	js_set(e, "service", js_text(f->service->name), &failed);
	js_set(e, "kind", js_text(oom_kind_name(k)), &failed);
	js_set(e, "count", json_integer(o->events), &failed);
	js_set(e, "at_start", json_boolean(!f->service->was_ready), &failed);
	if (o->by)
		js_set(e, "beside", js_text(o->by), &failed);
	js_set(e, "proof", o->proofs ? json_incref(o->proofs) : json_array(), &failed);
	if (failed) {
		json_decref(e);
		return NULL;
	}
	return e;
}

static json_t *oom_events_json(const Findings *f)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < f->n; i++)
		for (int k = OOM_GPU; k <= OOM_HOST; k++)
			if (f->list[i].oom[k].events > 0 &&
			    json_array_append_new(list, oom_event_json(&f->list[i], (OomKind)k)) <
				0) {
				json_decref(list);
				return NULL;
			}
	return list;
}

static json_t *services_json(const Findings *f)
{
	json_t *o = json_object();
	bool failed = false;
	for (size_t i = 0; i < f->n; i++)
		js_set(o, f->list[i].service->name, finding_json(&f->list[i]), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int evidence_json(const Findings *f, json_t **ret)
{
	bool failed = false;
	json_t *o = json_object();
	const SamplerReport *gpu = f->e->gpu;

	js_set(o, "services", services_json(f), &failed);
	js_set(o, "oom_events", oom_events_json(f), &failed);
	if (json_array_size(f->xids))
		js_set(o, "xids", json_incref(f->xids), &failed);
	if (gpu && gpu->contended)
		js_set(o, "contention", js_text(gpu->contention), &failed);
	if (gpu && gpu->hardware)
		js_set(o, "hardware", js_text(gpu->hardware_words), &failed);
	if (gpu && gpu->throttled_share > 0) {
		char words[160];
		gpu_throttle_words(gpu->throttle_bits, words, sizeof(words));
		js_set(o, "throttled_share", js_number(gpu->throttled_share), &failed);
		js_set(o, "throttled_by", js_text(words), &failed);
	}
	js_set(o, "kernel_readable", json_boolean(f->e->kernel != NULL), &failed);
	if (failed || !o) {
		json_decref(o);
		return -ENOMEM;
	}
	*ret = o;
	return 0;
}

/* --- All of it ------------------------------------------------------------------------------- */

static int find_all(Findings *f)
{
	f->list = calloc(f->e->n + 1, sizeof(*f->list));
	if (!f->list)
		return -ENOMEM;
	int r = read_xids(f);
	for (size_t i = 0; r >= 0 && i < f->e->n; i++) {
		r = finding_make(f->e, &f->e->services[i], &f->list[i]);
		f->n += r >= 0;
	}
	return r;
}

int trial_verdict(const TrialEvidence *e, Measurement *m, json_t **ret_evidence, Err *err)
{
	static int (*const judges[])(const Findings *, Measurement *) = {
	    judge_hardware,  judge_contention, judge_oom,    judge_starts,
	    judge_placement, judge_crashes,    judge_health,
	};
	_cleanup_(findings_done) Findings f = {.e = e};
	json_t *evidence = NULL;

	int r = find_all(&f);
	if (r >= 0)
		r = evidence_json(&f, &evidence);
	for (size_t i = 0; r == 0 && i < sizeof(judges) / sizeof(*judges); i++)
		r = judges[i](&f, m);
	if (r < 0) {
		json_decref(evidence);
		return err_wrap(err, r, "cannot weigh the evidence of a trial");
	}
	*ret_evidence = evidence;
	return 0;
}
