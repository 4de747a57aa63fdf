/* What a server on a shared GPU does under load. */
#include "engine-rig.h"

/* A share of the memory that leaves room for about 437 blocks, 6,976 tokens. */
static const char small_cache[] =
    "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
    "\", \"gpu_memory_utilization\": 0.5}}}";
static const char large_cache[] =
    "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
    "\", \"gpu_memory_utilization\": 0.75}}}";
static const char both[] =
    "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
    "\", \"gpu_memory_utilization\": 0.6}}, \"stt\": {\"kind\": \"whisper\", \"settings\": "
    "{\"model_size\": \"small\"}}}";

static double throughput(Rig *r, int users)
{
	rig_llm(r, ARRIVALS_CLOSED, users, 100, 400, 40 + 6 * users);
	return rig_measure(r, "llm_tokens_per_s");
}

TEST(throughput_rises_with_users_and_falls_past_saturation)
{
	Rig *r = rig_new("rtx3060", small_cache);
	double one = throughput(r, 1), four = throughput(r, 4), best = 0;
	for (int users = 8; users <= 24; users += 4)
		best = fmax(best, throughput(r, users));
	double crowded = throughput(r, 128);
	printf("# 1: %.0f, 4: %.0f, best: %.0f, 128: %.0f tokens/s\n", one, four, best, crowded);
	CHECK(four > 3 * one);
	CHECK(best > four);
	CHECK(crowded < 0.97 * best);
	rig_free(r);
}

TEST(a_full_cache_pushes_sequences_out_and_a_large_one_does_not)
{
	Rig *r = rig_new("rtx3060", small_cache);
	rig_llm(r, ARRIVALS_CLOSED, 32, 100, 400, 100);
	CHECK(rig_measure(r, "preemptions") > 0);
	rig_services(r, large_cache);
	CHECK_NEAR(rig_measure(r, "preemptions"), 0, 0);
	rig_free(r);
}

TEST(a_batch_of_one_makes_everybody_wait)
{
	Rig *r = rig_new("rtx3060",
			 "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
			 "\", \"gpu_memory_utilization\": 0.6, \"max_num_seqs\": 1}}}");
	rig_llm(r, ARRIVALS_CLOSED, 8, 50, 50, 80);
	double narrow = rig_measure(r, "llm_latency_ms");
	rig_services(r, large_cache);
	double wide = rig_measure(r, "llm_latency_ms");
	CHECK(narrow > 4 * wide);
	rig_free(r);
}

TEST(small_pieces_of_prompts_cost_time_to_the_first_token)
{
	static const char *const sizes[] = {"256", "4096"};
	double ttft[2];
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *services =
		    str_fmt("{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": \"" LLM_3060
			    "\", \"gpu_memory_utilization\": 0.6, \"max_num_seqs\": 8, "
			    "\"max_num_batched_tokens\": %s}}}",
			    sizes[i]);
		Rig *r = rig_new("rtx3060", services);
		rig_llm(r, ARRIVALS_CLOSED, 1, 1500, 20, 20);
		ttft[i] = rig_measure(r, "llm_ttft_ms");
		rig_free(r);
	}
	CHECK(ttft[0] > ttft[1]);
}

/* Whatever is pushed out, cut short or run in one piece: each answer has exactly the tokens that
 * were asked, takes at least as long as its steps, and all blocks come back. */
TEST(every_request_gets_exactly_its_tokens_at_any_load)
{
	Rig *r = rig_new("rtx3060", small_cache);
	const LlmModel *model = box_llm(r->box, LLM_3060);
	double fastest_us = (double)model->weight_bytes /
			    (r->box->gpu.bandwidth_gb_s * 1e3 * r->box->gpu.memory_share);
	for (int64_t users = 1; users <= 64; users *= 2) {
		for (int gamma = 0; gamma < 2; gamma++) {
			const VllmSettings set = {model, 0.5, 2048, 256, 512, true, false};
			const Stream stream = {.arrivals = gamma ? ARRIVALS_GAMMA : ARRIVALS_CLOSED,
					       .rate = (double)users / 4,
					       .cv = 3,
					       .users = users,
					       .requests = 300,
					       .prompt = {200, 0.8, 1, 1500},
					       .output = {80, 0.8, 1, 500}};
			EngineRig *e = engine_run(r->box, &set, &stream);
			Rng sizes = rng_derive(0, "twin llm", 2);
			for (int64_t i = 0; i < 300; i++) {
				const Sample *s = &e->load.samples[i];
				lengths_draw(&stream.prompt, &sizes);
				int64_t asked = lengths_draw(&stream.output, &sizes);
				CHECK(s->answered);
				CHECK_INT(s->tokens, asked);
				CHECK(s->first_us > s->planned_us && s->end_us >= s->first_us);
				/* The noise may make the box a little faster than its sheet. */
				CHECK((double)(s->end_us - s->planned_us) >
				      0.9 * fastest_us * (double)asked);
			}
			int64_t held = 0;
			for (size_t i = 0; i < e->llm.n_running; i++)
				held += e->llm.running[i]->blocks;
			CHECK_INT(held + e->llm.free_blocks, e->llm.kv_blocks);
			engine_free(e);
		}
	}
	rig_free(r);
}

