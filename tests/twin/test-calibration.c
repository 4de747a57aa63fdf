/* The 3060 box against what was published about such a box. Each case states its tolerance. */
#include "engine-rig.h"

enum {
	PROMPT = 16, /* tokens that are not in the prefix cache; the published test does not say */
};

static Rig *alone(void)
{
	return rig_new("rtx3060", "{\"judge\": {\"kind\": \"vllm\", \"settings\": {\"model\": "
				  "\"" LLM_3060 "\", \"gpu_memory_utilization\": 0.8, "
				  "\"enforce_eager\": false}}}");
}

static Rig *whisper(const char *size)
{
	_cleanup_free_ char *services = str_fmt(
	    "{\"stt\": {\"kind\": \"whisper\", \"settings\": {\"model_size\": \"%s\"}}}", size);
	return rig_new("rtx3060", services);
}

/* Published: 59 tokens/s for one stream. Within 3 % (noise of a start included). */
TEST(one_stream_decodes_as_fast_as_published)
{
	Rig *r = alone();
	rig_llm(r, ARRIVALS_CLOSED, 1, 50, 200, 20);
	double tpot = rig_measure(r, "llm_tpot_ms");
	CHECK_NEAR(1000 / tpot, 59, 59 * 0.03);
	rig_free(r);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* That many users send their first request in the same moment: the 95th percentile of the time to
 * the first token. Too few samples for a trial to report, so the engine is run by itself. */
static double first_wave_ttft_ms(const Box *box, int64_t users)
{
	const VllmSettings set = {box_llm(box, LLM_3060), 0.9, 2048, 256, 2048, false, false};
	const Stream stream = {.arrivals = ARRIVALS_CLOSED,
			       .users = users,
			       .requests = users,
			       .prompt = {.median = PROMPT, .min = 1, .max = 4096},
			       .output = {.median = 100, .min = 1, .max = 4096}};
	EngineRig *e = engine_run(box, &set, &stream);
	double ms[128];
	for (int64_t i = 0; i < users; i++)
		ms[i] = (double)(e->load.samples[i].first_us - e->load.samples[i].planned_us) / 1e3;
	engine_free(e);
	qsort(ms, (size_t)users, sizeof(*ms), ascending);
	return ms[(users * 95 + 99) / 100 - 1];
}

/* Published: 43 ms for one user (its 95th percentile is given as 40), and 140, 280, 570 and 770 ms
 * for 8, 32, 64 and 96. Two numbers were fitted to the first and the last; the others are
 * predictions. The one for 8 users is missed by far (docs/twin.md). */
TEST(the_time_to_first_token_grows_with_users_as_published)
{
	static const struct {
		int users;
		double ms, tolerance;
	} points[] = {
	    {1, 43, 0.09}, {8, 140, 0.35}, {32, 280, 0.09}, {64, 570, 0.09}, {96, 770, 0.05}};
	Rig *r = alone();
	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
		double ms = first_wave_ttft_ms(r->box, points[i].users);
		printf("# %d users: %.0f ms, published %.0f\n", points[i].users, ms, points[i].ms);
		CHECK_NEAR(ms, points[i].ms, points[i].ms * points[i].tolerance);
	}
	rig_free(r);
}

TEST(whisper_alone_is_as_fast_as_the_first_experiment_saw)
{
	static const struct {
		const char *size;
		double ms, tolerance;
	} points[] = {{"tiny", 34, 2}, {"small", 300, 20}};
	for (size_t i = 0; i < 2; i++) {
		Rig *r = whisper(points[i].size);
		rig_stt(r, ARRIVALS_CLOSED, 1, 3000, 50);
		CHECK_NEAR(rig_measure(r, "stt_latency_ms"), points[i].ms, points[i].tolerance);
		rig_free(r);
	}
}

TEST(ten_whisper_processes_at_once_turn_34_ms_into_800)
{
	Str s = STR_INIT;
	for (int i = 0; i < 10; i++)
		str_addf(&s,
			 "%s\"stt%d\": {\"kind\": \"whisper\", \"settings\": {\"model_size\": "
			 "\"tiny\"}}",
			 i ? ", " : "{", i);
	str_add(&s, "}");
	Rig *r = rig_new("rtx3060", s.s);
	rig_stt(r, ARRIVALS_CLOSED, 10, 3000, 200);
	CHECK_NEAR(rig_measure(r, "stt_latency_ms"), 800, 80);
	rig_free(r);
	str_done(&s);
}
