/* vLLM: `vllm serve MODEL ...`, or its module run by Python with --model. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "server/kind.h"
#include "server/vllm_log.h"

static const SettingPlace settings[] = {
    {.name = "gpu_memory_utilization", .flags = {"--gpu-memory-utilization"}},
    {.name = "max_model_len", .flags = {"--max-model-len"}},
    {.name = "max_num_seqs", .flags = {"--max-num-seqs"}},
    {.name = "max_num_batched_tokens", .flags = {"--max-num-batched-tokens"}},
    {.name = "kv_cache_dtype", .flags = {"--kv-cache-dtype"}},
    {.name = "quantization", .flags = {"--quantization", "-q"}},
    {.name = "dtype", .flags = {"--dtype"}},
    {.name = "block_size", .flags = {"--block-size"}},
    {.name = "swap_space", .flags = {"--swap-space"}},
    {.name = "kv_cache_memory_bytes", .flags = {"--kv-cache-memory-bytes"}},
    {.name = "tensor_parallel_size", .flags = {"--tensor-parallel-size", "-tp"}},
    {.name = "enforce_eager", .flags = {"--enforce-eager"}, .is_switch = true},
    {.name = "enable_chunked_prefill",
     .flags = {"--enable-chunked-prefill"},
     .is_switch = true,
     .off = "--no-enable-chunked-prefill"},
    {.name = "enable_prefix_caching",
     .flags = {"--enable-prefix-caching"},
     .is_switch = true,
     .off = "--no-enable-prefix-caching"},
    {.name = NULL},
};

static const char *const model_flags[] = {"--model", NULL};
static const char *const served_flags[] = {"--served-model-name", NULL};

/* Of "vllm serve MODEL"; 0: there is none. */
static size_t model_word(const ServerCommand *c)
{
	size_t serve = command_word(c, "serve");
	const char *next = serve ? c->argv[serve + 1] : NULL;
	return next && next[0] != '-' ? serve + 1 : 0;
}

/* Requests name the served name when there is one. */
static const char *model(const ServerCommand *c)
{
	const char *served = command_flag(c, served_flags), *flag = command_flag(c, model_flags);
	size_t word = model_word(c);
	return served ? served : flag ? flag : word ? c->argv[word] : NULL;
}

static int set_model(ServerCommand *c, const char *name)
{
	size_t word = model_word(c);
	if (!word)
		return command_set_flag(c, model_flags, name);
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(c->argv[word]);
	c->argv[word] = copy;
	return 0;
}

static bool recognise(char *const *argv)
{
	bool serves = false;
	for (size_t i = 0; argv[i]; i++) {
		if (strstr(argv[i], "vllm.entrypoints"))
			return true;
		if (strcmp(path_base(argv[i]), "vllm") == 0)
			serves = argv[i + 1] && strcmp(argv[i + 1], "serve") == 0;
		if (serves)
			return true;
	}
	return runs_image(argv, "vllm");
}

static bool on_cpu(const ServerCommand *c)
{
	static const char *const device[] = {"--device", NULL};
	const char *d = command_flag(c, device);
	return d && strcmp(d, "cpu") == 0;
}

static const LinePattern lines[] = {
    {"address already in use", NULL, "port"},
    {"Address already in use", NULL, "port"},
    {"error: unrecognized arguments", NULL, "arguments"},
    {"error: argument --", NULL, "arguments"},
    {"is not a local folder and is not a valid model identifier", NULL, "model"},
    {"does not appear to have a file named config.json", NULL, "model"},
    {"Engine core initialization failed", NULL, ""},
    {.part = NULL},
};

static const NumberPattern numbers[] = {
    {.after = "Available KV cache memory: ", .fact = "kv_gib"},
    {.after = "GPU KV cache size: ", .fact = "kv_tokens"},
    {.after = "Maximum concurrency for ", .fact = "max_model_len"},
    {.after = "Model loading took ", .fact = "weights_gib"},
    {.after = "Graph capturing finished in ", .fact = "graphs_s"},
    {.after = "init engine (profile, create kv cache, warmup model) took ", .fact = "init_s"},
    {.after = NULL},
};

/* Why a start failed stands 40 lines and more before the last one. */
static int words(const char *text, size_t len, ServerWords *w, Err *err)
{
	VllmLog log = {0};
	int r = vllm_log_parse(text, len, &log, err);
	if (r < 0)
		return r;
	const char *cause = log.end == VLLM_LOG_NO_KV || log.end == VLLM_LOG_KV_TOO_SMALL
				? "kv_cache"
			    : log.end == VLLM_LOG_FREE_TOO_LITTLE || log.end == VLLM_LOG_OOM ? "oom"
											     : NULL;
	if (cause) {
		w->failed = true;
		(void)snprintf(w->cause, sizeof(w->cause), "%s", cause);
		free(w->line);
		w->line = TAKE_PTR(log.line);
	}
	vllm_log_done(&log);
	return 0;
}

static const MetricName metrics[] = {
    {"vllm:num_requests_running", "running", 0},
    {"vllm:num_requests_waiting", "waiting", 0},
    {"vllm:kv_cache_usage_perc", "kv_used_pct", 100},
    {"vllm:gpu_cache_usage_perc", "kv_used_pct", 100},
    {"vllm:num_preemptions_total", "preemptions", 0},
    {"vllm:num_preemptions", "preemptions", 0},
    {"vllm:prompt_tokens_total", "prompt_tokens", 0},
    {"vllm:generation_tokens_total", "generated_tokens", 0},
    {"vllm:prefix_cache_queries_total", "prefix_queries", 0},
    {"vllm:prefix_cache_hits_total", "prefix_hits", 0},
    {.metric = NULL},
};

const ServerKind kind_vllm = {
    .name = "vllm",
    .role = ROLE_LLM,
    .protocol = PROTOCOL_OPENAI_COMPLETIONS,
    .speaks_http = true,
    .any_flag = true,
    .settings = settings,
    .host_flags = {"--host"},
    .port_flags = {"--port"},
    .default_port = 8000,
    .health_path = "/health",
    .metrics_path = "/metrics",
    .lines = lines,
    .numbers = numbers,
    .metrics = metrics,
    .recognise = recognise,
    .model = model,
    .set_model = set_model,
    .on_cpu = on_cpu,
    .words = words,
};
