/* A service and the settings that a candidate gives it. */
#include "space/service.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static bool is_setting_name(const char *s)
{
	if (!isalpha((unsigned char)*s))
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	return true;
}

static void fault_name(const ConfNode *at, const char *name, Diags *d)
{
	_cleanup_free_ char *better = strdup(name);
	for (char *p = better; p && *p; p++)
		*p = *p == '-' ? '_' : *p;
	const char *meant = better;
	while (meant && *meant == '_')
		meant++;
	conf_fault(at, d,
		   meant && is_setting_name(meant) ? meant : "letters, digits and underscores",
		   "%s is not the name of a setting", name);
}

static void check_settings(const ConfNode *map, Diags *d)
{
	if (map && conf_kind(map) != CONF_MAP && !conf_is_null(map))
		conf_fault(map, d, "a map from setting to value", "settings is not a map");
	for (size_t i = 0; map && i < conf_len(map) && conf_kind(map) == CONF_MAP; i++)
		if (!is_setting_name(conf_key(map, i)))
			fault_name(conf_key_node(map, i), conf_key(map, i), d);
}

static void check_params(const ConfNode *map, Diags *d)
{
	if (map && conf_kind(map) != CONF_MAP && !conf_is_null(map))
		conf_fault(map, d, "a map from parameter to setting", "params is not a map");
	for (size_t i = 0; map && i < conf_len(map) && conf_kind(map) == CONF_MAP; i++) {
		const char *setting = conf_text(conf_at(map, i));
		if (!setting)
			conf_fault(conf_at(map, i), d, "the name of a setting",
				   "the parameter %s is not given to a setting", conf_key(map, i));
		else if (!is_setting_name(setting))
			fault_name(conf_at(map, i), setting, d);
	}
}

static void check_service(const ConfNode *n, void *target, Diags *d)
{
	(void)target;
	check_settings(conf_get(n, "settings"), d);
	check_params(conf_get(n, "params"), d);
}

#define LIMIT(key, member, kind, high, text)                                                    \
	{                                                                                       \
		.name = key, .type = kind, .offset = offsetof(ServiceLimits, member), .min = 0, \
		.max = high, .help = text                                                       \
	}
static const ConfField limits_fields[] = {
    LIMIT("cpus", cpus, CONF_T_NUMBER, 4096, "how many cores' time"),
    LIMIT("memory", memory_bytes, CONF_T_BYTES, 1e14, "how much of the host's memory"),
    LIMIT("tasks", tasks, CONF_T_INT, 1e7, "how many processes and threads"),
    LIMIT("runtime", runtime_us, CONF_T_DURATION, 2592000, "how long"),
    LIMIT("mps_threads_pct", mps_threads_pct, CONF_T_INT, 100,
	  "the share of the GPU's threads, where MPS runs"),
    LIMIT("mps_memory", mps_memory_bytes, CONF_T_BYTES, 1e13,
	  "how much of the GPU's memory, where MPS runs"),
    {.name = NULL},
};
#undef LIMIT

static const ConfTable limits_table = {
    .name = "limits",
    .help = "What a trial's service may use",
    .size = sizeof(ServiceLimits),
    .fields = limits_fields,
};

#define TEXT(key, member, text)                                                              \
	{                                                                                    \
		.name = key, .type = CONF_T_STRING, .offset = offsetof(ServiceSpec, member), \
		.help = text                                                                 \
	}
#define OBJECT(key, member, text)                                                          \
	{                                                                                  \
		.name = key, .type = CONF_T_JSON, .offset = offsetof(ServiceSpec, member), \
		.help = text                                                               \
	}
