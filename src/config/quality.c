#include "config/quality.h"

#include <string.h>

static const char quality_metric[] = "llm_quality_pct";

static bool is_language_model(const char *kind)
{
	static const char *const kinds[] = {"vllm", "llamacpp", "ollama"};
	for (size_t i = 0; kind && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

/* By the servers' own names. */
static bool changes_answers(const char *setting)
{
	static const char *const settings[] = {
	    "model",	    "quantization", "dtype",	     "kv_cache_dtype",
	    "cache_type_k", "cache_type_v", "kv_cache_type", "rope_scaling",
	    "hf_file",	    "hf_repo",	    "lora",
	};
	for (size_t i = 0; setting && i < sizeof(settings) / sizeof(*settings); i++)
		if (strcmp(settings[i], setting) == 0)
			return true;
	return false;
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
		if (is_language_model(s[i].kind) &&
		    changes_answers(json_string_value(json_object_get(s[i].params, param))))
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
