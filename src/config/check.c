/* What needs a whole experiment to be seen: names that must be names of something, and numbers that
 * must add up. */
#include <string.h>

#include "config/draft.h"
#include "config/quality.h"

enum {
	EXPERIMENT_NAME_MAX = 64,
};

static const ConfNode *place(const ConfNode *n, const char *key)
{
	const ConfNode *at = conf_get(n, key);

	return at ? at : n;
}

/* --- Names ----------------------------------------------------------------------------------- */

/* It becomes part of file names. */
static void check_name(const Experiment *x, const ConfNode *at, Diags *d)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	if (!x->name)
		return;
	size_t n = strlen(x->name);
	if (n == 0 || n > EXPERIMENT_NAME_MAX || strspn(x->name, allowed) != n ||
	    x->name[0] == '.' || x->name[0] == '-')
		conf_fault(place(at, "name"), d,
			   "1 to 64 letters, digits, '_', '-' and '.', not beginning with '-' or "
			   "'.'",
			   "an experiment cannot be called '%.80s'", x->name);
}

void check_param(const Experiment *x, const ConfNode *at, const char *name, const char *who,
		 Diags *d)
{
	_cleanup_(str_done) Str accept = STR_INIT;
	const char *names[SPACE_DIMS_MAX + 1] = {0};

	if (!x->space || space_dim(x->space, name) >= 0)
		return;
	for (size_t i = 0; i < space_dims(x->space); i++)
		names[i] = space_name(x->space, i);
	const char *near = conf_nearest(name, names);
	if (near)
		str_addf(&accept, "did you mean %s?", near);
	for (size_t i = 0; !near && names[i]; i++)
		str_addf(&accept, "%s%s", i > 0 ? ", " : "", names[i]);
	conf_fault(at, d, accept.s, "%s names %.80s, which is no parameter of the search space",
		   who, name);
}

static void check_apply(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(at, "apply");

	for (size_t i = 0; map && conf_kind(map) == CONF_MAP && i < conf_len(map); i++)
		check_param(x, conf_key_node(map, i), conf_key(map, i), "apply", d);
}

/* --- Goals ----------------------------------------------------------------------------------- */

static void check_weights(const Experiment *x, const ConfNode *map, Diags *d)
{
	const Objective *o = x->goals.objectives.items;
	double sum = 0;
	bool any = false;

	for (size_t i = 0; i < x->goals.objectives.n; i++) {
		sum += o[i].weight;
		any |= o[i].name && conf_get(conf_get(map, o[i].name), "weight");
	}
	if (x->goals.objectives.n == 0 || !(sum > 0)) {
		conf_fault(
		    map, d, "at least one objective with a weight above 0", "nothing is wanted: %s",
		    x->goals.objectives.n == 0 ? "objectives is empty" : "every weight is 0");
		return;
	}
	for (size_t i = 0; any && i < x->goals.objectives.n; i++)
		if (o[i].name && !conf_get(conf_get(map, o[i].name), "weight"))
			conf_fault(conf_get(map, o[i].name), d,
				   "a weight for every objective, or for none",
				   "the objective %s has no weight, but others have", o[i].name);
}

/* A direction that contradicts the objective is a mistake in one of the two. */
static void check_directions(const Experiment *x, const ConfNode *map, Diags *d)
{
	const Objective *o = x->goals.objectives.items;

	for (size_t i = 0; i < x->goals.objectives.n && map; i++) {
		const ConfNode *n = o[i].name ? conf_get(map, o[i].name) : NULL;
		const char *way = n ? conf_text(n) : NULL;
		if (!way)
			continue;
		bool up = strcmp(way, "up") == 0, down = strcmp(way, "down") == 0;
		if ((up && o[i].goal == GOAL_MINIMIZE) || (down && o[i].goal == GOAL_MAXIMIZE))
			conf_fault(conf_get(map, o[i].name), d, up ? "down" : "up",
				   "%s is to go %s here, but the objectives want it %s", o[i].name,
				   way, up ? "low" : "high");
	}
}

/* An experiment of other metrics that relies on the seeds' five would score nothing at all. */
static void check_default_goals(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(conf_get(at, "metrics"), "target_direction");
	const Objective *o = x->goals.objectives.items;

	if (!map || conf_kind(map) != CONF_MAP || conf_len(map) == 0 || !x->enabled)
		return;
	for (size_t i = 0; i < x->goals.objectives.n; i++)
		if (conf_get(map, o[i].name))
			return;
	conf_warn(map, d, "objectives for the metrics of this experiment",
		  "none of these metrics is an objective: the default five are about a GPU box");
}

/* A warning: there can still be trials, and winners among those that leave the parameter alone. */
static void check_quality(const Experiment *x, const ConfNode *at, Diags *d)
{
	const char *param = quality_unguarded_param(x);
	if (param)
		conf_warn(
		    place(at, "search_space"), d, "constraints: {llm_quality_pct: {min: ...}}",
		    "%s changes what the model says, and nothing measures that: a candidate that "
		    "changes it cannot win",
		    param);
}

static void check_goals(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *own = conf_get(at, "objectives");

	if (own && conf_kind(own) == CONF_MAP)
		check_weights(x, own, d);
	else if (!own && !conf_get(at, "scenario"))
		check_default_goals(x, at, d);
	check_directions(x, conf_get(conf_get(at, "metrics"), "target_direction"), d);
}

/* --- Numbers --------------------------------------------------------------------------------- */

static void check_workloads(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(at, "workloads");
	const Workload *w = x->workloads.items;
	bool bursty = false;

	for (size_t i = 0; i < x->workloads.n; i++)
		bursty |= workload_is_bursty(&w[i]);
	if (!map || conf_kind(map) != CONF_MAP || !x->baseline)
		return;
	if (x->workloads.n < 2)
		conf_fault(map, d, "a second, bursty workload, or none for steady and bursty",
			   "a confirmation needs at least two workloads");
	else if (!bursty)
		conf_fault(map, d, "arrivals: gamma with a cv above 1 in one of them",
			   "a confirmation needs a bursty workload");
}

static void check_selector(const Experiment *x, const ConfNode *at, Diags *d)
{
	const SelectorConfig *s = &x->selector;
	const ConfNode *selector = conf_get(at, "selector");

	if (!selector)
		selector = conf_get(at, "rzero");
	if (x->budget.max_candidates > 0 && s->elitism + s->fresh_inject > x->budget.max_candidates)
		conf_fault(selector ? selector : place(at, "budget"), d,
			   "elitism and fresh_inject of at most max_candidates together",
			   "a generation of %lld has no room for %lld kept and %lld new candidates",
			   (long long)x->budget.max_candidates, (long long)s->elitism,
			   (long long)s->fresh_inject);
}

void check_experiment(const Experiment *x, const ConfNode *at, Diags *d)
{
	check_name(x, at, d);
	check_services(x, at, d);
	check_quality(x, at, d);
	check_apply(x, at, d);
	check_goals(x, at, d);
	check_workloads(x, at, d);
	check_selector(x, at, d);
}
