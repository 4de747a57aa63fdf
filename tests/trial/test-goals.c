/* How `objectives:` and `constraints:` are read, and which mistakes are found. */
#include "conf/conf.h"
#include "test.h"
#include "trial/objective.h"

typedef struct Wanted {
	ConfList objectives, constraints;
} Wanted;

static const ConfField wanted_fields[] = {
    {.name = "objectives",
     .type = CONF_T_NAMED,
     .offset = offsetof(Wanted, objectives),
     .table = &objective_table},
    {.name = "constraints",
     .type = CONF_T_NAMED,
     .offset = offsetof(Wanted, constraints),
     .table = &constraint_table},
    {0},
};

static const ConfTable wanted_table = {
    .name = "wanted", .size = sizeof(Wanted), .fields = wanted_fields};

static void read_wanted(const char *text, Wanted *ret, Diags *d)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	CHECK_OK(conf_read_text("t.yaml", text, strlen(text), &doc, d, NULL));
	*ret = (Wanted){0};
	CHECK_OK(conf_fill(&wanted_table, conf_root(doc), ret, d));
}

TEST(objectives_are_read_with_their_defaults)
{
	Wanted w;
	Diags d = DIAGS_INIT;
	read_wanted("objectives:\n"
		    "  stt_latency_ms: {goal: minimize, worst: 500, weight: 0.25}\n"
		    "  capacity: {goal: maximize, best: 20, tolerance: 0}\n"
		    "  gpu_memory_pct: {goal: target, target: 70, width: 50}\n",
		    &w, &d);
	CHECK_INT(d.errors, 0);
	const Objective *o = w.objectives.items;
	CHECK_INT(w.objectives.n, 3);
	CHECK_STR(o[0].name, "stt_latency_ms");
	CHECK_NEAR(o[0].weight, 0.25, 0);
	CHECK_NEAR(o[0].best, 0, 0);
	CHECK_NEAR(o[0].tolerance, 0.1, 0);
	CHECK_NEAR(o[1].weight, 1, 0);
	CHECK_NEAR(o[1].tolerance, 0, 0);
	CHECK_NEAR(objective_score(&o[2], 95), 0.5, 1e-12);
	conf_done(&wanted_table, &w);
	diags_done(&d);
}

TEST(an_absent_bound_of_a_constraint_bounds_nothing)
{
	Wanted w;
	Diags d = DIAGS_INIT;
	read_wanted("constraints:\n"
		    "  wer_pct: {max: 6}\n"
		    "  tokens_per_s: {min: 20}\n",
		    &w, &d);
	CHECK_INT(d.errors, 0);
	const Constraint *c = w.constraints.items;
	CHECK_INT(w.constraints.n, 2);
	CHECK(isnan(c[0].min));
	CHECK_NEAR(c[0].max, 6, 0);
	CHECK_NEAR(c[1].min, 20, 0);
	CHECK(isnan(c[1].max));
	conf_done(&wanted_table, &w);
	diags_done(&d);
}

TEST(mistakes_between_fields_are_found_at_their_place)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"objectives: {a: {goal: minimize}}", "minimize needs a `worst` above `best`"},
	    {"objectives: {a: {goal: minimize, worst: 1, best: 2}}",
	     "minimize needs a `worst` above `best`"},
	    {"objectives: {a: {goal: maximize, worst: 5}}",
	     "maximize needs a `best` above `worst`"},
	    {"objectives: {a: {goal: target, target: 70}}", "a target needs"},
	    {"objectives: {a: {goal: target, width: 5}}", "a target needs"},
	    {"objectives: {a: {goal: target, target: 7, width: 0}}", "a target needs"},
	    {"objectives: {a: {goal: target, target: 7, width: 1, best: 3}}",
	     "'best' means nothing for the goal target"},
	    {"objectives: {a: {goal: maximize, best: 3, width: 1}}",
	     "'width' means nothing for the goal maximize"},
	    {"objectives: {\"a b\": {goal: maximize, best: 3}}",
	     "'a b' cannot be the name of a metric"},
	    {"constraints: {a: {}}", "a constraint needs `min`, `max` or both"},
	    {"constraints: {a: {min: 3, max: 2}}", "nothing is both at least 3 and at most 2"},
	    {"constraints: {\"\\e[2J\": {min: 3}}", "cannot be the name of a metric"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Wanted w;
		Diags d = DIAGS_INIT;
		Str text = STR_INIT;
		read_wanted(cases[i].text, &w, &d);
		diags_text(&d, &text);
		if (d.errors != 1 || !text.s || !strstr(text.s, cases[i].says))
			test_fail(__FILE__, __LINE__, "%s: %zu errors: %s", cases[i].text, d.errors,
				  text.s ? text.s : "");
		CHECK(strncmp(text.s, "t.yaml:1:", 9) == 0);
		conf_done(&wanted_table, &w);
		str_done(&text);
		diags_done(&d);
	}
}