static const ConfField service_fields[] = {
    {.name = "name",
     .type = CONF_T_STRING,
     .offset = offsetof(ServiceSpec, name),
     .help = "what the service is called here",
     .required = true},
    {.name = "kind",
     .type = CONF_T_STRING,
     .offset = offsetof(ServiceSpec, kind),
     .help = "what kind of server it is: vllm, llamacpp, ollama, whispercpp, openai-stt, command; "
	     "on the "
	     "simulated box vllm, whisper, process",
     .required = true},
    {.name = "unit",
     .type = CONF_T_STRING,
     .offset = offsetof(ServiceSpec, unit),
     .help = "the systemd unit that runs it in production"},
    {.name = "version",
     .type = CONF_T_STRING,
     .offset = offsetof(ServiceSpec, version),
     .help = "the server's version, for facts that depend on it"},
    {.name = "settings",
     .type = CONF_T_JSON,
     .offset = offsetof(ServiceSpec, settings),
     .help = "its fixed settings, by the server's own flag names with underscores"},
    {.name = "params",
     .type = CONF_T_JSON,
     .offset = offsetof(ServiceSpec, params),
     .help = "which parameter of the search space sets which setting"},
    TEXT("from_unit", from_unit,
	 "a systemd unit whose command a trial runs, with the tuned settings and the port changed"),
    {.name = "command",
     .type = CONF_T_STRINGS,
     .offset = offsetof(ServiceSpec, command),
     .help = "the command by hand, where there is no unit: a program and its arguments"},
    OBJECT("env", env,
	   "environment variables that are added, a map of names to texts; never recorded"),
    TEXT("cwd", cwd, "the folder that it runs in"),
    OBJECT("places", places,
	   "setting to {flag: --x}, {switch: --x} or {env: X}, where its kind does not know"),
    OBJECT("values", values, "setting to a map from value to the text that is given instead"),
    {.name = "ready_timeout",
     .type = CONF_T_DURATION,
     .offset = offsetof(ServiceSpec, ready_timeout_us),
     .help = "how long its start may take",
     .otherwise = "10 min",
     .min = 0.1,
     .max = 86400},
    {.name = "stop_timeout",
     .type = CONF_T_DURATION,
     .offset = offsetof(ServiceSpec, stop_timeout_us),
     .help = "how long it may take to stop before it is killed",
     .otherwise = "10 s",
     .min = 0,
     .max = 3600},
    {.name = "gpu_bytes",
     .type = CONF_T_BYTES,
     .offset = offsetof(ServiceSpec, gpu_bytes),
     .help = "what it must hold of the GPU when it is ready, at least; absent: any",
     .min = 0,
     .max = 1e13},
    {.name = "cpu",
     .type = CONF_T_BOOL,
     .offset = offsetof(ServiceSpec, cpu),
     .help = "true when it is meant to run on the CPU: then it need not be seen on the GPU"},
    {.name = "probe",
     .type = CONF_T_STRINGS,
     .offset = offsetof(ServiceSpec, probe),
     .help = "kind command: a program that ends with status 0 when the service is ready"},
    TEXT("ready_text", ready_text, "kind command: a text that its output has when it is ready"),
    {.name = "limits",
     .type = CONF_T_OBJECT,
     .offset = offsetof(ServiceSpec, limits),
     .help = "what it may use during a trial",
     .table = &limits_table},
    TEXT("url", url, "where production listens, such as http://127.0.0.1:8000"),
    TEXT("protocol", protocol,
	 "how it is asked, as dream bench --protocol calls it; absent: as its kind is"),
    TEXT("model", model, "what requests name as the model; absent: what the command says"),
    TEXT("token_file", token_file, "a file with the bearer token of its requests"),
    OBJECT("ask", ask, "members that are added to every LLM request"),
    {.name = NULL},
};

const ConfTable service_table = {
    .name = "service",
    .help = "A model service of the box and how the parameters reach it",
    .size = sizeof(ServiceSpec),
    .fields = service_fields,
    .check = check_service,
};

bool service_is_tuned(const ServiceSpec *s)
{
	return json_object_size(s->params) > 0;
}

char *service_value_text(const ServiceSpec *s, const char *setting, const json_t *value)
{
	_cleanup_(str_done) Str b = STR_INIT;
	char *text = NULL;
	if (json_is_string(value))
		str_add(&b, json_string_value(value));
	else
		js_canonical(value, &b);
	if (str_take(&b, &text) < 0)
		return NULL;
	const char *other = js_str(json_object_get(s->values, setting), text, NULL);
	if (!other)
		return text;
	free(text);
	return strdup(other);
}

json_t *service_settings(const ServiceSpec *s, const json_t *params)
{
	json_t *ret = json_is_object(s->settings) ? js_deep_copy(s->settings) : json_object();
	bool failed = !ret;
	const char *param;
	json_t *setting;
	json_object_foreach (s->params, param, setting) {
		const json_t *value = json_object_get(params, param);
		/* Absent: the parameter does not apply to this candidate; a fixed setting stays. */
		if (value && json_is_string(setting))
			js_set(ret, json_string_value(setting), js_deep_copy(value), &failed);
	}
	if (failed) {
		json_decref(ret);
		return NULL;
	}
	return ret;
}
