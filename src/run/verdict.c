/* What came of an evolution: the winner and its promotion, or the sentence that says what was
 * missing. */
#include "run/internal.h"

#include <string.h>

#include "base/json.h"
#include "record/promotion.h"

#define VERDICT_SCHEMA "dream.verdict/v1"

/* --- Pieces ---------------------------------------------------------------------------------- */

static json_t *interval_json(const Interval *i)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "mean", js_number(i->mean), &failed);
	js_set(o, "lo", js_number(i->lo), &failed);
	js_set(o, "hi", js_number(i->hi), &failed);
	js_set(o, "n", json_integer((json_int_t)i->n), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* The objectives, and the constraints beside them: a winner keeps those too. */
static json_t *metrics_json(const Turn *t, const WinnerReport *report, bool of_candidate,
			    bool *failed)
{
	json_t *o = json_object();
	for (size_t i = 0; i < report->n_changes; i++) {
		const ObjectiveChange *c = &report->changes[i];
		js_set(o, c->objective->name,
		       interval_json(of_candidate ? &c->candidate : &c->baseline), failed);
	}
	const Constraint *constraints = t->x->goals.constraints.items;
	for (size_t i = 0; i < t->x->goals.constraints.n; i++) {
		Interval v;
		if (json_object_get(o, constraints[i].name))
			continue;
		*failed |= compare_metric(t->compare, of_candidate, constraints[i].name, &v) < 0;
		if (!*failed && v.n > 0)
			js_set(o, constraints[i].name, interval_json(&v), failed);
	}
	return o;
}

static json_t *side_json(const Turn *t, const Point *p, const WinnerReport *report,
			 bool of_candidate, bool *failed)
{
	json_t *o = json_object();
	json_t *params = point_json(t->x->space, p);
	char hash[CONFIG_HASH_SIZE] = "";
	if (params)
		config_hash(params, hash);
	js_set(o, "params", params, failed);
	js_set(o, "config_hash", js_text(hash), failed);
	js_set(o, "metrics", metrics_json(t, report, of_candidate, failed), failed);
	js_set(o, "fitness",
	       interval_json(of_candidate ? &report->fitness_candidate : &report->fitness_baseline),
	       failed);
	return o;
}

static json_t *differences_json(const WinnerReport *report, bool *failed)
{
	json_t *o = json_object();
	for (size_t i = 0; i < report->n_changes; i++)
		js_set(o, report->changes[i].objective->name,
		       interval_json(&report->changes[i].diff), failed);
	return o;
}

/* --- One entry a changed parameter ----------------------------------------------------------- */

static void set_text(json_t *o, const char *key, const char *text, bool *failed)
{
	if (text)
		js_set(o, key, js_text(text), failed);
}

static json_t *targets_json(const Experiment *x, const char *parameter, bool *failed)
{
	json_t *list = json_array();
	const ApplyConfig *apply = x->apply.items;
	for (size_t i = 0; i < x->apply.n; i++) {
		const ApplyTarget *targets = apply[i].targets.items;
		for (size_t k = 0; k < apply[i].targets.n && strcmp(apply[i].name, parameter) == 0;
		     k++) {
			json_t *o = json_object();
			set_text(o, "unit", targets[k].unit, failed);
			set_text(o, "flag", targets[k].flag, failed);
			set_text(o, "env", targets[k].env, failed);
			set_text(o, "file", targets[k].file, failed);
			set_text(o, "key", targets[k].key, failed);
			*failed |= !list || json_array_append_new(list, o) < 0;
		}
	}
	return list;
}

static const char *why_not_alone(CompareAlone alone)
{
	switch (alone) {
	case ALONE_OFF:
		return "not measured: the configuration says `ablation: false`";
	case ALONE_NOT_ALLOWED:
		return "not measured: the search space does not allow this change without the "
		       "others";
	case ALONE_NOTHING:
		return "not measured: without the other changes this parameter is not in use";
	case ALONE_MEASURED:
		break;
	}
	return "";
}

/* What one parameter does alone, with its interval; why not, when that was not measured. */
static int effect_json(const Turn *t, size_t dim, json_t **ret)
{
	bool failed = false;
	size_t arm = 0;
	CompareAlone how = compare_alone(t->compare, dim, &arm);
	json_auto_t *o = json_object();
	if (how != ALONE_MEASURED) {
		js_set(o, "verdict", js_text("not_measured"), &failed);
		js_set(o, "reason", js_text(why_not_alone(how)), &failed);
	} else {
		WinnerReport alone = {0};
		int r = compare_effect(t->compare, arm, &t->x->goals, &alone);
		if (r < 0)
			return r;
		js_set(o, "verdict", js_text(winner_verdict_name(alone.verdict)), &failed);
		js_set(o, "reason", js_text(alone.reason), &failed);
		js_set(o, "fitness", interval_json(&alone.fitness_diff), &failed);
		js_set(o, "metrics", differences_json(&alone, &failed), &failed);
		winner_report_done(&alone);
	}
	if (failed || !o)
		return -ENOMEM;
	*ret = json_incref(o);
	return 0;
}

static json_t *level_json(const Turn *t, size_t dim, uint32_t level)
{
	return level == SPACE_INACTIVE ? json_null() : space_value(t->x->space, dim, level);
}

static int changes_json(const Turn *t, const Point *p, json_t **ret)
{
	json_auto_t *list = json_array();
	bool failed = !list;
	for (size_t d = 0; d < space_dims(t->x->space) && !failed; d++) {
		uint32_t from = t->x->baseline_point.level[d], to = p->level[d];
		if (from == to)
			continue;
		json_t *effect = NULL;
		if (effect_json(t, d, &effect) < 0)
			return -ENOMEM;
		json_t *o = json_object();
		const char *name = space_name(t->x->space, d);
		js_set(o, "parameter", js_text(name), &failed);
		js_set(o, "from", level_json(t, d, from), &failed);
		js_set(o, "to", level_json(t, d, to), &failed);
		js_set(o, "effect", effect, &failed);
		js_set(o, "targets", targets_json(t->x, name, &failed), &failed);
		failed |= json_array_append_new(list, o) < 0;
	}
	if (failed)
		return -ENOMEM;
	*ret = json_incref(list);
	return 0;
}

/* --- The winner ------------------------------------------------------------------------------ */

static json_t *workloads_json(const Turn *t, bool *failed)
{
	json_t *list = json_array();
	const Workload *w = t->x->workloads.items;
	for (size_t i = 0; i < t->x->workloads.n; i++)
		*failed |= json_array_append_new(list, js_text(w[i].name)) < 0;
	return list;
}

static json_t *trials_json(const Turn *t, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; i < compare_steps(t->compare); i++)
		if (t->confirm_seqs[i])
			*failed |=
			    json_array_append_new(list, json_integer(t->confirm_seqs[i])) < 0;
	return list;
}

