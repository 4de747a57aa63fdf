/* whisper.cpp's whisper-server. One request at a time behind a mutex; never ask it to /load another
 * model: it frees the old one first and ends when the new one fails. */
#include <string.h>

#include "base/file.h"
#include "server/kind.h"

static const SettingPlace settings[] = {
    {.name = "threads", .flags = {"--threads", "-t"}},
    {.name = "processors", .flags = {"--processors", "-p"}},
    {.name = "beam_size", .flags = {"--beam-size", "-bs"}},
    {.name = "best_of", .flags = {"--best-of", "-bo"}},
    {.name = "audio_ctx", .flags = {"--audio-ctx", "-ac"}},
    {.name = "language", .flags = {"--language", "-l"}},
    {.name = "no_fallback", .flags = {"--no-fallback", "-nf"}, .is_switch = true},
    {.name = "no_timestamps", .flags = {"--no-timestamps", "-nt"}, .is_switch = true},
    {.name = "flash_attn", .flags = {"--flash-attn", "-fa"}, .is_switch = true},
    {.name = "no_gpu", .flags = {"--no-gpu", "-ng"}, .is_switch = true},
    {.name = NULL},
};

static const char *const model_flags[] = {"--model", "-m", NULL};

static const char *model(const ServerCommand *c)
{
	return command_flag(c, model_flags);
}

static int set_model(ServerCommand *c, const char *name)
{
	return command_set_flag(c, model_flags, name);
}

static bool recognise(char *const *argv)
{
	for (size_t i = 0; argv[i]; i++)
		if (strcmp(path_base(argv[i]), "whisper-server") == 0 ||
		    strcmp(path_base(argv[i]), "whisper-cpp-server") == 0)
			return true;
	return runs_image(argv, "whisper.cpp");
}

static bool on_cpu(const ServerCommand *c)
{
	return command_word(c, "--no-gpu") || command_word(c, "-ng");
}

static HealthVerdict health(int status, const char *body, size_t len)
{
	(void)body, (void)len;
	return status == 200 || status == 404 ? HEALTH_READY
	       : status == 503		      ? HEALTH_LOADING
					      : HEALTH_BROKEN;
}

static const LinePattern lines[] = {
    {"couldn't bind to server socket", NULL, "port"},
    {"failed to initialize whisper context", NULL, "model"},
    {"failed to open", "model", "model"},
    {"failed to load model", NULL, "model"},
    {"invalid model data (bad magic)", NULL, "model"},
    {"no tensors loaded from model file", NULL, "model"},
    {"not all tensors loaded from model file", NULL, "model"},
    {"error: unknown argument", NULL, "arguments"},
    {"Performing inference on CPU when CUDA is available", NULL, "cpu"},
    {"FP16 is not supported on CPU; using FP32 instead", NULL, "cpu"},
    {"no GPU found", NULL, "cpu"},
    {.part = NULL},
};

static const NumberPattern numbers[] = {
    {.after = "whisper_model_load: model size    = ", .fact = "weights_gib", .factor = 1.0 / 1024},
    {.after = "whisper_init_state: kv self size  = ", .fact = "kv_gib", .factor = 1.0 / 1024},
    {.after = NULL},
};

const ServerKind kind_whispercpp = {
    .name = "whispercpp",
    .role = ROLE_STT,
    .protocol = PROTOCOL_WHISPERCPP,
    .speaks_http = true,
    .settings = settings,
    .host_flags = {"--host"},
    .port_flags = {"--port"},
    .default_port = 8080,
    .health_path = "/health",
    .lines = lines,
    .numbers = numbers,
    .recognise = recognise,
    .health = health,
    .model = model,
    .set_model = set_model,
    .on_cpu = on_cpu,
};
