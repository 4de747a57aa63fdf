/* The seeds' evaluators through the shim, in a real interpreter. */
#include <unistd.h>

#include "base/json.h"
#include "support.h"
#include "test.h"

static Measurement run(const char *class_name, json_t *kwargs, const EvalRequest *rq)
{
	EvalRequest usual = request_make();
	_cleanup_(evaluator_freep) Evaluator *e =
	    python_evaluator(getenv("EVAL_TEST_DIR"), "seedlike.py", class_name, kwargs);
	CHECK_STR(evaluator_kind(e), "python");
	return measure(e, rq ? rq : &usual);
}

static double value(const Measurement *m, const char *name)
{
	const Metric *x = measurement_get(m, name);
	CHECK(x);
	return x->value;
}

static void check_fails(const char *class_name, const char *key, const char *word, Outcome outcome,
			const char *reason)
{
	EvalRequest rq = request_make();
	if (strcmp(word, "hangs") == 0)
		rq.timeout_us = 400000;
	Measurement m = run(class_name, json_pack("{s:s}", key, word), &rq);
	if (m.outcome != outcome || !m.reason || !strstr(m.reason, reason))
		test_fail(__FILE__, __LINE__, "%s: %s: %s", word, outcome_name(m.outcome),
			  m.reason ? m.reason : "");
	measurement_done(&m);
}

TEST(a_class_with_init_kwargs_and_evaluate_candidate_is_run_as_the_seeds_did)
{
	Measurement m = run("Allocation", json_pack("{s:f}", "stt_ms", 51.5), NULL);
	CHECK_INT(m.outcome, OUTCOME_OK);
	CHECK_NEAR(value(&m, "stt_latency_ms"), 51.5, 0);
	CHECK_NEAR(value(&m, "gpu_memory_pct"), 50, 1e-9);
	CHECK(!measurement_get(&m, "llm_latency_ms"));
	CHECK_NEAR(js_num(m.evidence, "reported_fitness", 0), 0.537, 0);
	CHECK(m.duration_us > 0);
	measurement_done(&m);
}

TEST(evaluate_with_two_arguments_gets_the_context)
{
	Measurement m = run("WithContext", NULL, NULL);
	CHECK_INT(m.outcome, OUTCOME_OK);
	CHECK_NEAR(value(&m, "generation"), 3, 0);
	CHECK_NEAR(value(&m, "wallclock"), 30, 0);
	CHECK_NEAR(value(&m, "share"), 0.5, 0);
	json_t *about = json_object_get(json_object_get(m.evidence, "reported"), "about");
	CHECK_STR(json_string_value(json_array_get(about, 0)), "spica_gpu_allocation");
	CHECK_STR(json_string_value(json_array_get(about, 1)), "spica-gpu-d5e5c0c0");
	CHECK(json_is_false(json_array_get(about, 2)));
	CHECK_STR(json_string_value(json_array_get(about, 3)), "dream.eval-request/v1");
	measurement_done(&m);
}

TEST(other_shapes_of_evaluate_work_too)
{
	static const char *const classes[] = {"Async", "Optional", NULL};
	static const double want[] = {1, 2, 3};
	for (int i = 0; i < 3; i++) {
		Measurement m = run(classes[i], NULL, NULL);
		CHECK_INT(m.outcome, OUTCOME_OK);
		CHECK_NEAR(value(&m, "a"), want[i], 0);
		measurement_done(&m);
	}
}

TEST(what_python_raises_or_does_instead_of_returning_is_an_outcome)
{
	check_fails("Allocation", "fail", "value_error", OUTCOME_MEASURE_FAILED,
		    "ValueError: no such model");
	check_fails("Allocation", "fail", "exits", OUTCOME_MEASURE_FAILED, "SystemExit");
	check_fails("Allocation", "fail", "out_of_memory", OUTCOME_OOM, "MemoryError");
	check_fails("Allocation", "fail", "cuda_out_of_memory", OUTCOME_OOM, "CUDA out of memory");
	check_fails("Allocation", "fail", "dies", OUTCOME_CRASHED, "SIGABRT");
	check_fails("Allocation", "fail", "leaves", OUTCOME_MEASURE_FAILED, "no result");
	check_fails("Allocation", "fail", "hangs", OUTCOME_TIMEOUT, "no result within");
	check_fails("NoSuchClass", "x", "y", OUTCOME_MEASURE_FAILED, "NoSuchClass");
	check_fails("Allocation", "no_such_argument", "y", OUTCOME_MEASURE_FAILED,
		    "no_such_argument");
}

TEST(what_python_returns_besides_finite_numbers_is_refused_by_name)
{
	check_fails("Odd", "what", "nan", OUTCOME_MEASURE_FAILED, "stt_latency_ms is nan");
	check_fails("Odd", "what", "inf", OUTCOME_MEASURE_FAILED, "metrics.a.1 is inf");
	check_fails("Odd", "what", "none", OUTCOME_MEASURE_FAILED, "NoneType");
	check_fails("Odd", "what", "number", OUTCOME_MEASURE_FAILED, "float");
	check_fails("Odd", "what", "set", OUTCOME_MEASURE_FAILED, "set");
	Measurement m = run("Odd", json_pack("{s:s}", "what", "scalar"), NULL);
	CHECK_NEAR(value(&m, "a"), 2.5, 0);
	measurement_done(&m);
	m = run("Odd", json_pack("{s:s}", "what", "text"), NULL);
	CHECK_STR(evidence_text(&m, "reported/note"), "\u00e9\n\x1b");
	measurement_done(&m);
}

TEST(the_traceback_is_evidence)
{
	Measurement m = run("Allocation", json_pack("{s:s}", "fail", "value_error"), NULL);
	CHECK(strstr(evidence_text(&m, "traceback"), "raise ValueError"));
	CHECK(strstr(m.reason, "seedlike.py"));
	measurement_done(&m);
}

/* --- The environment ------------------------------------------------------------------------- */

TEST(without_a_lease_it_sees_no_gpu_and_never_our_secrets)
{
	setenv("DREAM_TEST_SECRET", "hunter2", 1);
	Measurement m = run("Environment", NULL, NULL);
	CHECK_STR(evidence_text(&m, "reported/visible"), "");
	CHECK_STR(evidence_text(&m, "reported/secret"), "dropped");
	measurement_done(&m);
}

TEST(with_a_lease_it_sees_that_gpu_and_inherits_the_lock)
{
	static const char uuid[] = "GPU-11111111-2222-3333-4444-555555555555";
	char dir[] = "/tmp/test-python-XXXXXX", file[128], word[16];
	Lease *lease = NULL;
	CHECK(mkdtemp(dir));
	CHECK_INT(lease_take(dir, uuid, "test", &lease, NULL, NULL), 1);
	EvalRequest rq = request_make();
	rq.lease = lease;
	rq.gpu_uuid = uuid;
	Measurement m = run("Environment", NULL, &rq);
	CHECK_STR(evidence_text(&m, "reported/visible"), uuid);
	CHECK_STR(evidence_text(&m, "reported/order"), "PCI_BUS_ID");
	snprintf(word, sizeof(word), " %d ", lease_fd(lease));
	CHECK(strstr(evidence_text(&m, "reported/fds"), word));
	measurement_done(&m);
	lease_release(lease);
	snprintf(file, sizeof(file), "%s/gpu-%s.lock", dir, uuid);
	unlink(file);
	rmdir(dir);
}
