/* Whole rollouts, to a commit or to what is in the way of one. Production is a server of the test's
 * own, and the helper does as it is told. */
#include <math.h>

#include "base/rng.h"
#include "http/server.h"
#include "rollout/fate.h"
#include "stand.h"

enum {
	EVERY_US = 5000, /* from one look to the next */
	BEFORE = 600,
};

typedef struct Bench {
	Stand s;
	HttpLoop *http;
	HttpServer *server;
	History *history;  /* of production as it was */
	int64_t began_us;  /* monotonic */
	int64_t jumped_us; /* by which the clock was put forward */
	bool waits, ended;
	MachineResult result;
	int applied; /* configurations */
} Bench;

static int64_t bench_now(void *ctx)
{
	const Bench *b = ctx;
	return NOW_US + 1200 * INT64_C(1000000) + b->jumped_us + clock_mono_us(&clock_system) -
	       b->began_us;
}

static int64_t bench_mono(void *ctx)
{
	(void)ctx;
	return clock_mono_us(&clock_system);
}

static void serve(void *ctx, Incoming *rq)
{
	(void)ctx;
	CHECK_OK(incoming_answer(rq, 200, "text/plain", "fine", 4));
}

static void on_event(void *ctx, const RolloutEvent *e)
{
	Bench *b = ctx;
	printf("# %s\n", e->text);
	b->waits |= strstr(e->text, "rollout.window") != NULL;
	b->applied += strncmp(e->text, "applying", 8) == 0;
}

static void on_done(void *ctx, const Machine *m, const Err *err)
{
	Bench *b = ctx;
	(void)err;
	b->ended = true;
	b->result = m->result;
}

/* Slower than it will be, however busy this machine is: then every verdict is soon there. */
static void remember(Bench *b)
{
	char path[128];
	Err err = ERR_INIT;
	Rng rng = rng_derive(1, "before", 0);
	snprintf(path, sizeof(path), "%s/history.bin", b->s.box.dir);
	CHECK_OK(history_open(path, &b->s.box.clock, &b->history, &err));
	for (int64_t i = 0; i < BEFORE; i++) {
		const WatchSample sample = {.service = "judge",
					    .metric = "latency_ms",
					    .s = {.at_us = bench_now(b) - (BEFORE - i) * EVERY_US,
						  .value = 1000 + 100 * rng_unit(&rng),
						  .load = (double)NAN}};
		CHECK_OK(history_add(b->history, GENERATION_1, &sample, &err));
	}
}

/* Its promotion's first parameter belongs to the service that answers. */
static void set_up(Bench *b)
{
	Err err = ERR_INIT;
	*b = (Bench){.began_us = clock_mono_us(&clock_system),
		     .s = {.units = {"judge.service", "kloros.service"},
			   .params = {"vllm_memory_util", "whisper_model_size"}}};
	stand_new(&b->s);
	b->s.box.clock = (Clock){bench_now, bench_mono, b};
	CHECK_OK(httploop_new(b->s.loop, &b->http, &err));
	const HttpServerSpec spec = {.host = "127.0.0.1", .serve = serve};
	CHECK_OK(httpserver_new(b->s.loop, &spec, &b->server, &err));
	stand_answers(&b->s, httpserver_port(b->server));
	RolloutConfig *c = &b->s.plan->experiments[0].rollout;
	c->probe_every_us = EVERY_US;
	c->observe_us = 500000;
	c->watch_us = 500000;
	c->probation_us = 0;
	c->max_regression = 10;
	c->false_alarms = 0.2;
	free(c->window);
	CHECK(c->window = str_fmt("16:00-18:00"));
	free(c->on_inconclusive);
	CHECK(c->on_inconclusive = str_fmt("wait"));
	c->waits = 1000;
	remember(b);
}

static void tear_down(Bench *b)
{
	history_close(b->history);
	httploop_free(b->http);
	httpserver_free(b->server);
	stand_done(&b->s);
}

