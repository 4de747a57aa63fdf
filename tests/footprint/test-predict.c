/* The truth here is what the server printed on the seeds' machine, and the table that the
 * incident's analysis derives from it by hand, not the code under test. */
#include "box.h"
#include "test.h"

static void set(TestBox *b, const char *name, json_t *value)
{
	json_object_set_new(b->services[0].settings, name, value);
}

TEST(the_seed_start_at_050_is_reproduced_to_the_token)
{
	TestBox b;
	Fit f;

	test_box(&b);
	test_predict(&b, 0.50, "small", &f);
	CHECK_INT(f.verdict, FIT_YES);
	CHECK_INT(f.kv_tokens, 6976);
	CHECK_NEAR(f.kv_concurrency, 3.41, 0.005);
	CHECK_NEAR((double)f.kv_bytes / 1073741824.0, 0.37, 0.005);
	fit_done(&f);
	test_box_done(&b);
}

TEST(every_share_of_the_derived_table_comes_out)
{
	static const struct {
		double u, kv_gib;
		int64_t tokens; /* 0: must be refused */
		double requests;
	} rows[] = {
	    {0.40, -0.803, 0, 0},	 {0.45, -0.215, 0, 0},	      {0.50, 0.373, 6976, 3.41},
	    {0.55, 0.960, 17968, 8.77},	 {0.60, 1.548, 28976, 14.15}, {0.65, 2.136, 39984, 19.52},
	    {0.70, 2.724, 50992, 24.90},
	};
	TestBox b;

	test_box(&b);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Fit f;
		test_predict(&b, rows[i].u, "tiny", &f);
		CHECK_NEAR((double)f.kv_bytes / 1073741824.0, rows[i].kv_gib, 0.0006);
		CHECK_INT(f.verdict, rows[i].tokens ? FIT_YES : FIT_NO);
		CHECK_STR(f.cause, rows[i].tokens ? "" : "kv_cache");
		CHECK_INT(f.kv_tokens, rows[i].tokens);
		CHECK_NEAR(f.kv_concurrency, rows[i].requests, 0.005);
		fit_done(&f);
	}
	test_box_done(&b);
}

TEST(a_refusal_gives_its_reason_in_numbers)
{
	TestBox b;
	Fit f;

	test_box(&b);
	test_predict(&b, 0.40, "tiny", &f);
	CHECK_STR(f.reason, "0.40: 4.702 GiB budget − 5.505 GiB weights and activations: no KV "
			    "cache; one request of 2,048 tokens needs ≥ 0.478");
	CHECK_NEAR(f.min_share, 0.478, 0.0005);
	fit_done(&f);
	test_predict(&b, 0.475, "tiny", &f);
	CHECK_INT(f.verdict, FIT_NO);
	CHECK_STR(f.reason, "0.475: 5.584 GiB budget − 5.505 GiB weights and activations: the KV "
			    "cache holds 1,472 tokens; one request of 2,048 tokens needs ≥ 0.478");
	fit_done(&f);
	test_box_done(&b);
}

TEST(the_named_smallest_share_serves_exactly_one_request)
{
	TestBox b;
	Fit f;

	test_box(&b);
	test_predict(&b, 0.478, "tiny", &f);
	CHECK_INT(f.verdict, FIT_YES);
	CHECK(f.kv_concurrency >= 1);
	fit_done(&f);
	test_predict(&b, 0.477, "tiny", &f);
	CHECK_INT(f.verdict, FIT_NO);
	fit_done(&f);
	test_box_done(&b);
}

TEST(a_start_is_refused_when_the_budget_is_not_free_before_it)
{
	TestBox b;
	Fit f;

	/* 12.622 - 1.2 - 0.122 GB leave 0.895 of the GPU. */
	test_box(&b);
	test_predict(&b, 0.90, "tiny", &f);
	CHECK_INT(f.verdict, FIT_NO);
	CHECK_STR(f.cause, "start_check");
	CHECK_STR(f.reason, "0.90: 10.580 GiB budget, but at most 10.524 GiB are free when judge "
			    "starts: the server refuses to start");
	fit_done(&f);
	test_box_done(&b);
}

TEST(who_starts_first_decides_who_is_refused)
{
	TestBox b;
	Fit f;

	/* After small 10.178 of 12.622 GB are free, a share of 0.806. */
	test_box(&b);
	ServiceSpec judge = b.services[0];
	b.services[0] = b.services[1];
	b.services[1] = judge;
	test_predict(&b, 0.82, "small", &f);
	CHECK_STR(f.cause, "start_check");
	fit_done(&f);
	test_predict(&b, 0.80, "small", &f);
	CHECK_INT(f.verdict, FIT_YES);
	fit_done(&f);
	/* The other way round the LLM starts, and Whisper has no room to load. */
	b.services[1] = b.services[0];
	b.services[0] = judge;
	test_predict(&b, 0.80, "small", &f);
	CHECK_STR(f.cause, "load");
	fit_done(&f);
	test_box_done(&b);
}

