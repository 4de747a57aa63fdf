/* Mistakes that others made, where no test of a folder has them already; README.md has all of them.
 */
#include "loadgen/stand.h"

#include <signal.h>

#include "loadgen/figures.h"
#include "server/server.h"
#include "service/verdict.h"
#include "trial/objective.h"

/* --- A sentinel taken for a latency ----------------------------------------------------------- */

static void refuse(void *ctx, Incoming *rq)
{
	(void)ctx;
	CHECK_OK(incoming_answer(rq, 500, "text/plain", "999", 3));
}

static TrafficStream asking(const Stand *s, const Stream *load)
{
	return (TrafficStream){.name = "llm",
			       .client = s->client,
			       .protocol = PROTOCOL_OPENAI_CHAT,
			       .model = "m",
			       .load = load,
			       .contents = s->contents,
			       .misses_max = -1};
}

TEST(a_server_that_never_answered_has_no_latency_and_the_trial_no_score_for_it)
{
	static const Stream load = {.arrivals = ARRIVALS_CLOSED, .users = 2, .requests = 200};
	Stand s = {0};
	StreamFigures f;
	Goals g = {0};
	Measurement m = MEASUREMENT_INIT;
	stand_serve(&s, refuse, NULL, NULL);
	stand_contents(&s, &(ContentsSpec){.seed = 1});
	TrafficStream t = asking(&s, &load);
	stand_run(&s, &t, 1);
	CHECK_OK(stream_figures(&s.result.streams[0], &f, NULL));
	CHECK_INT(f.failed, 200);
	CHECK_INT(f.e2e_ms.n, 0);
	CHECK_OK(stream_metrics(&f, "llm", &m, NULL));
	CHECK(!measurement_get(&m, "llm_latency_ms") && !measurement_get(&m, "llm_latency_p95_ms"));
	CHECK_OK(goals_seed_default(&g));
	m.outcome = OUTCOME_OK;
	Fitness fit = fitness_of(&g, &m);
	CHECK(!fit.complete && *fit.missing);
	CHECK_NEAR(fit.value, 0, 0);
	goals_done(&g);
	measurement_done(&m);
	stand_done(&s);
}

/* --- A model that was unloaded in the middle -------------------------------------------------- */

enum {
	LOADING_US = 150000,
	LOADED_AGAIN_AT = 120, /* the request that finds the model gone */
};

typedef struct Forgetful {
	Stand stand;
	int asked;
	Incoming *waiting;
} Forgetful;

static const char answer[] = "{\"choices\":[{\"message\":{\"content\":\"yes\"},\"finish_reason\":"
			     "\"stop\"}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":1}}";

static void say_yes(Incoming *rq)
{
	CHECK_OK(incoming_answer(rq, 200, "application/json", answer, sizeof(answer) - 1));
}

static int on_loaded(sd_event_source *source, uint64_t at_us, void *ctx)
{
	Forgetful *f = ctx;
	(void)source;
	(void)at_us;
	say_yes(f->waiting);
	return 0;
}

static void serve_forgetful(void *ctx, Incoming *rq)
{
	Forgetful *f = ctx;
	if (++f->asked != LOADED_AGAIN_AT) {
		say_yes(rq);
		return;
	}
	f->waiting = rq;
	CHECK_OK(sd_event_add_time_relative(f->stand.loop, NULL, CLOCK_MONOTONIC, LOADING_US, 1,
					    on_loaded, f));
}

TEST(a_model_that_is_loaded_again_in_the_middle_is_no_warm_up)
{
	static const Stream load = {.arrivals = ARRIVALS_CLOSED, .users = 1, .requests = 200};
	Forgetful f = {0};
	StreamFigures figures;
	stand_serve(&f.stand, serve_forgetful, NULL, &f);
	stand_contents(&f.stand, &(ContentsSpec){.seed = 1});
	TrafficStream t = asking(&f.stand, &load);
	stand_run(&f.stand, &t, 1);
	CHECK_OK(stream_figures(&f.stand.result.streams[0], &figures, NULL));
	CHECK_INT(figures.answered, 200);
	CHECK(figures.unsteady < LOADED_AGAIN_AT);
	CHECK(figures.e2e_ms.max >= LOADING_US / 1e3);
	stand_done(&f.stand);
}

