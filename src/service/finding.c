/* One service's evidence. Several sources often tell of one event (the server's own line, systemd's
 * result, the kernel's message, the counter of the cgroup): it is counted once, by the source that
 * counts highest, and every source is kept as a proof. */
#include "service/finding.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

enum {
	/* More than one request in this many failing is no accident. */
	FAILED_ONE_IN = 20,
	/* And more than one in this many refused (429, 503) is a server that is not there for its
	 * users. */
	REFUSED_ONE_IN = 2,
};

void finding_done(Finding *f)
{
	server_words_done(&f->words);
	for (int k = OOM_NONE; k <= OOM_HOST; k++) {
		free(f->oom[k].line);
		free(f->oom[k].by);
		json_decref(f->oom[k].proofs);
	}
	free(f->last_line);
	*f = (Finding){0};
}

const char *oom_kind_name(OomKind k)
{
	static const char *const names[] = {
	    [OOM_NONE] = "none", [OOM_GPU] = "gpu", [OOM_KV] = "kv_cache", [OOM_HOST] = "host"};
	return names[k];
}

static char *safe_line(const char *text, size_t len)
{
	Str out = STR_INIT;
	char *s = NULL;
	str_add_safe(&out, text, len, LINE_CHARS);
	if (str_take(&out, &s) < 0)
		s = NULL;
	str_done(&out);
	return s;
}

/* --- Out of memory --------------------------------------------------------------------------- */

static int add_proof(OomFinding *o, const char *source, const char *key, json_t *value)
{
	bool failed = false;
	json_t *proof = json_object();
	js_set(proof, "source", js_text(source), &failed);
	js_set(proof, key, value, &failed);
	if (!o->proofs)
		o->proofs = json_array();
	if (!proof || failed) {
		json_decref(proof);
		return -ENOMEM;
	}
	return json_array_append_new(o->proofs, proof) < 0 ? -ENOMEM : 0;
}

static int add_line(OomFinding *o, const char *source, const char *text, size_t len)
{
	char *line = safe_line(text, len);
	if (!line)
		return -ENOMEM;
	int r = add_proof(o, source, "line", js_text(line));
	if (r >= 0 && !o->line)
		o->line = TAKE_PTR(line);
	free(line);
	return r;
}

static void count_at_least(OomFinding *o, int64_t n)
{
	if (o->events < n)
		o->events = n;
}

static const ServiceEvidence *service_of_pid(const TrialEvidence *e, int64_t pid)
{
	for (size_t i = 0; i < e->n; i++)
		for (size_t k = 0; k < e->services[i].n_pids; k++)
			if (e->services[i].pids[k] == pid)
				return &e->services[i];
	return NULL;
}

/* Another process that the server's own text names as holding memory. */
static int note_neighbour(const TrialEvidence *e, const ServiceEvidence *s, const OomHit *hit,
			  OomFinding *o)
{
	const ServiceEvidence *other = service_of_pid(e, hit->neighbours_pid);
	if (o->by || hit->neighbours_pid <= 0 || other == s)
		return 0;
	char held[48] = "";
	if (hit->neighbours_bytes > 0)
		(void)snprintf(held, sizeof(held), ", which held %.2f GiB",
			       (double)hit->neighbours_bytes / (1 << 30));
	o->by = other ? str_fmt("%s (process %lld)%s", other->name, (long long)hit->neighbours_pid,
				held)
		      : str_fmt("process %lld, which is none of the trial's%s",
				(long long)hit->neighbours_pid, held);
	return o->by ? 0 : -ENOMEM;
}

