/* One trial as its callers see it: how it ends, what it reports, what it refuses. */
#include <errno.h>
#include <unistd.h>

#include "rig.h"

static const char judge_at[] =
    "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
    "\", \"max_model_len\": 2048, \"gpu_memory_utilization\": %s}}}";
static const char pair_at[] =
    "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
    "\", \"max_model_len\": 2048, \"gpu_memory_utilization\": %s}}, \"stt\": {\"kind\": "
    "\"whisper\", \"settings\": {\"model_size\": \"%s\"}}}";

static Rig *judge(const char *share)
{
	char services[512];
	snprintf(services, sizeof(services), judge_at, share);
	Rig *r = rig_new("rtx3060", services);
	rig_llm(r, ARRIVALS_POISSON, 0.7, 100, 16, 150);
	return r;
}

static Rig *pair(const char *share, const char *size)
{
	char services[512];
	snprintf(services, sizeof(services), pair_at, share, size);
	Rig *r = rig_new("rtx3060", services);
	rig_llm(r, ARRIVALS_POISSON, 0.7, 100, 16, 150);
	rig_stt(r, ARRIVALS_POISSON, 0.7, 3000, 150);
	r->llm.prompt.sigma = r->llm.output.sigma = r->stt.clip_ms.sigma = 0.4;
	return r;
}

/* --- The first experiment -------------------------------------------------------------------- */

TEST(forty_and_fortyfive_per_cent_leave_no_room_for_the_cache)
{
	static const char *const shares[] = {"0.40", "0.45"};
	for (size_t i = 0; i < 2; i++) {
		Rig *r = judge(shares[i]);
		Measurement m = rig_run(r);
		CHECK_INT(m.outcome, OUTCOME_START_FAILED);
		CHECK_STR(m.cause, "kv_cache");
		CHECK(strstr(m.reason, "No available memory for the cache blocks"));
		CHECK(rig_logged(&m, "judge",
				 "ValueError: No available memory for the cache blocks. Try "
				 "increasing `gpu_memory_utilization` when initializing the "
				 "engine."));
		CHECK(rig_logged(&m, "judge", "RuntimeError: Engine core initialization failed."));
		CHECK(!measurement_get(&m, "llm_latency_ms"));
		measurement_done(&m);
		rig_free(r);
	}
}

TEST(fifty_per_cent_logs_what_the_real_server_logged)
{
	Rig *r = judge("0.50");
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_OK);
	CHECK(rig_logged(&m, "judge", "Available KV cache memory: 0.37 GiB"));
	CHECK(rig_logged(&m, "judge", "GPU KV cache size: 6,976 tokens"));
	CHECK(rig_logged(&m, "judge", "Maximum concurrency for 2,048 tokens per request: 3.41x"));
	/* 6,134 MiB by nvidia-smi, to the block that is not filled. */
	const json_t *p = json_object_get(json_object_get(m.evidence, "placement"), "judge");
	CHECK_STR(js_str(p, "device", ""), "cuda");
	CHECK_NEAR((double)js_int(p, "bytes", 0) / (1 << 20), 6134, 2);
	measurement_done(&m);
	rig_free(r);
}

/* The predictions of the published log lines for the other shares, to one block of 16 tokens. */
TEST(more_share_gives_the_cache_that_the_published_line_predicts)
{
	static const struct {
		const char *share, *tokens;
	} rows[] = {{"0.55", "17,9"}, {"0.60", "28,9"}, {"0.65", "39,9"}, {"0.70", "50,9"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Rig *r = judge(rows[i].share);
		Measurement m = rig_run(r);
		_cleanup_free_ char *line = str_fmt("GPU KV cache size: %s", rows[i].tokens);
		CHECK(rig_logged(&m, "judge", line));
		measurement_done(&m);
		rig_free(r);
	}
}

/* --- How a start fails ----------------------------------------------------------------------- */

TEST(a_share_that_neighbours_do_not_leave_fails_the_check_before_loading)
{
	Rig *r = judge("0.95");
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_START_FAILED);
	CHECK_STR(m.cause, "oom");
	CHECK(rig_logged(&m, "judge", "ValueError: Free memory on device ("));
	CHECK(strstr(m.reason,
		     "on startup is less than desired GPU memory utilization (0.95, 11.17 "
		     "GiB). Decrease GPU memory utilization or reduce GPU memory used by "
		     "other processes."));
	CHECK_NEAR(rig_metric(&m, "oom_events"), 1, 0);
	measurement_done(&m);
	rig_free(r);
}

