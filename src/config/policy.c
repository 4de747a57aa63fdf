/* The policies of those above: how to choose, how to confirm, how to roll out. */
#include "config/draft.h"

/* --- selector -------------------------------------------------------------------------------- */

static void selector_check(const ConfNode *n, void *target, Diags *d)
{
	const SelectorConfig *s = target;

	if (s->elitism > s->survivors)
		conf_fault(conf_get(n, "elitism") ? conf_get(n, "elitism") : n, d,
			   "elitism of at most survivors",
			   "%lld candidates cannot be kept when only %lld survive",
			   (long long)s->elitism, (long long)s->survivors);
}

#define AT(member) offsetof(SelectorConfig, member)
static const ConfField selector_fields[] = {
    {"kind", CONF_T_CUSTOM, AT(kind), .custom = &word_strategy,
     .help = "The strategy: rzero, random or grid", .otherwise = "rzero"},
    {"tournament_size", CONF_T_INT, AT(tournament_size), .help = "How many compete",
     .otherwise = "4", .min = 1, .max = 100000},
    {"survivors", CONF_T_INT, AT(survivors), .help = "How many of them survive", .otherwise = "2",
     .min = 1, .max = 1000},
    {"elitism", CONF_T_INT, AT(elitism), .help = "How many of the best are always kept",
     .otherwise = "1", .min = 0, .max = 1000},
    {"fresh_inject", CONF_T_INT, AT(fresh_inject),
     .help = "How many new random candidates join a generation", .otherwise = "1", .min = 0,
     .max = 100000},
    {"noise", CONF_T_NUMBER, AT(noise),
     .help = "The best is measured again while its standard error is more than this share of its "
	     "fitness; 0: never",
     .otherwise = "0.02", .min = 0, .max = 1},
    {0},
};
#undef AT

const ConfTable selector_table = {
    .name = "selector",
    .help = "How the search chooses the next candidates",
    .size = sizeof(SelectorConfig),
    .fields = selector_fields,
    .check = selector_check,
};

/* --- confirm --------------------------------------------------------------------------------- */

static void confirm_check(const ConfNode *n, void *target, Diags *d)
{
	const ConfirmConfig *c = target;

	if (c->min_pairs > c->pairs)
		conf_fault(conf_get(n, "min_pairs") ? conf_get(n, "min_pairs") : n, d,
			   "min_pairs of at most pairs",
			   "%lld pairs can never reach the floor of %lld: nothing could win",
			   (long long)c->pairs, (long long)c->min_pairs);
}

#define AT(member) offsetof(ConfirmConfig, member)
static const ConfField confirm_fields[] = {
    {"pairs", CONF_T_INT, AT(pairs),
     .help = "Pairs of baseline and finalist, for each workload, in an order drawn by lot",
     .otherwise = "6", .min = 1, .max = 1000},
    {"min_pairs", CONF_T_INT, AT(min_pairs),
     .help = "Complete pairs below which the verdict is inconclusive", .otherwise = "5", .min = 2,
     .max = 1000},
    {"finalists", CONF_T_INT, AT(finalists),
     .help = "How many of the best are tried, one after another, until one wins", .otherwise = "2",
     .min = 1, .max = 100},
    {"confidence", CONF_T_NUMBER, AT(confidence),
     .help = "Of the interval that must exclude no change; shared among the finalists",
     .otherwise = "0.95", .min = 0.51, .max = 0.9999},
    {"ablation", CONF_T_BOOL, AT(ablation),
     .help = "Whether each changed parameter is also measured alone", .otherwise = "true"},
    {"wer_margin", CONF_T_NUMBER, AT(wer_margin_pct),
     .help =
	 "By how many points the word error rate may be worse at most, with this confidence, on "
	 "the same clips; -1: not asked",
     .otherwise = "-1", .min = -1, .max = 100},
    {0},
};
#undef AT

const ConfTable confirm_table = {
    .name = "confirm",
    .help = "How a finalist is confirmed against the baseline",
    .size = sizeof(ConfirmConfig),
    .fields = confirm_fields,
    .check = confirm_check,
};

/* --- rollout --------------------------------------------------------------------------------- */

