/* The files that come with the program are what newcomers copy: they must be right. */
#include "config/config.h"
#include "test.h"

static Plan *load(const char *path, DiagLevel missing, Diags *d)
{
	Plan *p = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;

	if (config_load(path, missing, &p, d, &err) < 0) {
		diags_text(d, &out);
		test_fail(__FILE__, __LINE__, "%s\n%s", err.msg, out.s ? out.s : "");
	}
	return p;
}

static FitVerdict verdict_at(const Experiment *x, double util, const char *size, Fit *ret)
{
	json_t *params =
	    json_pack("{s:f, s:s}", "vllm_memory_util", util, "whisper_model_size", size);

	CHECK_OK(footprint_predict(x->memory, x->services.items, x->services.n, params, ret, NULL));
	json_decref(params);
	return ret->verdict;
}

TEST(the_3060_example_loads_without_a_word)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load(SOURCE_ROOT "/examples/rtx3060.yaml", DIAG_ERROR, &d);

	CHECK_INT((intmax_t)d.n, 0);
	const Experiment *x = config_experiment(p, "spica_gpu_allocation");
	CHECK(x && x->enabled);
	CHECK_INT((intmax_t)space_count(x->space), 15);
	CHECK_INT((intmax_t)x->services.n, 2);
	CHECK_INT((intmax_t)x->workloads.n, 2);
	CHECK_INT((intmax_t)x->apply.n, 2);
	CHECK_INT((intmax_t)p->run.seed, 20251021);
	CHECK_STR(x->selector.kind, "rzero");
	CHECK(workload_is_bursty((const Workload *)x->workloads.items + 1));
}

/* The incident: 6 of the 15 candidates, the promoted one among them, could never start. */
TEST(the_3060_example_refuses_exactly_040_and_045)
{
	static const char *const sizes[] = {"tiny", "base", "small"};
	static const double utils[] = {0.40, 0.45, 0.50, 0.55, 0.60};
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load(SOURCE_ROOT "/examples/rtx3060.yaml", DIAG_ERROR, &d);
	const Experiment *x = &p->experiments[0];

	for (size_t u = 0; u < 5; u++) {
		for (size_t s = 0; s < 3; s++) {
			Fit f;
			FitVerdict v = verdict_at(x, utils[u], sizes[s], &f);
			if (v != (utils[u] < 0.50 - 1e-9 ? FIT_NO : FIT_YES))
				test_fail(__FILE__, __LINE__, "%g %s: %s", utils[u], sizes[s],
					  f.reason);
			fit_done(&f);
		}
	}
	Fit f;
	verdict_at(x, 0.50, "small", &f);
	CHECK_INT(f.kv_tokens, 6976);
	fit_done(&f);
}

TEST(the_4090_example_has_a_space_too_large_to_try_out)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load(SOURCE_ROOT "/examples/rtx4090.yaml", DIAG_ERROR, &d);
	const Experiment *x = &p->experiments[0];

	CHECK_INT((intmax_t)d.n, 0);
	CHECK_INT((intmax_t)space_dims(x->space), 6);
	CHECK_INT((intmax_t)space_count(x->space), 11 * 6 * 4 * 2 * 5 * 2);
	CHECK(x->baseline);
}

TEST(the_4090_baseline_is_not_refused_by_what_is_declared)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p =
	    load(SOURCE_ROOT "/examples/rtx4090.yaml", DIAG_ERROR, &d);
	const Experiment *x = &p->experiments[0];
	Fit f;

	CHECK_OK(
	    footprint_predict(x->memory, x->services.items, x->services.n, x->baseline, &f, NULL));
	CHECK_INT(f.verdict, FIT_YES);
	fit_done(&f);
}

TEST(the_seeds_block_loads_as_printed_and_says_what_is_missing)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str out = STR_INIT;
	_cleanup_(config_freep) Plan *p =
	    load(SOURCE_ROOT "/examples/seed-block.yaml", DIAG_WARNING, &d);
	const Experiment *x = &p->experiments[0];

	diags_text(&d, &out);
	CHECK(strstr(out.s, "no baseline: there can be trials but no promotion"));
	CHECK(strstr(out.s, "spica_gpu_allocation.py"));
	CHECK_INT((intmax_t)d.n, 2);
	CHECK_STR(x->evaluator.class_name, "SpicaGPUAllocation");
	CHECK(!x->template_name);
	CHECK_STR(json_string_value(json_object_get(x->target_direction, "gpu_utilization")),
		  "neutral");
	CHECK_INT(x->budget.wallclock_us, INT64_C(360000000));
	CHECK_INT((intmax_t)x->goals.objectives.n, 5);
	CHECK_INT((intmax_t)space_count(x->space), 15);
}

TEST(a_missing_evaluator_is_an_error_where_it_is_to_run)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Plan *p = NULL;

	CHECK_ERR(config_load(SOURCE_ROOT "/examples/seed-block.yaml", DIAG_ERROR, &p, &d, NULL),
		  EBADMSG);
	CHECK_INT((intmax_t)d.errors, 1);
	CHECK(!p);
}