TEST(the_peak_while_loading_counts_and_not_only_what_stays)
{
	TestBox b;
	Fit f;

	/* 1.2 + 0.122 + 0.122 + 0.70 * 12.622 = 10.279 GB; 2.343 are left. */
	test_box(&b);
	b.whisper[0].load_bytes = INT64_C(2343000000);
	b.whisper[0].steady_bytes = 100000000;
	test_predict(&b, 0.70, "tiny", &f);
	CHECK_INT(f.verdict, FIT_YES);
	fit_done(&f);
	b.whisper[0].load_bytes = INT64_C(2344000000);
	test_predict(&b, 0.70, "tiny", &f);
	CHECK_INT(f.verdict, FIT_NO);
	CHECK_STR(f.cause, "load");
	fit_done(&f);
	test_box_done(&b);
}

TEST(a_reserve_must_stay_free)
{
	TestBox b;
	Fit f;

	test_box(&b);
	test_predict(&b, 0.70, "small", &f);
	CHECK_INT(f.verdict, FIT_YES);
	/* others + two contexts + the budget + Whisper small */
	CHECK_INT(f.used_bytes, SEED_OTHERS + 2 * SEED_CONTEXT + INT64_C(8835517645) + 1000000000);
	fit_done(&f);
	b.fp.reserve_bytes = INT64_C(2000000000);
	test_predict(&b, 0.70, "small", &f);
	CHECK_INT(f.verdict, FIT_NO);
	fit_done(&f);
	test_box_done(&b);
}

