#include "config/quality.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "loadgen/traffic.h"

static const char quality_metric[] = "llm_quality_pct";

static bool is_spoken(Protocol p)
{
	return p == PROTOCOL_OPENAI_COMPLETIONS || p == PROTOCOL_OPENAI_CHAT ||
	       p == PROTOCOL_OLLAMA_CHAT || p == PROTOCOL_OLLAMA_GENERATE;
}

/* "--kv-cache-dtype", "KV_CACHE_DTYPE" and "kv_cache_dtype" are one; so is "OLLAMA_KV_CACHE_TYPE",
 * the variable of a server. */
static bool same_name(const char *name, const char *setting)
{
	static const char *const servers[] = {"ollama_", "llama_arg_", "vllm_"};
	name += strspn(name, "-");
	for (size_t i = 0; i < sizeof(servers) / sizeof(*servers); i++)
		if (strncasecmp(name, servers[i], strlen(servers[i])) == 0)
			name += strlen(servers[i]);
	size_t n = strlen(setting);
	for (size_t i = 0; i < n; i++)
		if ((name[i] == '-' ? '_' : tolower((unsigned char)name[i])) != setting[i])
			return false;
	return name[n] == '\0';
}

/* Or may be one: what a service of kind `command` does, only its protocol tells. */
static bool is_language_model(const ServiceSpec *s)
{
	static const char *const kinds[] = {"vllm", "llamacpp", "ollama"};
	Protocol p;
	for (size_t i = 0; s->kind && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i], s->kind) == 0)
			return true;
	return s->protocol && protocol_from_name(s->protocol, &p) && is_spoken(p);
}

/* A flag, a variable or a setting, by the servers' own names. */
static bool changes_answers(const char *name)
{
	static const char *const settings[] = {
	    "model",
	    "quantization",
	    "q",
	    "dtype",
	    "kv_cache_dtype",
	    "cache_type_k",
	    "cache_type_v",
	    "kv_cache_type",
	    "ctk",
	    "ctv",
	    "m",
	    "hf_file",
	    "hf_repo",
	    "hf_overrides",
	    "load_format",
	    "lora",
	    "lora_modules",
	    "rope_scaling",
	    "rope_scale",
	    "rope_freq_base",
	    "rope_theta",
	};
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (same_name(name, settings[i]))
			return true;
	return false;
}

/* The setting by its name, or by where `places` puts it, which may be another one's flag. */
static bool setting_changes_answers(const ServiceSpec *s, const char *setting)
{
	const char *where;
	json_t *name;
	if (!setting)
		return false;
	json_object_foreach (json_object_get(s->places, setting), where, name)
		if (json_is_string(name) && changes_answers(json_string_value(name)))
			return true;
	return changes_answers(setting);
}

static bool is_guarded(const Goals *g)
{
	const Objective *o = g->objectives.items;
	const Constraint *c = g->constraints.items;
	for (size_t i = 0; i < g->objectives.n; i++)
		if (strcmp(o[i].name, quality_metric) == 0)
			return true;
	for (size_t i = 0; i < g->constraints.n; i++)
		if (strcmp(c[i].name, quality_metric) == 0)
			return true;
	return false;
}

static bool param_changes_answers(const Experiment *x, const char *param)
{
	const ServiceSpec *s = x->services.items;
	for (size_t i = 0; i < x->services.n; i++)
		if (is_language_model(&s[i]) &&
		    setting_changes_answers(&s[i],
					    json_string_value(json_object_get(s[i].params, param))))
			return true;
	return false;
}

const char *quality_unguarded_param(const Experiment *x)
{
	for (size_t d = 0; x->space && !is_guarded(&x->goals) && d < space_dims(x->space); d++)
		if (param_changes_answers(x, space_name(x->space, d)))
			return space_name(x->space, d);
	return NULL;
}

const char *quality_unguarded(const Experiment *x, const Point *from, const Point *to)
{
	for (size_t d = 0; !is_guarded(&x->goals) && d < space_dims(x->space); d++)
		if (from->level[d] != to->level[d] &&
		    param_changes_answers(x, space_name(x->space, d)))
			return space_name(x->space, d);
	return NULL;
}