/* Running decode steps in one piece is only a short cut: it must end when the steps one by one
 * would.
 */
TEST(a_run_of_steps_ends_when_its_single_steps_would)
{
	Rig *r = rig_new("rtx3060", small_cache);
	const LlmModel *m = box_llm(r->box, LLM_3060);
	const VllmSettings set = {m, 0.5, 2048, 256, 2048, true, false};
	const Stream one = {.arrivals = ARRIVALS_CLOSED,
			    .users = 1,
			    .requests = 1,
			    .prompt = {100, 0, 100, 100},
			    .output = {300, 0, 300, 300}};
	EngineRig *e = engine_run(r->box, &set, &one);
	/* By hand: the first token after the prompt's step, then 299 steps, each reading one token
	 * of cache more. */
	double per_us = r->box->gpu.bandwidth_gb_s * 1e3 * r->box->gpu.memory_share, us = 0;
	for (int i = 0; i < 299; i++)
		us += ((double)m->weight_bytes + 57344.0 * (100 + i)) / per_us +
		      (double)m->eager_step_us + (double)m->seq_us;
	const Sample *s = &e->load.samples[0];
	CHECK_NEAR((double)(s->end_us - s->first_us), us, 0.03 * us); /* noise of seconds */
	engine_free(e);
	rig_free(r);
}

TEST(a_neighbour_hurts_the_99th_percentile_more_than_the_median)
{
	static const struct {
		uint64_t seed;
	} runs[] = {{1}, {2}, {3}, {4}, {5}};
	for (size_t i = 0; i < 5; i++) {
		Rig *r = rig_new("rtx3060", both);
		r->trial.seed = runs[i].seed;
		rig_llm(r, ARRIVALS_POISSON, 0.5, 50, 10, 700);
		double median = rig_measure(r, "llm_latency_ms");
		double p99 = rig_measure(r, "llm_latency_p99_ms");
		rig_stt(r, ARRIVALS_POISSON, 0.25, 3000, 350);
		double median_with = rig_measure(r, "llm_latency_ms") / median;
		double p99_with = rig_measure(r, "llm_latency_p99_ms") / p99;
		printf("# seed %" PRIu64 ": median x %.2f, p99 x %.2f\n", runs[i].seed, median_with,
		       p99_with);
		CHECK(p99_with > 1.1 && p99_with > 1.1 * median_with);
		CHECK(median_with < 1.1);
		rig_free(r);
	}
}

TEST(the_other_services_of_the_box_are_felt_only_when_they_run)
{
	Rig *r = rig_new("rtx3060", both);
	rig_llm(r, ARRIVALS_POISSON, 0.5, 50, 20, 700);
	double quiet = rig_measure(r, "llm_latency_p99_ms");
	r->trial.all_services = true;
	double busy = rig_measure(r, "llm_latency_p99_ms");
	CHECK(busy > 1.03 * quiet);
	rig_free(r);
}

TEST(latency_counts_from_the_planned_time_so_a_queue_shows)
{
	/* Small Whisper takes 0.3 s; five clips a second cannot be served: the wait grows with
	 * every clip, and half of 200 clips wait more than 10 s. */
	Rig *r = rig_new("rtx3060", both);
	rig_stt(r, ARRIVALS_CONSTANT, 5, 3000, 200);
	CHECK(rig_measure(r, "stt_latency_ms") > 8000);
	rig_free(r);
}
