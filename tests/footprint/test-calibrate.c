/* Calibration against what the server printed at 0.50, and the derived table for other shares. */
#include "box.h"
#include "test.h"

static VllmStart seed_start(void)
{
	return (VllmStart){.key = {.version = lit("0.11.0"),
				   .model = lit("Qwen2.5-7B-Instruct-AWQ"),
				   .max_model_len = 2048,
				   .enforce_eager = true},
			   .share = 0.50,
			   .kv_gib = 0.37,
			   .kv_tokens = 6976,
			   .concurrency = 3.41,
			   .block_size = 16};
}

static VllmStart start_at(double share, double kv_gib, int64_t tokens)
{
	VllmStart s = seed_start();

	s.share = share;
	s.kv_gib = kv_gib;
	s.kv_tokens = tokens;
	return s;
}

TEST(one_start_at_050_predicts_itself_and_calls_040_and_045_dead)
{
	VllmStart s = seed_start();
	TestBox b;
	Fit f;

	test_box(&b);
	CHECK_OK(footprint_calibrate(&s, 1, SEED_TOTAL, SEED_TOKEN, "test", &b.vllm, NULL));
	CHECK_NEAR((double)b.vllm.non_kv_bytes / 1073741824.0, 5.505, 0.0006);
	CHECK_STR(b.vllm.source, "test");
	test_predict(&b, 0.50, "small", &f);
	CHECK_INT(f.verdict, FIT_YES);
	CHECK_INT(f.kv_tokens, 6976);
	CHECK_NEAR(f.kv_concurrency, 3.41, 0.005);
	fit_done(&f);
	for (int i = 0; i < 2; i++) {
		test_predict(&b, i ? 0.40 : 0.45, "tiny", &f);
		CHECK_INT(f.verdict, FIT_NO);
		CHECK_STR(f.cause, "kv_cache");
		fit_done(&f);
	}
	test_predict(&b, 0.60, "tiny", &f);
	CHECK_INT(f.kv_tokens, 28976);
	fit_done(&f);
	vllm_fact_done(&b.vllm);
	test_box_done(&b);
}

TEST(two_starts_need_no_declared_bytes_a_token)
{
	/* The second row is the table's; its third decimal is not printed by the server. */
	VllmStart s[] = {start_at(0.50, 0.37, 6976), start_at(0.60, 1.55, 28976)};
	VllmFact f;

	CHECK_OK(footprint_calibrate(s, 2, SEED_TOTAL, 0, "test", &f, NULL));
	CHECK_INT(f.token_bytes, SEED_TOKEN);
	CHECK_NEAR((double)f.non_kv_bytes / 1073741824.0, 5.505, 0.001);
	vllm_fact_done(&f);
}

TEST(two_starts_are_enough_without_the_printed_gib)
{
	VllmStart s[] = {start_at(0.55, (double)NAN, 17968), start_at(0.70, (double)NAN, 50992)};
	VllmFact f;

	CHECK_OK(footprint_calibrate(s, 2, SEED_TOTAL, 0, "test", &f, NULL));
	CHECK_INT(f.token_bytes, SEED_TOKEN);
	vllm_fact_done(&f);
}

/* Any model's shape, any weights, two shares: what a server would have printed gives the model back
 * to within one block. */
TEST(any_two_starts_of_one_model_give_it_back)
{
	static const int64_t shapes[] = {57344, 131072, 65536, 28672, 196608, 12288, 98304};

	for (unsigned seed = 0; seed < 700; seed++) {
		int64_t token = shapes[seed % 7], block = 16 * token;
		int64_t total = INT64_C(8000000000) + (int64_t)(seed * 33554432 % 40000000000);
		int64_t non_kv = total / 5 + seed * 1234567;
		VllmStart s[2];
		VllmFact f;
		for (int i = 0; i < 2; i++) {
			double share = 0.50 + 0.05 * (double)(i * (1 + seed % 8));
			int64_t kv = (int64_t)(share * (double)total) - non_kv;
			s[i] =
			    start_at(share, round((double)kv / 10737418.24) / 100, kv / block * 16);
		}
		if (s[0].kv_tokens <= 0 || s[1].kv_tokens == s[0].kv_tokens)
			continue;
		if (footprint_calibrate(s, 2, total, 0, NULL, &f, NULL) < 0 ||
		    llabs(f.token_bytes - token) * (s[1].kv_tokens - s[0].kv_tokens) > 2 * block)
			test_fail(__FILE__, __LINE__, "seed %u: %lld for %lld", seed,
				  (long long)f.token_bytes, (long long)token);
		int64_t kv = llround(s[1].share * (double)total) - f.non_kv_bytes;
		if (llabs(kv / (16 * f.token_bytes) * 16 - s[1].kv_tokens) > 16)
			test_fail(__FILE__, __LINE__, "seed %u: the second start is not predicted",
				  seed);
		vllm_fact_done(&f);
	}
}