TEST(facts_hold_for_their_key_only)
{
	static const struct {
		const char *name, *json, *why;
	} rows[] = {
	    {"model", "\"other\"", "model other (the nearest fact: Qwen2.5-7B-Instruct-AWQ)"},
	    {"max_model_len", "4096", "max_model_len 4096 (the nearest fact: 2048)"},
	    {"max_num_seqs", "8", "max_num_seqs 8 (the nearest fact: not said)"},
	    {"max_num_batched_tokens", "512",
	     "max_num_batched_tokens 512 (the nearest fact: not said)"},
	    {"kv_cache_dtype", "\"fp8\"", "kv_cache_dtype fp8 (the nearest fact: auto)"},
	    {"enforce_eager", "false", "enforce_eager false (the nearest fact: true)"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[200];
		TestBox b;
		Fit f;
		test_box(&b);
		set(&b, rows[i].name, json_loads(rows[i].json, JSON_DECODE_ANY, NULL));
		test_predict(&b, 0.40, "tiny", &f);
		CHECK_INT(f.verdict, FIT_UNKNOWN);
		snprintf(want, sizeof(want), "no fact about judge holds for %s", rows[i].why);
		CHECK_STR(f.reason, want);
		CHECK_INT(f.kv_tokens, -1);
		CHECK_INT(f.used_bytes, -1);
		CHECK(isnan(f.min_share) && isnan(f.kv_concurrency));
		fit_done(&f);
		test_box_done(&b);
	}
}

TEST(a_cache_type_that_is_not_said_is_auto)
{
	TestBox b;
	Fit f;

	test_box(&b);
	set(&b, "kv_cache_dtype", json_string("auto"));
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_INT(f.verdict, FIT_YES);
	fit_done(&f);
	test_box_done(&b);
}

TEST(without_facts_nothing_is_refused_but_what_is_certain)
{
	TestBox b;
	Fit f;

	test_box(&b);
	b.fp.vllm.n = 0;
	test_predict(&b, 0.10, "tiny", &f);
	CHECK_INT(f.verdict, FIT_UNKNOWN);
	CHECK_STR(f.reason, "no facts about the memory of judge are declared");
	fit_done(&f);
	/* Whatever the model, 0.95 of the GPU is not free beside 1.2 GB of others. */
	test_predict(&b, 0.95, "tiny", &f);
	CHECK_INT(f.verdict, FIT_NO);
	CHECK_STR(f.cause, "start_check");
	fit_done(&f);
	test_box_done(&b);
}

TEST(more_sequences_or_batched_tokens_cannot_need_less)
{
	TestBox b;
	Fit f;

	test_box(&b);
	b.vllm.key.max_num_seqs = 16;
	b.vllm.key.max_num_batched_tokens = 2048;
	set(&b, "max_num_seqs", json_integer(32));
	set(&b, "max_num_batched_tokens", json_integer(4096));
	test_predict(&b, 0.40, "tiny", &f);
	CHECK_INT(f.verdict, FIT_NO);
	CHECK_STR(f.cause, "kv_cache");
	fit_done(&f);
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_INT(f.verdict, FIT_UNKNOWN);
	fit_done(&f);
	/* Fewer may need less: nothing follows. */
	set(&b, "max_num_seqs", json_integer(8));
	test_predict(&b, 0.40, "tiny", &f);
	CHECK_INT(f.verdict, FIT_UNKNOWN);
	fit_done(&f);
	test_box_done(&b);
}

TEST(a_share_that_is_not_said_is_not_guessed)
{
	TestBox b;
	Fit f;

	test_box(&b);
	json_object_clear(b.services[0].params);
	test_predict(&b, 0.40, "tiny", &f);
	CHECK_INT(f.verdict, FIT_UNKNOWN);
	CHECK_STR(f.reason, "judge has no gpu_memory_utilization, and the server's default depends "
			    "on its version");
	fit_done(&f);
	test_box_done(&b);
}

TEST(an_unknown_whisper_is_tried_unless_the_rest_is_dead)
{
	TestBox b;
	Fit f;

	test_box(&b);
	test_predict(&b, 0.50, "turbo", &f);
	CHECK_INT(f.verdict, FIT_UNKNOWN);
	CHECK_STR(f.reason, "no fact holds for Whisper turbo");
	CHECK_INT(f.kv_tokens, 6976);
	fit_done(&f);
	test_predict(&b, 0.40, "turbo", &f);
	CHECK_INT(f.verdict, FIT_NO);
	fit_done(&f);
	test_box_done(&b);
}

TEST(a_whisper_fact_for_an_engine_holds_for_that_engine)
{
	TestBox b;
	Fit f;

	test_box(&b);
	b.whisper[0].engine = lit("openai-whisper");
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_INT(f.verdict, FIT_UNKNOWN);
	fit_done(&f);
	json_object_set_new(b.services[1].settings, "engine", json_string("openai-whisper"));
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_INT(f.verdict, FIT_YES);
	fit_done(&f);
	test_box_done(&b);
}

TEST(another_kind_of_service_says_itself_what_it_takes)
{
	TestBox b;
	Fit f;

	test_box(&b);
	b.services[1].kind = lit("process");
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_INT(f.verdict, FIT_UNKNOWN);
	CHECK_STR(f.reason, "voice has no gpu_memory_bytes");
	fit_done(&f);
	json_object_set_new(b.services[1].settings, "gpu_memory_bytes", json_string("6 GB"));
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_STR(f.cause, "steady");
	fit_done(&f);
	json_object_set_new(b.services[1].settings, "gpu_memory_bytes", json_integer(1000000));
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_INT(f.verdict, FIT_YES);
	fit_done(&f);
	test_box_done(&b);
}

TEST(settings_of_the_wrong_type_are_an_error_and_not_a_verdict)
{
	static const char *const bad[][2] = {
	    {"model", "7"},
	    {"max_model_len", "\"long\""},
	    {"max_model_len", "0"},
	    {"max_num_seqs", "1.5"},
	    {"max_num_batched_tokens", "-3"},
	    {"enforce_eager", "1"},
	    {"gpu_memory_utilization", "0"},
	    {"gpu_memory_utilization", "1.01"},
	    {"gpu_memory_utilization", "\"half\""},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		TestBox b;
		Fit f;
		Err err = ERR_INIT;
		test_box(&b);
		json_object_clear(b.services[0].params);
		set(&b, bad[i][0], json_loads(bad[i][1], JSON_DECODE_ANY, NULL));
		CHECK_ERR(footprint_predict(&b.fp, b.services, 1, NULL, &f, &err), EINVAL);
		CHECK(strstr(err.msg, bad[i][0]) && strstr(err.msg, "judge"));
		test_box_done(&b);
	}
}

TEST(absurd_lengths_do_not_overflow)
{
	TestBox b;
	Fit f;

	test_box(&b);
	b.vllm.key.max_model_len = INT64_MAX;
	set(&b, "max_model_len", json_integer(INT64_MAX));
	test_predict(&b, 0.50, "tiny", &f);
	CHECK_INT(f.verdict, FIT_NO);
	CHECK(strstr(f.reason, "needs more than the whole GPU"));
	fit_done(&f);
	test_box_done(&b);
}

TEST(a_larger_share_never_leaves_less_cache)
{
	TestBox b;
	int64_t last = -1;

	test_box(&b);
	for (int u = 300; u <= 800; u++) {
		Fit f;
		test_predict(&b, u / 1000.0, "tiny", &f);
		CHECK(f.kv_tokens >= last);
		CHECK_INT(f.kv_tokens % 16, 0);
		last = f.kv_tokens;
		fit_done(&f);
	}
	test_box_done(&b);
}
