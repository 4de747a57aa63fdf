/* The policies of those above: how to choose, how to confirm, how to roll out. */
#include <string.h>

#include "config/draft.h"
#include "search/search.h"

enum {
	NAMES_MAX = 16
};

/* --- selector -------------------------------------------------------------------------------- */

static void strategy_names(const char *ret[NAMES_MAX + 1], Str *joined)
{
	size_t n = 0;
	const SearchStrategy *s;

	for (; n < NAMES_MAX && (s = search_strategy(n)); n++) {
		ret[n] = s->name;
		str_addf(joined, "%s%s", n > 0 ? ", " : "", s->name);
	}
	ret[n] = NULL;
}

bool check_strategy(const ConfNode *at, const char *name, Diags *d)
{
	_cleanup_(str_done) Str accept = STR_INIT;
	const char *names[NAMES_MAX + 1];

	strategy_names(names, &accept);
	for (size_t i = 0; names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	const char *near = conf_nearest(name, names);
	if (near) {
		str_clear(&accept);
		str_addf(&accept, "did you mean %s?", near);
	}
	conf_fault(at, d, accept.s, "there is no strategy '%.60s'", name);
	return false;
}

static void selector_check(const ConfNode *n, void *target, Diags *d)
{
	const SelectorConfig *s = target;

	if (conf_get(n, "kind"))
		(void)check_strategy(conf_get(n, "kind"), s->kind, d);
	if (s->elitism > s->survivors)
		conf_fault(conf_get(n, "elitism") ? conf_get(n, "elitism") : n, d,
			   "elitism of at most survivors",
			   "%lld candidates cannot be kept when only %lld survive",
			   (long long)s->elitism, (long long)s->survivors);
}

#define AT(member) offsetof(SelectorConfig, member)
static const ConfField selector_fields[] = {
    {"kind", CONF_T_STRING, AT(kind), .help = "The strategy: rzero, random or grid",
     .otherwise = "rzero"},
    {"tournament_size", CONF_T_INT, AT(tournament_size), .help = "How many compete",
     .otherwise = "4", .min = 1, .max = 100000},
    {"survivors", CONF_T_INT, AT(survivors), .help = "How many of them survive", .otherwise = "2",
     .min = 1, .max = 100000},
    {"elitism", CONF_T_INT, AT(elitism), .help = "How many of the best are always kept",
     .otherwise = "1", .min = 0, .max = 100000},
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
     .otherwise = "0.95", .min = 0.5, .max = 0.9999},
    {"ablation", CONF_T_BOOL, AT(ablation),
     .help = "Whether each changed parameter is also measured alone", .otherwise = "true"},
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

static void check_word(const ConfNode *n, const char *key, const char *word,
		       const char *const *words, Diags *d)
{
	_cleanup_(str_done) Str accept = STR_INIT;

	for (size_t i = 0; words[i]; i++) {
		if (word && strcmp(words[i], word) == 0)
			return;
		str_addf(&accept, "%s%s", i > 0 ? ", " : "", words[i]);
	}
	const ConfNode *at = conf_get(n, key);
	conf_fault(at ? at : n, d, accept.s, "'%.60s' is nothing that %s can be", word ? word : "",
		   key);
}

static void rollout_check(const ConfNode *n, void *target, Diags *d)
{
	static const char *const approvals[] = {"manual", "auto", NULL};
	static const char *const answers[] = {"wait", "ask", "undo", NULL};
	static const char *const stages[] = {"isolated", "colocated", "production", NULL};
	const RolloutConfig *r = target;

	check_word(n, "approval", r->approval, approvals, d);
	check_word(n, "on_inconclusive", r->on_inconclusive, answers, d);
	for (size_t i = 0; i < r->stages.n; i++)
		check_word(n, "stages", r->stages.items[i], stages, d);
}

#define AT(member) offsetof(RolloutConfig, member)
static const ConfField rollout_fields[] = {
    {"stages", CONF_T_STRINGS, AT(stages), .help = "The stages it passes, in this order",
     .otherwise = "[isolated, colocated, production]"},
    {"watch", CONF_T_DURATION, AT(watch_us),
     .help = "How long each change is watched before the next", .otherwise = "10 min", .min = 1,
     .max = 2592000},
    {"probation", CONF_T_DURATION, AT(probation_us),
     .help = "How long the whole is watched closely", .otherwise = "1 h", .min = 0, .max = 2592000},
    {"soak", CONF_T_DURATION, AT(soak_us),
     .help = "How long it must hold before it is the new baseline", .otherwise = "7 d", .min = 0,
     .max = 31536000},
    {"approval", CONF_T_STRING, AT(approval), .help = "Who says yes: manual or auto",
     .otherwise = "manual"},
    {"on_inconclusive", CONF_T_STRING, AT(on_inconclusive),
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
    .check = rollout_check,
};
