#pragma once
/* dream.yaml as a checked plan. Assembles the tables of the folders below; holds the policies of
 * those above (confirm, apply, rollout) as plain values. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/err.h"
#include "conf/conf.h"
#include "eval/eval.h"
#include "footprint/footprint.h"
#include "loadgen/workload.h"
#include "space/service.h"
#include "space/space.h"
#include "trial/objective.h"

typedef struct BudgetConfig {
	int64_t wallclock_us;	  /* `wallclock_sec`: of one epoch */
	int64_t trial_timeout_us; /* `trial_timeout_sec`: of one trial */
	int64_t max_candidates, max_generations;
	bool allow_gpu;
} BudgetConfig;

typedef struct SelectorConfig {
	char *kind; /* strategy: rzero, random, grid */
	int64_t tournament_size, survivors, elitism, fresh_inject;
	double noise;
} SelectorConfig;

typedef struct ConfirmConfig {
	int64_t pairs;	   /* per workload */
	int64_t min_pairs; /* the sample floor */
	int64_t finalists; /* tried one after another until one wins; the confidence is shared among
			      them */
	double confidence;
	bool ablation;	       /* each changed parameter also alone */
	double wer_margin_pct; /* by which word errors may be worse, on the same clips; < 0: not
				  asked */
} ConfirmConfig;

/* `apply:` parameter -> where it goes in production. Kept for the promotion and the rollout. */
typedef struct ApplyTarget {
	char *unit, *flag, *env, *file, *key;
} ApplyTarget;

typedef struct ApplyConfig {
	char *name;	  /* the parameter */
	ConfList targets; /* ApplyTarget */
} ApplyConfig;

typedef struct RolloutConfig {
	ConfStrings stages; /* "isolated", "colocated", "cold_start", "production" */
	int64_t observe_us; /* production as it is, before the first change */
	int64_t watch_us;   /* of each change */
	int64_t probation_us, soak_us;
	int64_t probe_every_us, probe_limit_us;
	char *approval; /* "manual", "auto" */
	int64_t approval_expires_us, max_age_us;
	double auto_min_gain; /* automatic approval only from this gain in fitness on, as a share */
	ConfStrings auto_parameters; /* and only of these; empty: any */
	char *on_inconclusive;	     /* "wait", "ask", "undo" */
	int64_t waits;
	double max_regression; /* the margin within which a change is no worse */
	double false_alarms;   /* of the judge, over one watch */
	char *window;	       /* "03:00-07:00"; NULL: at any time */
	int64_t budget_us;     /* of downtime, for one rollout */
	int64_t drain_us;      /* for requests in flight to end, before a restart */
	int64_t ready_us;      /* from a restart to the first real answer, at most */
	bool memory_model;     /* a promotion that it refuses is refused */
} RolloutConfig;

typedef struct Experiment {
	char *name;
	bool enabled;
	char *template_name; /* `template:`, null in the seeds */
	char *description;
	char *gpu; /* UUID; NULL: what the evaluator knows */
	Space *space;
	EvaluatorSpec evaluator;
	const ConfNode *evaluator_at; /* for later diagnostics; lives as long as the plan */
	BudgetConfig budget;
	json_t *target_direction; /* `metrics.target_direction`: metric -> "up", "down", "neutral";
				     or NULL */
	json_t *metric_map;	  /* `metrics.map`; or NULL */
	char *scenario;		  /* preset, or NULL */
	Goals goals;
	json_t *baseline;     /* parameters, or NULL */
	Point baseline_point; /* valid when baseline is not NULL */
	ConfList services;    /* ServiceSpec, in start order */
	ConfList workloads;   /* Workload, at least one; the first is the search's */
	Footprint *memory;    /* NULL: no memory model */
	SelectorConfig selector;
	int64_t patience_gens;	  /* `convergence.patience_gens` */
	bool search_all_services; /* search with every service active, not only in the confirmation
				   */
	ConfirmConfig confirm;
	ConfList apply; /* ApplyConfig */
	RolloutConfig rollout;
	json_t *source; /* the experiment as written, for the records */
} Experiment;

typedef struct RunConfig {
	char *artifact_root; /* artifacts/dream */
	char *logdir;	     /* logs/dream */
	char *store;	     /* the database; NULL: the mode's default */
	char *key;	     /* the signing key; NULL: beside the store */
	char *pinned_key;    /* public, hex; NULL: none */
	ConfStrings anchors; /* files that heads are also appended to */
	uint64_t seed;
	int64_t max_parallel, epochs_per_cycle, backoff_on_failure_us, sleep_between_cycles_us;
} RunConfig;

/* `daemon:` */
typedef struct DaemonConfig {
	char *approvers;	  /* a group; NULL: only root and the daemon's own user */
	ConfStrings hook;	  /* a program for alerts, with its arguments; empty: none */
	ConfStrings trusted_keys; /* public, hex: of whose promotions are taken, beside our own */
	char *run_window;	  /* when scheduled runs may begin; NULL: none are scheduled */
	int64_t run_every_us;
	int64_t probe_every_us; /* of production, between rollouts */
} DaemonConfig;

typedef struct Plan Plan;
struct Plan {
	char *path, *dir; /* the file and its folder */
	int64_t version;
	RunConfig run;
	DaemonConfig daemon;
	Experiment *experiments;
	size_t n_experiments;
	ConfDoc *doc;
	char sha256[65]; /* of the file, for the records */
};

/* A file in here means the machine: what it does not say is kept where the daemon keeps it. */
#define CONFIG_MACHINE_DIR "/etc/dream"

/* All mistakes at once in `d`; -EBADMSG when there are errors. Touches nothing but the file itself
 * and what it names (boxes). `missing` is the level for evaluator files that are not on this
 * machine. */
int config_load(const char *path, DiagLevel missing, Plan **ret, Diags *d, Err *err) _must_check_;
/* The same for a text that is not in a file (any more); `path` is what it is called and where
 * relative paths start. */
int config_load_text(const char *path, const char *text, size_t len, DiagLevel missing, Plan **ret,
		     Diags *d, Err *err) _must_check_;
Plan *config_free(Plan *p); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Plan *, config_free)

/* Is this one of the stages that the policy asks for? */
bool rollout_asks_stage(const RolloutConfig *c, const char *stage);
/* The service that runs in this unit in production; NULL: none. */
const ServiceSpec *experiment_service(const Experiment *x, const char *unit);
const Experiment *config_experiment(const Plan *p, const char *name); /* NULL when there is none */

/* JSON Schema of dream.yaml, from the tables that parse it. */
json_t *config_schema(void);

/* Where things are kept when the file does not say: $XDG_STATE_HOME/dream (~/.local/state/dream).
 * New string. */
int config_state_dir(char **ret, Err *err) _must_check_;
