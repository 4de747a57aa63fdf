/* What a rollout changes: its parameters in the order in which they are tried, and the units and
 * services that they reach. */
#include "rollout/internal.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

/* --- Values ---------------------------------------------------------------------------------- */

json_t *rollout_values(const Rollout *r, ParamMask target)
{
	bool failed = false;
	json_t *o = r->baseline.params ? js_deep_copy(r->baseline.params) : json_object();
	for (uint32_t i = 0; i < r->spec.n; i++)
		js_set(o, r->params[i].name,
		       js_text(target & (1U << i) ? r->params[i].to : r->params[i].from), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

uint32_t rollout_units_of(const Rollout *r, ParamMask difference)
{
	uint32_t set = 0;
	for (uint32_t i = 0; i < r->spec.n; i++)
		if (difference & (1U << i))
			set |= r->params[i].units;
	return set;
}

/* --- Units ----------------------------------------------------------------------------------- */

static const Experiment *experiment_of_units(const Rollout *r)
{
	for (size_t i = 0; i < r->w.plan->n_experiments; i++)
		for (size_t k = 0; k < r->n_adoptions; k++)
			if (experiment_service(&r->w.plan->experiments[i], r->adoptions[k].unit))
				return &r->w.plan->experiments[i];
	return NULL;
}

int rollout_plan_units(Rollout *r, Err *err)
{
	int e = adoption_load_all(r->w.places, &r->adoptions, &r->n_adoptions, err);
	if (e < 0)
		return err_wrap(err, e, "cannot see which units are adopted");
	if (r->n_adoptions > ROLLOUT_UNITS_MAX)
		return err_set(err, -E2BIG, "%zu units are adopted; a rollout takes %d at most",
			       r->n_adoptions, ROLLOUT_UNITS_MAX);
	if (!r->x)
		r->x = experiment_of_units(r);
	for (size_t i = 0; i < r->n_adoptions; i++) {
		RolloutUnit *u = &r->units[r->n_units++];
		u->name = r->adoptions[i].unit;
		u->service = r->x ? experiment_service(r->x, u->name) : NULL;
		if (u->service)
			u->watched = watched_service(u->service, r->w.plan->dir);
	}
	return 0;
}

static bool adoption_has(const Adoption *a, const char *parameter)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->targets[i].parameter, parameter) == 0)
			return true;
	return false;
}

bool rollout_is_taken(const Rollout *r, const char *parameter)
{
	for (size_t i = 0; i < r->n_adoptions; i++)
		if (adoption_has(&r->adoptions[i], parameter))
			return true;
	return false;
}

/* --- Parameters ------------------------------------------------------------------------------ */

static double gain_of(const json_t *change)
{
	const json_t *effect = json_object_get(change, "effect");
	return js_num(json_object_get(effect, "fitness"), "mean", (double)NAN);
}

static int add_param(Rollout *r, const json_t *change, Err *err)
{
	RolloutParam *p = &r->params[r->spec.n];
	const char *name = js_str(change, "parameter", "");
	const char *from = js_str(r->baseline.params, name, NULL);
	p->name = str_fmt("%s", name);
	p->from_value = json_incref(json_object_get(change, "from"));
	p->to_value = json_incref(json_object_get(change, "to"));
	p->to = baseline_value_text(p->to_value);
	p->from = from ? str_fmt("%s", from) : baseline_value_text(p->from_value);
	p->gain = gain_of(change);
	r->spec.n++;
	if (!p->name || !p->to || !p->from)
		return err_set(err, -EBADMSG,
			       "the promotion says no value that %s could have in production",
			       name);
	for (size_t i = 0; i < r->n_units; i++)
		if (adoption_has(&r->adoptions[i], name))
			p->units |= 1U << i;
	if (!p->units)
		return err_set(err, -ENOENT, "no adopted unit takes %s; see `dream adopt --list`",
			       name);
	return 0;
}

/* The most useful first; what was not measured alone comes last, in the promotion's order. */
static bool goes_before(const RolloutParam *a, const RolloutParam *b)
{
	if (isnan(a->gain) || isnan(b->gain))
		return !isnan(a->gain) && isnan(b->gain);
	return a->gain > b->gain;
}

static void sort_params(Rollout *r)
{
	for (uint32_t i = 1; i < r->spec.n; i++)
		for (uint32_t k = i; k > 0 && goes_before(&r->params[k], &r->params[k - 1]); k--) {
			RolloutParam swap = r->params[k];
			r->params[k] = r->params[k - 1];
			r->params[k - 1] = swap;
		}
}

static OnInconclusive on_inconclusive(const RolloutConfig *c)
{
	if (strcmp(c->on_inconclusive, "wait") == 0)
		return INCONCLUSIVE_WAIT;
	return strcmp(c->on_inconclusive, "undo") == 0 ? INCONCLUSIVE_UNDO : INCONCLUSIVE_ASK;
}

int rollout_plan(Rollout *r, Err *err)
{
	const RolloutConfig *c = &r->x->rollout;
	const json_t *changes = json_object_get(r->promotion, "changes");
	size_t i;
	json_t *change;
	int e = rollout_plan_units(r, err);
	if (e < 0)
		return e;
	if (json_array_size(changes) > ROLLOUT_PARAMS_MAX)
		return err_set(err, -E2BIG,
			       "the promotion changes %zu parameters; a rollout takes "
			       "%d at most",
			       json_array_size(changes), ROLLOUT_PARAMS_MAX);
	json_array_foreach (changes, i, change) {
		e = add_param(r, change, err);
		if (e < 0)
			return e;
	}
	sort_params(r);
	uint32_t touched = rollout_units_of(r, UINT32_MAX);
	for (i = 0; i < r->n_units; i++)
		r->units[i].touched = touched & (1U << i);
	r->spec.cold_start = rollout_asks_stage(c, "cold_start");
	r->spec.probation = c->probation_us > 0;
	r->spec.on_inconclusive = on_inconclusive(c);
	r->spec.waits = (uint32_t)c->waits;
	return 0;
}

void rollout_plan_done(Rollout *r)
{
	for (uint32_t i = 0; i < ROLLOUT_PARAMS_MAX; i++) {
		free(r->params[i].name);
		free(r->params[i].from);
		free(r->params[i].to);
		json_decref(r->params[i].from_value);
		json_decref(r->params[i].to_value);
	}
	adoption_free_all(r->adoptions, r->n_adoptions);
}