static int from_output(const TrialEvidence *e, const ServiceEvidence *s, Finding *f)
{
	OomHit hits[HITS_MAX];
	size_t n = 0;
	int64_t counts[OOM_HOST + 1] = {0};

	int r = s->output ? oom_find(s->output, s->output_len, hits, HITS_MAX, &n) : 0;
	for (size_t i = 0; r >= 0 && i < n && i < HITS_MAX; i++) {
		OomFinding *o = &f->oom[hits[i].kind];
		if (hits[i].kind == OOM_NONE || hits[i].line_at > s->output_len ||
		    hits[i].line_len > s->output_len - hits[i].line_at)
			continue;
		counts[hits[i].kind]++;
		r = add_line(o, "output", s->output + hits[i].line_at, hits[i].line_len);
		if (r >= 0)
			r = note_neighbour(e, s, &hits[i], o);
	}
	if (n > HITS_MAX)
		counts[hits[0].kind] += (int64_t)(n - HITS_MAX);
	for (int k = OOM_GPU; k <= OOM_HOST; k++)
		count_at_least(&f->oom[k], counts[k]);
	return r < 0 ? r : 0;
}

/* The kind's own reading of its start-up: the same event as a line that was found above. */
static int from_words(Finding *f)
{
	const ServerWords *w = &f->words;
	bool kv = strcmp(w->cause, "kv_cache") == 0;
	if (!w->failed || (!kv && strcmp(w->cause, "oom") != 0))
		return 0;
	OomKind k = kv ? OOM_KV : f->oom[OOM_HOST].events ? OOM_HOST : OOM_GPU;
	if (f->oom[k].events)
		return 0;
	f->oom[k].events = 1;
	return w->line ? add_line(&f->oom[k], "output", w->line, strlen(w->line)) : 0;
}

static int from_end(const InstanceEnd *end, OomFinding *host)
{
	int r = 0;

	if (!end)
		return 0;
	if (strcmp(end->unit_result, "oom-kill") == 0) {
		count_at_least(host, 1);
		r = add_proof(host, "systemd", "result", js_text(end->unit_result));
	}
	if (r >= 0 && end->oom_kills > 0) {
		count_at_least(host, end->oom_kills);
		r = add_proof(host, "cgroup", "oom_kill", json_integer(end->oom_kills));
	}
	return r;
}

static bool has_pid(const ServiceEvidence *s, int64_t pid)
{
	for (size_t i = 0; i < s->n_pids; i++)
		if (s->pids[i] == pid)
			return true;
	return s->end && s->end->status.si_pid > 0 && s->end->status.si_pid == pid;
}

static int from_kernel(const TrialEvidence *e, const ServiceEvidence *s, OomFinding *host)
{
	KernelHit hits[HITS_MAX];
	size_t n = 0;
	int64_t count = 0;

	int r = e->kernel ? kernel_find(e->kernel, e->kernel_len, hits, HITS_MAX, &n) : 0;
	for (size_t i = 0; r >= 0 && i < n && i < HITS_MAX; i++) {
		if (!hits[i].oom || !has_pid(s, hits[i].pid))
			continue;
		count++;
		r = add_line(host, "kernel", e->kernel + hits[i].line_at, hits[i].line_len);
	}
	count_at_least(host, count);
	return r < 0 ? r : 0;
}

/* --- The rest -------------------------------------------------------------------------------- */

static char *last_line_of(const char *text, size_t len)
{
	while (len > 0 && (unsigned char)text[len - 1] <= ' ')
		len--;
	size_t from = len;
	while (from > 0 && text[from - 1] != '\n')
		from--;
	return len > from ? safe_line(text + from, len - from) : NULL;
}

/* What it holds proves more than what it says, unless it says itself that a part is not there. */
static bool is_on_cpu(const ServiceEvidence *s, const ServerWords *w)
{
	if (!s->wants_gpu)
		return false;
	if (s->account_all_bytes > 0 && s->account_gpu_bytes >= 0 &&
	    s->account_gpu_bytes < s->account_all_bytes)
		return true;
	switch (s->placement.placement) {
	case PLACED:
		return false;
	case PLACED_LITTLE:
	case PLACED_NOT:
		return s->was_ready;
	case PLACED_UNKNOWN:
	case PLACED_NO_LIST:
		return w->cpu;
	}
	return false;
}

static bool is_unhealthy(const ServiceEvidence *s)
{
	if (!s->running || !s->was_ready || s->requests <= 0)
		return false;
	return s->failed_requests * FAILED_ONE_IN > s->requests ||
	       s->refused_requests * REFUSED_ONE_IN > s->requests;
}