static json_t *lineage_json(const Turn *t, const Finalist *f, bool *failed, Err *err)
{
	int64_t seq = 0;
	Hash head = {0};
	char hex[HASH_HEX_SIZE];
	if (store_head(t->r->store, &seq, &head, err) < 0) {
		*failed = true;
		return NULL;
	}
	hash_hex(&head, hex);
	json_t *o = json_object();
	js_set(o, "seq", json_integer(seq), failed);
	js_set(o, "hash", js_text(hex), failed);
	js_set(o, "search_trial", json_integer(f->seq), failed);
	js_set(o, "confirming_trials", trials_json(t, failed), failed);
	return o;
}

static json_t *rule_json(const Turn *t, bool *failed)
{
	const ConfirmConfig *c = &t->x->confirm;
	json_t *o = json_object();
	js_set(o, "confidence", js_number(c->confidence), failed);
	js_set(o, "interval_confidence", js_number(confirm_confidence(c)), failed);
	js_set(o, "pairs_per_workload", json_integer(c->pairs), failed);
	js_set(o, "min_pairs", json_integer(c->min_pairs), failed);
	js_set(o, "finalists", json_integer(c->finalists), failed);
	return o;
}

/* The promotion without id and signature. */
static int promotion_body(const Turn *t, const Finalist *f, const WinnerReport *report,
			  int64_t at_us, json_t **ret, Err *err)
{
	bool failed = false;
	char at[32];
	time_rfc3339(at_us, at);
	json_t *changes = NULL;
	if (changes_json(t, &f->point, &changes) < 0)
		return err_oom(err);
	json_auto_t *o = json_object();
	json_t *stages = json_array();
	failed |=
	    !stages || json_array_append_new(
			   stages, js_text(stage_name(evaluator_stage(t->evaluator, true)))) < 0;
	js_set(o, "schema", js_text(PROMOTION_SCHEMA), &failed);
	js_set(o, "state", js_text("proposed"), &failed);
	js_set(o, "created_at", js_text(at), &failed);
	js_set(o, "experiment", js_text(t->x->name), &failed);
	js_set(o, "epoch", json_integer(t->history.epoch), &failed);
	js_set(o, "evolution", json_integer(t->history.evolution), &failed);
	js_set(o, "context", js_text(t->id.context), &failed);
	js_set(o, "winner", side_json(t, &f->point, report, true, &failed), &failed);
	js_set(o, "baseline", side_json(t, &t->x->baseline_point, report, false, &failed), &failed);
	js_set(o, "fitness_gain", interval_json(&report->fitness_diff), &failed);
	js_set(o, "differences", differences_json(report, &failed), &failed);
	js_set(o, "seed_mark", json_boolean(report->seed_mark), &failed);
	js_set(o, "changes", changes, &failed);
	js_set(o, "stages_passed", stages, &failed);
	js_set(o, "workloads", workloads_json(t, &failed), &failed);
	js_set(o, "rule", rule_json(t, &failed), &failed);
	js_set(o, "lineage", lineage_json(t, f, &failed, err), &failed);
	js_set(o, "configuration_sha256", js_text(t->r->plan->sha256), &failed);
	if (failed || !o)
		return err->code < 0 ? err->code : err_oom(err);
	*ret = json_incref(o);
	return 0;
}

