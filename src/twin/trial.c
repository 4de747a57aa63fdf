/* One trial from start to stop: the tenants are there, the services start in order, the load runs,
 * the capacity is searched, everything is written down. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "loadgen/capacity.h"
#include "twin/llm.h"
#include "twin/metrics.h"
#include "twin/stt.h"
#include "twin/tenant.h"

enum {
	SERVICES_MAX = 32,
	LEVEL_REQUESTS_MIN = 100, /* measured at one level of the capacity search */
	LEVEL_REQUESTS_EACH = 6,  /* and for each user of it */
};

/* The services of one kind share its load: a request goes to the one with the fewest. */
typedef struct Pool {
	void *members[SERVICES_MAX]; /* borrowed */
	size_t n;
	LoadSend *send;
	size_t (*queued)(const void *member);
} Pool;

typedef struct Trial {
	const TwinTrial *t;
	Host host;
	Service services[LEDGER_OWNERS_MAX];
	size_t n_services;
	Llm llms[SERVICES_MAX];
	Stt stts[SERVICES_MAX];
	Neighbour neighbours[LEDGER_OWNERS_MAX];
	size_t n_neighbours;
	Pool llm, stt;
	int64_t preemptions; /* in the measured phase */
	int64_t start_us;
} Trial;

static int pool_send(Sim *s, void *to, const Request *rq)
{
	Pool *p = to;
	size_t best = 0;
	for (size_t i = 1; i < p->n; i++)
		if (p->queued(p->members[i]) < p->queued(p->members[best]))
			best = i;
	return p->send(s, p->members[best], rq);
}

/* --- Start ----------------------------------------------------------------------------------- */

static int add_service(Trial *tr, const char *name, Service **ret)
{
	if (tr->n_services == LEDGER_OWNERS_MAX)
		return -E2BIG;
	Service *v = &tr->services[tr->n_services];
	*v = (Service){.name = name, .owner = tr->n_services, .log = json_array()};
	tr->n_services++;
	*ret = v;
	return v->log ? 0 : -ENOMEM;
}

static int start_tenant(Trial *tr, const Tenant *tenant, Service *v, bool works)
{
	Neighbour *n = &tr->neighbours[tr->n_neighbours++];
	*n = (Neighbour){.host = &tr->host, .service = v, .tenant = tenant};
	n->rng = rng_derive(tr->t->seed, "twin tenant", tr->n_neighbours);
	return neighbour_start(n, works);
}

static int start_llm(Trial *tr, Service *v)
{
	Llm *l = &tr->llms[tr->llm.n];
	*l = (Llm){.host = &tr->host, .service = v};
	tr->llm.members[tr->llm.n++] = l;
	return llm_start(l);
}

static int start_stt(Trial *tr, Service *v)
{
	Stt *s = &tr->stts[tr->stt.n];
	*s = (Stt){.host = &tr->host, .service = v};
	s->content = rng_derive(0, "twin clips", tr->stt.n);
	tr->stt.members[tr->stt.n++] = s;
	return stt_start(s);
}

static int start_service(Trial *tr, const ServiceSpec *spec, const Settings *set)
{
	Service *v;
	int r = add_service(tr, spec->name, &v);
	if (r < 0)
		return r;
	v->spec = spec;
	v->set = *set;
	switch (set->kind) {
	case SERVICE_VLLM:
		r = start_llm(tr, v);
		break;
	case SERVICE_WHISPER:
		r = start_stt(tr, v);
		break;
	case SERVICE_PROCESS:
		r = start_tenant(tr, set->tenant, v, true);
		break;
	}
	tr->start_us += (int64_t)((double)v->start_us / tr->host.sim.noise.trial);
	return r;
}

/* Run as a service of the plan, it is not run a second time as a tenant. */
static bool is_service(const TwinTrial *t, const Tenant *tenant)
{
	for (size_t i = 0; i < t->n_services; i++)
		if (strcmp(t->services[i].name, tenant->name) == 0)
			return true;
	return false;
}

static int start_tenants(Trial *tr)
{
	const ConfList *list = &tr->t->box->tenants;
	for (size_t i = 0; i < list->n && !tr->host.failed; i++) {
		const Tenant *tenant = (const Tenant *)list->items + i;
		if (is_service(tr->t, tenant) || !(tenant->resident || tr->t->all_services))
			continue;
		Service *v;
		int r = add_service(tr, tenant->name, &v);
		if (r == 0)
			r = start_tenant(tr, tenant, v, tr->t->all_services);
		if (r < 0)
			return r;
	}
	return 0;
}

