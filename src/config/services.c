/* `services:` against the rest of an experiment: kinds and settings that exist, parameters that
 * reach a service, and what the evaluator needs to know to start one. */
#include <ctype.h>
#include <string.h>

#include "config/draft.h"
#include "http/client.h"
#include "server/server.h"

enum {
	SETTINGS_MAX = 16
};

typedef struct KnownKind {
	const char *name;
	const char *settings[SETTINGS_MAX]; /* those that the rest of the program knows */
} KnownKind;

static const KnownKind known_kinds[] = {
    {"vllm",
     {"model", "gpu_memory_utilization", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
      "kv_cache_dtype", "enforce_eager", NULL}},
    {"whisper", {"model_size", "beam_size", "engine", NULL}},
    {"process", {"gpu_memory_bytes", NULL}},
};

static const ConfNode *place(const ConfNode *n, const char *key)
{
	const ConfNode *at = conf_get(n, key);
	return at ? at : n;
}

static const KnownKind *find_known(const char *name)
{
	for (size_t i = 0; i < sizeof(known_kinds) / sizeof(*known_kinds); i++)
		if (strcmp(known_kinds[i].name, name) == 0)
			return &known_kinds[i];
	return NULL;
}

/* --- Settings and parameters ----------------------------------------------------------------- */

/* A server has more flags than we know; only what looks like a misspelt one is worth a word. */
static void check_setting(const KnownKind *k, const ConfNode *at, const char *setting, Diags *d)
{
	for (size_t i = 0; k->settings[i]; i++)
		if (strcmp(k->settings[i], setting) == 0)
			return;
	if (strchr(setting, '-'))
		return; /* no name of a setting at all: reported already */
	const char *near = conf_nearest(setting, k->settings);
	if (near)
		conf_warn(at, d, near, "%s is no setting of %s that is known here", setting,
			  k->name);
}

static void check_twice(const ServiceSpec *s, const ConfNode *map, size_t i, Diags *d)
{
	const char *setting = conf_text(conf_at(map, i));
	for (size_t j = 0; j < i; j++) {
		const char *before = conf_text(conf_at(map, j));
		if (before && strcmp(before, setting) == 0)
			conf_fault(conf_at(map, i), d, "one parameter for each setting",
				   "%s and %s both set %s of %s", conf_key(map, j),
				   conf_key(map, i), setting, s->name);
	}
}

static void check_params(const Experiment *x, const ServiceSpec *s, const KnownKind *k,
			 const ConfNode *map, Diags *d)
{
	for (size_t i = 0; map && conf_kind(map) == CONF_MAP && i < conf_len(map); i++) {
		const char *setting = conf_text(conf_at(map, i));
		check_param(x, conf_key_node(map, i), conf_key(map, i), s->name, d);
		if (setting && k)
			check_setting(k, conf_at(map, i), setting, d);
		if (setting)
			check_twice(s, map, i, d);
	}
}

/* --- How it is started ----------------------------------------------------------------------- */

static bool is_place(const json_t *v)
{
	const char *key;
	json_t *text;
	if (json_object_size(v) != 1)
		return false;
	json_object_foreach ((json_t *)(uintptr_t)v, key, text)
		return json_is_string(text) &&
		       (strcmp(key, "flag") == 0 || strcmp(key, "switch") == 0 ||
			strcmp(key, "env") == 0);
	return false;
}

static bool is_variable(const char *name)
{
	bool first = isalpha((unsigned char)*name) || *name == '_';
	while (isalnum((unsigned char)*name) || *name == '_')
		name++;
	return first && !*name;
}

static bool is_text(const json_t *v)
{
	return json_is_string(v);
}

static bool is_map_of_texts(const json_t *v)
{
	const char *key;
	json_t *text;
	if (!json_is_object(v))
		return false;
	json_object_foreach ((json_t *)(uintptr_t)v, key, text)
		if (!json_is_string(text))
			return false;
	return true;
}

static void check_map(const ConfNode *at, const char *name, const json_t *map,
		      bool (*good)(const json_t *), const char *want, Diags *d)
{
	const char *key;
	json_t *v;
	if (!map || json_is_null(map))
		return;
	if (!json_is_object(map)) {
		conf_fault(place(at, name), d, want, "%s is not a map", name);
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)map, key, v)
		if (good && !good(v))
			conf_fault(place(place(at, name), key), d, want,
				   "%s.%s cannot be understood", name, key);
}

static void check_env_names(const ServiceSpec *s, const ConfNode *at, Diags *d)
{
	const char *name;
	json_t *v;
	json_object_foreach (s->env, name, v)
		if (!is_variable(name))
			conf_fault(place(place(at, "env"), name), d, "a name such as HF_HOME",
				   "'%.60s' is not the name of a variable", name);
}

