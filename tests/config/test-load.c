/* What a right configuration becomes: defaults, aliases, precedence. */
#include <unistd.h>

#include "base/file.h"
#include "config/config.h"
#include "test.h"

/* One experiment with a command evaluator that exists everywhere, and more keys. */
static char *text_with(const char *more)
{
	return str_fmt("experiments:\n"
		       "- name: e\n"
		       "  search_space:\n"
		       "    u: [0.40, 0.45, 0.50]\n"
		       "    size: [tiny, base]\n"
		       "  evaluator: {command: [/bin/true]}\n"
		       "%s",
		       more);
}

static Plan *load(const char *more, Diags *d)
{
	_cleanup_free_ char *text = text_with(more);
	_cleanup_(str_done) Str out = STR_INIT;
	Plan *p = NULL;
	Err err = ERR_INIT;

	if (config_load_text("dream.yaml", text, strlen(text), DIAG_ERROR, &p, d, &err) < 0) {
		diags_text(d, &out);
		test_fail(__FILE__, __LINE__, "%s\n%s", err.msg, out.s ? out.s : "");
	}
	return p;
}

/* A stand-in that fails every comparison when there is no such metric. */
static Objective objective(const Experiment *x, const char *name)
{
	const Objective *o = x->goals.objectives.items;

	for (size_t i = 0; i < x->goals.objectives.n; i++)
		if (strcmp(o[i].name, name) == 0)
			return o[i];
	return (Objective){.weight = (double)NAN, .best = (double)NAN, .target = (double)NAN};
}

static Constraint constraint(const Experiment *x, const char *name)
{
	const Constraint *c = x->goals.constraints.items;

	for (size_t i = 0; i < x->goals.constraints.n; i++)
		if (strcmp(c[i].name, name) == 0)
			return c[i];
	return (Constraint){.min = (double)NAN, .max = (double)NAN};
}

static const Experiment *find(const Plan *p, const char *name)
{
	const Experiment *x = config_experiment(p, name);

	if (!x)
		test_fail(__FILE__, __LINE__, "no experiment %s", name);
	return x;
}

TEST(a_file_of_the_first_version_with_thirteen_experiments_loads)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str out = STR_INIT;
	_cleanup_(config_freep) Plan *p = NULL;

	CHECK_OK(
	    config_load(SOURCE_ROOT "/tests/config/thirteen.yaml", DIAG_WARNING, &p, &d, NULL));
	diags_text(&d, &out);
	CHECK_INT((intmax_t)p->n_experiments, 13);
	CHECK_INT((intmax_t)p->run.seed, 20251021);
	CHECK_STR(p->run.artifact_root, "/tmp/artifacts/dream");
	CHECK_INT(p->run.max_parallel, 2);
	CHECK_INT(p->run.backoff_on_failure_us, 60000000);
	for (size_t i = 0; i < 13; i++)
		CHECK(p->experiments[i].enabled == (i == 12));
	CHECK_INT(find(p, "conv_quality_spica")->selector.fresh_inject, 1);
	CHECK_INT(find(p, "spica_cognitive_variants")->selector.survivors, 1);
	CHECK_INT(find(p, "spica_repairlab")->patience_gens, 3);
	CHECK(!config_experiment(p, "spica_gpu"));
	static const char *const unused[] = {"spica_retention",	    "mutators",
					     "fitness_aggregation", "logging",
					     "global_budget",	    "overrides"};
	for (size_t i = 0; i < sizeof(unused) / sizeof(unused[0]); i++) {
		_cleanup_free_ char *want = str_fmt("%s has no effect", unused[i]);
		if (!strstr(out.s, want))
			test_fail(__FILE__, __LINE__, "no '%s' in\n%s", want, out.s);
	}
}