TEST(a_context_longer_than_the_cache_says_what_would_fit)
{
	Rig *r = rig_new("rtx3060",
			 "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
			 "\", \"max_model_len\": 8192, \"gpu_memory_utilization\": 0.5}}}");
	rig_llm(r, ARRIVALS_POISSON, 1, 100, 16, 20);
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_START_FAILED);
	CHECK_STR(m.cause, "kv_cache");
	CHECK(strstr(m.reason,
		     "To serve at least one request with the models's max seq len (8192), "
		     "(0.44 GiB KV cache is needed, which is larger than the available KV "
		     "cache memory (0.37 GiB). Based on the available memory, the estimated "
		     "maximum model length is 6976."));
	measurement_done(&m);
	rig_free(r);
}

TEST(graphs_that_find_no_room_beside_the_share_kill_the_start)
{
	static const char services[] =
	    "{\"llm\": {\"kind\": \"vllm\", \"settings\": {\"model\": "
	    "\"Qwen2.5-14B-Instruct-AWQ\", \"gpu_memory_utilization\": 0.88, \"max_num_seqs\": "
	    "256, \"enforce_eager\": %s}}}";
	for (int eager = 0; eager < 2; eager++) {
		char text[512];
		snprintf(text, sizeof(text), services, eager ? "true" : "false");
		Rig *r = rig_new("rtx4090", text);
		rig_llm(r, ARRIVALS_POISSON, 1, 100, 16, 20);
		Measurement m = rig_run(r);
		CHECK_INT(m.outcome, eager ? OUTCOME_OK : OUTCOME_START_FAILED);
		if (!eager) {
			CHECK_STR(m.cause, "oom");
			CHECK(rig_logged(&m, "llm", "GPU KV cache size: "));
			CHECK(rig_logged(&m, "llm",
					 "torch.OutOfMemoryError: CUDA out of memory. "
					 "Tried to allocate 1.34 GiB. GPU 0 has a total "
					 "capacity of 23.65 GiB of which "));
		}
		measurement_done(&m);
		rig_free(r);
	}
}

/* --- What only load, or everything together, shows ------------------------------------------- */

static const char tight[] =
    "{\"llm\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"Qwen2.5-14B-Instruct-AWQ\", "
    "\"gpu_memory_utilization\": 0.85, \"max_num_seqs\": 8, \"max_num_batched_tokens\": 8192}}, "
    "\"stt\": {\"kind\": \"whisper\", \"settings\": {\"model_size\": \"base\"}}}";

TEST(a_service_may_start_and_run_out_of_memory_under_load)
{
	Rig *r = rig_new("rtx4090", tight);
	rig_llm(r, ARRIVALS_CLOSED, 1, 20, 16, 20);
	CHECK(rig_measure(r, "llm_latency_ms") > 0);
	rig_llm(r, ARRIVALS_CLOSED, 8, 3000, 16, 20);
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_OOM);
	CHECK(
	    rig_logged(&m, "llm", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate"));
	CHECK(rig_logged(&m, "llm", "vllm.v1.engine.exceptions.EngineDeadError"));
	CHECK(strstr(m.reason, "under load"));
	CHECK_NEAR(rig_metric(&m, "oom_events"), 1, 0);
	const json_t *memory = json_object_get(m.evidence, "memory");
	CHECK(js_int(memory, "peak_bytes", 0) <= js_int(memory, "total_bytes", 0));
	measurement_done(&m);
	rig_free(r);
}

TEST(a_neighbours_burst_finds_no_room_only_when_all_services_run)
{
	Rig *r = rig_new("rtx4090", tight);
	rig_llm(r, ARRIVALS_POISSON, 1, 20, 16, 150);
	CHECK(rig_measure(r, "llm_latency_ms") > 0);
	r->trial.all_services = true;
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_OOM);
	CHECK(strstr(m.reason, "the box's service images ran out of GPU memory in a burst"));
	CHECK(rig_logged(&m, "images", "torch.OutOfMemoryError"));
	measurement_done(&m);
	rig_free(r);
}

TEST(whisper_without_room_goes_to_the_cpu_and_the_trial_says_so)
{
	Rig *r = pair("0.78", "small");
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_CPU_FALLBACK);
	const json_t *stt = json_object_get(json_object_get(m.evidence, "placement"), "stt");
	CHECK_STR(js_str(stt, "device", ""), "cpu");
	CHECK_INT(js_int(stt, "bytes", -1), 0);
	CHECK(rig_logged(&m, "stt",
			 "UserWarning: Performing inference on CPU when CUDA is available"));
	measurement_done(&m);
	rig_free(r);
}

