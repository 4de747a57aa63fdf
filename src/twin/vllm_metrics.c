/* /metrics under vLLM's names. Times are wall time, as everything that a client sees. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "twin/vllm.h"

static const double first_bounds[] = {0.001, 0.005, 0.01, 0.02,	 0.04,	0.06,	0.08,	 0.1,
				      0.25,  0.5,   0.75, 1.0,	 2.5,	5.0,	7.5,	 10.0,
				      20.0,  40.0,  80.0, 160.0, 640.0, 2560.0, HUGE_VAL};
static const double gap_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1,  0.15,    0.2,
				    0.3,  0.4,	 0.5,  0.75,  1.0,  2.5,     5.0,
				    7.5,  10.0,	 20.0, 40.0,  80.0, HUGE_VAL};
static const double time_bounds[] = {0.3,   0.5,   0.8,	  1.0,	  1.5,	  2.0,	   2.5,	 5.0,
				     10.0,  15.0,  20.0,  30.0,	  40.0,	  50.0,	   60.0, 120.0,
				     240.0, 480.0, 960.0, 1920.0, 7680.0, HUGE_VAL};
static const double token_bounds[] = {1,   2,	 5,    10,   20,    50,	   100,	  200,
				      500, 1000, 2000, 5000, 10000, 20000, 50000, HUGE_VAL};

static void observe(Histogram *h, double value)
{
	size_t i = 0;
	while (value > h->bounds[i])
		i++;
	h->counts[i]++;
	h->n++;
	h->sum += value;
}

void metrics_init(VllmMetrics *m)
{
	Histogram *times[] = {&m->e2e, &m->queue, &m->prefill, &m->decode, &m->inference};
	Histogram *tokens[] = {&m->prompts, &m->outputs, &m->asked};
	m->ttft.bounds = first_bounds;
	m->itl.bounds = m->tpot.bounds = gap_bounds;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		times[i]->bounds = time_bounds;
	for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++)
		tokens[i]->bounds = token_bounds;
}

static double seconds(int64_t us)
{
	return (double)us / 1e6;
}

void metrics_first(Vllm *v, const Call *c, int64_t now_us)
{
	observe(&v->metrics.ttft, seconds(now_us - c->sent_us));
}

void metrics_gap(Vllm *v, int64_t gap_us)
{
	observe(&v->metrics.itl, seconds(gap_us));
}

void metrics_answered(Vllm *v, const Call *c, int64_t now_us)
{
	VllmMetrics *m = &v->metrics;
	double all = seconds(now_us - c->sent_us), decode = seconds(now_us - c->first_us);
	observe(&m->e2e, all);
	observe(&m->queue, fmax(0, seconds(c->started_us - c->sent_us)));
	observe(&m->prefill, fmax(0, seconds(c->first_us - c->started_us)));
	observe(&m->decode, decode);
	observe(&m->inference, fmax(0, seconds(now_us - c->started_us)));
	if (c->output > 1)
		observe(&m->tpot, decode / (double)(c->output - 1));
	observe(&m->prompts, (double)c->prompt);
	observe(&m->outputs, (double)c->output);
	observe(&m->asked, (double)c->output);
	if (c->natural)
		m->stopped++;
	else
		m->cut++;
}

/* --- Text ------------------------------------------------------------------------------------ */

typedef struct Writer {
	Str *out;
	const char *labels; /* engine="0",model_name="..." */
} Writer;

static void head(const Writer *w, const char *name, const char *type, const char *help)
{
	str_addf(w->out, "# HELP vllm:%s %s\n# TYPE vllm:%s %s\n", name, help, name, type);
}

static void gauge(const Writer *w, const char *name, const char *help, double value)
{
	head(w, name, "gauge", help);
	str_addf(w->out, "vllm:%s{%s} %.17g\n", name, w->labels, value);
}

static void counter(const Writer *w, const char *name, const char *help, uint64_t value)
{
	head(w, name, "counter", help);
	str_addf(w->out, "vllm:%s_total{%s} %" PRIu64 ".0\n", name, w->labels, value);
}

