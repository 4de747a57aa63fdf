/* llama.cpp's llama-server. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "server/kind.h"

static const SettingPlace settings[] = {
    {.name = "ctx_size", .flags = {"--ctx-size", "-c"}, .also = "LLAMA_ARG_CTX_SIZE"},
    {.name = "parallel", .flags = {"--parallel", "-np"}, .also = "LLAMA_ARG_N_PARALLEL"},
    {.name = "threads", .flags = {"--threads", "-t"}, .also = "LLAMA_ARG_THREADS"},
    {.name = "threads_batch", .flags = {"--threads-batch", "-tb"}},
    {.name = "batch_size", .flags = {"--batch-size", "-b"}, .also = "LLAMA_ARG_BATCH"},
    {.name = "ubatch_size", .flags = {"--ubatch-size", "-ub"}, .also = "LLAMA_ARG_UBATCH"},
    {.name = "n_gpu_layers",
     .flags = {"--n-gpu-layers", "--gpu-layers", "-ngl"},
     .also = "LLAMA_ARG_N_GPU_LAYERS"},
    {.name = "flash_attn", .flags = {"--flash-attn", "-fa"}, .also = "LLAMA_ARG_FLASH_ATTN"},
    {.name = "cache_type_k", .flags = {"--cache-type-k", "-ctk"}, .also = "LLAMA_ARG_CACHE_TYPE_K"},
    {.name = "cache_type_v", .flags = {"--cache-type-v", "-ctv"}, .also = "LLAMA_ARG_CACHE_TYPE_V"},
    {.name = "split_mode", .flags = {"--split-mode", "-sm"}, .also = "LLAMA_ARG_SPLIT_MODE"},
    {.name = "main_gpu", .flags = {"--main-gpu", "-mg"}, .also = "LLAMA_ARG_MAIN_GPU"},
    {.name = "device", .flags = {"--device", "-dev"}, .also = "LLAMA_ARG_DEVICE"},
    {.name = "cont_batching", .flags = {"--cont-batching", "-cb"}, .is_switch = true},
    {.name = "mlock", .flags = {"--mlock"}, .is_switch = true},
    {.name = "no_mmap", .flags = {"--no-mmap"}, .is_switch = true},
    {.name = NULL},
};

static const char *const model_flags[] = {"--model", "-m", NULL};
static const char *const alias_flags[] = {"--alias", "-a", NULL};
static const char *const port_flags[] = {"--port", NULL};
static const char *const layer_flags[] = {"--n-gpu-layers", "--gpu-layers", "-ngl", NULL};
static const char *const device_flags[] = {"--device", "-dev", NULL};

/* Most of its flags have a variable, which counts where the flag is not given. */
static const char *said(const ServerCommand *c, const char *const *flags, const char *variable)
{
	const char *text = command_flag(c, flags);
	return text ? text : command_env(c, variable);
}

static const char *model(const ServerCommand *c)
{
	const char *alias = said(c, alias_flags, "LLAMA_ARG_ALIAS");
	return alias ? alias : said(c, model_flags, "LLAMA_ARG_MODEL");
}

static bool listens(const ServerCommand *c, uint16_t *ret_port)
{
	const char *text = said(c, port_flags, "LLAMA_ARG_PORT");
	long port = text ? strtol(text, NULL, 10) : 0;
	if (port <= 0 || port > 65535)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static int set_model(ServerCommand *c, const char *name)
{
	return command_set_flag(c, model_flags, name);
}

static bool recognise(char *const *argv)
{
	for (size_t i = 0; argv[i]; i++)
		if (strcmp(path_base(argv[i]), "llama-server") == 0 ||
		    strcmp(path_base(argv[i]), "llama-cpp-server") == 0)
			return true;
	return runs_image(argv, "llama.cpp");
}

/* Without layers on the GPU, or told to use no device. Builds without a GPU cannot be told from
 * here: dream.yaml says `cpu: true`. */
static bool on_cpu(const ServerCommand *c)
{
	const char *layers = said(c, layer_flags, "LLAMA_ARG_N_GPU_LAYERS");
	const char *device = said(c, device_flags, "LLAMA_ARG_DEVICE");
	return (layers && strcmp(layers, "0") == 0) || (device && strcmp(device, "none") == 0);
}

/* 503 with {"error": {"message": "Loading model"}} until it is there. */
static HealthVerdict health(int status, const char *body, size_t len)
{
	(void)body, (void)len;
	return status == 200 || status == 404 ? HEALTH_READY
	       : status == 503		      ? HEALTH_LOADING
					      : HEALTH_BROKEN;
}

static const LinePattern lines[] = {
    {"couldn't bind HTTP server socket", NULL, "port"},
    {"failed to load model", NULL, "model"},
    {"error loading model", NULL, "model"},
    {"gguf_init_from_file", "failed", "model"},
    {"error: invalid argument", NULL, "arguments"},
    {"error while handling argument", NULL, "arguments"},
    {"failed to create context", NULL, ""},
    {"failed to create_context", NULL, ""},
    {"exiting due to", "error", ""},
    {"no usable GPU found", NULL, "cpu"},
    {"offloaded 0/", "layers to GPU", "cpu"},
    {.part = NULL},
};

static const NumberPattern numbers[] = {
    {.after = "n_ctx_slot = ", .fact = "slot_tokens"},
    {.after = "n_slots = ", .fact = "slots"},
    {.after = "offloaded ", .fact = "layers_on_gpu"},
    {.after = " KV buffer size = ", .fact = "kv_gib", .factor = 1.0 / 1024, .sum = true},
    {.after = " model buffer size = ", .fact = "weights_gib", .factor = 1.0 / 1024, .sum = true},
    {.after = " compute buffer size = ", .fact = "compute_gib", .factor = 1.0 / 1024, .sum = true},
    {.after = NULL},
};

static const MetricName metrics[] = {
    {"llamacpp:requests_processing", "running", 0},
    {"llamacpp:requests_deferred", "waiting", 0},
    {"llamacpp:kv_cache_usage_ratio", "kv_used_pct", 100},
    {"llamacpp:prompt_tokens_total", "prompt_tokens", 0},
    {"llamacpp:tokens_predicted_total", "generated_tokens", 0},
    {.metric = NULL},
};

const ServerKind kind_llamacpp = {
    .name = "llamacpp",
    .role = ROLE_LLM,
    .protocol = PROTOCOL_OPENAI_COMPLETIONS,
    .speaks_http = true,
    .any_flag = true,
    .settings = settings,
    .host_flags = {"--host"},
    .port_flags = {"--port"},
    .default_port = 8080,
    .health_path = "/health",
    .metrics_path = "/metrics",
    .lines = lines,
    .numbers = numbers,
    .metrics = metrics,
    .recognise = recognise,
    .listen = listens,
    .health = health,
    .model = model,
    .set_model = set_model,
    .on_cpu = on_cpu,
};
