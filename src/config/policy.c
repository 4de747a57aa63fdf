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
     .help = "The stages it passes, in this order",
     .otherwise = "[isolated, colocated, production]"},
    {"watch", CONF_T_DURATION, AT(watch_us),
     .help = "How long each change is watched before the next", .otherwise = "10 min", .min = 1,
     .max = 2592000},
    {"probation", CONF_T_DURATION, AT(probation_us),
     .help = "How long the whole is watched closely", .otherwise = "1 h", .min = 0, .max = 2592000},
    {"soak", CONF_T_DURATION, AT(soak_us),
     .help = "How long it must hold before it is the new baseline", .otherwise = "7 d", .min = 0,
     .max = 31536000},
    {"approval", CONF_T_CUSTOM, AT(approval), .custom = &word_approval,
     .help = "Who says yes: manual or auto", .otherwise = "manual"},
    {"on_inconclusive", CONF_T_CUSTOM, AT(on_inconclusive), .custom = &word_inconclusive,
     .help = "When watching shows neither harm nor none: wait, ask or undo", .otherwise = "ask"},
    {"max_regression", CONF_T_NUMBER, AT(max_regression),
     .help = "How much worse a metric may get, as a share, before the change is taken back",
     .otherwise = "0.05", .min = 0, .max = 10},
    {0},
};
#undef AT

const ConfTable rollout_table = {
    .name = "rollout",
    .help = "How a promotion goes into production",
    .size = sizeof(RolloutConfig),
    .fields = rollout_fields,
};