static int start_all(Trial *tr, const Settings *sets)
{
	int r = start_tenants(tr);
	for (size_t i = 0; i < tr->t->n_services && r == 0 && !tr->host.failed; i++)
		r = start_service(tr, &tr->t->services[i], &sets[i]);
	tr->host.sim.now_us = tr->start_us;
	return r;
}

/* --- Load ------------------------------------------------------------------------------------ */

static int run_out(Trial *tr)
{
	Sim *s = &tr->host.sim;
	int64_t until = tr->t->timeout_us > 0 ? tr->t->timeout_us : INT64_MAX;
	int r = 1;
	while (r > 0 && s->now_us <= until)
		r = sim_step(s, until);
	if (r < 0 || s->halted)
		return r;
	return host_fail(&tr->host, OUTCOME_TIMEOUT, NULL,
			 "the trial was not done after %.0f s of simulated time",
			 (double)until / 1e6);
}

/* Both streams from the same moment. A NULL one is not sent. */
static int run_load(Trial *tr, Load *llm, Load *stt, int64_t unfinished)
{
	Sim *s = &tr->host.sim;
	int r = sim_clear(s);
	for (size_t i = 0; i < tr->llm.n; i++) {
		llm_clear(&tr->llms[i]);
		tr->llms[i].load = llm;
	}
	for (size_t i = 0; i < tr->stt.n; i++) {
		stt_clear(&tr->stts[i]);
		tr->stts[i].load = stt;
	}
	for (size_t i = 0; i < tr->n_neighbours && r == 0; i++)
		r = neighbour_begin(&tr->neighbours[i]);
	if (r == 0 && llm)
		r = load_begin(llm, s, &unfinished);
	if (r == 0 && stt)
		r = load_begin(stt, s, &unfinished);
	return r < 0 ? r : run_out(tr);
}

static int make_load(Trial *tr, const Stream *stream, bool speech, uint64_t phase, Load *ret)
{
	Pool *p = speech ? &tr->stt : &tr->llm;
	return load_init(ret, stream, speech, tr->t->seed ^ phase << 32, pool_send, p);
}

static int check_answers(Trial *tr, const Load *l)
{
	for (int64_t i = 0; i < l->stream.requests; i++)
		if (l->samples[i].answered)
			return 0;
	return host_fail(&tr->host, OUTCOME_UNHEALTHY, NULL,
			 "not one of %lld requests was answered: every prompt is longer than the "
			 "server's max_model_len",
			 (long long)l->stream.requests);
}

static int measure_wer(Trial *tr, Err *err)
{
	Rng rng = rng_derive(tr->t->seed, "twin wer", 0);
	double truth = stt_wer_pct(&tr->stts[0]), spread = tr->t->box->whisper.wer_spread;
	double value = fmax(0, truth * (1 + spread * rng_normal(&rng)));
	return metric_plain(tr->host.m, "wer_pct", "%", value, spread * truth,
			    tr->t->workload->stt->requests, err);
}

/* How right its answers are: by the model and the type of its cache, whatever else is tuned. */
static int measure_quality(Trial *tr, Err *err)
{
	const VllmSettings *v = &tr->llms[0].service->set.vllm;
	Rng rng = rng_derive(tr->t->seed, "twin quality", 0);
	double truth = v->fp8 && v->model->fp8_quality_pct > 0 ? v->model->fp8_quality_pct
							       : v->model->quality_pct;
	double spread = v->model->quality_spread;
	if (!(truth > 0))
		return 0;
	double value = fmin(100, fmax(0, truth + spread * rng_normal(&rng)));
	return metric_plain(tr->host.m, "llm_quality_pct", "%", value, spread, 1, err);
}

static int measure(Trial *tr, Err *err)
{
	const Workload *w = tr->t->workload;
	_cleanup_(load_done) Load llm = {0};
	_cleanup_(load_done) Load stt = {0};
	bool asks_llm = w->llm && tr->llm.n > 0, asks_stt = w->stt && tr->stt.n > 0;
	int r = asks_llm ? make_load(tr, w->llm, false, 0, &llm) : 0;
	if (r == 0 && asks_stt)
		r = make_load(tr, w->stt, true, 0, &stt);
	llm.goes_on = stt.goes_on = true;
	if (r == 0 && (asks_llm || asks_stt))
		r = run_load(tr, asks_llm ? &llm : NULL, asks_stt ? &stt : NULL,
			     asks_llm + asks_stt);
	if (r == 0 && !tr->host.failed && asks_llm)
		r = check_answers(tr, &llm);
	if (r < 0 || tr->host.failed)
		return r;
	for (size_t i = 0; i < tr->llm.n; i++)
		tr->preemptions += tr->llms[i].preemptions;
	if (asks_llm)
		r = metrics_of_llm(&llm, tr->host.m, err);
	if (r == 0 && asks_stt)
		r = metrics_of_stt(&stt, tr->host.m, err);
	if (r == 0 && asks_stt)
		r = measure_wer(tr, err);
	if (r == 0 && asks_llm)
		r = measure_quality(tr, err);
	if (r == 0 && asks_llm)
		r = metric_plain(tr->host.m, "preemptions", "", (double)tr->preemptions, 0,
				 w->llm->requests, err);
	return r;
}

