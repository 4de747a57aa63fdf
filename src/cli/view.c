/* A trial for people and programs: the same members everywhere. */
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static json_t *whole(int64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *parents_json(const StoreTrial *t)
{
	bool failed = false;
	json_t *list = json_array();
	for (size_t i = 0; i < 2; i++)
		if (list && t->parents[i] > 0)
			failed |= json_array_append_new(list, whole(t->parents[i])) < 0;
	if (failed) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *or_null(json_t *v)
{
	return v ? json_incref(v) : json_null();
}

json_t *trial_json(const StoreTrial *t)
{
	char at[32];
	bool failed = false;
	json_auto_t *o = json_object();
	time_rfc3339(t->at_us, at);
	js_set(o, "schema", json_string("dream.trial/v1"), &failed);
	js_set(o, "seq", whole(t->seq), &failed);
	js_set(o, "at", json_string(at), &failed);
	js_set(o, "experiment", js_text(t->experiment), &failed);
	js_set(o, "purpose", js_text(t->purpose), &failed);
	js_set(o, "epoch", whole(t->epoch), &failed);
	js_set(o, "evolution", whole(t->evolution), &failed);
	js_set(o, "ask", whole(t->ask), &failed);
	js_set(o, "generation", whole(t->generation), &failed);
	js_set(o, "origin", js_text(t->origin), &failed);
	js_set(o, "spica_id", js_text(t->spica_id), &failed);
	js_set(o, "config_hash", json_string(t->config_hash), &failed);
	js_set(o, "params", or_null(t->params), &failed);
	js_set(o, "parents", parents_json(t), &failed);
	js_set(o, "mutations", or_null(t->mutations), &failed);
	js_set(o, "stage", json_string(stage_name(t->stage)), &failed);
	js_set(o, "evaluator", js_text(t->evaluator), &failed);
	js_set(o, "workload", js_text(t->workload), &failed);
	js_set(o, "all_services", json_boolean(t->all_services), &failed);
	js_set(o, "confirm", or_null(t->confirm), &failed);
	js_set(o, "fitness", js_number(t->fitness), &failed);
	js_set(o, "fitness_se", js_number(t->fitness_se), &failed);
	js_set(o, "feasible", json_boolean(t->feasible), &failed);
	js_set(o, "measurement", measurement_json(&t->m), &failed);
	return !o || failed ? NULL : TAKE_PTR(o);
}

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
