/* Ollama: one server for many models. It is configured by its environment, and a model by the
 * options of the request that loads it; the model of a trial is loaded and pinned before anything
 * is measured. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "http/client.h"
#include "server/kind.h"

static const SettingPlace settings[] = {
    {.name = "num_parallel", .env = "OLLAMA_NUM_PARALLEL"},
    {.name = "max_loaded_models", .env = "OLLAMA_MAX_LOADED_MODELS"},
    {.name = "max_queue", .env = "OLLAMA_MAX_QUEUE"},
    {.name = "gpu_overhead", .env = "OLLAMA_GPU_OVERHEAD"},
    {.name = "flash_attention", .env = "OLLAMA_FLASH_ATTENTION"},
    {.name = "kv_cache_type", .env = "OLLAMA_KV_CACHE_TYPE"},
    {.name = "sched_spread", .env = "OLLAMA_SCHED_SPREAD"},
    {.name = "context_length", .env = "OLLAMA_CONTEXT_LENGTH"},
    {.name = "models", .env = "OLLAMA_MODELS"},
    {.name = "model", .by_request = true},
    {.name = "num_ctx", .by_request = true},
    {.name = "num_gpu", .by_request = true},
    {.name = "num_batch", .by_request = true},
    {.name = "num_thread", .by_request = true},
    {.name = NULL},
};

static bool recognise(char *const *argv)
{
	for (size_t i = 0; argv[i]; i++)
		if (strcmp(path_base(argv[i]), "ollama") == 0 && argv[i + 1] &&
		    strcmp(argv[i + 1], "serve") == 0)
			return true;
	return runs_image(argv, "ollama");
}

static int set_listen(ServerCommand *c, const char *host, uint16_t port, Err *err)
{
	_cleanup_free_ char *text = str_fmt("%s:%u", host, (unsigned)port);
	if (!text || command_set_env(c, "OLLAMA_HOST", text) < 0)
		return err_oom(err);
	return 0;
}

/* "127.0.0.1:11434", "0.0.0.0", ":8080", "[::1]:8080", "::1", "http://host:port". With a scheme and
 * without a port it takes the scheme's own. */
static bool listens(const ServerCommand *c, uint16_t *ret_port)
{
	const char *host = command_env(c, "OLLAMA_HOST");
	const char *scheme = host ? strstr(host, "://") : NULL;
	if (!host)
		return false;
	const char *server = scheme ? scheme + 3 : host;
	size_t n = strcspn(server, "/");
	const char *bracket = memchr(server, ']', n), *from = bracket ? bracket : server;
	const char *colon = memchr(from, ':', n - (size_t)(from - server));
	/* Colons without brackets are the address. */
	bool bare_v6 = !bracket && colon && memrchr(server, ':', n) != colon;
	long port = colon && !bare_v6 ? strtol(colon + 1, NULL, 10) : 0;
	if (port <= 0 || port > 65535)
		port = !scheme				? kind_ollama.default_port
		       : strncmp(host, "https", 5) == 0 ? 443
							: 80;
	*ret_port = (uint16_t)port;
	return true;
}

/* An empty prompt loads the model, and keep_alive -1 keeps it. */
static bool load_request(const ServerCommand *c, const json_t *set, char **ret_path,
			 char **ret_body)
{
	static const char *const options[] = {"num_ctx", "num_gpu", "num_batch", "num_thread"};
	bool failed = false;
	const char *model = js_str(set, "model", NULL);
	(void)c;
	if (!model)
		return false;
	json_auto_t *o = json_object();
	json_t *opts = json_object();
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		json_t *v = json_object_get(set, options[i]);
		if (v)
			js_set(opts, options[i], json_incref(v), &failed);
	}
	js_set(o, "model", js_text(model), &failed);
	js_set(o, "keep_alive", json_integer(-1), &failed);
	js_set(o, "stream", json_false(), &failed);
	js_set(o, "options", opts, &failed);
	*ret_path = strdup("/api/generate");
	*ret_body = failed ? NULL : json_dumps(o, JSON_COMPACT);
	if (*ret_path && *ret_body)
		return true;
	free(*ret_path);
	free(*ret_body);
	return false;
}

/* -ENODATA: it is no amount of memory, or more than there can be. */
static int add_bytes(int64_t *sum, const json_t *model, const char *key)
{
	int64_t bytes = js_int(model, key, 0);
	if (bytes < 0 || bytes > INT64_MAX - *sum)
		return -ENODATA;
	*sum += bytes;
	return 0;
}

/* Of the models that are loaded: a part that is not on the GPU is slow without a word. */
static int account(const char *body, size_t len, int64_t *ret_gpu, int64_t *ret_all)
{
	json_t *v = NULL, *model;
	size_t i;
	int64_t gpu = 0, all = 0;
	if (js_parse(body, len, 1 << 20, &v, NULL) < 0)
		return -ENODATA;
	json_array_foreach (json_object_get(v, "models"), i, model) {
		if (add_bytes(&gpu, model, "size_vram") < 0 || add_bytes(&all, model, "size") < 0)
			break;
	}
	bool whole = i == json_array_size(json_object_get(v, "models"));
	json_decref(v);
	if (!whole || all <= 0 || gpu > all)
		return -ENODATA;
	*ret_gpu = gpu;
	*ret_all = all;
	return 0;
}

static const LinePattern lines[] = {
    {"address already in use", NULL, "port"},
    {"error loading model", NULL, "model"},
    {"timed out waiting for llama runner to start", NULL, "timeout"},
    {"llama runner process has terminated", NULL, ""},
    {"insufficient VRAM to load any model layers", NULL, "cpu"},
    {"inference compute", "library=cpu", "cpu"},
    {"no compatible GPUs were discovered", NULL, "cpu"},
    {"offloaded 0/", "layers to GPU", "cpu"},
    {.part = NULL},
};

const ServerKind kind_ollama = {
    .name = "ollama",
    .role = ROLE_LLM,
    .protocol = PROTOCOL_OLLAMA_GENERATE,
    .speaks_http = true,
    .settings = settings,
    .default_port = 11434,
    .health_path = "/api/version",
    .account_path = "/api/ps",
    .lines = lines,
    .recognise = recognise,
    .set_listen = set_listen,
    .listen = listens,
    .load_request = load_request,
    .account = account,
};