static json_t *survivors_json(const Turn *t, bool *failed)
{
	size_t max = (size_t)t->x->selector.survivors;
	_cleanup_free_ Point *points = calloc(max, sizeof(*points));
	size_t n = points ? search_survivors(t->search, points, max) : 0;
	json_t *list = json_array();
	*failed |= !points || !list;
	for (size_t i = 0; i < n; i++)
		*failed |= json_array_append_new(list, point_json(t->x->space, &points[i])) < 0;
	return list;
}

/* The record that closes the evolution. */
static int close_evolution(Turn *t, const char *verdict, const char *reason, const char *promotion,
			   const WinnerReport *report, Err *err)
{
	bool failed = false;
	json_auto_t *o = json_object();
	js_set(o, "experiment", js_text(t->x->name), &failed);
	js_set(o, "evolution", json_integer(t->history.evolution), &failed);
	js_set(o, "epoch", json_integer(t->history.epoch), &failed);
	js_set(o, "verdict", js_text(verdict), &failed);
	js_set(o, "reason", js_text(reason), &failed);
	js_set(o, "search", js_text(search_stop_text(search_stopped(t->search))), &failed);
	js_set(o, "survivors", survivors_json(t, &failed), &failed);
	if (promotion)
		js_set(o, "promotion", js_text(promotion), &failed);
	if (report)
		js_set(o, "fitness_gain", interval_json(&report->fitness_diff), &failed);
	if (failed || !o)
		return err_oom(err);
	return store_add(t->r->store, "verdict", VERDICT_SCHEMA, o, NULL, err);
}

/* --- What an earlier run proposed ------------------------------------------------------------ */

static bool same_params(const Turn *t, const json_t *side, const Point *p)
{
	json_auto_t *params = point_json(t->x->space, p);
	return params && json_equal(params, json_object_get(side, "params"));
}

