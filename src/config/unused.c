/* Keys that files of the first version carry. They did nothing there, and do nothing here: each is
 * accepted with a warning that says what counts instead. */
#include "config/draft.h"

static json_t *anything(void)
{
	return json_pack("{s:b}", "deprecated", 1);
}

static int warn(const ConfNode *n, Diags *d, const char *key, const char *instead)
{
	conf_warn(n, d, instead, "%s has no effect", key);
	return 0;
}

static int retention(const ConfNode *n, void *member, Diags *d)
{
	(void)member;
	return warn(n, d, "spica_retention", "every trial is kept, in one store");
}

static int mutators(const ConfNode *n, void *member, Diags *d)
{
	(void)member;
	return warn(n, d, "mutators", "the strategy changes candidates within the search space");
}

static int aggregation(const ConfNode *n, void *member, Diags *d)
{
	(void)member;
	return warn(n, d, "fitness_aggregation", "each experiment's objectives are its fitness");
}

static int logging(const ConfNode *n, void *member, Diags *d)
{
	(void)member;
	return warn(n, d, "logging", "use run.logdir and the options of dream run");
}

static int global_budget(const ConfNode *n, void *member, Diags *d)
{
	(void)member;
	return warn(n, d, "global_budget", "each experiment's budget counts");
}

static int overrides(const ConfNode *n, void *member, Diags *d)
{
	(void)member;
	return warn(n, d, "overrides", "give the weights in objectives");
}

static int mapping(const ConfNode *n, void *member, Diags *d)
{
	(void)member;
	return warn(n, d, "param_mapping", "say in apply where a parameter goes");
}

const ConfCustom unused_retention = {.read = retention, .schema = anything};
const ConfCustom unused_mutators = {.read = mutators, .schema = anything};
const ConfCustom unused_aggregation = {.read = aggregation, .schema = anything};
const ConfCustom unused_logging = {.read = logging, .schema = anything};
const ConfCustom unused_global_budget = {.read = global_budget, .schema = anything};
const ConfCustom unused_overrides = {.read = overrides, .schema = anything};
const ConfCustom unused_mapping = {.read = mapping, .schema = anything};
