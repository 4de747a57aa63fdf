/* The load: each service alone, all together, then the highest concurrency. The numbers of the
 * trial are those of all together; alone tells how much they slow each other down. */
#include <string.h>

#include "base/json.h"
#include "base/rng.h"
#include "loadgen/capacity_run.h"
#include "worker/internal.h"

enum {
	METRICS_PAGE_MAX = 4 << 20,
	ALONE_REQUESTS = 130, /* at most, when measured alone: what a 95th percentile takes */
	TIMEOUT_LIMITS = 20,
	TIMEOUT_MIN_US = 10000000,
	TIMEOUT_MAX_US = 300000000,
	FAILED_PCT_MAX = 5, /* more unanswered requests than this are a failure of the service */
};

/* --- Streams -----------------------------------------------------------------------------------
 */

static const Stream *load_of(const Worker *w, const Party *p)
{
	if (!w->job.workload || !p->client)
		return NULL;
	return p->role == ROLE_LLM   ? w->job.workload->llm
	       : p->role == ROLE_STT ? w->job.workload->stt
				     : NULL;
}

/* Two streams with the same random numbers would send at the same moments. */
static uint64_t stream_seed(const Worker *w, const Party *p)
{
	Rng rng = rng_derive(w->job.seed, p->spec->name, 0);
	return rng_u64(&rng);
}

/* Who waits this long for an answer that should take `limit` will not get one: a server that hangs
 * is found before the trial's own deadline. */
static int64_t answer_timeout_us(const Stream *load)
{
	int64_t us = load->limit_us * TIMEOUT_LIMITS;
	return us <= 0		     ? 0
	       : us < TIMEOUT_MIN_US ? TIMEOUT_MIN_US
	       : us > TIMEOUT_MAX_US ? TIMEOUT_MAX_US
				     : us;
}

static TrafficStream stream_of(const Worker *w, const Party *p, const Stream *load)
{
	bool speech = p->role == ROLE_STT;
	return (TrafficStream){
	    .name = p->spec->name,
	    .client = p->client,
	    .protocol = p->protocol,
	    .model = p->model && *p->model ? p->model : NULL,
	    .language = speech ? w->job.spec.allocation.language : NULL,
	    .streaming = !speech,
	    .extra = p->ask,
	    .load = load,
	    .contents = speech ? w->clips : w->prompts,
	    .seed = stream_seed(w, p),
	    .timeout_us = answer_timeout_us(load),
	    .misses_max = -1,
	    .keep_text = speech,
	};
}

/* --- What it says of a service --------------------------------------------------------------- */

static void note_failures(Party *p, const StreamResult *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *x = &r->exchanges[i];
		if (x->end_us == 0)
			continue;
		p->requests++;
		p->failed_requests += x->failed != EXCHANGE_OK;
		p->refused_requests += x->failed == EXCHANGE_REFUSED;
	}
	if (*r->first_error && !*p->client_words)
		(void)snprintf(p->client_words, sizeof(p->client_words), "%s", r->first_error);
}

static void check_answers(Worker *w, const Party *p, const StreamFigures *f)
{
	const char *why = *p->client_words ? p->client_words : "no words";
	if (f->answered == 0)
		worker_over(w, OUTCOME_UNHEALTHY, NULL,
			    "not one of %lld requests to %s was answered: %s", (long long)f->sent,
			    p->spec->name, why);
	else if (100 * f->failed > FAILED_PCT_MAX * f->sent)
		worker_over(w, OUTCOME_UNHEALTHY, NULL,
			    "%lld of %lld requests to %s were not answered: %s",
			    (long long)f->failed, (long long)f->sent, p->spec->name, why);
}

/* We were too slow ourselves, because the machine had other work: that says nothing about the
 * candidate, and another time may be better. */
static void disturbed(Worker *w, const char *why)
{
	worker_over(w, OUTCOME_CONTENDED, "generator", "%s: such numbers are not the services'",
		    why);
}

static void check_generator(Worker *w, const TrafficResult *r)
{
	if (r->limited_by_client)
		disturbed(w, r->limited_why);
}

/* --- Alone ----------------------------------------------------------------------------------- */

static size_t measured_parties(const Worker *w)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_parties; i++)
		n += load_of(w, &w->parties[i]) != NULL;
	return n;
}

static int measure_alone(Worker *w, Party *p, const Stream *usual, Err *err)
{
	Stream load = *usual;
	if (load.requests > ALONE_REQUESTS)
		load.requests = ALONE_REQUESTS;
	TrafficStream s = stream_of(w, p, &load);
	s.keep_text = false;
	Load l = {.w = w, .from = 0.3, .to = 0.4, .what = "each service alone"};
	int r = load_run(&l, &s, 1, err);
	if (r >= 0 && !w->over) {
		check_generator(w, &l.result);
		note_failures(p, &l.result.streams[0]);
		r = stream_figures(&l.result.streams[0], &p->alone, err);
		p->has_alone = r >= 0;
	}
	traffic_result_done(&l.result);
	return r;
}

/* --- Together -------------------------------------------------------------------------------- */

static json_t *own_metrics(Worker *w, const Party *p)
{
	json_t *ret = NULL;
	const char *path = p->kind ? server_metrics_path(p->kind) : NULL;
	_cleanup_free_ char *page =
	    path ? worker_fetch(w, p->client, path, METRICS_PAGE_MAX) : NULL;
	if (page && server_metrics(p->kind, page, strlen(page), &ret, NULL) < 0)
		return NULL;
	return ret;
}

/* "llm" and "stt" are the first of their kind; the others are called by their own names. */
static const char *metrics_name(const Worker *w, const Party *p)
{
	for (const Party *q = w->parties; q < p; q++)
		if (q->role == p->role && load_of(w, q))
			return p->spec->name;
	return p->role == ROLE_STT ? "stt" : "llm";
}

