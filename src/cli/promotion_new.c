/* A promotion by hand: no evidence but a person's word, and that is what it says. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/decide.h"
#include "record/promotion.h"
#include "rollout/grammar.h"

/* The value of the space that production's text stands for; a text that is none of the space's
 * values is kept as it is. */
static json_t *value_of_text(const Space *space, int dim, const char *text)
{
	for (uint32_t i = 0; i < space_levels(space, (size_t)dim); i++) {
		json_t *v = space_value(space, (size_t)dim, i);
		_cleanup_free_ char *level = v ? baseline_value_text(v) : NULL;
		if (level && baseline_value_same(level, text))
			return v;
		json_decref(v);
	}
	char *end;
	double number = strtod(text, &end);
	return *text && !*end ? json_real(number) : js_text(text);
}

/* What production runs, as the space has it: by the baseline where it is adopted, by the
 * configuration elsewhere. */
static json_t *params_now(const Experiment *x, const Baseline *b)
{
	json_t *params = x->baseline ? js_deep_copy(x->baseline) : json_object();
	const char *name;
	json_t *text;
	bool failed = !params;
	json_object_foreach (b->params, name, text) {
		int dim = space_dim(x->space, name);
		if (dim >= 0)
			js_set(params, name, value_of_text(x->space, dim, json_string_value(text)),
			       &failed);
	}
	if (failed) {
		json_decref(params);
		return NULL;
	}
	return params;
}

static json_t *side(json_t *params, bool *failed)
{
	char hash[CONFIG_HASH_SIZE] = "";
	json_t *o = json_object();
	config_hash(params, hash);
	js_set(o, "params", json_incref(params), failed);
	js_set(o, "config_hash", js_text(hash), failed);
	return o;
}

static json_t *target_json(const Adoption *a, const AdoptedTarget *t, bool *failed)
{
	json_t *o = json_object();
	bool in_file = t->kind == TARGET_KEY || t->kind == TARGET_CONFIG;
	js_set(o, "unit", js_text(a->unit), failed);
	js_set(o,
	       t->kind == TARGET_FLAG ? "flag"
	       : in_file	      ? "key"
				      : "env",
	       js_text(t->name), failed);
	if (in_file && t->path)
		js_set(o, "file", js_text(t->path), failed);
	return o;
}

static json_t *targets_of(const Decider *d, const char *parameter, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->n_units; i++)
		for (size_t k = 0; k < d->units[i].n; k++)
			if (strcmp(d->units[i].targets[k].parameter, parameter) == 0)
				*failed |=
				    json_array_append_new(list, target_json(&d->units[i],
									    &d->units[i].targets[k],
									    failed)) < 0;
	return list;
}

static bool same_value(const json_t *a, const json_t *b)
{
	_cleanup_free_ char *x = baseline_value_text(a), *y = baseline_value_text(b);
	return x && y && baseline_value_same(x, y);
}

static json_t *changes_of(const Decider *d, const json_t *now, json_t *then, bool *failed)
{
	json_t *list = json_array(), *to;
	const char *name;
	json_object_foreach (then, name, to) {
		json_t *from = json_object_get(now, name);
		if (same_value(from, to))
			continue;
		json_t *o = json_object();
		js_set(o, "parameter", js_text(name), failed);
		js_set(o, "from", from ? json_incref(from) : json_null(), failed);
		js_set(o, "to", json_incref(to), failed);
		js_set(o, "targets", targets_of(d, name, failed), failed);
		*failed |= json_array_append_new(list, o) < 0;
	}
	return list;
}

static json_t *lineage(const Decider *d, bool *failed, Err *err)
{
	int64_t seq = 0;
	Hash head = {0};
	char hex[HASH_HEX_SIZE];
	if (store_head(d->store, &seq, &head, err) < 0) {
		*failed = true;
		return NULL;
	}
	hash_hex(&head, hex);
	json_t *o = json_object();
	js_set(o, "seq", json_integer(seq), failed);
	js_set(o, "hash", js_text(hex), failed);
	return o;
}

static json_t *body_of(const Decider *d, const Experiment *x, json_t *now, json_t *then,
		       const char *reason, Err *err)
{
	bool failed = false;
	char at[32];
	Approver who;
	decider_who(NULL, &who);
	time_rfc3339(clock_now_us(&clock_system), at);
	json_t *o = json_object(), *by = json_object();
	js_set(by, "uid", json_integer(who.uid), &failed);
	js_set(by, "name", js_text(who.name), &failed);
	js_set(o, "schema", js_text(PROMOTION_SCHEMA), &failed);
	js_set(o, "state", js_text("proposed"), &failed);
	js_set(o, "created_at", js_text(at), &failed);
	js_set(o, "experiment", js_text(x->name), &failed);
	js_set(o, "by", by, &failed);
	if (reason)
		js_set(o, "reason", js_text(reason), &failed);
	js_set(o, "winner", side(then, &failed), &failed);
	js_set(o, "baseline", side(now, &failed), &failed);
	js_set(o, "changes", changes_of(d, now, then, &failed), &failed);
	js_set(o, "stages_passed", json_array(), &failed);
	js_set(o, "lineage", lineage(d, &failed, err), &failed);
	js_set(o, "configuration_sha256", js_text(d->plan->sha256), &failed);
	if (failed || promotion_add_id(o) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int promotion_by_hand(const Decider *d, const Experiment *x, const Baseline *b, int argc,
		      char **argv, const char *reason, json_t **ret)
{
	json_auto_t *given = NULL, *then = NULL, *body = NULL;
	json_auto_t *now = params_now(x, b);
	Err err = ERR_INIT;
	Point p;
	int r = cli_params(argc, argv, &given);
	if (r)
		return r;
	then = now ? js_deep_copy(now) : NULL;
	if (!then || json_object_update(then, given) < 0)
		return cli_oom();
	if (point_from_json(x->space, then, &p, &err) < 0)
		return cli_fail(EXIT_USAGE, &err);
	body = body_of(d, x, now, then, reason, &err);
	if (!body)
		return err.code < 0 ? cli_fail(EXIT_FAILED, &err) : cli_oom();
	if (json_array_size(json_object_get(body, "changes")) == 0)
		return cli_failf(EXIT_USAGE, "production runs with these values already");
	if (promotion_sign(body, d->key, ret, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	/* What others would not take is not proposed: a reason as long as a letter, say. */
	return promotion_grammar(*ret, NULL, &err) < 0 ? cli_fail(EXIT_USAGE, &err) : 0;
}
