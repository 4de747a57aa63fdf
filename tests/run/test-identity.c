/* Which edits of a configuration end a search, and which make old measurements worthless. */
#include "fixture.h"

typedef struct Effect {
	const char *edit;
	bool ends_search, forgets; /* forgetting always ends the search too */
} Effect;

static const Effect effects[] = {
    {"  enabled: false\n", false, false},
    {"  description: words\n", false, false},
    {"  confirm: {pairs: 9}\n", false, false},
    {"  apply: {u: {unit: x.service, flag: --u}}\n", false, false},
    {"  rollout: {approval: auto}\n", false, false},
    {"  budget: {max_generations: 9}\n", true, false},
    {"  strategy: random\n", true, false},
    {"  memory: {total_bytes: 12 GiB, context_bytes: 1 MiB}\n", true, false},
    {"  gpu: GPU-another\n", true, true},
    {"  services: {s: {kind: process, params: {u: size}}}\n", true, true},
    {"  scenario: latency\n", true, true},
    {"  constraints: {wer_pct: {max: 6}}\n", true, true},
    {"  safety: {oom_zero: false}\n", true, true},
    {"  search_services: all\n", true, true},
};

TEST(edits_do_what_they_must)
{
	_cleanup_(config_freep) Plan *before = plan_of("");
	Identity a = identity(&before->experiments[0]);
	for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++) {
		_cleanup_(config_freep) Plan *after = plan_of(effects[i].edit);
		Identity b = identity(&after->experiments[0]);
		bool ends = strcmp(a.fingerprint, b.fingerprint) != 0;
		bool forgets = strcmp(a.context, b.context) != 0;
		if (ends != effects[i].ends_search || forgets != effects[i].forgets)
			test_fail(__FILE__, __LINE__, "%s: ends %d, forgets %d", effects[i].edit,
				  ends, forgets);
	}
}

TEST(the_same_configuration_is_the_same_whatever_its_layout)
{
	_cleanup_(config_freep) Plan *a =
	    plan_of("  budget: {max_candidates: 5, allow_gpu: false}\n");
	_cleanup_(config_freep) Plan *b =
	    plan_of("  # a remark\n  budget:\n    allow_gpu: false\n    max_candidates: 5\n");
	Identity x = identity(&a->experiments[0]), y = identity(&b->experiments[0]);
	CHECK_STR(x.fingerprint, y.fingerprint);
	CHECK_STR(x.context, y.context);
}

TEST(seed_strategy_and_services_of_the_command_line_count)
{
	_cleanup_(config_freep) Plan *p = plan_of("");
	const Experiment *x = &p->experiments[0];
	Identity base = identity(x), other;
	CHECK_OK(identity_of(x, "c0ffee", "rzero", 1, 8, false, &other));
	CHECK(strcmp(base.fingerprint, other.fingerprint) != 0);
	CHECK_STR(other.context, base.context);
	CHECK_OK(identity_of(x, "c0ffee", "grid", 1, 7, false, &other));
	CHECK(strcmp(base.fingerprint, other.fingerprint) != 0);
	CHECK_STR(other.context, base.context);
	CHECK_OK(identity_of(x, "c0ffee", "rzero", 2, 7, false, &other));
	CHECK(strcmp(base.fingerprint, other.fingerprint) != 0);
	CHECK_OK(identity_of(x, "c0ffee", "rzero", 1, 7, true, &other));
	CHECK(strcmp(base.context, other.context) != 0);
}

TEST(an_edited_evaluator_or_box_makes_old_measurements_mean_something_else)
{
	_cleanup_(config_freep) Plan *p = plan_of("");
	const Experiment *x = &p->experiments[0];
	Identity base = identity(x), other;
	CHECK_OK(identity_of(x, "decaf", "rzero", 1, 7, false, &other));
	CHECK(strcmp(base.context, other.context) != 0);
	CHECK(strcmp(base.fingerprint, other.fingerprint) != 0);
}