TEST(what_is_left_out_has_the_documented_defaults)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = load("", &d);
	const Experiment *x = &p->experiments[0];
	const Workload *w = x->workloads.items;

	CHECK_INT(p->version, 1);
	CHECK_STR(p->run.artifact_root, "artifacts/dream");
	CHECK_STR(p->run.logdir, "logs/dream");
	CHECK_INT(p->run.max_parallel, 1);
	CHECK_INT(p->run.epochs_per_cycle, 1);
	CHECK(x->enabled && x->budget.allow_gpu && !x->search_all_services && !x->memory);
	CHECK_STR(x->selector.kind, "rzero");
	CHECK_INT(x->selector.tournament_size, 4);
	CHECK_INT(x->selector.survivors, 2);
	CHECK_INT(x->selector.elitism, 1);
	CHECK_INT(x->selector.fresh_inject, 1);
	CHECK_INT(x->confirm.pairs, 6);
	CHECK_INT(x->confirm.min_pairs, 5);
	CHECK_INT(x->confirm.finalists, 2);
	CHECK_NEAR(x->confirm.confidence, 0.95, 0);
	CHECK(x->confirm.ablation);
	CHECK_STR(x->rollout.approval, "manual");
	CHECK_INT((intmax_t)x->rollout.stages.n, 4);
	CHECK_INT(x->rollout.soak_us, INT64_C(7) * 86400 * 1000000);
	CHECK_INT((intmax_t)x->workloads.n, 2);
	CHECK_STR(w[0].name, "steady");
	CHECK_STR(w[1].name, "bursty");
	CHECK(x->goals.oom_zero);
	CHECK_NEAR(objective(x, "stt_latency_ms").weight, 0.25, 0);
	CHECK_NEAR(objective(x, "gpu_memory_pct").target, 70, 0);
	CHECK_INT((intmax_t)strlen(p->sha256), 64);
}

TEST(without_a_baseline_there_is_a_warning_and_with_one_a_point)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT, d2 = DIAGS_INIT, d3 = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = load("", &d);
	_cleanup_(config_freep) Plan *q = load("  baseline: {u: 0.45, size: base}\n", &d2);
	_cleanup_(config_freep) Plan *off = load("  enabled: false\n  baseline: null\n", &d3);

	CHECK_INT((intmax_t)d.n, 1);
	CHECK(d.items[0].level == DIAG_WARNING && strstr(d.items[0].what, "no promotion"));
	CHECK(!p->experiments[0].baseline);
	CHECK_INT((intmax_t)d2.n, 0);
	CHECK_INT(q->experiments[0].baseline_point.level[0], 1);
	CHECK_INT(q->experiments[0].baseline_point.level[1], 1);
	CHECK_INT((intmax_t)d3.n, 0);
	CHECK(!off->experiments[0].baseline);
}

TEST(a_scenario_stands_in_for_objectives_and_adds_its_constraints)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT, d2 = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load("  scenario: quality\n  constraints: {llm_latency_ms: {max: 900}}\n", &d);
	_cleanup_(config_freep) Plan *q =
	    load("  scenario: quality\n  constraints: {wer_pct: {max: 5}}\n", &d2);

	CHECK_NEAR(objective(&p->experiments[0], "wer_pct").weight, 0.40, 0);
	CHECK_NEAR(constraint(&p->experiments[0], "wer_pct").max, 4, 0);
	CHECK_NEAR(constraint(&p->experiments[0], "llm_latency_ms").max, 900, 0);
	CHECK_INT((intmax_t)q->experiments[0].goals.constraints.n, 1);
	CHECK_NEAR(constraint(&q->experiments[0], "wer_pct").max, 5, 0);
}

TEST(explicit_objectives_come_before_a_scenario)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load("  scenario: latency\n  baseline: {u: 0.45, size: base}\n"
		 "  objectives: {tokens_per_s: {goal: maximize, best: 100, weight: 2}}\n",
		 &d);
	const Experiment *x = &p->experiments[0];

	CHECK_INT((intmax_t)x->goals.objectives.n, 1);
	CHECK_NEAR(objective(x, "tokens_per_s").best, 100, 0);
	CHECK_INT((intmax_t)d.n, 1);
	CHECK(d.items[0].level == DIAG_WARNING && strstr(d.items[0].what, "no effect beside"));
}