/* --- Capacity -------------------------------------------------------------------------------- */

/* That many users at once, beside the other services' usual load: do enough meet the limit? */
static int try_level(Trial *tr, int64_t level, bool *ret_met, double *ret_spread)
{
	const Workload *w = tr->t->workload;
	Stream stream = *w->llm;
	stream.arrivals = ARRIVALS_CLOSED;
	stream.users = level;
	stream.think_us = 0;
	stream.warmup = level;
	stream.requests = LEVEL_REQUESTS_EACH * level;
	if (stream.requests < LEVEL_REQUESTS_MIN)
		stream.requests = LEVEL_REQUESTS_MIN;
	_cleanup_(load_done) Load llm = {0};
	_cleanup_(load_done) Load stt = {0};
	bool asks_stt = w->stt && tr->stt.n > 0;
	int r = make_load(tr, &stream, false, (uint64_t)level, &llm);
	if (r == 0 && asks_stt)
		r = make_load(tr, w->stt, true, (uint64_t)level, &stt);
	if (r < 0)
		return r;
	llm.goes_on = stt.goes_on = true;
	llm.misses_max = (int64_t)floor((1 - w->capacity_share) * (double)stream.requests + 1e-9);
	stt.background = true;
	r = run_load(tr, &llm, asks_stt ? &stt : NULL, 1);
	*ret_met = llm.misses <= llm.misses_max && llm.measured == stream.requests;
	return r == 0 && *ret_met ? metrics_quantile_spread(&llm, w->capacity_share, ret_spread)
				  : r;
}

static int measure_capacity(Trial *tr, Err *err)
{
	const Workload *w = tr->t->workload;
	if (!w->llm || tr->llm.n == 0 || !stream_has_limits(w->llm) || w->capacity_max <= 0)
		return 0;
	/* Latency grows with the users, so that a limit whose latency is uncertain by a share of
	 * it gives a capacity that is uncertain by about the same share. */
	double spread = 0;
	Capacity c = capacity_start(w->capacity_max);
	for (int64_t level; (level = capacity_next(&c)) > 0;) {
		bool met = false;
		int r = try_level(tr, level, &met, &spread);
		if (r < 0 || tr->host.failed)
			return r;
		capacity_told(&c, level, met);
	}
	return metric_plain(tr->host.m, "concurrent_capacity", "requests", (double)c.met,
			    spread * (double)c.met, LEVEL_REQUESTS_MIN, err);
}

/* --- Evidence -------------------------------------------------------------------------------- */

