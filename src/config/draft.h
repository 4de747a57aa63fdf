#pragma once
/* dream.yaml as its tables read it, before the parts are put together and checked against each
 * other. Private to this folder. */
#include "config/config.h"

typedef struct DraftMetrics {
	json_t *target_direction;
	json_t *map;
} DraftMetrics;

typedef struct DraftSafety {
	const ConfNode *bounds, *forbid; /* borrowed from the document */
	bool oom_zero;
} DraftSafety;

typedef struct DraftConvergence {
	int64_t patience_gens;
} DraftConvergence;

/* What belongs to the document or is copied out of it; `x` owns the rest. */
typedef struct Draft {
	Experiment x;
	const ConfNode *search_space; /* borrowed */
	DraftMetrics metrics;
	DraftSafety safety;
	DraftConvergence convergence;
	SelectorConfig rzero; /* the other name of `selector` */
	char *strategy;	      /* the short form of `selector.kind` */
	int search_services;  /* 0: tuned, 1: all */
	bool without_effect;  /* for keys that are read to be warned about */
} Draft;

typedef struct DraftScheduling {
	char *selection;
	int64_t max_parallel, backoff_on_failure_us;
} DraftScheduling;

typedef struct DraftRun {
	RunConfig run;
	int64_t seed; /* as the tables hold whole numbers */
	DraftScheduling scheduling;
	bool without_effect;
} DraftRun;

typedef struct DraftPlan {
	int64_t version;
	DraftRun run;
	DaemonConfig daemon;
	ConfList experiments; /* Draft */
	bool without_effect;
} DraftPlan;

extern const ConfTable draft_table, draft_plan_table;
extern const ConfCustom apply_custom; /* ConfList of ApplyConfig */
extern const ConfTable confirm_table, rollout_table, selector_table;

/* Texts of a few words (words.c). */
extern const ConfCustom word_strategy, word_scenario, word_selection, word_approval,
    word_inconclusive, word_stages, word_directions, word_metric_map, word_public_key;

/* Keys of the first version that did nothing there either, and do nothing here: accepted, warned
 * about. */
extern const ConfCustom unused_retention, unused_mutators, unused_aggregation, unused_logging,
    unused_global_budget, unused_overrides, unused_mapping;

/* Puts the parts of one experiment together and checks them against each other. `at` is its place.
 * `dir`: where relative paths start. Negative errno only for faults. */
int draft_finish(Draft *x, const ConfNode *at, const char *dir, DiagLevel missing, Diags *d,
		 Err *err) _must_check_;

/* What needs a whole experiment: names that must fit each other, numbers that must add up. */
void check_experiment(const Experiment *x, const ConfNode *at, Diags *d);
/* Its `services:` (services.c). */
void check_services(const Experiment *x, const ConfNode *at, Diags *d);
/* Reports a name that is no parameter of the space, with the nearest or all that are. */
void check_param(const Experiment *x, const ConfNode *at, const char *name, const char *who,
		 Diags *d);