#define AT(member) offsetof(RolloutConfig, member)
static const ConfField rollout_fields[] = {
    {"stages", CONF_T_CUSTOM, AT(stages), .custom = &word_stages,
     .help = "The stages it passes, in this order; what the promotion has passed already is not "
	     "done again",
     .otherwise = "[isolated, colocated, cold_start, production]"},
    {"observe", CONF_T_DURATION, AT(observe_us),
     .help = "How long production is looked at before the first change, for the comparison, where "
	     "not enough is known from before",
     .otherwise = "30 min", .min = 1, .max = 2592000},
    {"watch", CONF_T_DURATION, AT(watch_us),
     .help = "How long each change is watched before the next", .otherwise = "30 min", .min = 1,
     .max = 2592000},
    {"probation", CONF_T_DURATION, AT(probation_us),
     .help = "How long the whole is watched after it was committed, by a slower guard",
     .otherwise = "1 d", .min = 0, .max = 2592000},
    {"soak", CONF_T_DURATION, AT(soak_us),
     .help = "How long a promotion must have been proposed before it may be approved automatically",
     .otherwise = "7 d", .min = 0, .max = 31536000},
    {"probe_every", CONF_T_DURATION, AT(probe_every_us),
     .help = "How often each service is asked while it is watched", .otherwise = "2 s", .min = 0.01,
     .max = 3600},
    {"probe_limit", CONF_T_DURATION, AT(probe_limit_us),
     .help = "An answer that takes longer is none", .otherwise = "10 s", .min = 0.01, .max = 600},
    {"approval", CONF_T_CUSTOM, AT(approval), .custom = &word_approval,
     .help = "Who says yes: manual or auto", .otherwise = "manual"},
    {"approval_expires", CONF_T_DURATION, AT(approval_expires_us),
     .help = "How long an approval holds", .otherwise = "1 d", .min = 1, .max = 31536000},
    {"max_age", CONF_T_DURATION, AT(max_age_us), .help = "A promotion older than this is refused",
     .otherwise = "30 d", .min = 1, .max = 315360000},
    {"auto_min_gain", CONF_T_NUMBER, AT(auto_min_gain),
     .help = "Automatic approval only when fitness is better by at least this share",
     .otherwise = "0.05", .min = 0, .max = 1000},
    {"auto_parameters", CONF_T_STRINGS, AT(auto_parameters),
     .help = "Automatic approval only when no other parameter is changed; absent: any may be"},
    {"on_inconclusive", CONF_T_CUSTOM, AT(on_inconclusive), .custom = &word_inconclusive,
     .help = "When watching shows neither harm nor none, or was interrupted: wait (watch on), "
	     "ask or undo",
     .otherwise = "ask"},
    {"waits", CONF_T_INT, AT(waits),
     .help = "How often wait watches again before a person is asked", .otherwise = "3", .min = 1,
     .max = 1000},
    {"max_regression", CONF_T_NUMBER, AT(max_regression),
     .help = "How much worse a metric may get, as a share, and still be no worse",
     .otherwise = "0.05", .min = 0, .max = 10},
    {"false_alarms", CONF_T_NUMBER, AT(false_alarms),
     .help = "How often a change that does no harm may be taken back, over one watch",
     .otherwise = "0.01", .min = 0.0001, .max = 0.2},
    {"window", CONF_T_STRING, AT(window),
     .help = "When production may be restarted, as 03:00-07:00 local time; absent: at any time"},
    {"budget", CONF_T_DURATION, AT(budget_us),
     .help = "The downtime that one rollout may cost each service", .otherwise = "10 min", .min = 1,
     .max = 86400},
    {"drain", CONF_T_DURATION, AT(drain_us),
     .help = "How long a restart waits for requests in flight to end, where the server's metrics "
	     "tell of them",
     .otherwise = "5 s", .min = 0, .max = 3600},
    {"ready", CONF_T_DURATION, AT(ready_us),
     .help = "How long a service may take from its restart to the first real answer",
     .otherwise = "10 min", .min = 1, .max = 86400},
    {"memory_model", CONF_T_BOOL, AT(memory_model),
     .help = "Whether the memory model may refuse a promotion", .otherwise = "true"},
    {0},
};
#undef AT

const ConfTable rollout_table = {
    .name = "rollout",
    .help = "How a promotion goes into production",
    .size = sizeof(RolloutConfig),
    .fields = rollout_fields,
};