/* --- Servers that must not be asked for another model ----------------------------------------- */

/* whisper-server ends itself when /load names a file that it cannot read. */
TEST(another_whisper_model_is_another_start_and_no_request)
{
	const ServerKind *k = server_kind("whispercpp");
	json_auto_t *settings = json_pack("{s:s}", "model", "/srv/small.bin");
	char *argv[] = {(char[]){"whisper-server"}, (char[]){"-m"}, (char[]){"/srv/tiny.bin"},
			NULL};
	ServerCommand c = {0};
	ServiceSpec spec = {0};
	char *path = NULL, *body = NULL;
	Err err = ERR_INIT;
	CHECK_OK(servercommand_copy(&(ServerCommand){.argv = argv}, &c));
	CHECK(!server_load_request(k, &c, settings, &path, &body));
	CHECK(!path && !body);
	CHECK(server_protocol(k) == PROTOCOL_WHISPERCPP);
	CHECK_OK(server_apply(k, &spec, settings, &c, &err));
	bool told = false;
	for (size_t i = 0; c.argv[i]; i++)
		told |= strcmp(c.argv[i], "/srv/small.bin") == 0;
	CHECK(told);
	servercommand_done(&c);
}

/* --- A neighbour that frees memory while vLLM measures how much is free ------------------------
 */

/* vLLM's assertion in vllm/v1/worker/gpu_worker.py. */
static const char profiling[] =
    "AssertionError: Error in memory profiling. Initial free memory 10.62 GiB, current free memory "
    "11.02 GiB. This happens when other processes sharing the same container release GPU memory "
    "while vLLM is profiling during initialization.\n"
    "RuntimeError: Engine core initialization failed. See root cause above.\n";

static void verdict_of(const SamplerReport *gpu, Measurement *m)
{
	static const InstanceEnd exit_1 = {.status = {.si_code = CLD_EXITED, .si_status = 1},
					   .oom_kills = -1,
					   .words = "it ended with exit status 1"};
	ServiceEvidence judge = {.name = "judge",
				 .kind = server_kind("vllm"),
				 .output = profiling,
				 .output_len = sizeof(profiling) - 1,
				 .end = &exit_1,
				 .wants_gpu = true,
				 .account_gpu_bytes = -1,
				 .account_all_bytes = -1};
	json_t *evidence = NULL;
	Err err = ERR_INIT;
	m->outcome = OUTCOME_OK;
	CHECK_OK(trial_verdict(&(TrialEvidence){.services = &judge, .n = 1, .gpu = gpu}, m,
			       &evidence, &err));
	json_decref(evidence);
}

TEST(a_neighbour_that_frees_memory_during_the_profile_run_makes_the_trial_void)
{
	SamplerReport gpu = {.contended = true, .contention = "process 4711 gave back 400 MiB"};
	Measurement m = MEASUREMENT_INIT;
	verdict_of(&gpu, &m);
	CHECK_STR(outcome_name(m.outcome), "contended");
	CHECK(m.reason && strstr(m.reason, "4711"));
	measurement_done(&m);
}

/* Without NVML nobody saw the neighbour; what the server said is there to be read, and is no OOM.
 */
TEST(a_start_that_fails_in_the_profile_run_is_no_oom_and_tells_what_was_said)
{
	Measurement m = MEASUREMENT_INIT;
	verdict_of(NULL, &m);
	CHECK_STR(outcome_name(m.outcome), "start_failed");
	CHECK(strcmp(m.cause, "oom") != 0 && strcmp(m.cause, "kv_cache") != 0);
	CHECK(m.reason && *m.reason);
	measurement_done(&m);
}
