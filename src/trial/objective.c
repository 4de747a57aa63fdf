/* The tables that read `objectives:` and `constraints:`, and the presets. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trial/objective.h"

static const char *const goal_names[] = {"minimize", "maximize", "target", NULL};

static const ConfField objective_fields[] = {
    {.name = "name",
     .type = CONF_T_STRING,
     .offset = offsetof(Objective, name),
     .help = "The metric"},
    {.name = "goal",
     .type = CONF_T_ENUM,
     .offset = offsetof(Objective, goal),
     .choices = goal_names,
     .required = true,
     .help = "Whether less is better, more is better, or a value in between is aimed at"},
    {.name = "weight",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Objective, weight),
     .otherwise = "1",
     .min = 0,
     .max = 1e6,
     .help = "Share of this objective in the fitness, relative to the sum of all weights"},
    {.name = "worst",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Objective, worst),
     .help = "minimize, maximize: the value that scores 0; beyond it nothing more is lost"},
    {.name = "best",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Objective, best),
     .help = "minimize, maximize: the value that scores 1; beyond it nothing more is gained"},
    {.name = "target",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Objective, target),
     .help = "target: the value that scores 1"},
    {.name = "width",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Objective, width),
     .help = "target: how far from the target, on either side, the score reaches 0"},
    {.name = "tolerance",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Objective, tolerance),
     .otherwise = "0.1",
     .min = 0,
     .max = 1e6,
     .help = "How much worse than the baseline a winner may be in this objective: a share of "
	     "the baseline's value (0.1 = 10 %), for a target a share of its width"},
    {0},
};

static const ConfField constraint_fields[] = {
    {.name = "name",
     .type = CONF_T_STRING,
     .offset = offsetof(Constraint, name),
     .help = "The metric"},
    {.name = "min",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Constraint, min),
     .help = "The least that is acceptable"},
    {.name = "max",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Constraint, max),
     .help = "The most that is acceptable"},
    {0},
};

static void check_name(const ConfNode *n, const char *name, Diags *d)
{
	if (name && !metric_name_valid(name))
		conf_fault(n, d, "1 to 63 letters, digits or _.%/-",
			   "'%.80s' cannot be the name of a metric", name);
}

static void refuse(const ConfNode *n, const char *key, const char *goal, const char *accept,
		   Diags *d)
{
	const ConfNode *at = conf_get(n, key);
	if (at)
		conf_fault(at, d, accept, "'%s' means nothing for the goal %s", key, goal);
}

/* `best` of minimize and `worst` of maximize are 0 when they are not given. */
static void check_objective(const ConfNode *n, void *target, Diags *d)
{
	const Objective *o = target;
	if (!n)
		return;
	check_name(n, o->name, d);
	const char *goal = goal_names[o->goal];
	if (o->goal == GOAL_TARGET) {
		refuse(n, "worst", goal, "target and width", d);
		refuse(n, "best", goal, "target and width", d);
		if (!conf_get(n, "target") || !conf_get(n, "width") || !(o->width > 0))
			conf_fault(n, d, "target: 70, width: 50",
				   "a target needs `target` and a `width` above 0");
		return;
	}
	refuse(n, "target", goal, "worst and best", d);
	refuse(n, "width", goal, "worst and best", d);
	if (o->goal == GOAL_MINIMIZE && !(o->worst > o->best))
		conf_fault(n, d, "for example worst: 500, best: 0",
			   "minimize needs a `worst` above `best` (%g is not above %g)", o->worst,
			   o->best);
	if (o->goal == GOAL_MAXIMIZE && !(o->best > o->worst))
		conf_fault(n, d, "for example best: 20, worst: 0",
			   "maximize needs a `best` above `worst` (%g is not above %g)", o->best,
			   o->worst);
}

/* An absent bound is NAN, which no YAML number can be. */
static void check_constraint(const ConfNode *n, void *target, Diags *d)
{
	Constraint *c = target;
	if (!n)
		return;
	check_name(n, c->name, d);
	bool has_min = conf_get(n, "min"), has_max = conf_get(n, "max");
	if (!has_min && !has_max)
		conf_fault(n, d, "max: 6", "a constraint needs `min`, `max` or both");
	else if (has_min && has_max && c->min > c->max)
		conf_fault(n, d, NULL, "nothing is both at least %g and at most %g", c->min,
			   c->max);
	if (!has_min)
		c->min = (double)NAN;
	if (!has_max)
		c->max = (double)NAN;
}

const ConfTable objective_table = {
    .name = "objective",
    .help = "What is wanted of one metric, and how much it counts",
    .size = sizeof(Objective),
    .fields = objective_fields,
    .check = check_objective,
};

const ConfTable constraint_table = {
    .name = "constraint",
    .help = "What one metric must be; a candidate that breaks it, or where it was not measured, "
	    "has fitness 0 and cannot win",
    .size = sizeof(Constraint),
    .fields = constraint_fields,
    .check = check_constraint,
};

/* Only for conf_done(): the lists are read where the experiment's own table places them. */
static const ConfField goals_fields[] = {
    {.name = "objectives",
     .type = CONF_T_NAMED,
     .offset = offsetof(Goals, objectives),
     .table = &objective_table},
    {.name = "constraints",
     .type = CONF_T_NAMED,
     .offset = offsetof(Goals, constraints),
     .table = &constraint_table},
    {0},
};

static const ConfTable goals_table = {
    .name = "goals", .size = sizeof(Goals), .fields = goals_fields};

void goals_done(Goals *g)
{
	conf_done(&goals_table, g);
}

/* --- Presets --------------------------------------------------------------------------------- */

typedef struct PresetObjective {
	const char *name;
	Goal goal;
	double weight, worst, best, target, width, tolerance;
} PresetObjective;

