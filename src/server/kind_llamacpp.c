/* llama.cpp's llama-server. */
#include <string.h>

#include "base/json.h"
#include "server/kind.h"

static const SettingPlace settings[] = {
    {.name = "ctx_size", .flags = {"--ctx-size", "-c"}},
    {.name = "parallel", .flags = {"--parallel", "-np"}},
    {.name = "threads", .flags = {"--threads", "-t"}},
    {.name = "threads_batch", .flags = {"--threads-batch", "-tb"}},
    {.name = "batch_size", .flags = {"--batch-size", "-b"}},
    {.name = "ubatch_size", .flags = {"--ubatch-size", "-ub"}},
    {.name = "n_gpu_layers", .flags = {"--n-gpu-layers", "--gpu-layers", "-ngl"}},
    {.name = "flash_attn", .flags = {"--flash-attn", "-fa"}},
    {.name = "cache_type_k", .flags = {"--cache-type-k", "-ctk"}},
    {.name = "cache_type_v", .flags = {"--cache-type-v", "-ctv"}},
    {.name = "split_mode", .flags = {"--split-mode", "-sm"}},
    {.name = "main_gpu", .flags = {"--main-gpu", "-mg"}},
    {.name = "device", .flags = {"--device", "-dev"}},
    {.name = "cont_batching", .flags = {"--cont-batching", "-cb"}, .is_switch = true},
    {.name = "mlock", .flags = {"--mlock"}, .is_switch = true},
    {.name = "no_mmap", .flags = {"--no-mmap"}, .is_switch = true},
    {.name = NULL},
};

static const char *const model_flags[] = {"--model", "-m", NULL};
static const char *const alias_flags[] = {"--alias", "-a", NULL};
static const char *const layer_flags[] = {"--n-gpu-layers", "--gpu-layers", "-ngl", NULL};
static const char *const device_flags[] = {"--device", "-dev", NULL};

static const char *model(const ServerCommand *c)
{
	const char *alias = command_flag(c, alias_flags);
	return alias ? alias : command_flag(c, model_flags);
}

static int set_model(ServerCommand *c, const char *name)
{
	return command_set_flag(c, model_flags, name);
}

static bool recognise(char *const *argv)
{
	for (size_t i = 0; argv[i]; i++)
		if (strcmp(program_name(argv[i]), "llama-server") == 0 ||
		    strcmp(program_name(argv[i]), "llama-cpp-server") == 0)
			return true;
	return runs_image(argv, "llama.cpp");
}

/* Without layers on the GPU, or told to use no device. Builds without a GPU cannot be told from
 * here: dream.yaml says `cpu: true`. */
static bool on_cpu(const ServerCommand *c)
{
	const char *layers = command_flag(c, layer_flags), *device = command_flag(c, device_flags);
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
    .health = health,
    .model = model,
    .set_model = set_model,
    .on_cpu = on_cpu,
};
