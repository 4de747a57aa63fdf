/* An approval that ends, a baseline that moves, production that breaks, while a rollout has not
 * touched it yet: nobody has to ask for it. Nothing answers as production here. */
#include "rollout/fate.h"
#include "stand.h"

enum {
	LASTS_US = 300000,
};

typedef struct Told {
	HttpLoop *http;
	Rollout *rollout;
	Heard heard;
	bool asked;
	char ended[400]; /* the last that was said */
} Told;

static void on_event(void *ctx, const RolloutEvent *e)
{
	Told *t = ctx;
	snprintf(t->ended, sizeof(t->ended), "%s", e->text);
}

static void on_asked(void *ctx, const char *words)
{
	(void)words;
	((Told *)ctx)->asked = true;
}

static void on_done(void *ctx, const Machine *m, const Err *err)
{
	heard_done(&((Told *)ctx)->heard, m, err);
}

/* Policy of the one experiment, approved for so long, and begun. */
static void begin(Stand *s, Told *t)
{
	static const RolloutHandler handler = {
	    .event = on_event, .asked = on_asked, .done = on_done};
	Approval a = {.approved = true,
		      .promotion = "promotion-spica-1",
		      .baseline_version = 1,
		      .by.name = "anna"},
		 made;
	Err err = ERR_INIT;
	json_auto_t *promotion = signed_promotion(s->box.key);
	CHECK_INT(promotion_store(s->box.store, promotion, NULL), 1);
	first_baseline(&s->box);
	CHECK_OK(decision_digest(promotion, a.digest, NULL));
	a.expires_at_us = s->box.now_us + LASTS_US;
	CHECK_OK(approval_append(s->box.store, s->box.key, &a, &made, &err));
	CHECK_OK(httploop_new(s->loop, &t->http, &err));
	RolloutWorld w = stand_world(s);
	w.http = t->http;
	if (rollout_start(&w, "promotion-spica-1", &handler, t, &t->rollout, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static void stand(Stand *s)
{
	*s = (Stand){.units = {"judge.service", "kloros.service"},
		     .params = {"vllm_memory_util", "whisper_model_size"}};
	stand_new(s);
	stand_asks_one(s);
}

static void run_until(Stand *s, const bool *what, const Told *t)
{
	int64_t until = clock_mono_us(&clock_system) + INT64_C(10000000);
	while (what ? !*what : t->heard.done == 0) {
		if (clock_mono_us(&clock_system) > until)
			test_fail(__FILE__, __LINE__, "it still goes on: %s", t->ended);
		CHECK_OK(sd_event_run(s->loop, 10000));
	}
}

static void run_to_observing(Stand *s, const Told *t)
{
	while (rollout_machine(t->rollout)->phase != PHASE_OBSERVE)
		CHECK_OK(sd_event_run(s->loop, 10000));
}

/* By itself, and with this word in what was said last. */
static void expect_refused(Stand *s, Told *t, const char *why)
{
	run_until(s, NULL, t);
	rollout_free(t->rollout);
	httploop_free(t->http);
	CHECK_INT(t->heard.result, RESULT_REFUSED);
	CHECK(strstr(t->ended, why));
}

TEST(an_approval_that_ends_before_production_is_touched_ends_the_rollout)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Told t = {0};
	stand(&s);
	begin(&s, &t);
	run_to_observing(&s, &t);
	CHECK_INT(t.heard.done, 0);
	s.box.now_us += LASTS_US + 1;
	expect_refused(&s, &t, "expired");
}

TEST(an_approval_that_ends_while_a_person_is_asked_is_the_answer)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Told t = {0};
	stand(&s);
	s.plan->experiments[0].rollout.observe_us = 50000;
	begin(&s, &t);
	run_until(&s, &t.asked, &t);
	CHECK_INT(rollout_machine(t.rollout)->phase, PHASE_ASKED);
	s.box.now_us += LASTS_US + 1;
	expect_refused(&s, &t, "expired");
}

TEST(a_baseline_that_moves_ends_the_rollout)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Told t = {0};
	stand(&s);
	begin(&s, &t);
	run_to_observing(&s, &t);
	stand_version(&s, GENERATION_1, "0.50", "small");
	expect_refused(&s, &t, "baseline");
}

/* What breaks by itself while it is only looked at is none to change. */
TEST(production_that_breaks_before_it_is_touched_is_not_touched)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Told t = {0};
	stand(&s);
	s.plan->experiments[0].rollout.probe_every_us = 20000;
	begin(&s, &t);
	expect_refused(&s, &t, "unhealthy");
}
