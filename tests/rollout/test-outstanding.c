/* A rollout that is freed while the helper is still doing what it asked for hears nothing of it any
 * more, whichever question it was. Under ASan a callback that comes all the same is a use after
 * free; without it, it is counted. */
#include "stand.h"

enum {
	QUESTIONS_MAX = 64,
	LONG_US = 20 * 1000000,
};

typedef void Begin(Stand *s, Heard *h, Rollout **ret);

/* The answer comes now, and then one more, so that the first has been read. */
static void let_go(Stand *s)
{
	json_auto_t *status = NULL;
	Err err = ERR_INIT;
	stand_let_go(s);
	if (helper_ask(s->helper, json_pack("{s:s}", "do", "status"), LONG_US, &status, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	while (sd_event_run(s->loop, 0) > 0)
		;
}

/* 0: nothing was held any more, all went through. */
static bool freed_at(Begin *begin, bool open, int question)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Heard h = {0};
	Rollout *r = NULL;
	stand_plain(&s, question, open);
	begin(&s, &h, &r);
	CHECK(r != NULL);
	bool held = stand_run(&s, &h);
	int told = h.told, done = h.done;
	rollout_free(r);
	if (held) {
		let_go(&s);
		CHECK_INT(h.told, told);
		CHECK_INT(h.done, done);
		return true;
	}
	CHECK_INT(h.done, 1);
	CHECK_INT(h.code, 0);
	CHECK_INT(h.result, RESULT_ROLLED_BACK);
	return false;
}

/* The first question, the status, is waited for by whoever begins. */
static int questions(Begin *begin, bool open)
{
	int n = 2;
	while (n < QUESTIONS_MAX && freed_at(begin, open, n))
		n++;
	printf("# %d questions\n", n - 1);
	return n - 1;
}

/* status; undo, status of ...: prepare, begin, flip, a look at two units, two restarts with their
 * readbacks, commit, status. */
TEST(going_back_may_be_dropped_at_every_question)
{
	CHECK_INT(questions(stand_go_back, false), 12);
}

/* status, cancel, undo, a look at two units, two restarts with their readbacks. */
TEST(an_undo_of_what_somebody_left_may_be_dropped_at_every_question)
{
	CHECK_INT(questions(stand_take_up, true), 9);
}

/* A unit hangs in its start with the values of the version that is gone back to. */
TEST(going_back_is_called_off_in_the_middle_of_a_restart)
{
	static const Approver bert = {.name = "bert"};
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(baseline_done) Baseline b = {0};
	Heard h = {0};
	Rollout *r = NULL;
	Err err = ERR_INIT;
	stand_plain(&s, 7, false); /* the first restart */
	stand_go_back(&s, &h, &r);
	CHECK(stand_run(&s, &h));
	CHECK_OK(rollout_decide(r, false, &bert, &err));
	stand_let_go(&s);
	CHECK(!stand_run(&s, &h));
	rollout_free(r);
	CHECK_INT(h.done, 1);
	CHECK_INT(h.result, RESULT_ROLLED_BACK);
	CHECK_INT(h.code, -ECANCELED);
	CHECK_OK(baseline_current(s.box.store, NULL, &b, NULL));
	CHECK_INT(b.version, 2);
	json_auto_t *status = NULL;
	CHECK_OK(helper_ask(s.helper, json_pack("{s:s}", "do", "status"), LONG_US, &status, &err));
	CHECK_STR(js_str(status, "current", ""), GENERATION_1);
	CHECK(json_is_null(json_object_get(status, "change")));
}