TEST(strategy_and_rzero_are_other_names_of_the_selector)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT, d2 = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = load("  strategy: grid\n", &d);
	_cleanup_(config_freep) Plan *q =
	    load("  strategy: rzero\n  rzero: {kind: rzero, tournament_size: 3, noise: 0}\n", &d2);

	CHECK_STR(p->experiments[0].selector.kind, "grid");
	CHECK_STR(q->experiments[0].selector.kind, "rzero");
	CHECK_INT(q->experiments[0].selector.tournament_size, 3);
	CHECK_NEAR(q->experiments[0].selector.noise, 0, 0);
}

TEST(hard_bounds_reach_the_space)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load("  safety: {oom_zero: false, bounds: {u: {max: 0.45}}, forbid: [{u: 0.40, size: "
		 "base}]}\n",
		 &d);
	const Experiment *x = &p->experiments[0];
	Point pt;
	size_t allowed = 0;

	for (bool more = space_first(x->space, &pt); more; more = space_next(x->space, &pt))
		allowed += space_allows(x->space, &pt, NULL);
	CHECK_INT((intmax_t)allowed, 3);
	CHECK(!x->goals.oom_zero);
}

TEST(one_target_or_a_list_of_targets_is_the_same_thing)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = load(
	    "  apply:\n"
	    "    u: {unit: a.service, flag: --share}\n"
	    "    size: [{unit: b.service, env: SIZE}, {unit: b.service, file: /e, key: SIZE}]\n",
	    &d);
	const ApplyConfig *a = p->experiments[0].apply.items;
	const ApplyTarget *one = a[0].targets.items, *two = a[1].targets.items;

	CHECK_STR(a[0].name, "u");
	CHECK_INT((intmax_t)a[0].targets.n, 1);
	CHECK_STR(one->flag, "--share");
	CHECK_INT((intmax_t)a[1].targets.n, 2);
	CHECK_STR(two[0].env, "SIZE");
	CHECK_STR(two[1].key, "SIZE");
}

TEST(services_keep_their_order_and_know_their_parameters)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load("  search_services: all\n"
		 "  baseline: {u: 0.45, size: base}\n"
		 "  services:\n"
		 "    z: {kind: vllm, params: {u: gpu_memory_utilization}}\n"
		 "    a: {kind: whisper, params: {size: model_size}}\n",
		 &d);
	const ServiceSpec *s = p->experiments[0].services.items;

	CHECK_INT((intmax_t)d.n, 0);
	CHECK_STR(s[0].name, "z");
	CHECK_STR(s[1].name, "a");
	CHECK(p->experiments[0].search_all_services);
}

TEST(a_misspelt_setting_and_a_parameter_without_effect_are_warned_about)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str out = STR_INIT;
	_cleanup_(config_freep) Plan *p =
	    load("  services: {z: {kind: vllm, params: {u: gpu_memory_utilisation}}}\n", &d);

	diags_text(&d, &out);
	CHECK(strstr(out.s, "gpu_memory_utilisation is no setting of vllm"));
	CHECK(strstr(out.s, "the parameter size reaches no service"));
	CHECK_INT((intmax_t)d.errors, 0);
	CHECK(p != NULL);
}

TEST(the_source_of_an_experiment_is_kept_for_the_records)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = load("  budget: {wallclock_sec: 5 min}\n", &d);
	const json_t *budget = json_object_get(p->experiments[0].source, "budget");

	CHECK_STR(json_string_value(json_object_get(budget, "wallclock_sec")), "5 min");
	CHECK_INT(p->experiments[0].budget.wallclock_us, INT64_C(300000000));
}

TEST(a_file_that_cannot_be_read_is_an_error_with_its_name)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Plan *p = NULL;
	Err err = ERR_INIT;

	CHECK_ERR(config_load("/nonexistent/dream.yaml", DIAG_ERROR, &p, &d, &err), ENOENT);
	CHECK(strstr(err.msg, "/nonexistent/dream.yaml"));
}

