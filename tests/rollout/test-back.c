/* Going back where something is in the way: what can be done is done, and what is said of the rest
 * is true. */
#include "rollout/fate.h"
#include "stand.h"

static const Approver anna = {.name = "anna"};
static const RolloutHandler handler = {.event = heard_event, .done = heard_done};

static void plain(Stand *s, const char *unknown, const char *broken)
{
	*s = (Stand){.units = {"front.service", "back.service"},
		     .params = {"front_mode", "back_mode"},
		     .unknown = unknown,
		     .broken = broken};
	stand_new(s);
}

static void expect_production(const Stand *s, const char *generation, int64_t version)
{
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *status = NULL;
	Err err = ERR_INIT;
	CHECK_OK(baseline_current(s->box.store, NULL, &b, &err));
	CHECK_INT(b.version, version);
	CHECK_OK(helper_ask(s->helper, json_pack("{s:s}", "do", "status"), 5000000, &status, &err));
	CHECK_STR(js_str(status, "current", ""), generation);
	CHECK(json_is_null(json_object_get(status, "change")));
}

static void go_back(Stand *s, Heard *h)
{
	Rollout *r = NULL;
	RolloutWorld w = stand_world(s);
	Err err = ERR_INIT;
	if (rollout_back(&w, 1, &anna, &handler, h, &r, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	CHECK(!stand_run(s, h));
	rollout_free(r);
}

/* Its unit was given back since. The others go where they are wanted. */
TEST(what_no_unit_takes_any_more_is_no_reason_to_stay)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Heard h = {0};
	plain(&s, "gone_mode", NULL);
	_cleanup_(baseline_done)
	    Baseline b = {.why = "adopted",
			  .generation = GENERATION_2,
			  .values = json_pack("{s:{s:s}, s:{s:s}, s:{s:s}}", "front.service",
					      "front_mode", "0.55", "back.service", "back_mode",
					      "base", "gone.service", "gone_mode", "7")};
	CHECK_OK(baseline_append(s.box.store, s.box.key, &b, NULL));
	stand_version(&s, GENERATION_1, "0.50", "small");
	go_back(&s, &h);
	CHECK_INT(h.code, 0);
	CHECK_INT(h.result, RESULT_ROLLED_BACK);
	expect_production(&s, GENERATION_2, 3);
}

static void expect_left_as_it_was(const char *unknown, const char *broken)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Heard h = {0};
	plain(&s, unknown, broken);
	stand_version(&s, GENERATION_2, "0.55", "base");
	stand_version(&s, GENERATION_1, "0.50", "small");
	go_back(&s, &h);
	CHECK_INT(h.code, -ECANCELED);
	CHECK_INT(h.result, RESULT_ROLLED_BACK);
	expect_production(&s, GENERATION_1, 2);
}

/* Root allows less by now. Nobody need be woken: production is as it was. */
TEST(a_version_that_may_not_be_had_any_more_leaves_production_as_it_was)
{
	expect_left_as_it_was("front_mode", NULL);
}

TEST(a_version_that_does_not_start_any_more_leaves_production_as_it_was)
{
	expect_left_as_it_was(NULL, GENERATION_2);
}

/* `dream rollout --resume --abort`: what is taken up goes back anyway, and that is no reason to do
 * nothing. */
TEST(a_person_who_takes_up_what_goes_back_anyway_may_say_so)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Heard h = {0};
	Rollout *r = NULL;
	Err err = ERR_INIT;
	stand_plain(&s, 0, true);
	stand_take_up(&s, &h, &r);
	CHECK_ERR(rollout_decide(r, true, &anna, &err), EINVAL);
	CHECK(strstr(err.msg, "taken back"));
	CHECK_OK(rollout_decide(r, false, &anna, &err));
	CHECK(!stand_run(&s, &h));
	rollout_free(r);
	CHECK_INT(h.done, 1);
	CHECK_INT(h.result, RESULT_ROLLED_BACK);
}

/* --- A rollout that was committed, and is watched --------------------------------------------- */

static void keep_step(const Stand *s)
{
	Machine m;
	int64_t seq;
	machine_init(&m);
	m.phase = PHASE_PROBATION;
	m.result = RESULT_COMMITTED;
	m.target = m.running = m.kept = 3;
	m.touched = m.commit_asked = true;
	json_auto_t *step =
	    json_pack("{s:s, s:s, s:s, s:i, s:s, s:o}", "rollout", "rollout-1", "promotion",
		      "promotion-spica-1", "phase", "probation", "baseline", 1, "generation",
		      GENERATION_1, "machine", machine_json(&m));
	CHECK(step);
	CHECK_OK(store_add(s->box.store, "rollout", ROLLOUT_SCHEMA, step, &seq, NULL));
}

/* Production is at what was committed; what it ran before, and is to run again, does not start. */
TEST(what_was_committed_and_cannot_be_taken_back_is_not_said_to_be)
{
	__attribute__((cleanup(stand_done)))
	Stand s = {.units = {"judge.service", "kloros.service"},
		   .params = {"vllm_memory_util", "whisper_model_size"},
		   .broken = GENERATION_2};
	HttpLoop *http = NULL;
	Heard h = {0};
	Rollout *r = NULL;
	Err err = ERR_INIT;
	stand_new(&s);
	stand_asks_nobody(&s);
	json_auto_t *promotion = signed_promotion(s.box.key);
	CHECK_INT(promotion_store(s.box.store, promotion, NULL), 1);
	stand_version(&s, GENERATION_2, "0.55", "base");
	stand_version(&s, GENERATION_1, "0.50", "small");
	keep_step(&s);
	CHECK_OK(httploop_new(s.loop, &http, &err));
	RolloutWorld w = stand_world(&s);
	w.http = http;
	CHECK_OK(rollout_resume(&w, &handler, &h, &r, &err));
	CHECK_OK(rollout_decide(r, false, &anna, &err));
	CHECK(!stand_run(&s, &h));
	rollout_free(r);
	httploop_free(http);
	CHECK_INT(h.result, RESULT_STUCK);
	expect_production(&s, GENERATION_1, 2);
}
