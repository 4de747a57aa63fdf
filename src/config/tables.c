/* The tables of dream.yaml: every key, its type, its default and its sentence. */
#include <string.h>

#include "config/draft.h"

static int keep_node(const ConfNode *n, void *member, Diags *d)
{
	(void)d;
	*(const ConfNode **)member = n;
	return 0;
}

static const ConfCustom space_custom = {.read = keep_node, .schema = space_schema};
static const ConfCustom bounds_custom = {.read = keep_node, .schema = space_bounds_schema};
static const ConfCustom forbid_custom = {.read = keep_node, .schema = space_forbid_schema};

/* --- budget ---------------------------------------------------------------------------------- */

#define AT(member) offsetof(BudgetConfig, member)
static const ConfField budget_fields[] = {
    {"wallclock_sec", CONF_T_DURATION, AT(wallclock_us),
     .help = "How long one epoch may take; what does not fit is carried over to the next",
     .otherwise = "300", .min = 1, .max = 2592000},
    {"trial_timeout_sec", CONF_T_DURATION, AT(trial_timeout_us),
     .help = "How long one trial may take before it is stopped", .otherwise = "300", .min = 1,
     .max = 604800},
    {"max_candidates", CONF_T_INT, AT(max_candidates),
     .help = "Candidates in one generation, the initial population too", .otherwise = "8", .min = 1,
     .max = 100000},
    {"max_generations", CONF_T_INT, AT(max_generations), .help = "Generations of one evolution",
     .otherwise = "4", .min = 1, .max = 100000},
    {"allow_gpu", CONF_T_BOOL, AT(allow_gpu), .help = "Whether trials may use a GPU at all",
     .otherwise = "true"},
    {0},
};
#undef AT

static const ConfTable budget_table = {
    .name = "budget",
    .help = "What one epoch of the experiment may cost",
    .size = sizeof(BudgetConfig),
    .fields = budget_fields,
};

/* --- metrics --------------------------------------------------------------------------------- */

static const ConfField metrics_fields[] = {
    {"target_direction", CONF_T_CUSTOM, offsetof(DraftMetrics, target_direction),
     .help = "Metric to up, down or neutral; what counts and how much is said by objectives",
     .custom = &word_directions},
    {"map", CONF_T_CUSTOM, offsetof(DraftMetrics, map),
     .help = "The evaluator's name of a metric to the name that is used here",
     .custom = &word_metric_map},
    {0},
};

static const ConfTable metrics_table = {
    .name = "metrics",
    .help = "How the evaluator's metrics are called and which way is better",
    .size = sizeof(DraftMetrics),
    .fields = metrics_fields,
};

/* --- safety, convergence --------------------------------------------------------------------- */

static const ConfField safety_fields[] = {
    {"bounds", CONF_T_CUSTOM, offsetof(DraftSafety, bounds),
     .help = "Parameter to the smallest and largest value that may ever be tried",
     .custom = &bounds_custom},
    {"forbid", CONF_T_CUSTOM, offsetof(DraftSafety, forbid),
     .help = "Combinations of values that may never be tried", .custom = &forbid_custom},
    {"oom_zero", CONF_T_BOOL, offsetof(DraftSafety, oom_zero),
     .help = "Whether running out of memory makes the fitness 0", .otherwise = "true"},
    {0},
};

static const ConfTable safety_table = {
    .name = "safety",
    .help = "What no candidate may do",
    .size = sizeof(DraftSafety),
    .fields = safety_fields,
};

static const ConfField convergence_fields[] = {
    {"patience_gens", CONF_T_INT, offsetof(DraftConvergence, patience_gens),
     .help = "Generations without a better best before the search stops; 0: never",
     .otherwise = "0", .min = 0, .max = 100000},
    {0},
};

static const ConfTable convergence_table = {
    .name = "convergence",
    .help = "When the search has seen enough",
    .size = sizeof(DraftConvergence),
    .fields = convergence_fields,
};

/* --- experiment ------------------------------------------------------------------------------ */

static const char *const search_services[] = {"tuned", "all", NULL};