int finding_make(const TrialEvidence *e, const ServiceEvidence *s, Finding *ret)
{
	Finding f = {.service = s};

	int r = s->output ? server_words(s->kind, s->output, s->output_len, &f.words, NULL) : 0;
	if (r >= 0)
		r = from_output(e, s, &f);
	if (r >= 0)
		r = from_end(s->end, &f.oom[OOM_HOST]);
	if (r >= 0)
		r = from_kernel(e, s, &f.oom[OOM_HOST]);
	if (r >= 0 && !s->was_ready)
		r = from_words(&f);
	if (r < 0) {
		finding_done(&f);
		return r;
	}
	bool by_itself = !s->running && s->end && (!s->end->asked || s->end->timed_out);
	f.failed_start = by_itself && !s->was_ready;
	f.died = by_itself && s->was_ready;
	f.on_cpu = is_on_cpu(s, &f.words);
	f.unhealthy = is_unhealthy(s);
	if (s->end && *s->end->said)
		f.last_line = strdup(s->end->said);
	else if (s->output && !(s->end && *s->end->words && s->end->timed_out))
		f.last_line = last_line_of(s->output, s->output_len);
	*ret = f;
	return 0;
}

/* --- As evidence ----------------------------------------------------------------------------- */

static json_t *end_json(const InstanceEnd *end)
{
	bool failed = false;
	char how[48] = "";
	json_t *o = json_object();

	if (end->status.si_code)
		proc_describe(&end->status, how);
	js_set(o, "stopped_by_us", json_boolean(end->asked), &failed);
	if (*how)
		js_set(o, "status", js_text(how), &failed);
	if (*end->unit_result)
		js_set(o, "unit_result", js_text(end->unit_result), &failed);
	if (end->oom_kills >= 0)
		js_set(o, "oom_kills", json_integer(end->oom_kills), &failed);
	if (*end->words)
		js_set(o, "words", js_text(end->words), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static void set_requests(json_t *o, const ServiceEvidence *s, bool *failed)
{
	json_t *r = json_object();
	js_set(r, "sent", json_integer(s->requests), failed);
	js_set(r, "failed", json_integer(s->failed_requests), failed);
	js_set(r, "refused", json_integer(s->refused_requests), failed);
	if (*s->client_words)
		js_set(r, "words", js_text(s->client_words), failed);
	js_set(o, "requests", r, failed);
}

static void set_placement(json_t *o, const ServiceEvidence *s, bool *failed)
{
	json_t *p = json_object();
	js_set(p, "result", js_text(placement_name(s->placement.placement)), failed);
	if (s->placement.used_bytes >= 0)
		js_set(p, "used_bytes", json_integer(s->placement.used_bytes), failed);
	if (*s->placement.reason)
		js_set(p, "reason", js_text(s->placement.reason), failed);
	if (s->account_all_bytes >= 0 && s->account_gpu_bytes >= 0) {
		js_set(p, "own_account_gpu_bytes", json_integer(s->account_gpu_bytes), failed);
		js_set(p, "own_account_bytes", json_integer(s->account_all_bytes), failed);
	}
	js_set(o, "placement", p, failed);
}

json_t *finding_json(const Finding *f)
{
	const ServiceEvidence *s = f->service;
	bool failed = false;
	json_t *o = json_object();

	js_set(o, "was_ready", json_boolean(s->was_ready), &failed);
	js_set(o, "running", json_boolean(s->running), &failed);
	if (s->end)
		js_set(o, "end", end_json(s->end), &failed);
	if (s->requests > 0)
		set_requests(o, s, &failed);
	if (s->wants_gpu)
		set_placement(o, s, &failed);
	if (f->words.failed && f->words.line)
		js_set(o, "failure_line", js_text(f->words.line), &failed);
	if (f->words.cpu && f->words.cpu_line)
		js_set(o, "cpu_line", js_text(f->words.cpu_line), &failed);
	if ((f->failed_start || f->died) && f->last_line)
		js_set(o, "last_line", js_text(f->last_line), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}