TEST(tiny_whisper_takes_about_a_second_on_the_cpu)
{
	Rig *r = pair("0.86", "tiny");
	r->stt.rate = 0.05;
	r->stt.clip_ms.sigma = 0;
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_CPU_FALLBACK);
	CHECK_NEAR(rig_metric(&m, "stt_latency_ms"), 1000, 120);
	measurement_done(&m);
	rig_free(r);
}

/* --- Numbers --------------------------------------------------------------------------------- */

TEST(percentiles_below_their_sample_floor_are_left_out)
{
	Rig *r = pair("0.5", "tiny");
	r->llm.requests = 129;
	r->stt.requests = 662;
	Measurement m = rig_run(r);
	CHECK(measurement_get(&m, "llm_latency_ms"));
	CHECK(!measurement_get(&m, "llm_latency_p95_ms"));
	CHECK(measurement_get(&m, "stt_latency_p95_ms"));
	CHECK(measurement_get(&m, "stt_latency_p99_ms"));
	const Metric *median = measurement_get(&m, "stt_latency_ms");
	CHECK_INT(median->n, 662);
	CHECK(median->lo < median->value && median->value < median->hi && median->se > 0);
	measurement_done(&m);
	rig_free(r);
}

TEST(word_errors_are_those_of_the_model_and_beams_help_a_little)
{
	static const struct {
		const char *size;
		double wer;
	} rows[] = {{"tiny", 7.47}, {"base", 4.97}, {"small", 3.45}};
	for (size_t i = 0; i < 3; i++) {
		Rig *r = pair("0.5", rows[i].size);
		double one = rig_measure(r, "wer_pct");
		CHECK_NEAR(one, rows[i].wer, 0.05 * rows[i].wer);
		json_t *settings = r->services[1].settings;
		CHECK_INT(json_object_set_new(settings, "beam_size", json_integer(5)), 0);
		double slow = rig_measure(r, "stt_latency_ms"), five = rig_measure(r, "wer_pct");
		CHECK(five < one && five > 0.9 * one);
		CHECK_INT(json_object_set_new(settings, "beam_size", json_integer(1)), 0);
		CHECK(slow > rig_measure(r, "stt_latency_ms"));
		rig_free(r);
	}
}

TEST(capacity_is_found_and_a_hungry_neighbour_lowers_it)
{
	double capacity[2];
	static const char *const sizes[] = {"tiny", "small"};
	for (int i = 0; i < 2; i++) {
		Rig *r = pair("0.5", sizes[i]);
		r->llm.limit_us = 2000000;
		r->load.capacity_max = 64;
		capacity[i] = rig_measure(r, "concurrent_capacity");
		rig_free(r);
	}
	CHECK(capacity[0] >= 5 && capacity[0] < 64);
	CHECK(capacity[1] < capacity[0]);
}

TEST(capacity_does_not_depend_on_how_many_clips_are_measured)
{
	Rig *r = pair("0.5", "tiny");
	r->llm.limit_us = 2000000;
	r->load.capacity_max = 64;
	double many = rig_measure(r, "concurrent_capacity");
	r->stt.requests = 5;
	CHECK_NEAR(rig_measure(r, "concurrent_capacity"), many, 0.35 * many);
	r->load.stt = NULL;
	CHECK(rig_measure(r, "concurrent_capacity") >= many);
	rig_free(r);
}

static json_t *result(Rig *r)
{
	Measurement m = rig_run(r);
	json_t *j = measurement_json(&m);
	CHECK(j);
	measurement_done(&m);
	return j;
}

TEST(the_same_seed_gives_the_same_result_to_the_last_bit)
{
	Rig *r = pair("0.5", "base");
	r->load.capacity_max = 16;
	r->llm.limit_us = 2000000;
	r->trial.all_services = true;
	for (uint64_t seed = 0; seed < 20; seed++) {
		r->trial.seed = seed;
		json_auto_t *a = result(r), *b = result(r);
		if (!json_equal(a, b))
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 " gives two results", seed);
	}
	rig_free(r);
}

TEST(another_seed_differs_by_about_the_declared_noise)
{
	/* Equal requests, far apart: what is left is the noise of the start, 1.5 %, and of the
	 * second, at most 1 % and averaged. */
	Rig *r = judge("0.5");
	rig_llm(r, ARRIVALS_CONSTANT, 0.5, 100, 16, 60);
	double sum = 0, square = 0;
	for (uint64_t seed = 0; seed < 200; seed++) {
		r->trial.seed = seed;
		double x = log(rig_measure(r, "llm_tpot_ms"));
		sum += x;
		square += x * x;
	}
	double sd = sqrt(square / 200 - sum * sum / 40000);
	CHECK(sd > 0.012 && sd < 0.02);
	rig_free(r);
}