TEST(the_schema_knows_every_key_and_every_nested_table)
{
	json_auto_t *schema = config_schema();
	const json_t *items = json_object_get(
	    json_object_get(json_object_get(schema, "properties"), "experiments"), "items");
	const json_t *props = json_object_get(items, "properties");
	static const char *const keys[] = {"search_space", "evaluator", "baseline", "memory",
					   "objectives",   "apply",	"rollout",  "safety"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!json_is_object(json_object_get(props, keys[i])))
			test_fail(__FILE__, __LINE__, "the schema has no %s", keys[i]);
	CHECK_STR(json_string_value(json_object_get(schema, "$schema")),
		  "https://json-schema.org/draft/2020-12/schema");
}

TEST(the_state_folder_follows_the_xdg_rules)
{
	char *dir;
	Err err = ERR_INIT;

	CHECK_OK(setenv("XDG_STATE_HOME", "/x/state", 1));
	CHECK_OK(config_state_dir(&dir, NULL));
	CHECK_STR(dir, "/x/state/dream");
	free(dir);
	CHECK_OK(setenv("XDG_STATE_HOME", "relative", 1));
	CHECK_OK(setenv("HOME", "/home/me", 1));
	CHECK_OK(config_state_dir(&dir, NULL));
	CHECK_STR(dir, "/home/me/.local/state/dream");
	free(dir);
	CHECK_OK(unsetenv("XDG_STATE_HOME"));
	CHECK_OK(unsetenv("HOME"));
	CHECK_ERR(config_state_dir(&dir, &err), ENOENT);
}

TEST(the_trace_of_a_workload_is_read_when_the_configuration_is)
{
	static const struct {
		const char *csv, *says;
	} rows[] = {
	    {"at_s\n0\n1\n", ""},
	    {"at_s\n0\nsoon\n", "dream.yaml:9:38: error: cannot use '"},
	    {NULL, "dream.yaml:9:38: error: cannot read the trace '"},
	};
	char path[] = "/tmp/dream-trace-XXXXXX";
	int fd = mkstemp(path);
	CHECK(fd >= 0 && close(fd) == 0);
	_cleanup_free_ char *more = str_fmt("  workloads:\n"
					    "    w:\n"
					    "      llm: {arrivals: replay, trace: %s}\n",
					    path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_free_ char *text = text_with(more);
		_cleanup_(diags_done) Diags d = DIAGS_INIT;
		_cleanup_(str_done) Str out = STR_INIT;
		_cleanup_(config_freep) Plan *p = NULL;
		if (rows[i].csv)
			CHECK_OK(file_write(path, 0600, rows[i].csv, strlen(rows[i].csv), NULL));
		else
			CHECK_INT(unlink(path), 0);
		int r =
		    config_load_text("dream.yaml", text, strlen(text), DIAG_ERROR, &p, &d, NULL);
		diags_text(&d, &out);
		CHECK_INT(r, *rows[i].says ? -EBADMSG : 0);
		if (*rows[i].says && !strstr(out.s ? out.s : "", rows[i].says))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, out.s ? out.s : "");
	}
}

static Plan *load_at(const char *path, const char *run)
{
	_cleanup_free_ char *text = text_with(run);
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Plan *p = NULL;
	CHECK_OK(config_load_text(path, text, strlen(text), DIAG_ERROR, &p, &d, NULL));
	return p;
}

TEST(the_machines_own_file_means_the_daemons_places)
{
	static const char path[] = "/etc/dream/dream.yaml";
	_cleanup_(config_freep) Plan *machine = load_at(path, "");
	CHECK_STR(machine->run.store, "/var/lib/dream/dream.db");
	CHECK_STR(machine->run.artifact_root, "/var/lib/dream/artifacts");
	CHECK_STR(machine->run.logdir, "/var/log/dream");
	_cleanup_(config_freep) Plan *said =
	    load_at(path, "run: {store: /srv/d.db, logdir: log}\n");
	CHECK_STR(said->run.store, "/srv/d.db");
	CHECK_STR(said->run.logdir, "log");
	CHECK_STR(said->run.artifact_root, "/var/lib/dream/artifacts");
	_cleanup_(config_freep) Plan *mine = load_at("/home/me/etc/dream/dream.yaml", "");
	CHECK(!mine->run.store);
	CHECK_STR(mine->run.logdir, "logs/dream");
}