static void check_maps(const ServiceSpec *s, const ConfNode *at, Diags *d)
{
	check_map(at, "env", s->env, is_text, "{HF_HOME: /srv/models}: names to quoted texts", d);
	check_env_names(s, at, d);
	check_map(at, "places", s->places, is_place,
		  "{setting: {flag: --x}}, {switch: --x} or {env: X}", d);
	check_map(at, "values", s->values, is_map_of_texts, "{setting: {small: /srv/small.bin}}",
		  d);
	check_map(at, "ask", s->ask, NULL, "{ignore_eos: true}", d);
}

static void check_url(const ServiceSpec *s, const ConfNode *at, Diags *d)
{
	HttpTarget target = {0};
	Err err = ERR_INIT;
	if (!s->url)
		return;
	if (httptarget_parse(s->url, &target, &err) < 0)
		conf_fault(place(at, "url"), d, "http://127.0.0.1:8000", "%s", err.msg);
	else
		httptarget_done(&target);
}

static void check_start(const Experiment *x, const ServiceSpec *s, const ConfNode *at, Diags *d)
{
	bool observes = x->evaluator.allocation.as == AS_OBSERVE;
	Protocol p;
	if (observes && !s->url)
		conf_fault(at, d, "url: http://127.0.0.1:8000",
			   "%s is measured as it runs, and has no url", s->name);
	if (!observes && !s->from_unit && s->command.n == 0)
		conf_fault(at, d, "from_unit: NAME.service, or command: [PROGRAM, ...]",
			   "nothing says how %s is started", s->name);
	if (s->from_unit && s->command.n > 0)
		conf_fault(place(at, "command"), d, "one of the two",
			   "%s has a from_unit and a command", s->name);
	if (s->command.n > 0 && !*s->command.items[0])
		conf_fault(place(at, "command"), d, "command: [PROGRAM, ...]",
			   "the command of %s has no program", s->name);
	if (s->from_unit && strpbrk(s->from_unit, "/ "))
		conf_fault(place(at, "from_unit"), d, "NAME.service",
			   "'%.60s' is not the name of a unit", s->from_unit);
	check_url(s, at, d);
	if (s->protocol && !protocol_from_name(s->protocol, &p))
		conf_fault(place(at, "protocol"), d, "see dream bench --help",
			   "there is no protocol called '%.40s'", s->protocol);
}

/* --- All of it ------------------------------------------------------------------------------- */

static bool is_simulated(const char *kind)
{
	return find_known(kind) != NULL;
}

static void check_kind(const Experiment *x, const ServiceSpec *s, const ConfNode *at, Diags *d)
{
	const char *evaluator = evaluator_spec_kind(&x->evaluator);
	bool real = evaluator && strcmp(evaluator, "gpu_allocation") == 0;
	bool twin = evaluator && strcmp(evaluator, "twin") == 0;
	_cleanup_(str_done) Str names = STR_INIT;
	for (size_t i = 0; server_kind_names()[i]; i++)
		str_addf(&names, "%s%s", i ? ", " : "", server_kind_names()[i]);
	if (real && !server_kind(s->kind))
		conf_fault(place(at, "kind"), d, names.s, "there is no kind of server '%.60s'",
			   s->kind);
	else if (twin && !is_simulated(s->kind))
		conf_fault(place(at, "kind"), d, "vllm, whisper, process",
			   "the simulated box has no kind of service '%.60s'", s->kind);
	else if (!real && !twin && !server_kind(s->kind) && !is_simulated(s->kind))
		conf_fault(place(at, "kind"), d, "vllm, whisper, process",
			   "there is no kind of service '%.60s'", s->kind);
	if (real)
		check_start(x, s, at, d);
}

static void check_service(const Experiment *x, const ServiceSpec *s, const ConfNode *at, Diags *d)
{
	const KnownKind *k = s->kind ? find_known(s->kind) : NULL;
	const ConfNode *settings = conf_get(at, "settings");

	if (s->kind)
		check_kind(x, s, at, d);
	for (size_t i = 0;
	     k && settings && conf_kind(settings) == CONF_MAP && i < conf_len(settings); i++)
		check_setting(k, conf_key_node(settings, i), conf_key(settings, i), d);
	check_params(x, s, k, conf_get(at, "params"), d);
	check_maps(s, at, d);
}

static bool reaches_any(const ConfList *services, const char *param)
{
	const ServiceSpec *s = services->items;

	for (size_t i = 0; i < services->n; i++)
		if (json_object_get(s[i].params, param))
			return true;
	return false;
}

void check_services(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(at, "services");
	const ServiceSpec *s = x->services.items;
	size_t errors = d->errors;

	for (size_t i = 0; i < x->services.n; i++)
		if (s[i].name && conf_get(map, s[i].name))
			check_service(x, &s[i], conf_get(map, s[i].name), d);
	/* Beside a misspelt name this would only say the same again. */
	if (x->services.n == 0 || !x->space || d->errors > errors)
		return;
	for (size_t i = 0; i < space_dims(x->space); i++)
		if (!reaches_any(&x->services, space_name(x->space, i)))
			conf_warn(map, d, "an entry under a service's params",
				  "the parameter %s reaches no service", space_name(x->space, i));
}