TEST(trials_far_apart_on_the_drift_differ_more_than_neighbours)
{
	Rig *r = judge("0.5");
	rig_llm(r, ARRIVALS_CONSTANT, 0.5, 100, 16, 20);
	double near = 0, far = 0, before = 0, first = 0;
	for (int i = 0; i < 100; i++) {
		r->trial.drift_at_us = (int64_t)i * 3600000000;
		double x = rig_measure(r, "llm_tpot_ms");
		r->trial.drift_at_us += 30000000;
		near += fabs(rig_measure(r, "llm_tpot_ms") - x);
		if (i > 0)
			far += fabs(x - before);
		before = x;
		first = i == 0 ? x : first;
	}
	CHECK(first > 0 && far > 3 * near);
	rig_free(r);
}

TEST(a_trial_ends_at_its_time_of_the_simulated_clock)
{
	Rig *r = pair("0.5", "tiny");
	r->trial.timeout_us = 60000000;
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_TIMEOUT);
	CHECK_INT(m.duration_us, 60000000);
	measurement_done(&m);
	r->trial.timeout_us = 5000000;
	m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_START_FAILED);
	CHECK_STR(m.cause, "timeout");
	measurement_done(&m);
	rig_free(r);
}

TEST(prompts_that_are_all_too_long_make_an_unhealthy_server_not_a_fast_one)
{
	Rig *r = judge("0.5");
	rig_llm(r, ARRIVALS_POISSON, 1, 2048, 16, 20);
	Measurement m = rig_run(r);
	CHECK_INT(m.outcome, OUTCOME_UNHEALTHY);
	CHECK(rig_logged(&m, "judge",
			 "ValueError: This model's maximum context length is 2048 "
			 "tokens. However, your request has 2048 input tokens."));
	measurement_done(&m);
	rig_free(r);
}

TEST(memory_never_exceeds_the_card_whatever_is_tried)
{
	for (uint64_t seed = 0; seed < 150; seed++) {
		Rng rng = {seed};
		static const char *const sizes[] = {"tiny", "base", "small", "medium", "turbo"};
		_cleanup_free_ char *services = str_fmt(
		    "{\"llm\": {\"kind\": \"vllm\", \"settings\": {\"model\": "
		    "\"Qwen2.5-14B-Instruct-AWQ\", \"gpu_memory_utilization\": %g, "
		    "\"max_num_seqs\": %d, \"max_num_batched_tokens\": %d, \"kv_cache_dtype\": "
		    "\"%s\"}}, \"stt\": {\"kind\": \"whisper\", \"settings\": {\"model_size\": "
		    "\"%s\", \"beam_size\": %d}}}",
		    0.4 + 0.05 * (double)rng_below(&rng, 11), 8 << rng_below(&rng, 6),
		    1024 << rng_below(&rng, 4), rng_below(&rng, 2) ? "fp8" : "auto",
		    sizes[rng_below(&rng, 5)], (int)(1 + 4 * rng_below(&rng, 2)));
		Rig *r = rig_new("rtx4090", services);
		r->trial.all_services = rng_below(&rng, 2);
		rig_llm(r, ARRIVALS_POISSON, 2, 800, 60, 60);
		rig_stt(r, ARRIVALS_POISSON, 1, 3000, 60);
		Measurement m = rig_run(r);
		const json_t *memory = json_object_get(m.evidence, "memory");
		int64_t total = js_int(memory, "total_bytes", 0), sum = 0;
		const char *name;
		const json_t *bytes;
		json_object_foreach (json_object_get(memory, "at_peak"), name, bytes)
			sum += json_integer_value(bytes);
		if (js_int(memory, "peak_bytes", 0) > total || sum > total ||
		    m.outcome == OUTCOME_MEASURE_FAILED)
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %s", seed, services);
		measurement_done(&m);
		rig_free(r);
	}
}

/* --- What is refused before anything runs ---------------------------------------------------- */

