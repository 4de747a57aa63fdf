/* A trial for people and programs: the same members everywhere. */
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

void param_value_text(const json_t *v, Str *out)
{
	if (json_is_string(v))
		str_add(out, json_string_value(v));
	else
		js_canonical(v, out);
}

void params_text(json_t *params, Str *out)
{
	const char *key;
	json_t *v;
	bool first = true;
	json_object_foreach (params, key, v) {
		str_addf(out, "%s%s=", first ? "" : " ", key);
		param_value_text(v, out);
		first = false;
	}
}

void change_text(json_t *mutations, Str *out)
{
	const char *key;
	json_t *pair;
	bool first = true;
	json_object_foreach (mutations, key, pair) {
		str_addf(out, "%s%s ", first ? "" : ", ", key);
		param_value_text(json_array_get(pair, 0), out);
		str_add(out, " -> ");
		param_value_text(json_array_get(pair, 1), out);
		first = false;
	}
}

void origin_text(const StoreTrial *t, Str *out)
{
	const char *purpose = t->purpose ? t->purpose : "";
	if (strcmp(purpose, "search") == 0)
		str_add(out, t->origin ? t->origin : "-");
	else if (t->origin && *t->origin && strcmp(t->origin, purpose) != 0)
		str_addf(out, "%s: %s", purpose, t->origin);
	else
		str_add(out, purpose);
}

const Experiment *find_experiment(const Plan *plan, const char *name)
{
	return plan && name ? config_experiment(plan, name) : NULL;
}
