/* How a simulated vLLM starts, in the order of the real one, with its own words. Every number comes
 * from what the ledger really gave. The texts are those of vLLM 0.11. */
#include <errno.h>
#include <inttypes.h>

#include "twin/llm.h"

static const VllmSettings *settings(const Llm *l)
{
	return &l->service->set.vllm;
}

int64_t llm_token_bytes(const Llm *l)
{
	const LlmModel *m = settings(l)->model;
	int64_t two_bytes = 2 * m->layers * m->kv_heads * m->head_dim * 2; /* K and V, 16 bits */
	return settings(l)->fp8 ? two_bytes / 2 : two_bytes;
}

static int start_failed(Llm *l, const char *cause, const char *line)
{
	service_say(l->service, "%s", line);
	service_say(l->service, "RuntimeError: Engine core initialization failed. See root cause "
				"above. Failed core proc(s): {}");
	return host_fail(l->host, OUTCOME_START_FAILED, cause, "service %s did not start: %s",
			 l->service->name, line);
}

/* 1: it fits; 0: it does not, and the trial is over. */
static int take(Llm *l, const char *what, int64_t bytes)
{
	Ledger *gpu = &l->host->sim.gpu;
	if (ledger_take(gpu, l->service->owner, bytes))
		return 1;
	service_says_oom(l->service, gpu, bytes);
	service_say(l->service, "RuntimeError: Engine core initialization failed. See root cause "
				"above. Failed core proc(s): {}");
	int r = host_fail(l->host, OUTCOME_START_FAILED, "oom",
			  "service %s ran out of GPU memory during its start: %.2f GiB for its %s, "
			  "%.2f GiB free",
			  l->service->name, gib(bytes), what, gib(ledger_free_bytes(gpu)));
	return r < 0 ? r : 0;
}

/* 1: there is as much free memory as the share asks for. */
static int check_free(Llm *l, int64_t budget)
{
	const Ledger *gpu = &l->host->sim.gpu;
	if (ledger_free_bytes(gpu) >= budget)
		return 1;
	_cleanup_free_ char *line = str_fmt(
	    "ValueError: Free memory on device (%.2f/%.2f GiB) on startup is less than "
	    "desired GPU memory utilization (%g, %.2f GiB). Decrease GPU memory "
	    "utilization or reduce GPU memory used by other processes.",
	    gib(ledger_free_bytes(gpu)), gib(gpu->total_bytes), settings(l)->share, gib(budget));
	int r = line ? start_failed(l, "oom", line) : -ENOMEM;
	return r < 0 ? r : 0;
}

static int say_too_small(Llm *l, int64_t needs_bytes)
{
	_cleanup_free_ char *line = str_fmt(
	    "ValueError: To serve at least one request with the models's max seq len (%" PRId64
	    "), (%.2f GiB KV cache is needed, which is larger than the available KV cache memory "
	    "(%.2f GiB). Based on the available memory, the estimated maximum model length is "
	    "%" PRId64
	    ". Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when "
	    "initializing the engine.",
	    settings(l)->max_model_len, gib(needs_bytes), gib(l->kv_bytes),
	    l->kv_blocks * LLM_BLOCK_TOKENS);
	return line ? start_failed(l, "kv_cache", line) : -ENOMEM;
}

/* "6,976" */
static void thousands(int64_t v, char *ret, size_t size)
{
	if (v >= 1000000)
		snprintf(ret, size, "%" PRId64 ",%03" PRId64 ",%03" PRId64, v / 1000000,
			 v / 1000 % 1000, v % 1000);
	else if (v >= 1000)
		snprintf(ret, size, "%" PRId64 ",%03" PRId64, v / 1000, v % 1000);
	else
		snprintf(ret, size, "%" PRId64, v);
}

/* What is left of the budget becomes blocks. 1: enough for one request. */
static int cut_blocks(Llm *l, int64_t left)
{
	int64_t block = llm_token_bytes(l) * LLM_BLOCK_TOKENS, length = settings(l)->max_model_len;
	service_say(l->service, "Available KV cache memory: %.2f GiB", gib(left));
	if (left < block)
		return start_failed(l, "kv_cache",
				    "ValueError: No available memory for the cache blocks. Try "
				    "increasing `gpu_memory_utilization` when initializing the "
				    "engine.");
	l->kv_bytes = left;
	l->kv_blocks = left / block;
	int64_t needs = (length + LLM_BLOCK_TOKENS - 1) / LLM_BLOCK_TOKENS;
	if (l->kv_blocks < needs)
		return say_too_small(l, needs * block);
	int r = take(l, "KV cache", l->kv_blocks * block);
	if (r <= 0)
		return r;
	char tokens[32], longest[32];
	thousands(l->kv_blocks * LLM_BLOCK_TOKENS, tokens, sizeof(tokens));
	thousands(length, longest, sizeof(longest));
	service_say(l->service, "GPU KV cache size: %s tokens", tokens);
	service_say(l->service, "Maximum concurrency for %s tokens per request: %.2fx", longest,
		    (double)l->kv_blocks / (double)needs);
	return 1;
}