static Rollout *begin(Bench *b)
{
	static const RolloutHandler handler = {.event = on_event, .done = on_done};
	Approval a = {.approved = true,
		      .promotion = "promotion-spica-1",
		      .baseline_version = 1,
		      .lasts_us = 7 * DAY_US,
		      .by.name = "anna"},
		 made;
	Rollout *r = NULL;
	Err err = ERR_INIT;
	json_auto_t *promotion = signed_promotion(b->s.box.key);
	CHECK_INT(promotion_store(b->s.box.store, promotion, NULL), 1);
	first_baseline(&b->s.box);
	CHECK_OK(decision_digest(promotion, a.digest, NULL));
	CHECK_OK(approval_append(b->s.box.store, b->s.box.key, &a, &made, &err));
	RolloutWorld w = stand_world(&b->s);
	w.http = b->http;
	w.history = b->history;
	if (rollout_start(&w, "promotion-spica-1", &handler, b, &r, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return r;
}

static void run_until(Bench *b, const Rollout *r, const bool *what, MachinePhase phase)
{
	int64_t until = clock_mono_us(&clock_system) + INT64_C(30000000);
	while (!(what && *what) && !(!what && rollout_machine(r)->phase == phase)) {
		CHECK(clock_mono_us(&clock_system) < until);
		CHECK_OK(sd_event_run(b->s.loop, 10000));
	}
}

static void take_back(Bench *b, Rollout *r)
{
	static const Approver anna = {.name = "anna"};
	Err err = ERR_INIT;
	CHECK_OK(rollout_decide(r, false, &anna, &err));
	run_until(b, r, &b->ended, 0);
	rollout_free(r);
}

/* --- rollout.window ----------------------------------------------------------------------------
 */

TEST(what_is_looked_at_when_the_window_closes_is_not_touched_before_it_opens)
{
	__attribute__((cleanup(tear_down))) Bench b;
	set_up(&b);
	Rollout *r = begin(&b);
	b.jumped_us = 3 * HOUR_US;
	run_until(&b, r, &b.waits, 0);
	CHECK_INT(rollout_machine(r)->phase, PHASE_OBSERVE);
	CHECK_INT(b.applied, 0);
	b.jumped_us = DAY_US;
	run_until(&b, r, NULL, PHASE_WATCH);
	CHECK_INT(b.applied, 1);
	take_back(&b, r);
	CHECK_INT(b.result, RESULT_ROLLED_BACK);
}

TEST(what_is_watched_when_the_window_closes_is_watched_until_it_opens)
{
	__attribute__((cleanup(tear_down))) Bench b;
	set_up(&b);
	Rollout *r = begin(&b);
	run_until(&b, r, NULL, PHASE_WATCH);
	b.jumped_us = 3 * HOUR_US;
	run_until(&b, r, &b.waits, 0);
	CHECK_INT(rollout_machine(r)->phase, PHASE_WATCH);
	CHECK_INT(b.applied, 1);
	b.jumped_us = DAY_US;
	run_until(&b, r, NULL, PHASE_APPLY);
	CHECK_INT(b.applied, 2);
	take_back(&b, r);
	CHECK_INT(b.result, RESULT_ROLLED_BACK);
}

/* --- The commit ------------------------------------------------------------------------------- */

TEST(what_is_no_worse_is_committed)
{
	__attribute__((cleanup(tear_down))) Bench b;
	_cleanup_(baseline_done) Baseline now = {0};
	set_up(&b);
	Rollout *r = begin(&b);
	run_until(&b, r, &b.ended, 0);
	rollout_free(r);
	CHECK_INT(b.result, RESULT_COMMITTED);
	CHECK_OK(baseline_current(b.s.box.store, NULL, &now, NULL));
	CHECK_INT(now.version, 2);
	CHECK_STR(now.why, "rollout");
}

/* Its process has what it was told, so no read-back has seen it: what was measured is not what will
 * start the next time. */
TEST(a_unit_that_was_edited_while_it_was_watched_is_not_committed)
{
	__attribute__((cleanup(tear_down))) Bench b;
	_cleanup_(baseline_done) Baseline now = {0};
	set_up(&b);
	Rollout *r = begin(&b);
	run_until(&b, r, NULL, PHASE_COLD);
	run_until(&b, r, NULL, PHASE_WATCH);
	stand_edit(&b.s);
	run_until(&b, r, &b.ended, 0);
	rollout_free(r);
	CHECK_INT(b.result, RESULT_ROLLED_BACK);
	CHECK_OK(baseline_current(b.s.box.store, NULL, &now, NULL));
	CHECK_INT(now.version, 1);
}
