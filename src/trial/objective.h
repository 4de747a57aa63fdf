#pragma once
/* What is wanted, and how well a measurement does it. The one place where fitness is computed:
 * selection, reports, exports and promotions all call it. */
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "conf/conf.h"
#include "trial/trial.h"

typedef enum Goal {
	GOAL_MINIMIZE, /* score 1 at `best` and below, 0 at `worst` and above, straight between */
	GOAL_MAXIMIZE, /* score 1 at `best` and above, 0 at `worst` and below */
	GOAL_TARGET,   /* score 1 at `target`, 0 at `width` away from it and beyond */
} Goal;

/* One entry of `objectives:`, by the name of its metric. */
typedef struct Objective {
	char *name; /* of the metric */
	int goal;   /* Goal */
	double weight;
	double worst, best;   /* minimize, maximize */
	double target, width; /* target */
	double tolerance; /* how much worse than the baseline it may get and still win: a share of
			     the baseline's value (0.05 = 5 %) */
} Objective;

/* One entry of `constraints:`, by the name of its metric. */
typedef struct Constraint {
	char *name;
	double min, max; /* NAN: none */
} Constraint;

typedef struct Goals {
	ConfList objectives;  /* Objective */
	ConfList constraints; /* Constraint */
	bool oom_zero; /* any OOM gives fitness 0 (metric `oom_events` above 0, or the outcome) */
} Goals;

extern const ConfTable objective_table, constraint_table;

/* The seeds' five objectives: stt_latency_ms, llm_latency_ms, concurrent_capacity, oom_events,
 * gpu_memory_pct, weights .25 .25 .20 .20 .10. -ENOMEM only. */
int goals_seed_default(Goals *ret) _must_check_;
/* The presets `latency`, `capacity`, `quality`: the seeds' three scenarios as weights and
 * constraints. -ENOENT for another name. */
int goals_scenario(const char *name, Goals *ret) _must_check_;
extern const char *const goals_scenarios[]; /* NULL-terminated */
void goals_done(Goals *g);

typedef struct Fitness {
	double value; /* in [0, 1] */
	double se; /* from the metrics' standard errors, by the slope of each score; 0: unknown */
	bool complete; /* every objective was measured */
	bool feasible; /* outcome ok, no OOM, every constraint met (an unmeasured one is not met) */
	char missing[METRIC_NAME_MAX];	/* the first objective or constraint that was not measured;
					   "" */
	char violated[METRIC_NAME_MAX]; /* the first constraint that was broken; "" */
} Fitness;

/* 0 for a trial that did not end ok, had an OOM or breaks a constraint; a missing objective scores
 * 0. */
Fitness fitness_of(const Goals *g, const Measurement *m);

/* The score in [0, 1] of one objective at a value. */
double objective_score(const Objective *o, double value);
/* Positive: how much worse `value` is than `base`, as a share of the base's size (for target: of
 * the width). */
double objective_regress(const Objective *o, double base, double value);