/* --- Stages ---------------------------------------------------------------------------------- */

static int64_t graph_bytes(const Llm *l)
{
	const LlmModel *m = settings(l)->model;
	return m->graph_bytes + m->graph_seq_bytes * settings(l)->max_num_seqs;
}

static int64_t budget_of(const Llm *l)
{
	return (int64_t)(settings(l)->share * (double)l->host->sim.gpu.total_bytes);
}

static int stage_load(Llm *l, int64_t *ret_us)
{
	const LlmModel *m = settings(l)->model;
	*ret_us = m->load_us;
	int r = take(l, "CUDA context", l->host->box->gpu.context_bytes);
	if (r > 0)
		r = check_free(l, budget_of(l));
	return r > 0 ? take(l, "weights", m->weight_bytes) : r;
}

static int stage_profile(Llm *l, int64_t *ret_us)
{
	const LlmModel *m = settings(l)->model;
	*ret_us = settings(l)->eager ? 0 : m->compile_us;
	service_say(l->service, "Model loading took %.4f GiB and %.6f seconds",
		    gib(m->weight_bytes), (double)m->load_us / 1e6);
	return take(l, "activations",
		    m->fixed_bytes + m->token_bytes * settings(l)->max_num_batched_tokens +
			m->seq_bytes * settings(l)->max_num_seqs);
}

/* Graphs are captured after the KV cache was cut, on top of the share. */
static int stage_cache(Llm *l, int64_t *ret_us)
{
	int64_t held = l->host->sim.gpu.held[l->service->owner];
	bool eager = settings(l)->eager;
	*ret_us = eager ? 0 : settings(l)->model->graph_us;
	int r = cut_blocks(l, budget_of(l) - (held - l->host->box->gpu.context_bytes));
	return r > 0 && !eager ? take(l, "CUDA graphs", graph_bytes(l)) : r;
}

static int stage_ready(Llm *l, int64_t *ret_us)
{
	const LlmModel *m = settings(l)->model;
	bool eager = settings(l)->eager;
	*ret_us = 0;
	if (!eager)
		service_say(l->service, "Graph capturing finished in %.0f secs, took %.2f GiB",
			    (double)m->graph_us / 1e6, gib(graph_bytes(l)));
	service_say(l->service,
		    "init engine (profile, create kv cache, warmup model) took %.2f seconds",
		    eager ? 0.0 : (double)(m->compile_us + m->graph_us) / 1e6);
	service_say(l->service, "Application startup complete.");
	l->running = calloc((size_t)settings(l)->max_num_seqs, sizeof(Seq *));
	if (!l->running)
		return -ENOMEM;
	l->free_blocks = l->kv_blocks;
	l->worker = sim_add_worker(&l->host->sim, llm_work_done, l, m->busy);
	return l->worker < 0 ? l->worker : 1;
}

int llm_start_stage(Llm *l, LlmStage stage, int64_t *ret_us)
{
	static int (*const stages[])(Llm *, int64_t *) = {
	    [LLM_STAGE_LOAD] = stage_load,
	    [LLM_STAGE_PROFILE] = stage_profile,
	    [LLM_STAGE_CACHE] = stage_cache,
	    [LLM_STAGE_READY] = stage_ready,
	};
	int r = stages[stage](l, ret_us);
	return r > 0 && l->host->failed ? 0 : r;
}

int llm_start(Llm *l)
{
	const LlmModel *m = settings(l)->model;
	int64_t us;
	int r = 1;
	l->service->start_us = m->load_us + (settings(l)->eager ? 0 : m->compile_us + m->graph_us);
	for (int i = 0; i < LLM_STAGES && r > 0; i++)
		r = llm_start_stage(l, (LlmStage)i, &us);
	return r < 0 ? r : 0;
}