TEST(what_the_box_does_not_know_is_refused_in_a_sentence)
{
	static const struct {
		const char *services, *says;
	} rows[] = {
	    {"{\"a\": {\"kind\": \"ollama\"}}",
	     "knows the kinds vllm, whisper and process, not ollama"},
	    {"{\"a\": {\"kind\": \"vllm\"}}", "has no language model ''"},
	    {"{\"a\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"gpt\"}}}",
	     "has no language model 'gpt'"},
	    {"{\"a\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
	     "\", \"gpu_memory_utilisation\": 0.5}}}",
	     "a vllm has no setting 'gpu_memory_utilisation'"},
	    {"{\"a\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
	     "\", \"gpu_memory_utilization\": 1.5}}}",
	     "its setting gpu_memory_utilization must be above 0 and at most 1"},
	    {"{\"a\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
	     "\", \"max_num_seqs\": 2.5}}}",
	     "its setting max_num_seqs must be a whole number from 1 to 4096"},
	    {"{\"a\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
	     "\", \"max_num_seqs\": 512, \"max_num_batched_tokens\": 256}}}",
	     "max_num_batched_tokens (256) must be greater than or equal to max_num_seqs (512)"},
	    {"{\"a\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
	     "\", \"kv_cache_dtype\": \"int3\"}}}",
	     "its setting kv_cache_dtype must be auto or fp8"},
	    {"{\"a\": {\"kind\": \"whisper\", \"settings\": {\"model_size\": \"huge\"}}}",
	     "has no Whisper model 'huge'"},
	    {"{\"a\": {\"kind\": \"whisper\", \"settings\": {\"model_size\": \"tiny\", "
	     "\"beam_size\": 0}}}",
	     "its setting beam_size must be a whole number from 1 to 16"},
	    {"{\"a\": {\"kind\": \"whisper\", \"settings\": {\"model_size\": \"tiny\", \"engine\": "
	     "\"other\"}}}",
	     "serves Whisper by openai-whisper, not other"},
	    {"{\"a\": {\"kind\": \"process\"}}", "has no tenant of that name"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Rig *r = rig_new("rtx3060", rows[i].services);
		rig_llm(r, ARRIVALS_POISSON, 1, 10, 10, 10);
		Measurement m = MEASUREMENT_INIT;
		Err err = ERR_INIT;
		CHECK_ERR(twin_trial(&r->trial, &m, &err), EINVAL);
		if (!strstr(err.msg, rows[i].says) || !strstr(err.msg, "service a"))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err.msg);
		CHECK(!m.metrics && !m.evidence);
		rig_free(r);
	}
}

TEST(a_tenant_may_also_be_a_service_of_the_plan_and_is_then_not_doubled)
{
	Rig *r = judge("0.5");
	double as_tenant = rig_measure(r, "gpu_memory_pct");
	rig_services(r, "{\"others\": {\"kind\": \"process\"}, \"judge\": {\"kind\": \"vllm\", "
			"\"settings\": {\"model\": \"" LLM_3060
			"\", \"gpu_memory_utilization\": 0.5}}}");
	CHECK_NEAR(rig_measure(r, "gpu_memory_pct"), as_tenant, 1e-9);
	rig_free(r);
}

static void check_box_fault(const char *text, const char *says)
{
	char path[] = "/tmp/dream-box-XXXXXX";
	int fd = mkstemp(path);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	Box *b = NULL;
	int r = box_load(path, &b, &d, &err);
	unlink(path);
	CHECK_ERR(r, EBADMSG);
	Str out = STR_INIT;
	diags_text(&d, &out);
	if (!out.s || !strstr(out.s, says))
		test_fail(__FILE__, __LINE__, "%s", out.s ? out.s : "(nothing)");
	str_done(&out);
	diags_done(&d);
}

TEST(mistakes_in_a_box_file_are_named_at_their_place)
{
	check_box_fault("name: x\n", "gpu");
	check_box_fault("name: x\nname: y\n"
			"gpu: {uuid: a, memory: 8 GiB, bandwidth_gb_s: 1, tflops: 1}\n",
			":2:");
	check_box_fault("name: x\ngpu: {uuid: a, memory: 8 GiB, bandwidth_gb_s: 1, tflops: 1}\n"
			"tenants: {big: {memory: 9 GiB}}\n",
			"the tenants hold");
	check_box_fault("name: x\ngpu: {uuid: a, memory: 8 GiB, bandwidth_gb_s: 1, tflops: 1}\n"
			"tenants: {t: {memory: 1 GiB, burst: 1 s}}\n",
			":3:");
	check_box_fault(
	    "name: x\ngpu: {uuid: a, memory: 8 GiB, bandwidth_gb_s: 1, tflops: 1}\n"
	    "whisper: {models: {s: {load_memory: 1 GiB, memory: 2 GiB, window: 1ms, token: "
	    "1ms, wer_pct: 5}}}\n",
	    "the peak while loading is below what stays");
}
