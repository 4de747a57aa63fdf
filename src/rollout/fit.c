/* Does what a promotion asks for fit this machine: its bounds, what is adopted, the memory of the
 * GPU as it is used now? */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "rollout/checks.h"

static const double GIB = 1024.0 * 1024 * 1024;

static const json_t *wanted(const Checks *c)
{
	return json_object_get(json_object_get(c->in->promotion, "winner"), "params");
}

void check_bounds(Checks *c)
{
	_cleanup_(str_done) Str why = STR_INIT;
	Err err = ERR_INIT;
	Point p;
	if (!c->in->x)
		return; /* said already */
	int r = point_from_json(c->in->x->space, wanted(c), &p, &err);
	if (r == -ENOMEM)
		c->failed = true;
	else if (r < 0)
		checks_add(c, "bounds", false, "%s", err.msg);
	else if (!space_allows(c->in->x->space, &p, &why))
		checks_add(c, "bounds", false, "it is outside of what is allowed: %s",
			   why.s ? why.s : "the bounds");
	else
		checks_add(c, "bounds", true, "it is within the bounds");
}

/* --- Adopted --------------------------------------------------------------------------------- */

static const AdoptedTarget *target_of(const Adoption *a, const char *parameter)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->targets[i].parameter, parameter) == 0)
			return &a->targets[i];
	return NULL;
}

static void check_allowed(const Adoption *a, const char *name, const char *to, Str *faults)
{
	for (size_t i = 0; i < a->n; i++) {
		Err err = ERR_INIT;
		if (strcmp(a->targets[i].parameter, name) != 0 ||
		    allowed_check(&a->targets[i].allowed, name, to, &err) == 0)
			continue;
		next_sentence(faults);
		str_addf(faults, "%s: %s", a->unit, err.msg);
	}
}

/* A unit that the promotion names must be one that takes the parameter. */
static void check_targets(const Checks *c, const json_t *change, const char *name, Str *faults)
{
	size_t i;
	json_t *target;
	json_array_foreach (json_object_get(change, "targets"), i, target) {
		const char *unit = js_str(target, "unit", NULL);
		bool found = !unit;
		for (size_t k = 0; k < c->in->n_units && !found; k++)
			found = strcmp(c->in->units[k].unit, unit) == 0 &&
				target_of(&c->in->units[k], name);
		if (found)
			continue;
		next_sentence(faults);
		str_addf(faults, "%s goes to ", name);
		str_add_safe(faults, unit, strlen(unit), 128);
		str_add(faults, ", which is not adopted for it");
	}
}

static void check_change(const Checks *c, const json_t *change, Str *faults)
{
	const char *name = js_str(change, "parameter", "?");
	_cleanup_free_ char *to = baseline_value_text(json_object_get(change, "to"));
	size_t n = 0;
	if (!to) {
		next_sentence(faults);
		str_addf(faults, "%s would have no value, and production cannot be without one",
			 name);
		return;
	}
	for (size_t i = 0; i < c->in->n_units; i++) {
		if (!target_of(&c->in->units[i], name))
			continue;
		n++;
		check_allowed(&c->in->units[i], name, to, faults);
	}
	if (n == 0) {
		next_sentence(faults);
		str_addf(faults, "no adopted unit takes %s (`dream adopt UNIT %s=...`)", name,
			 name);
	} else {
		check_targets(c, change, name, faults);
	}
}

void check_adopted(Checks *c)
{
	_cleanup_(str_done) Str faults = STR_INIT;
	size_t i;
	json_t *change;
	json_array_foreach (json_object_get(c->in->promotion, "changes"), i, change)
		check_change(c, change, &faults);
	checks_add_words(c, "adopted", &faults,
			 "every change has an adopted unit, and its value is allowed there");
}

/* --- Memory ---------------------------------------------------------------------------------- */

static void say_fit(Checks *c, const Fit *fit, int64_t others_bytes, bool seen)
{
	char others[80];
	(void)snprintf(others, sizeof(others), "with %.2f GiB of the GPU used by others %s",
		       (double)others_bytes / GIB, seen ? "now" : "as configured");
	switch (fit->verdict) {
	case FIT_YES:
		checks_add(c, "memory", true, "it fits, %s", others);
		break;
	case FIT_NO:
		checks_add(c, "memory", false, "the memory model refuses it, %s: %s", others,
			   fit->reason ? fit->reason : "it does not fit");
		break;
	case FIT_UNKNOWN:
		checks_add(c, "memory", true, "the memory model cannot say whether it fits: %s",
			   fit->reason ? fit->reason : "facts are missing");
		break;
	}
}

int check_memory(Checks *c, Err *err)
{
	if (!c->in->x)
		return 0;
	if (!c->in->memory) {
		checks_add(c, "memory", true, "%s",
			   c->in->x->memory ? "the memory model is switched off"
					    : "there is no memory model: it is tried");
		return 0;
	}
	Footprint now = *c->in->memory; /* borrows its lists */
	bool seen = c->in->others_bytes >= 0;
	if (seen)
		now.others_bytes = c->in->others_bytes;
	Fit fit = {0};
	int r = footprint_predict(&now, c->in->x->services.items, c->in->x->services.n, wanted(c),
				  &fit, err);
	if (r < 0)
		return r;
	say_fit(c, &fit, now.others_bytes, seen);
	fit_done(&fit);
	return 0;
}

/* --- Stages ---------------------------------------------------------------------------------- */

static bool has_passed(const json_t *promotion, const char *stage)
{
	size_t i;
	json_t *name;
	json_array_foreach (json_object_get(promotion, "stages_passed"), i, name)
		if (strcmp(json_string_value(name), stage) == 0)
			return true;
	return false;
}

/* Who ran beside all the others has shown what the earlier stage asks for. */
void check_stages(Checks *c)
{
	if (!c->in->x)
		return;
	const RolloutConfig *policy = &c->in->x->rollout;
	const json_t *p = c->in->promotion;
	bool colocated = has_passed(p, "colocated") || has_passed(p, "production");
	bool isolated = colocated || has_passed(p, "isolated");
	c->v->isolated = !isolated && rollout_asks_stage(policy, "isolated");
	c->v->colocated = !colocated && rollout_asks_stage(policy, "colocated");
	if (c->v->isolated || c->v->colocated)
		checks_add(c, "stages", true, "before production it must still pass: %s%s%s",
			   c->v->isolated ? "isolated" : "",
			   c->v->isolated && c->v->colocated ? ", " : "",
			   c->v->colocated ? "colocated" : "");
	else if (colocated)
		checks_add(c, "stages", true, "it has been measured with all services running");
	else
		checks_add(c, "stages", true,
			   "it was not measured with all services running, and rollout.stages does "
			   "not ask for it");
}