#define AT(member) offsetof(Draft, member)
static const ConfField experiment_fields[] = {
    {"name", CONF_T_STRING, AT(x.name),
     .help = "What the experiment is called: letters, digits, '_', '-' and '.'", .required = true},
    {"enabled", CONF_T_BOOL, AT(x.enabled), .help = "Whether it takes part in the rotation",
     .otherwise = "true"},
    {"description", CONF_T_STRING, AT(x.description), .help = "What it is for"},
    {"template", CONF_T_STRING, AT(x.template_name),
     .help = "A note of the first version, kept in the records; nothing is read from it"},
    {"gpu", CONF_T_STRING, AT(x.gpu),
     .help = "The UUID of the GPU it measures on; absent: what the evaluator knows"},
    {"search_space", CONF_T_CUSTOM, AT(search_space),
     .help = "Parameter to the values that may be tried", .required = true,
     .custom = &space_custom},
    {"evaluator", CONF_T_OBJECT, AT(x.evaluator), .help = "What turns a candidate into numbers",
     .required = true, .table = &evaluator_table},
    {"budget", CONF_T_OBJECT, AT(x.budget), .help = "What one epoch may cost",
     .table = &budget_table},
    {"metrics", CONF_T_OBJECT, AT(metrics), .help = "Names and directions of metrics",
     .table = &metrics_table},
    {"scenario", CONF_T_CUSTOM, AT(x.scenario),
     .help = "A preset of objectives and constraints: latency, capacity or quality",
     .custom = &word_scenario},
    {"objectives", CONF_T_NAMED, AT(x.goals.objectives),
     .help = "Metric to what is wanted of it; absent: the scenario's, else the seeds' five",
     .table = &objective_table},
    {"constraints", CONF_T_NAMED, AT(x.goals.constraints),
     .help = "Metric to what it must be; added to the scenario's", .table = &constraint_table},
    {"safety", CONF_T_OBJECT, AT(safety), .help = "What no candidate may do",
     .table = &safety_table},
    {"baseline", CONF_T_JSON, AT(x.baseline),
     .help = "What production runs now: a value for each parameter; without it there are trials "
	     "but no promotion"},
    {"services", CONF_T_NAMED, AT(x.services),
     .help = "The model services in the order in which they start, and how a parameter reaches "
	     "each",
     .table = &service_table},
    {"workloads", CONF_T_NAMED, AT(x.workloads),
     .help = "Load profiles; the first is the search's; absent: steady and bursty",
     .table = &workload_table},
    {"memory", CONF_T_OPTIONAL, AT(x.memory), .help = "What is known about memory",
     .table = &footprint_table},
    {"selector", CONF_T_OBJECT, AT(x.selector), .help = "How the search chooses",
     .table = &selector_table},
    {"rzero", CONF_T_OBJECT, AT(rzero), .help = "The older name of selector",
     .table = &selector_table},
    {"strategy", CONF_T_CUSTOM, AT(strategy), .help = "The short form of selector.kind",
     .custom = &word_strategy},
    {"convergence", CONF_T_OBJECT, AT(convergence), .help = "When the search stops",
     .table = &convergence_table},
    {"search_services", CONF_T_ENUM, AT(search_services),
     .help = "Which services run while searching: those that are tuned, or all (as always in the "
	     "confirmation)",
     .otherwise = "tuned", .choices = search_services},
    {"confirm", CONF_T_OBJECT, AT(x.confirm), .help = "How a finalist is confirmed",
     .table = &confirm_table},
    {"apply", CONF_T_CUSTOM, AT(x.apply),
     .help = "Parameter to the place or places where production sets it", .custom = &apply_custom},
    {"rollout", CONF_T_OBJECT, AT(x.rollout), .help = "How a promotion goes into production",
     .table = &rollout_table},
    {"overrides", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_overrides},
    {"mutators", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_mutators},
    {"param_mapping", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_mapping},
    {0},
};
#undef AT

const ConfTable draft_table = {
    .name = "experiment",
    .help = "A search space, what measures it, and what is wanted of it",
    .size = sizeof(Draft),
    .fields = experiment_fields,
};

/* --- run ------------------------------------------------------------------------------------- */

static const ConfField scheduling_fields[] = {
    {"selection", CONF_T_CUSTOM, offsetof(DraftScheduling, selection), .custom = &word_selection,
     .help = "The order in which experiments take turns: round_robin", .otherwise = "round_robin"},
    {"max_parallel", CONF_T_INT, offsetof(DraftScheduling, max_parallel),
     .help = "How many experiments run at once; never two on one GPU", .otherwise = "1", .min = 1,
     .max = 64},
    {"backoff_on_failure_sec", CONF_T_DURATION, offsetof(DraftScheduling, backoff_on_failure_us),
     .help = "How long an experiment that failed is left alone", .otherwise = "60", .min = 0,
     .max = 604800},
    {0},
};

static const ConfTable scheduling_table = {
    .name = "scheduling",
    .help = "How experiments take turns",
    .size = sizeof(DraftScheduling),
    .fields = scheduling_fields,
};

