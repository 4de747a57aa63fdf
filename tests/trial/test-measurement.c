/* What may enter a measurement, and how it survives JSON written by anybody. */
#include "base/json.h"
#include "test.h"
#include "trial/trial.h"

static Metric metric(const char *name, double value)
{
	Metric x = {.value = value, .lo = (double)NAN, .hi = (double)NAN};
	snprintf(x.name, sizeof(x.name), "%s", name);
	return x;
}

static int read_text(const char *text, Measurement *ret, Err *err)
{
	json_auto_t *v = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	CHECK(v);
	return measurement_from_json(v, ret, err);
}

TEST(every_outcome_has_a_name_that_reads_back)
{
	for (Outcome o = 0; o < OUTCOME_MAX_; o++) {
		Outcome back = OUTCOME_MAX_;
		CHECK(outcome_from_name(outcome_name(o), &back));
		CHECK_INT(back, o);
	}
	Outcome untouched = OUTCOME_OOM;
	CHECK(!outcome_from_name("pass", &untouched));
	CHECK(!outcome_from_name(NULL, &untouched));
	CHECK_INT(untouched, OUTCOME_OOM);
}

TEST(every_stage_has_a_name_that_reads_back)
{
	for (Stage s = 0; s < STAGE_MAX_; s++) {
		Stage back = STAGE_MAX_;
		CHECK(stage_from_name(stage_name(s), &back));
		CHECK_INT(back, s);
	}
}

TEST(only_outcomes_that_say_nothing_about_the_candidate_are_void)
{
	CHECK(outcome_is_void(OUTCOME_CONTENDED));
	CHECK(!outcome_is_void(OUTCOME_CPU_FALLBACK));
	CHECK(outcome_is_void(OUTCOME_HARDWARE_FAULT));
	CHECK(!outcome_is_void(OUTCOME_OK));
	CHECK(!outcome_is_void(OUTCOME_OOM));
	CHECK(!outcome_is_void(OUTCOME_TIMEOUT));
	CHECK(!outcome_is_void(OUTCOME_MEASURE_FAILED));
}

TEST(setting_a_metric_again_replaces_it)
{
	Measurement m = {.outcome = OUTCOME_OK};
	Metric a = metric("stt_latency_ms", 300), b = metric("stt_latency_ms", 44);
	CHECK_OK(measurement_set(&m, &a, NULL));
	CHECK_OK(measurement_set(&m, &b, NULL));
	CHECK_INT(m.n_metrics, 1);
	CHECK_NEAR(measurement_get(&m, "stt_latency_ms")->value, 44, 0);
	CHECK(!measurement_get(&m, "llm_latency_ms"));
	measurement_done(&m);
}

TEST(values_that_are_not_finite_are_refused)
{
	Measurement m = {.outcome = OUTCOME_OK};
	Err err = ERR_INIT;
	Metric bad[] = {metric("a", (double)NAN), metric("a", (double)INFINITY),
			metric("a", 1),		  metric("a", 1),
			metric("a", 1),		  metric("a", 1)};
	bad[2].se = (double)NAN;
	bad[3].se = -1;
	bad[4].lo = 2, bad[4].hi = 1;
	bad[5].lo = 1;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_ERR(measurement_set(&m, &bad[i], &err), EINVAL);
	CHECK_INT(m.n_metrics, 0);
}

TEST(names_and_units_are_plain_words)
{
	CHECK(metric_name_valid("p99/llm.latency-ms_%"));
	CHECK(!metric_name_valid(""));
	CHECK(!metric_name_valid("a b"));
	CHECK(!metric_name_valid("a\n"));
	CHECK(!metric_name_valid("\x1b[2J"));
	CHECK(!metric_name_valid("latenz_\xc3\xa4"));
	char name[METRIC_NAME_MAX + 1];
	memset(name, 'a', sizeof(name));
	name[METRIC_NAME_MAX - 1] = '\0';
	CHECK(metric_name_valid(name));
	name[METRIC_NAME_MAX - 1] = 'a';
	name[METRIC_NAME_MAX] = '\0';
	CHECK(!metric_name_valid(name));
	CHECK(metric_unit_valid(""));
	CHECK(metric_unit_valid("tokens/s"));
	CHECK(!metric_unit_valid("ms;"));
	CHECK(!metric_unit_valid("sixteen_letters_"));
}