static int judge_stream(Worker *w, Party *p, const StreamResult *r, Err *err)
{
	note_failures(p, r);
	int e = stream_figures(r, &p->together, err);
	if (e < 0)
		return e;
	p->has_together = true;
	if (p->role == ROLE_STT)
		e = stream_figures_add_clips(&p->together, r, err);
	if (e < 0)
		return e;
	check_answers(w, p, &p->together);
	if (w->over)
		return 0;
	e = stream_metrics(&p->together, metrics_name(w, p), &w->m, err);
	if (e >= 0 && p->role == ROLE_STT)
		e = speech_judge(w, p, r, err);
	return e;
}

static int judge_together(Worker *w, const TrafficResult *result, Party *const *asked, Err *err)
{
	check_generator(w, result);
	for (size_t i = 0; i < result->n_streams; i++) {
		int r = judge_stream(w, asked[i], &result->streams[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int measure_together(Worker *w, Err *err)
{
	TrafficStream streams[PARTIES_MAX];
	Party *asked[PARTIES_MAX];
	size_t n = 0;
	for (size_t i = 0; i < w->n_parties; i++) {
		Party *p = &w->parties[i];
		const Stream *load = load_of(w, p);
		if (!load)
			continue;
		p->metrics_before = own_metrics(w, p);
		streams[n] = stream_of(w, p, load);
		streams[n].goes_on = true;
		asked[n++] = p;
	}
	if (n == 0 || w->over)
		return 0;
	Load l = {.w = w, .from = 0.4, .to = 0.7, .what = "all services together"};
	int r = load_run(&l, streams, n, err);
	if (r >= 0 && !w->over)
		r = judge_together(w, &l.result, asked, err);
	json_t *own = traffic_json(&l.result);
	traffic_result_done(&l.result);
	if (own && json_object_set_new(w->evidence, "generator", own) < 0)
		return err_oom(err);
	for (size_t i = 0; i < n && r >= 0; i++)
		asked[i]->metrics_after = own_metrics(w, asked[i]);
	return r;
}

/* --- Capacity -------------------------------------------------------------------------------- */

typedef struct Search {
	bool done;
	CapacityResult result;
	Err err;
} Search;

static void on_capacity(void *ctx, const CapacityResult *r, const Err *err)
{
	Search *s = ctx;
	s->done = true;
	s->result = *r;
	if (err)
		s->err = *err;
}

static bool wants_capacity(const Worker *w, const Party *p)
{
	const Workload *load = w->job.workload;
	return load && p->role == ROLE_LLM && load_of(w, p) && load->capacity_max > 0 &&
	       stream_has_limits(load->llm);
}

static int note_capacity(Worker *w, const CapacityResult *c, Err *err)
{
	Metric m = {.value = (double)c->capacity, .se = c->se, .lo = c->lo, .hi = c->hi, .n = c->n};
	(void)snprintf(m.name, sizeof(m.name), "concurrent_capacity");
	(void)snprintf(m.unit, sizeof(m.unit), "requests");
	return measurement_set(&w->m, &m, err);
}

static int measure_capacity(Worker *w, Party *p, Err *err)
{
	TrafficStream beside[PARTIES_MAX];
	size_t n = 0;
	for (size_t i = 0; i < w->n_parties; i++) {
		Party *other = &w->parties[i];
		if (other == p || !load_of(w, other))
			continue;
		beside[n] = stream_of(w, other, load_of(w, other));
		beside[n].keep_text = false;
		beside[n++].background = true;
	}
	TrafficStream s = stream_of(w, p, load_of(w, p));
	CapacityRunSpec spec = {
	    .stream = &s,
	    .beside = beside,
	    .n_beside = n,
	    .max = w->job.workload->capacity_max,
	    .share = w->job.workload->capacity_share,
	};
	Search search = {0};
	CapacityRun *run = NULL;
	worker_progress(w, 0.75, "the highest concurrency");
	int r = capacity_run_start(w->loop, &spec, on_capacity, &search, &run, err);
	if (r < 0)
		return r;
	(void)worker_wait(w, &search.done);
	(void)capacity_run_stop(run);
	if (w->over)
		return 0;
	if (search.err.code < 0)
		return err_set(err, search.err.code, "%s", search.err.msg);
	if (search.result.limited_by_client) {
		disturbed(w, search.result.words);
		return 0;
	}
	return note_capacity(w, &search.result, err);
}

/* --- All of it ------------------------------------------------------------------------------- */

int measure_all(Worker *w, Err *err)
{
	int r = 0;
	/* Production has users: it is not pushed to its limits, nor asked longer than needed. */
	bool observes = w->job.spec.allocation.as == AS_OBSERVE;
	bool alone = w->job.spec.allocation.alone && measured_parties(w) > 1 && !observes;
	for (size_t i = 0; i < w->n_parties && r >= 0 && !w->over; i++) {
		const Stream *load = load_of(w, &w->parties[i]);
		if (alone && load)
			r = measure_alone(w, &w->parties[i], load, err);
	}
	if (r >= 0 && !w->over)
		r = measure_together(w, err);
	for (size_t i = 0; i < w->n_parties && r >= 0 && !w->over; i++) {
		if (observes || !wants_capacity(w, &w->parties[i]))
			continue;
		r = measure_capacity(w, &w->parties[i], err);
		break;
	}
	for (size_t i = 0; i < w->n_parties && r >= 0 && !w->over; i++)
		if (w->parties[i].role == ROLE_LLM && w->parties[i].client)
			r = answers_judge(w, &w->parties[i], err);
	return r;
}