#define AT(member) offsetof(DraftRun, member)
static const ConfField run_fields[] = {
    {"seed", CONF_T_INT, AT(seed), .help = "Where every draw of lots starts: same seed, same run",
     .otherwise = "0", .min = 0, .max = 9007199254740992.0},
    {"artifact_root", CONF_T_STRING, AT(run.artifact_root),
     .help = "The folder of winners, promotions and epochs (of /etc/dream/dream.yaml: "
	     "/var/lib/dream/artifacts)",
     .otherwise = "artifacts/dream"},
    {"logdir", CONF_T_STRING, AT(run.logdir),
     .help = "The folder of runner.log (of /etc/dream/dream.yaml: /var/log/dream)",
     .otherwise = "logs/dream"},
    {"store", CONF_T_STRING, AT(run.store),
     .help = "The database; absent: dream.db under $XDG_STATE_HOME/dream, or of "
	     "/etc/dream/dream.yaml under /var/lib/dream"},
    {"key", CONF_T_STRING, AT(run.key),
     .help = "The signing key, made on first use; absent: beside the store"},
    {"pinned_key", CONF_T_CUSTOM, AT(run.pinned_key), .custom = &word_public_key,
     .help = "The public key, in hexadecimal, that signatures must be made with"},
    {"anchors", CONF_T_STRINGS, AT(run.anchors),
     .help = "Files, best on another disk, to which heads of the lineage are also appended"},
    {"epochs_per_cycle", CONF_T_INT, AT(run.epochs_per_cycle),
     .help = "Epochs of each experiment in one cycle", .otherwise = "1", .min = 1, .max = 100000},
    {"sleep_between_cycles_sec", CONF_T_DURATION, AT(run.sleep_between_cycles_us),
     .help = "The pause between cycles", .otherwise = "0", .min = 0, .max = 604800},
    {"scheduling", CONF_T_OBJECT, AT(scheduling), .help = "How experiments take turns",
     .table = &scheduling_table},
    {"global_budget", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_global_budget},
    {0},
};
#undef AT

static const ConfTable run_table = {
    .name = "run",
    .help = "What holds for all experiments",
    .size = sizeof(DraftRun),
    .fields = run_fields,
};

/* --- daemon ---------------------------------------------------------------------------------- */

#define AT(member) offsetof(DaemonConfig, member)
static const ConfField daemon_fields[] = {
    {"approvers", CONF_T_STRING, AT(approvers),
     .help = "The group whose members may approve, roll out and take back; absent: only root and "
	     "the daemon's own user"},
    {"hook", CONF_T_STRINGS, AT(hook),
     .help = "A program that is told of what matters, as JSON on its standard input"},
    {"trusted_keys", CONF_T_STRINGS, AT(trusted_keys),
     .help = "Public keys, in hexadecimal, whose promotions are taken beside our own"},
    {"run_window", CONF_T_STRING, AT(run_window),
     .help = "When the experiments are run, as 01:00-05:00 local time; absent: not by the daemon"},
    {"run_every", CONF_T_DURATION, AT(run_every_us),
     .help = "How long after a run has ended the next may begin", .otherwise = "1 d", .min = 1,
     .max = 31536000},
    {"probe_every", CONF_T_DURATION, AT(probe_every_us),
     .help = "How often production is asked between rollouts; 0: never", .otherwise = "1 min",
     .min = 0, .max = 86400},
    {0},
};
#undef AT

static const ConfTable daemon_table = {
    .name = "daemon",
    .help = "What `dream daemon` does",
    .size = sizeof(DaemonConfig),
    .fields = daemon_fields,
};

/* --- the file -------------------------------------------------------------------------------- */

#define AT(member) offsetof(DraftPlan, member)
static const ConfField plan_fields[] = {
    {"version", CONF_T_INT, AT(version), .help = "The version of this file's layout: 1",
     .otherwise = "1"},
    {"run", CONF_T_OBJECT, AT(run), .help = "What holds for all experiments", .table = &run_table},
    {"daemon", CONF_T_OBJECT, AT(daemon), .help = "What `dream daemon` does",
     .table = &daemon_table},
    {"experiments", CONF_T_LIST, AT(experiments), .help = "The experiments, in rotation",
     .required = true, .table = &draft_table},
    {"spica_retention", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_retention},
    {"mutators", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_mutators},
    {"fitness_aggregation", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_aggregation},
    {"logging", CONF_T_CUSTOM, AT(without_effect), .help = "Without effect",
     .custom = &unused_logging},
    {0},
};
#undef AT

const ConfTable draft_plan_table = {
    .name = "dream.yaml",
    .help = "The configuration of D-REAM",
    .size = sizeof(DraftPlan),
    .fields = plan_fields,
};