TEST(a_measurement_holds_a_bounded_number_of_metrics)
{
	Measurement m = {.outcome = OUTCOME_OK};
	for (int i = 0; i < METRICS_MAX; i++) {
		char name[16];
		snprintf(name, sizeof(name), "m%d", i);
		Metric x = metric(name, i);
		CHECK_OK(measurement_set(&m, &x, NULL));
	}
	Metric more = metric("one_more", 1), known = metric("m3", 33);
	CHECK_ERR(measurement_set(&m, &more, NULL), E2BIG);
	CHECK_OK(measurement_set(&m, &known, NULL));
	measurement_done(&m);
}

TEST(a_failure_replaces_what_was_said_before)
{
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(measurement_fail(&m, OUTCOME_CRASHED, NULL, "first"));
	CHECK_OK(measurement_fail(&m, OUTCOME_START_FAILED, "kv_cache", "no room at %.2f", 0.4));
	CHECK_INT(m.outcome, OUTCOME_START_FAILED);
	CHECK_STR(m.cause, "kv_cache");
	CHECK_STR(m.reason, "no room at 0.40");
	measurement_done(&m);
	CHECK(!m.reason);
}

TEST(a_copy_shares_nothing)
{
	Measurement m = {.outcome = OUTCOME_OK, .duration_us = 7}, copy = MEASUREMENT_INIT;
	Metric x = metric("a", 1);
	CHECK_OK(measurement_set(&m, &x, NULL));
	CHECK_OK(measurement_fail(&m, OUTCOME_OOM, "oom", "because"));
	m.evidence = json_pack("{s: {s: i}}", "gpu", "used", 5);
	CHECK_OK(measurement_copy(&m, &copy));
	json_object_set_new(json_object_get(m.evidence, "gpu"), "used", json_integer(6));
	measurement_done(&m);
	CHECK_INT(copy.outcome, OUTCOME_OOM);
	CHECK_INT(copy.duration_us, 7);
	CHECK_STR(copy.reason, "because");
	CHECK_NEAR(measurement_get(&copy, "a")->value, 1, 0);
	CHECK_INT(js_int(json_object_get(copy.evidence, "gpu"), "used", 0), 5);
	measurement_done(&copy);
}

TEST(json_reads_back_as_it_was_written)
{
	Measurement m = {.outcome = OUTCOME_OK, .duration_us = 123456}, back = MEASUREMENT_INIT;
	Metric full = metric("stt_latency_ms", 44.0), bare = metric("oom_events", 0);
	full.se = 1.5, full.lo = 41.25, full.hi = 47.5, full.n = 120;
	snprintf(full.unit, sizeof(full.unit), "ms");
	CHECK_OK(measurement_set(&m, &full, NULL));
	CHECK_OK(measurement_set(&m, &bare, NULL));
	m.evidence = json_pack("{s: s}", "device", "GPU-1");

	json_auto_t *v = measurement_json(&m);
	CHECK_OK(measurement_from_json(v, &back, NULL));
	json_auto_t *again = measurement_json(&back);
	CHECK(json_equal(v, again));
	const Metric *x = measurement_get(&back, "stt_latency_ms");
	CHECK_NEAR(x->se, 1.5, 0);
	CHECK_NEAR(x->lo, 41.25, 0);
	CHECK_NEAR(x->hi, 47.5, 0);
	CHECK_INT(x->n, 120);
	CHECK_STR(x->unit, "ms");
	CHECK(isnan(measurement_get(&back, "oom_events")->lo));
	CHECK_INT(back.duration_us, 123456);
	measurement_done(&m);
	measurement_done(&back);
}

TEST(a_bare_number_is_a_metric_and_null_is_a_missing_one)
{
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(read_text("{\"status\": \"ok\", \"metrics\": {\"a\": 1, \"b\": null, "
			   "\"c\": {\"value\": null, \"unit\": \"ms\"}, \"d\": {\"value\": 2.5}}}",
			   &m, NULL));
	CHECK_INT(m.n_metrics, 2);
	CHECK_NEAR(measurement_get(&m, "a")->value, 1, 0);
	CHECK_NEAR(measurement_get(&m, "d")->value, 2.5, 0);
	measurement_done(&m);
}

