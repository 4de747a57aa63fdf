/* A trial that is called off ends on the caller's loop: whoever has other things to do there goes
 * on with them, however long it takes to end. By real programs, in the worker's place too. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "eval/internal.h"
#include "support.h"
#include "test.h"

enum {
	TICK_US = 10000,
	GRACE_US = 10000000, /* what a worker is given */
};

/* A loop that is asked every few milliseconds whether it still turns. */
typedef struct Turning {
	sd_event *loop;
	sd_event_source *tick;
	EvalRun *run;
	bool said, asked;
	int64_t last_us, longest_us, asked_us, took_us;
	int turns, done, code;
} Turning;

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata)
{
	Turning *t = userdata;
	(void)usec;
	int64_t now_us = clock_mono_us(&clock_system);
	if (t->asked && now_us - t->last_us > t->longest_us)
		t->longest_us = now_us - t->last_us;
	t->last_us = now_us;
	t->turns += t->asked;
	if (t->said && !t->asked) {
		t->asked = true;
		t->asked_us = now_us;
		eval_call_off(t->run);
		eval_call_off(t->run);
	}
	CHECK_OK(sd_event_source_set_time_relative(s, TICK_US));
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static void on_done(void *userdata, Measurement *m, const Err *err)
{
	Turning *t = userdata;
	(void)m;
	t->done++;
	t->code = err ? err->code : 0;
	t->took_us = clock_mono_us(&clock_system) - t->asked_us;
	t->run = eval_stop(t->run); /* as callers do */
	sd_event_exit(t->loop, 0);
}

static void on_word(void *userdata, const json_t *event)
{
	Turning *t = userdata;
	(void)event;
	t->said = true;
}

/* Calls the program off as soon as it has said that it runs. */
static void call_off(const char *script, bool worker, Turning *t)
{
	char shell[] = "/bin/sh", dash[] = "-c", dir[] = "/tmp";
	char *argv[] = {shell, dash, (char *)(uintptr_t)script, NULL}, *env[] = {NULL};
	const ChildSpec spec = {.argv = argv, .env = env, .cwd = dir, .worker = worker};
	EvalRequest rq = request_make();
	*t = (Turning){.last_us = clock_mono_us(&clock_system)};
	CHECK_OK(sd_event_new(&t->loop));
	CHECK_OK(
	    sd_event_add_time_relative(t->loop, &t->tick, CLOCK_MONOTONIC, 0, 1000, on_tick, t));
	EvalRun *run = calloc(1, sizeof(*run));
	CHECK(run);
	*run = (EvalRun){
	    .loop = sd_event_ref(t->loop), .done = on_done, .progress = on_word, .userdata = t};
	CHECK_OK(eval_child_start(&spec, &rq, STAGE_ISOLATED, run, NULL));
	t->run = run;
	CHECK_OK(sd_event_loop(t->loop));
	sd_event_source_disable_unref(t->tick);
	sd_event_unref(t->loop);
	printf("# ended after %lld ms and %d turns, the loop stood still for %lld ms at most\n",
	       (long long)(t->took_us / 1000), t->turns, (long long)(t->longest_us / 1000));
	CHECK_INT(t->done, 1);
	CHECK_INT(t->code, -ECANCELED);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

#define RUNS  "echo '{\"event\": \"progress\", \"share\": 0.1}'; "
#define STAYS "while :; do sleep 0.05; done"

TEST(a_worker_is_waited_for_while_it_puts_things_back_and_writes_more_than_a_pipe_holds)
{
	Turning t;
	call_off("trap 'head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; sleep 0.8; exit 0' "
		 "TERM; " RUNS STAYS,
		 true, &t);
	CHECK(t.took_us >= 800000);
	CHECK(t.turns >= 20); /* of eighty; one who waits for it has one */
}

TEST(a_worker_that_ignores_it_is_killed)
{
	Turning t;
	if (!getenv("DREAM_SOAK")) {
		printf("# ten seconds: with DREAM_SOAK=1\n");
		return;
	}
	call_off("trap '' TERM; " RUNS STAYS, true, &t);
	CHECK(t.took_us >= GRACE_US && t.took_us < 3 * GRACE_US);
	CHECK(t.turns >= 200);
}

TEST(a_program_that_is_nobodys_worker_is_killed_at_once)
{
	Turning t;
	call_off("trap '' TERM; " RUNS STAYS, false, &t);
	CHECK(t.took_us < GRACE_US / 2);
}

TEST(one_that_stands_still_is_woken_to_end)
{
	Turning t;
	call_off(RUNS "kill -STOP $$", true, &t);
}