TEST(one_start_without_bytes_a_token_says_what_is_missing)
{
	VllmStart s = seed_start();
	VllmFact f;
	Err err = ERR_INIT;

	CHECK_ERR(footprint_calibrate(&s, 1, SEED_TOTAL, 0, NULL, &f, &err), ENODATA);
	CHECK(strstr(err.msg, "second start at another gpu_memory_utilization"));
}

TEST(wrong_bytes_a_token_are_found_by_the_log_itself)
{
	VllmStart s = seed_start();
	VllmFact f;
	Err err = ERR_INIT;

	CHECK_ERR(footprint_calibrate(&s, 1, SEED_TOTAL, 131072, NULL, &f, &err), EINVAL);
	CHECK(strstr(err.msg, "0.37 GiB for 6976 tokens"));
}

TEST(a_failed_start_alone_is_not_enough)
{
	VllmStart s = start_at(0.40, (double)NAN, 0);
	VllmFact f;
	Err err = ERR_INIT;

	s.no_kv = true;
	CHECK_ERR(footprint_calibrate(&s, 1, SEED_TOTAL, SEED_TOKEN, NULL, &f, &err), ENODATA);
	CHECK(strstr(err.msg, "a start that succeeded is needed"));
}

TEST(a_failed_start_beside_a_good_one_must_agree_with_it)
{
	VllmStart s[] = {seed_start(), start_at(0.40, (double)NAN, 0)};
	VllmFact f;
	Err err = ERR_INIT;

	s[1].no_kv = true;
	CHECK_OK(footprint_calibrate(s, 2, SEED_TOTAL, SEED_TOKEN, NULL, &f, NULL));
	vllm_fact_done(&f);
	s[1].share = 0.60;
	CHECK_ERR(footprint_calibrate(s, 2, SEED_TOTAL, SEED_TOKEN, NULL, &f, &err), EINVAL);
	CHECK(strstr(err.msg, "contradict"));
}

TEST(starts_of_different_configurations_are_not_mixed)
{
	VllmStart s[] = {seed_start(), start_at(0.60, 1.55, 28976)};
	VllmFact f;
	Err err = ERR_INIT;

	s[1].key.max_num_seqs = 16;
	CHECK_ERR(footprint_calibrate(s, 2, SEED_TOTAL, 0, NULL, &f, &err), EINVAL);
	CHECK(strstr(err.msg, "max_num_seqs"));
}

TEST(starts_that_contradict_each_other_are_refused)
{
	VllmStart s[] = {seed_start(), start_at(0.60, 0.80, 14976)};
	VllmFact f;

	CHECK_ERR(footprint_calibrate(s, 2, SEED_TOTAL, SEED_TOKEN, NULL, &f, NULL), EINVAL);
	CHECK_ERR(footprint_calibrate(s, 2, SEED_TOTAL, 0, NULL, &f, NULL), EINVAL);
}

TEST(what_a_start_must_say_is_named)
{
	VllmStart s = seed_start();
	VllmFact f;
	Err err = ERR_INIT;

	CHECK_ERR(footprint_calibrate(&s, 1, 0, SEED_TOKEN, NULL, &f, &err), ENODATA);
	CHECK(strstr(err.msg, "total_bytes"));
	s.share = (double)NAN;
	CHECK_ERR(footprint_calibrate(&s, 1, SEED_TOTAL, SEED_TOKEN, NULL, &f, &err), ENODATA);
	CHECK(strstr(err.msg, "gpu_memory_utilization"));
	CHECK_ERR(footprint_calibrate(NULL, 0, SEED_TOTAL, SEED_TOKEN, NULL, &f, &err), ENODATA);
}