static void histogram(const Writer *w, const char *name, const char *help, const Histogram *h)
{
	uint64_t below = 0;
	head(w, name, "histogram", help);
	for (size_t i = 0;; i++) {
		char bound[32];
		below += h->counts[i];
		snprintf(bound, sizeof(bound), isinf(h->bounds[i]) ? "+Inf" : "%.12g",
			 h->bounds[i]);
		str_addf(w->out, "vllm:%s_bucket{%s,le=\"%s\"} %" PRIu64 ".0\n", name, w->labels,
			 bound, below);
		if (isinf(h->bounds[i]))
			break;
	}
	str_addf(w->out, "vllm:%s_count{%s} %" PRIu64 ".0\nvllm:%s_sum{%s} %.17g\n", name,
		 w->labels, h->n, name, w->labels, h->sum);
}

static void finished(const Writer *w, const VllmMetrics *m)
{
	const struct {
		const char *reason;
		uint64_t n;
	} ends[] = {{"stop", m->stopped}, {"length", m->cut}, {"abort", m->aborted}};
	head(w, "request_success", "counter", "Count of successfully processed requests.");
	for (size_t i = 0; i < 3; i++)
		str_addf(w->out,
			 "vllm:request_success_total{%s,finished_reason=\"%s\"} %" PRIu64 ".0\n",
			 w->labels, ends[i].reason, ends[i].n);
}

static void cache_config(const Writer *w, const Vllm *v)
{
	const VllmSettings *s = &v->llm.service->set.vllm;
	head(w, "cache_config_info", "gauge", "Information of the LLMEngine CacheConfig");
	str_addf(w->out,
		 "vllm:cache_config_info{block_size=\"%d\",cache_dtype=\"%s\","
		 "enable_prefix_caching=\"False\",engine=\"0\",gpu_memory_utilization=\"%g\","
		 "num_gpu_blocks=\"%" PRId64 "\",num_gpu_blocks_override=\"None\"} 1.0\n",
		 LLM_BLOCK_TOKENS, s->fp8 ? "fp8" : "auto", s->share, v->llm.kv_blocks);
}

static void histograms(const Writer *w, const VllmMetrics *m)
{
	histogram(w, "time_to_first_token_seconds", "Histogram of time to first token in seconds.",
		  &m->ttft);
	histogram(w, "inter_token_latency_seconds", "Histogram of inter-token latency in seconds.",
		  &m->itl);
	histogram(w, "request_time_per_output_token_seconds",
		  "Histogram of time_per_output_token_seconds per request.", &m->tpot);
	histogram(w, "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.",
		  &m->e2e);
	histogram(w, "request_queue_time_seconds",
		  "Histogram of time spent in WAITING phase for request.", &m->queue);
	histogram(w, "request_prefill_time_seconds",
		  "Histogram of time spent in PREFILL phase for request.", &m->prefill);
	histogram(w, "request_decode_time_seconds",
		  "Histogram of time spent in DECODE phase for request.", &m->decode);
	histogram(w, "request_inference_time_seconds",
		  "Histogram of time spent in RUNNING phase for request.", &m->inference);
	histogram(w, "request_prompt_tokens", "Number of prefill tokens processed.", &m->prompts);
	histogram(w, "request_generation_tokens", "Number of generation tokens processed.",
		  &m->outputs);
	histogram(w, "request_params_max_tokens", "Histogram of the max_tokens request parameter.",
		  &m->asked);
}

void vllm_metrics_text(const Vllm *v, Str *out)
{
	const VllmMetrics *m = &v->metrics;
	const Llm *l = &v->llm;
	_cleanup_free_ char *labels = str_fmt("engine=\"0\",model_name=%s", v->name_json);
	const Writer w = {out, labels ? labels : ""};
	out->failed |= !labels;
	gauge(&w, "num_requests_running", "Number of requests in model execution batches.",
	      (double)l->n_running);
	gauge(&w, "num_requests_waiting", "Number of requests waiting to be processed.",
	      (double)l->n_waiting);
	gauge(&w, "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.",
	      (double)(l->kv_blocks - l->free_blocks) / (double)l->kv_blocks);
	counter(&w, "prefix_cache_queries", "Prefix cache queries, in terms of queried tokens.", 0);
	counter(&w, "prefix_cache_hits", "Prefix cache hits, in terms of cached tokens.", 0);
	counter(&w, "num_preemptions", "Cumulative number of preemption from the engine.",
		(uint64_t)l->preemptions);
	counter(&w, "prompt_tokens", "Number of prefill tokens processed.", m->prompt_tokens);
	counter(&w, "generation_tokens", "Number of generation tokens processed.",
		m->generation_tokens);
	finished(&w, m);
	histograms(&w, m);
	cache_config(&w, v);
}
