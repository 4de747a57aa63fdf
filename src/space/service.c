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

static const ConfField service_fields[] = {
    {.name = "name",
     .type = CONF_T_STRING,
     .offset = offsetof(ServiceSpec, name),
     .help = "what the service is called here",
     .required = true},
    {.name = "kind",
     .type = CONF_T_STRING,
     .offset = offsetof(ServiceSpec, kind),
     .help = "what kind of server it is: vllm, whisper, process",
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