static json_t *evidence_of(const Trial *tr)
{
	const Ledger *gpu = &tr->host.sim.gpu;
	bool failed = false;
	json_t *placement = json_object(), *at_peak = json_object(), *log = json_object();
	for (size_t i = 0; i < tr->n_services; i++) {
		const Service *v = &tr->services[i];
		json_t *one = json_object();
		failed |= v->lost;
		js_set(one, "device", json_string(v->on_cpu ? "cpu" : "cuda"), &failed);
		js_set(one, "bytes", json_integer(gpu->held[v->owner]), &failed);
		js_set(placement, v->name, one, &failed);
		js_set(at_peak, v->name, json_integer(gpu->at_peak[v->owner]), &failed);
		if (json_array_size(v->log) > 0)
			js_set(log, v->name, json_incref(v->log), &failed);
	}
	json_t *memory = json_object(), *all = json_object();
	js_set(memory, "total_bytes", json_integer(gpu->total_bytes), &failed);
	js_set(memory, "peak_bytes", json_integer(gpu->peak_bytes), &failed);
	js_set(memory, "at_peak", at_peak, &failed);
	js_set(all, "box", json_string(tr->t->box->name), &failed);
	js_set(all, "gpu_uuid", json_string(tr->t->box->gpu.uuid), &failed);
	js_set(all, "placement", placement, &failed);
	js_set(all, "memory", memory, &failed);
	js_set(all, "log", log, &failed);
	if (failed) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static bool ran_out_of_memory(const Measurement *m)
{
	return m->outcome == OUTCOME_OOM ||
	       (m->outcome == OUTCOME_START_FAILED && strcmp(m->cause, "oom") == 0);
}

/* A service that the plan wants on the GPU and that is not there makes the trial void. */
static int check_placement(Trial *tr)
{
	for (size_t i = 0; i < tr->n_services; i++)
		if (tr->services[i].on_cpu)
			return host_fail(&tr->host, OUTCOME_CPU_FALLBACK, NULL,
					 "service %s runs on the CPU: %.2f GiB of GPU memory were "
					 "free when it had loaded",
					 tr->services[i].name,
					 gib(ledger_free_bytes(&tr->host.sim.gpu)));
	return 0;
}

static int write_down(Trial *tr, Err *err)
{
	Measurement *m = tr->host.m;
	const Ledger *gpu = &tr->host.sim.gpu;
	double used = 100 * (double)gpu->peak_bytes / (double)gpu->total_bytes;
	int r = metric_plain(m, "gpu_memory_pct", "%", used, 0, 1, err);
	if (r == 0)
		r = metric_plain(m, "oom_events", "", ran_out_of_memory(m), 0, 1, err);
	if (r == 0 && !tr->host.failed)
		r = metric_plain(m, "start_s", "s", (double)tr->start_us / 1e6, 0, 1, err);
	if (r < 0)
		return r;
	m->duration_us = tr->host.sim.now_us;
	m->evidence = evidence_of(tr);
	return m->evidence ? 0 : err_oom(err);
}

/* --- The whole ------------------------------------------------------------------------------- */

static int run_trial(Trial *tr, const Settings *sets, Err *err)
{
	Host *h = &tr->host;
	int r = start_all(tr, sets);
	if (r == 0 && !h->failed && tr->t->timeout_us > 0 && tr->start_us >= tr->t->timeout_us)
		r = host_fail(h, OUTCOME_START_FAILED, "timeout",
			      "the services were not up after %.0f s of simulated time",
			      (double)tr->t->timeout_us / 1e6);
	if (r == 0 && !h->failed) {
		h->m->outcome = OUTCOME_OK;
		r = measure(tr, err);
	}
	if (r == 0 && !h->failed)
		r = check_placement(tr);
	if (r == 0 && !h->failed)
		r = measure_capacity(tr, err);
	return r == 0 ? write_down(tr, err) : r;
}

static Trial *trial_free(Trial *tr)
{
	if (!tr)
		return NULL;
	for (size_t i = 0; i < tr->llm.n; i++)
		llm_done(&tr->llms[i]);
	for (size_t i = 0; i < tr->stt.n; i++)
		stt_done(&tr->stts[i]);
	for (size_t i = 0; i < tr->n_services; i++)
		json_decref(tr->services[i].log);
	events_done(&tr->host.sim.events);
	free(tr);
	return NULL;
}

DEFINE_CLEANUP(Trial *, trial_free)

static Trial *trial_new(const TwinTrial *t, Measurement *m)
{
	Trial *tr = calloc(1, sizeof(*tr));
	if (!tr)
		return NULL;
	tr->t = t;
	tr->llm = (Pool){.send = llm_send, .queued = llm_queued};
	tr->stt = (Pool){.send = stt_send, .queued = stt_queued};
	tr->host = (Host){.box = t->box, .m = m};
	tr->host.sim.gpu.total_bytes = t->box->gpu.total_bytes;
	tr->host.sim.switch_cost = t->box->gpu.switch_cost;
	tr->host.sim.noise = noise_start(&t->box->noise, t->seed, t->drift_at_us);
	return tr;
}

int twin_trial(const TwinTrial *t, Measurement *ret, Err *err)
{
	Settings sets[SERVICES_MAX];
	if (t->n_services == 0 || t->n_services > SERVICES_MAX)
		return err_set(err, -EINVAL, "a simulated box runs 1 to %d services, not %zu",
			       SERVICES_MAX, t->n_services);
	for (size_t i = 0; i < t->n_services; i++) {
		int r = settings_read(t->box, &t->services[i], t->params, &sets[i], err);
		if (r < 0)
			return r;
	}
	Measurement m = MEASUREMENT_INIT;
	_cleanup_(trial_freep) Trial *tr = trial_new(t, &m);
	int r = tr ? run_trial(tr, sets, err) : -ENOMEM;
	if (r < 0) {
		measurement_done(&m);
		return err && err->code
			   ? r
			   : err_set(err, r, "cannot simulate a trial: %s", strerror(-r));
	}
	*ret = m;
	return 0;
}