typedef struct PresetConstraint {
	const char *name;
	double min, max;
} PresetConstraint;

enum {
	PRESET_OBJECTIVES_MAX = 6,
	PRESET_CONSTRAINTS_MAX = 2
};

/* Unused entries have no name. */
typedef struct Preset {
	const char *name;
	PresetObjective objectives[PRESET_OBJECTIVES_MAX];
	PresetConstraint constraints[PRESET_CONSTRAINTS_MAX];
} Preset;

/* The seeds' formula: 1 - min(stt/500, 1), 1 - min(llm/1000, 1), min(capacity/20, 1), a constant
 * for no OOM (any OOM gives 0 anyway), 1 - min(|memory - 70|/50, 1). Memory is not felt by anyone
 * as long as nothing runs out of it, so a winner may move far in it. */
static const Preset seed_preset = {
    .name = "seed",
    .objectives =
	{
	    {"stt_latency_ms", GOAL_MINIMIZE, 0.25, .worst = 500, .tolerance = 0.1},
	    {"llm_latency_ms", GOAL_MINIMIZE, 0.25, .worst = 1000, .tolerance = 0.1},
	    {"concurrent_capacity", GOAL_MAXIMIZE, 0.20, .best = 20, .tolerance = 0.1},
	    {"oom_events", GOAL_MINIMIZE, 0.20, .worst = 1, .tolerance = 0},
	    {"gpu_memory_pct", GOAL_TARGET, 0.10, .target = 70, .width = 50, .tolerance = 0.4},
	},
};

static const Preset scenarios[] = {
    /* "Reduced quality for speed", with a smaller footprint. */
    {.name = "latency",
     .objectives =
	 {
	     {"stt_latency_ms", GOAL_MINIMIZE, 0.40, .worst = 500, .tolerance = 0.05},
	     {"llm_latency_ms", GOAL_MINIMIZE, 0.40, .worst = 1000, .tolerance = 0.05},
	     {"oom_events", GOAL_MINIMIZE, 0.10, .worst = 1, .tolerance = 0},
	     {"gpu_memory_pct", GOAL_MINIMIZE, 0.10, .worst = 100, .best = 50, .tolerance = 0.3},
	 }},
    /* "More concurrent requests": latency may suffer to some degree. */
    {.name = "capacity",
     .objectives =
	 {
	     {"concurrent_capacity", GOAL_MAXIMIZE, 0.60, .best = 20, .tolerance = 0.02},
	     {"stt_latency_ms", GOAL_MINIMIZE, 0.10, .worst = 500, .tolerance = 0.25},
	     {"llm_latency_ms", GOAL_MINIMIZE, 0.20, .worst = 1000, .tolerance = 0.25},
	     {"oom_events", GOAL_MINIMIZE, 0.10, .worst = 1, .tolerance = 0},
	 }},
    /* "Critical accuracy requirements": at most 4 % of the words wrong, whatever it costs. */
    {.name = "quality",
     .objectives =
	 {
	     {"wer_pct", GOAL_MINIMIZE, 0.40, .worst = 10, .tolerance = 0.05},
	     {"concurrent_capacity", GOAL_MAXIMIZE, 0.25, .best = 20, .tolerance = 0.1},
	     {"llm_latency_ms", GOAL_MINIMIZE, 0.15, .worst = 1000, .tolerance = 0.25},
	     {"stt_latency_ms", GOAL_MINIMIZE, 0.10, .worst = 500, .tolerance = 0.25},
	     {"oom_events", GOAL_MINIMIZE, 0.10, .worst = 1, .tolerance = 0},
	 },
     .constraints = {{"wer_pct", .min = (double)NAN, .max = 4}}},
};

const char *const goals_scenarios[] = {"latency", "capacity", "quality", NULL};

static int objective_init(Objective *o, const PresetObjective *from)
{
	*o = (Objective){
	    .goal = (int)from->goal,
	    .weight = from->weight,
	    .worst = from->worst,
	    .best = from->best,
	    .target = from->target,
	    .width = from->width,
	    .tolerance = from->tolerance,
	};
	o->name = strdup(from->name);
	return o->name ? 0 : -ENOMEM;
}

static int constraint_init(Constraint *c, const PresetConstraint *from)
{
	*c = (Constraint){.min = from->min, .max = from->max};
	c->name = strdup(from->name);
	return c->name ? 0 : -ENOMEM;
}

/* Whatever it returns, `g` can be given to goals_done(). */
static int goals_fill(const Preset *p, Goals *g)
{
	Objective *o = g->objectives.items = calloc(PRESET_OBJECTIVES_MAX, sizeof(*o));
	Constraint *c = g->constraints.items = calloc(PRESET_CONSTRAINTS_MAX, sizeof(*c));
	if (!o || !c)
		return -ENOMEM;
	int r = 0;
	for (size_t i = 0; r == 0 && i < PRESET_OBJECTIVES_MAX && p->objectives[i].name; i++) {
		r = objective_init(&o[i], &p->objectives[i]);
		g->objectives.n = i + 1;
	}
	for (size_t i = 0; r == 0 && i < PRESET_CONSTRAINTS_MAX && p->constraints[i].name; i++) {
		r = constraint_init(&c[i], &p->constraints[i]);
		g->constraints.n = i + 1;
	}
	return r;
}

static int goals_from_preset(const Preset *p, Goals *ret)
{
	Goals g = {.oom_zero = true};
	int r = goals_fill(p, &g);
	if (r < 0) {
		goals_done(&g);
		return r;
	}
	*ret = g;
	return 0;
}

int goals_seed_default(Goals *ret)
{
	return goals_from_preset(&seed_preset, ret);
}

int goals_scenario(const char *name, Goals *ret)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return goals_from_preset(&scenarios[i], ret);
	return -ENOENT;
}
