/* From what evaluators report to a measurement: the seeds' seven keys as their documents print
 * them, and the protocol's own form. */
#include "base/json.h"
#include "base/rng.h"
#include "eval/eval.h"
#include "eval/output.h"
#include "test.h"

static Measurement read_seed(const char *text)
{
	json_auto_t *v = NULL;
	Err err = ERR_INIT;
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(js_parse(text, strlen(text), 65536, &v, NULL));
	if (eval_seed_result(v, &m, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return m;
}

static int refuse(const char *text, Err *err)
{
	json_auto_t *v = NULL;
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(js_parse(text, strlen(text), 65536, &v, NULL));
	int r = eval_result(v, &m, err);
	measurement_done(&m);
	return r;
}

static double value(const Measurement *m, const char *name)
{
	const Metric *x = measurement_get(m, name);
	CHECK(x);
	return x->value;
}

/* seeds/003, "Test Execution": both latencies timed out. */
TEST(a_latency_of_999_is_a_missing_metric_and_their_fitness_is_only_recorded)
{
	Measurement m = read_seed(
	    "{\"stt_latency_ms\": 999.0, \"llm_latency_ms\": 999.0, \"gpu_utilization\": 90.4, "
	    "\"oom_events\": 0, \"concurrent_capacity\": 5, \"fitness\": 0.309, \"status\": "
	    "\"pass\"}");
	CHECK_INT(m.outcome, OUTCOME_OK);
	CHECK(!measurement_get(&m, "stt_latency_ms"));
	CHECK(!measurement_get(&m, "llm_latency_ms"));
	CHECK(!measurement_get(&m, "fitness"));
	CHECK(!measurement_get(&m, "gpu_utilization"));
	CHECK_NEAR(value(&m, "gpu_memory_pct"), 90.4, 0);
	CHECK_NEAR(value(&m, "oom_events"), 0, 0);
	CHECK_NEAR(value(&m, "concurrent_capacity"), 5, 0);
	CHECK_INT(m.n_metrics, 3);
	CHECK_NEAR(js_num(m.evidence, "reported_fitness", -1), 0.309, 0);
	CHECK_INT(json_array_size(json_object_get(m.evidence, "missing")), 2);
	measurement_done(&m);
}

TEST(a_latency_beyond_999_is_a_number_like_any_other)
{
	Measurement m = read_seed("{\"stt_latency_ms\": 3398.9, \"llm_latency_ms\": 998.9, "
				  "\"status\": \"pass\"}");
	CHECK_NEAR(value(&m, "stt_latency_ms"), 3398.9, 0);
	CHECK_NEAR(value(&m, "llm_latency_ms"), 998.9, 0);
	CHECK_STR(measurement_get(&m, "stt_latency_ms")->unit, "ms");
	measurement_done(&m);
}

/* seeds/003, "Evaluation Output": the larger form, with words beside the numbers. */
TEST(the_documents_larger_result_keeps_its_words_as_evidence)
{
	Measurement m = read_seed(
	    "{\"test_id\": \"gpu-a3f8b1c2\", \"status\": \"pass\", \"whisper_model_size\": "
	    "\"base\", "
	    "\"stt_latency_ms\": 287.3, \"llm_latency_ms\": 623.1, \"gpu_utilization_pct\": 68.2, "
	    "\"oom_events\": 0, \"concurrent_capacity\": 8, \"free_memory_mb\": 1640, \"fitness\": "
	    "0.782}");
	CHECK_NEAR(value(&m, "gpu_memory_pct"), 68.2, 0);
	CHECK_NEAR(value(&m, "free_memory_mb"), 1640, 0);
	CHECK_STR(js_str(json_object_get(m.evidence, "reported"), "test_id", ""), "gpu-a3f8b1c2");
	measurement_done(&m);
}

TEST(a_refused_candidate_has_no_measurements_whatever_stand_ins_come_with_it)
{
	Measurement m = read_seed(
	    "{\"stt_latency_ms\": 999.0, \"llm_latency_ms\": 999.0, \"gpu_utilization\": 100.0, "
	    "\"oom_events\": 999, \"concurrent_capacity\": 0, \"fitness\": 0.0, \"status\": "
	    "\"invalid\"}");
	CHECK_INT(m.outcome, OUTCOME_OUT_OF_BOUNDS);
	CHECK_INT(m.n_metrics, 0);
	CHECK(m.reason);
	measurement_done(&m);

	m = read_seed(
	    "{\"gpu_utilization\": 73.0, \"oom_events\": 0, \"status\": "
	    "\"invalid_production\", \"reason\": \"VLLM allocation (4915MB) too small\"}");
	CHECK_INT(m.outcome, OUTCOME_INFEASIBLE);
	CHECK_STR(m.reason, "VLLM allocation (4915MB) too small");
	CHECK_INT(m.n_metrics, 0);
	measurement_done(&m);
}

TEST(a_failure_with_oom_events_is_oom_and_without_is_unhealthy)
{
	Measurement m = read_seed("{\"status\": \"fail\", \"oom_events\": 2}");
	CHECK_INT(m.outcome, OUTCOME_OOM);
	CHECK_NEAR(value(&m, "oom_events"), 2, 0);
	measurement_done(&m);
	m = read_seed("{\"status\": \"fail\", \"oom_events\": 0}");
	CHECK_INT(m.outcome, OUTCOME_UNHEALTHY);
	measurement_done(&m);
	m = read_seed("{\"status\": \"error\", \"reason\": \"no GPU\"}");
	CHECK_INT(m.outcome, OUTCOME_MEASURE_FAILED);
	CHECK_STR(m.reason, "no GPU");
	measurement_done(&m);
}

TEST(numbers_may_lie_under_metrics_and_have_intervals)
{
	Measurement m = read_seed(
	    "{\"status\": \"pass\", \"fitness\": 0.5, \"metrics\": {\"stt_latency_ms\": "
	    "{\"value\": "
	    "44.5, \"unit\": \"ms\", \"n\": 20, \"ci95\": [40, 49]}, \"llm_latency_ms\": 999.0, "
	    "\"gpu_utilization\": 70}}");
	CHECK_INT(m.outcome, OUTCOME_OK);
	CHECK_INT(measurement_get(&m, "stt_latency_ms")->n, 20);
	CHECK_NEAR(measurement_get(&m, "stt_latency_ms")->hi, 49, 0);
	CHECK(!measurement_get(&m, "llm_latency_ms"));
	CHECK_NEAR(value(&m, "gpu_memory_pct"), 70, 0);
	measurement_done(&m);
}

TEST(in_the_protocols_own_form_999_is_a_number)
{
	json_auto_t *v =
	    json_pack("{s:s, s:{s:f}}", "status", "ok", "metrics", "llm_latency_ms", 999.0);
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(eval_result(v, &m, NULL));
	CHECK_NEAR(value(&m, "llm_latency_ms"), 999, 0);
	measurement_done(&m);
}

TEST(when_both_names_of_the_memory_share_are_there_ours_stands)
{
	Measurement m = read_seed("{\"gpu_utilization\": 12, \"gpu_memory_pct\": 70}");
	CHECK_NEAR(value(&m, "gpu_memory_pct"), 70, 0);
	measurement_done(&m);
	m = read_seed("{\"gpu_memory_pct\": 70, \"gpu_utilization\": 12}");
	CHECK_NEAR(value(&m, "gpu_memory_pct"), 70, 0);
	measurement_done(&m);
}

TEST(what_cannot_be_believed_is_refused_with_a_sentence)
{
	static const char *const bad[] = {
	    "{\"status\": \"pass\"}",
	    "{\"status\": \"pass\", \"stt_latency_ms\": null}",
	    "{\"status\": \"pass\", \"stt_latency_ms\": 999.0}",
	    "{\"status\": \"pass\", \"stt_latency_ms\": -1}",
	    "{\"status\": \"pass\", \"oom_events\": -1}",
	    "{\"status\": 1, \"a\": 1}",
	    "{\"status\": \"PASS\", \"a\": 1}",
	    "{\"status\": \"pass\", \"metrics\": {\"a\": {\"value\": 1, \"n\": -2}}}",
	    "{\"status\": \"fail\", \"cause\": \"Not A Word\"}",
	    "[]",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		Err err = ERR_INIT;
		int r = refuse(bad[i], &err);
		if (r != -EBADMSG || strlen(err.msg) < 10)
			test_fail(__FILE__, __LINE__, "%s: %d %s", bad[i], r, err.msg);
	}
}

/* --- Lines, however they are cut ------------------------------------------------------------- */

static void judge(const char *text, size_t len, size_t chunk, Measurement *m)
{
	static Tail none;
	Output o = {0};
	Ending e = {.status = {.si_code = CLD_EXITED}, .tail = &none, .timeout_us = 1};
	int r = 0;
	for (size_t at = 0; at < len && r == 0; at += chunk)
		r = output_feed(&o, text + at, at + chunk > len ? len - at : chunk);
	if (r == 0)
		(void)output_end(&o);
	CHECK_OK(output_verdict(&o, &e, m, NULL));
	output_done(&o);
}

static const char session[] =
    "{\"event\": \"start\", \"service\": \"judge\"}\n\n"
    "{\"event\": \"progress\", \"share\": 0.5}\r\n"
    "{\"result\": {\"status\": \"ok\", \"metrics\": {\"a_ms\": 1.5, \"b\": {\"value\": 2}}}}\n";

TEST(how_the_bytes_are_cut_into_reads_makes_no_difference)
{
	for (size_t chunk = 1; chunk <= sizeof(session); chunk++) {
		Measurement m = MEASUREMENT_INIT;
		judge(session, sizeof(session) - 1, chunk, &m);
		CHECK_INT(m.outcome, OUTCOME_OK);
		CHECK_INT(m.n_metrics, 2);
		CHECK_NEAR(value(&m, "a_ms"), 1.5, 0);
		measurement_done(&m);
	}
}

TEST(damaged_output_is_a_measurement_or_a_failure_with_a_reason_never_worse)
{
	for (uint64_t seed = 0; seed < 5000; seed++) {
		char text[sizeof(session)];
		Rng rng = {seed};
		Measurement m = MEASUREMENT_INIT;
		memcpy(text, session, sizeof(session));
		for (uint64_t n = rng_below(&rng, 4) + 1; n > 0; n--)
			text[rng_below(&rng, sizeof(session) - 1)] = (char)rng_u64(&rng);
		judge(text, rng_below(&rng, sizeof(session)), 1 + rng_below(&rng, 64), &m);
		if (m.outcome == OUTCOME_OK ? m.n_metrics == 0 : !m.reason)
			test_fail(__FILE__, __LINE__, "seed %" PRIu64, seed);
		measurement_done(&m);
	}
}

TEST(the_tail_of_a_stream_is_its_last_bytes)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		static Tail t;
		static char all[400000];
		size_t len = 0;
		Rng rng = {seed};
		t = (Tail){0};
		for (int i = 0; i < 12; i++) {
			size_t n = rng_below(&rng, i % 4 ? 30000 : 90000);
			if (len + n > sizeof(all))
				break;
			for (size_t k = 0; k < n; k++)
				all[len + k] = (char)('a' + rng_below(&rng, 26));
			tail_add(&t, all + len, n);
			len += n;
		}
		Str s = STR_INIT;
		tail_text(&t, 2000, &s);
		size_t want = len < 2000 ? len : 2000;
		CHECK_INT(s.len, want);
		CHECK(want == 0 || memcmp(s.s, all + len - want, want) == 0);
		str_done(&s);
	}
}
