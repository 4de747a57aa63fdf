/* Speech-to-text behind OpenAI's /v1/audio/transcriptions: speaches (once faster-whisper-server)
 * and others. Their flags differ, so most settings are told by `places`. speaches unloads an idle
 * model after stt_model_ttl (300 s): a trial that pauses longer pays the load again, so set it to
 * -1 there. */
#include <string.h>

#include "server/kind.h"

static const SettingPlace settings[] = {
    {.name = "compute_type", .env = "WHISPER__COMPUTE_TYPE"},
    {.name = "inference_device", .env = "WHISPER__INFERENCE_DEVICE"},
    {.name = "num_workers", .env = "WHISPER__NUM_WORKERS"},
    {.name = "stt_model_ttl", .env = "STT_MODEL_TTL"},
    {.name = "model", .by_request = true},
    {.name = NULL},
};

static const char *const model_flags[] = {"--model", NULL};

static const char *model(const ServerCommand *c)
{
	const char *flag = command_flag(c, model_flags);
	return flag ? flag : command_env(c, "WHISPER__MODEL");
}

static bool recognise(char *const *argv)
{
	for (size_t i = 0; argv[i]; i++)
		if (strstr(argv[i], "speaches") || strstr(argv[i], "faster_whisper_server") ||
		    strstr(argv[i], "faster-whisper-server"))
			return true;
	return false;
}

static bool on_cpu(const ServerCommand *c)
{
	const char *device = command_env(c, "WHISPER__INFERENCE_DEVICE");
	return device && strcmp(device, "cpu") == 0;
}

static const LinePattern lines[] = {
    {"address already in use", NULL, "port"},
    {"Performing inference on CPU when CUDA is available", NULL, "cpu"},
    {"FP16 is not supported on CPU; using FP32 instead", NULL, "cpu"},
    {"Library libcublas.so", "is not found or cannot be loaded", "library"},
    {"Unable to open file 'model.bin'", NULL, "model"},
    {.part = NULL},
};

const ServerKind kind_openai_stt = {
    .name = "openai-stt",
    .role = ROLE_STT,
    .protocol = PROTOCOL_OPENAI_STT,
    .speaks_http = true,
    .settings = settings,
    .host_flags = {"--host"},
    .port_flags = {"--port"},
    .default_port = 8000,
    .health_path = "/health",
    .lines = lines,
    .recognise = recognise,
    .model = model,
    .on_cpu = on_cpu,
};
