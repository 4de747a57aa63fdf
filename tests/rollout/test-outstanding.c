/* A rollout that is freed while the helper is still doing what it asked for hears nothing of it any
 * more, whichever question it was. Under ASan a callback that comes all the same is a use after
 * free; without it, it is counted. */
#include "base/clock.h"
#include "stand.h"

enum {
	QUESTIONS_MAX = 64,
	LONG_US = 20 * 1000000,
};

typedef struct Heard {
	int told, done;
	MachineResult result;
	int code;
} Heard;

static void on_event(void *ctx, const RolloutEvent *e)
{
	Heard *h = ctx;
	(void)e;
	h->told++;
}

static void on_done(void *ctx, const Machine *m, const Err *err)
{
	Heard *h = ctx;
	h->done++;
	h->result = m->result;
	h->code = err ? err->code : 0;
}

static const RolloutHandler handler = {.event = on_event, .done = on_done};
static const Approver anna = {.name = "anna"};

/* Units that no service of the plan runs in: they are restarted and read back, and not asked. */
static void see(Stand *s, int hold_at, bool open)
{
	*s = (Stand){.units = {"front.service", "back.service"},
		     .params = {"front_mode", "back_mode"},
		     .hold_at = hold_at,
		     .change_open = open};
	stand_new(s);
}

static void add_version(Stand *s, const char *generation, const char *front, const char *back)
{
	_cleanup_(baseline_done)
	    Baseline b = {.why = "adopted",
			  .by = "anna",
			  .values = json_pack("{s:{s:s}, s:{s:s}}", s->units[0], s->params[0],
					      front, s->units[1], s->params[1], back)};
	snprintf(b.generation, sizeof(b.generation), "%s", generation);
	CHECK_OK(baseline_append(s->box.store, s->box.key, &b, NULL));
}

static void go_back(Stand *s, const Heard *h, Rollout **ret)
{
	RolloutWorld w = stand_world(s);
	Err err = ERR_INIT;
	add_version(s, GENERATION_2, "0.55", "base");
	add_version(s, GENERATION_1, "0.50", "small");
	if (rollout_back(&w, 1, &anna, &handler, (void *)(uintptr_t)h, ret, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static void take_up(Stand *s, const Heard *h, Rollout **ret)
{
	RolloutWorld w = stand_world(s);
	Err err = ERR_INIT;
	if (rollout_resume(&w, &handler, (void *)(uintptr_t)h, ret, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

typedef void Begin(Stand *s, const Heard *h, Rollout **ret);

/* Until it is over, or one of its questions is not answered. */
static bool run_until_held(Stand *s, const Heard *h)
{
	int64_t until = clock_mono_us(&clock_system) + LONG_US;
	while (h->done == 0) {
		if (stand_holds(s))
			return true;
		CHECK(clock_mono_us(&clock_system) < until);
		CHECK_OK(sd_event_run(s->loop, 1000));
	}
	return false;
}

/* The answer comes now, and then one more, so that the first has been read. */
static void let_go(Stand *s)
{
	json_auto_t *status = NULL;
	Err err = ERR_INIT;
	CHECK(write(s->go, "g", 1) == 1);
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
	see(&s, question, open);
	begin(&s, &h, &r);
	CHECK(r != NULL);
	bool held = run_until_held(&s, &h);
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
	CHECK_INT(questions(go_back, false), 12);
}

/* status, cancel, undo, a look at two units, two restarts with their readbacks. */
TEST(an_undo_of_what_somebody_left_may_be_dropped_at_every_question)
{
	CHECK_INT(questions(take_up, true), 9);
}