int verdict_standing(Turn *t, const Finalist *f, char **ret_id, Err *err)
{
	json_auto_t *p = NULL;
	int r = history_newest(t->r->store, "promotion", t->x->name, &p, err);
	if (r < 0)
		return r;
	bool standing = p && strcmp(js_str(p, "context", ""), t->id.context) == 0 &&
			js_int(p, "evolution", 0) != t->history.evolution &&
			same_params(t, json_object_get(p, "winner"), &f->point) &&
			same_params(t, json_object_get(p, "baseline"), &t->x->baseline_point);
	if (!standing)
		return 0;
	*ret_id = strdup(js_str(p, "id", "?"));
	return *ret_id ? 0 : err_oom(err);
}

/* --- Writing it down ------------------------------------------------------------------------- */

/* The promotion of this evolution: the one already recorded when we were killed after it, or a new
 * one. */
static int promote(Turn *t, const Finalist *f, const WinnerReport *report, json_t **ret, Err *err)
{
	json_auto_t *found = NULL;
	int r = history_newest(t->r->store, "promotion", t->x->name, &found, err);
	if (r < 0)
		return r;
	if (found && js_int(found, "evolution", 0) == t->history.evolution) {
		*ret = json_incref(found);
		return 0;
	}
	json_auto_t *body = NULL, *signed_body = NULL;
	r = promotion_body(t, f, report, clock_now_us(t->r->clock), &body, err);
	if (r < 0)
		return r;
	if (promotion_add_id(body) < 0)
		return err_oom(err);
	r = promotion_sign(body, t->r->key, &signed_body, err);
	if (r >= 0)
		r = store_add(t->r->store, "promotion", PROMOTION_SCHEMA, signed_body, NULL, err);
	if (r < 0)
		return r;
	*ret = json_incref(signed_body);
	return 0;
}

static int write_exports(Turn *t, const json_t *promotion, Err *err)
{
	int r = export_winner(t, promotion, err);
	return r < 0 ? r : export_promotion(t, promotion, err);
}

/* What each of several changes does by itself: one that does nothing can be left out. */
static void say_effects(Turn *t, const json_t *promotion)
{
	const json_t *changes = json_object_get(promotion, "changes"), *change;
	size_t i, n = json_array_size(changes);
	json_array_foreach (changes, i, change)
		if (n > 1)
			turn_say(t, RUN_MESSAGE, NULL, NULL, "  %s alone: %s",
				 js_str(change, "parameter", "?"),
				 js_str(json_object_get(change, "effect"), "reason", "?"));
}

int verdict_winner(Turn *t, const Finalist *f, const WinnerReport *report, Err *err)
{
	json_auto_t *promotion = NULL;
	int r = promote(t, f, report, &promotion, err);
	if (r >= 0)
		r = write_exports(t, promotion, err);
	const char *id = js_str(promotion, "id", "?");
	if (r >= 0)
		r = close_evolution(t, winner_verdict_name(report->verdict), report->reason, id,
				    report, err);
	if (r < 0)
		return err_wrap(err, r, "cannot write down the winner of %s", t->x->name);
	t->r->promoted = true;
	Str words = STR_INIT;
	point_text(t->x->space, &f->point, &words);
	turn_say(t, RUN_WINNER, NULL, report, "%s", words.s ? words.s : "");
	str_done(&words);
	say_effects(t, promotion);
	turn_say(t, RUN_PROMOTION, NULL, report, "%s", id);
	return 0;
}

static int nobody_wins(Turn *t, const char *verdict, const WinnerReport *report, const char *reason,
		       Err *err)
{
	int r = close_evolution(t, verdict, reason, NULL, report, err);
	if (r < 0)
		return r;
	turn_say(t, RUN_NO_WINNER, NULL, report, "%s", reason);
	return 0;
}

int verdict_none(Turn *t, const WinnerReport *report, const char *reason, Err *err)
{
	const char *verdict = report ? winner_verdict_name(report->verdict) : "no_winner";
	return nobody_wins(t, verdict, report, reason, err);
}

int verdict_unmeasured(Turn *t, const char *reason, Err *err)
{
	return nobody_wins(t, "unmeasured", NULL, reason, err);
}

int verdict_close(Turn *t, const char *verdict, const char *reason, Err *err)
{
	return close_evolution(t, verdict, reason, NULL, NULL, err);
}