TEST(members_nobody_knows_are_ignored_at_the_top)
{
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(read_text("{\"status\": \"oom\", \"fitness\": 0.9, \"later\": {}}", &m, NULL));
	CHECK_INT(m.outcome, OUTCOME_OOM);
	CHECK_INT(m.n_metrics, 0);
	measurement_done(&m);
}

TEST(hostile_json_is_refused_with_a_sentence)
{
	static const char *const texts[] = {
	    "[]",
	    "3",
	    "null",
	    "{}",
	    "{\"status\": 1}",
	    "{\"status\": \"pass\"}",
	    "{\"status\": \"ok\", \"metrics\": []}",
	    "{\"status\": \"ok\", \"metrics\": {\"\": 1}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a b\": 1}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": \"1\"}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": true}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": []}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"mean\": 1}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"unit\": \"\\u001b[2J\"}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"n\": -1}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"n\": 1.5}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"se\": -1}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"se\": \"x\"}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"ci95\": [2, 1]}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"ci95\": [1]}}}",
	    "{\"status\": \"ok\", \"metrics\": {\"a\": {\"value\": 1, \"ci95\": {}}}}",
	    "{\"status\": \"ok\", \"cause\": \"KV cache\"}",
	    "{\"status\": \"ok\", \"cause\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
	    "{\"status\": \"ok\", \"reason\": {}}",
	    "{\"status\": \"ok\", \"evidence\": []}",
	    "{\"status\": \"ok\", \"duration_us\": -1}",
	    "{\"status\": \"ok\", \"duration_us\": 1.0}",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		Measurement m = MEASUREMENT_INIT;
		Err err = ERR_INIT;
		int r = read_text(texts[i], &m, &err);
		if (r != -EBADMSG || !err.msg[0])
			test_fail(__FILE__, __LINE__, "%s: %d \"%s\"", texts[i], r, err.msg);
		CHECK(!m.metrics && !m.reason && !m.evidence);
	}
}

TEST(too_many_metrics_in_json_are_refused)
{
	json_auto_t *v = json_pack("{s: s, s: {}}", "status", "ok", "metrics");
	for (int i = 0; i <= METRICS_MAX; i++) {
		char name[16];
		snprintf(name, sizeof(name), "m%d", i);
		json_object_set_new(json_object_get(v, "metrics"), name, json_integer(i));
	}
	Measurement m = MEASUREMENT_INIT;
	CHECK_ERR(measurement_from_json(v, &m, NULL), EBADMSG);
}

TEST(huge_or_deep_evidence_is_refused)
{
	Measurement m = MEASUREMENT_INIT;
	json_auto_t *wide = json_pack("{s: s, s: {s: []}}", "status", "ok", "evidence", "log");
	json_t *list = json_object_get(json_object_get(wide, "evidence"), "log");
	for (int i = 0; i < 30000; i++)
		json_array_append_new(list, json_integer(i));
	CHECK_ERR(measurement_from_json(wide, &m, NULL), EBADMSG);

	json_auto_t *deep = json_pack("{s: s, s: {}}", "status", "ok", "evidence");
	json_t *at = json_object_get(deep, "evidence");
	for (int i = 0; i < 40; i++) {
		json_object_set_new(at, "x", json_object());
		at = json_object_get(at, "x");
	}
	CHECK_ERR(measurement_from_json(deep, &m, NULL), EBADMSG);
}

TEST(a_reason_cannot_move_the_cursor_of_a_terminal)
{
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(
	    read_text("{\"status\": \"crashed\", \"reason\": \"a\\u001b[2Jb\\nc\\u009bd\xc3\xa9\"}",
		      &m, NULL));
	CHECK_STR(m.reason, "a [2Jb c  d\xc3\xa9");
	measurement_done(&m);
}

TEST(a_long_reason_is_cut_between_characters)
{
	char text[9000] = "{\"status\": \"crashed\", \"reason\": \"x";
	for (int i = 0; i < 3000; i++)
		strcat(text, "\xc3\xa9");
	strcat(text, "\"}");
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(read_text(text, &m, NULL));
	CHECK_INT(strlen(m.reason), 4095);
	CHECK(strcmp(m.reason + 4093, "\xc3\xa9") == 0);
	measurement_done(&m);
}
