/* Single stories of a rollout, told step by step; and what a machine that comes back from the disk
 * must be like. That no other order of events goes wrong is test-machine-walk.c. */
#include "base/json.h"
#include "base/rng.h"
#include "base/str.h"
#include "rollout/machine.h"
#include "test.h"

static const MachineSpec three = {.n = 3, .cold_start = true, .waits = 1};

/* One step: what happened, what is asked for then, and of what. */
typedef struct Step {
	MachineEvent e;
	MachineDo want;
	ParamMask target;
} Step;

static Machine tell_all(const MachineSpec *spec, const Step *steps, size_t n)
{
	Machine m;
	machine_init(&m);
	for (size_t i = 0; i < n; i++) {
		MachineDo d = machine_step(spec, &m, steps[i].e);
		if (d != steps[i].want || m.target != steps[i].target)
			printf("# step %zu, %s: %s of %x, and not %s of %x\n", i,
			       machine_event_name(steps[i].e), machine_do_name(d), m.target,
			       machine_do_name(steps[i].want), steps[i].target);
		CHECK(d == steps[i].want && m.target == steps[i].target);
	}
	return m;
}

#define TELL(spec, ...)                               \
	tell_all((spec), (const Step[]){__VA_ARGS__}, \
		 sizeof((const Step[]){__VA_ARGS__}) / sizeof(Step))

#define UNTIL_FIRST_APPLY             \
	{EVENT_START, DO_OBSERVE, 0}, \
	{                             \
		EVENT_OK, DO_APPLY, 1 \
	}
#define APPLIED(set)                      \
	{                                 \
		EVENT_OK, DO_WATCH, (set) \
	}

TEST(three_good_parameters_are_committed_after_one_cold_start)
{
	Machine m =
	    TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_APPLY, 3}, APPLIED(3),
		 {EVENT_BETTER, DO_APPLY, 7}, APPLIED(7), {EVENT_NO_WORSE, DO_COLD, 7},
		 {EVENT_OK, DO_WATCH, 7}, {EVENT_NO_WORSE, DO_COMMIT, 7}, {EVENT_OK, DO_END, 7});
	CHECK_INT(m.result, RESULT_COMMITTED);
}

TEST(what_breaks_is_undone_at_once_and_the_next_is_tried_on_what_was_good)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_APPLY, 3},
			 {EVENT_BROKEN, DO_APPLY, 1}, {EVENT_OK, DO_APPLY, 5}, APPLIED(5),
			 {EVENT_NO_WORSE, DO_COLD, 5}, {EVENT_OK, DO_WATCH, 5},
			 {EVENT_NO_WORSE, DO_COMMIT, 5}, {EVENT_OK, DO_END, 5});
	CHECK_INT(m.result, RESULT_PARTIALLY_COMMITTED);
	CHECK_INT(m.dropped, 2);
}

TEST(what_is_only_worse_is_dropped_with_the_restart_that_brings_the_next)
{
	TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_APPLY, 3}, APPLIED(3),
	     {EVENT_WORSE, DO_APPLY, 5}, APPLIED(5), {EVENT_NO_WORSE, DO_COLD, 5});
}

TEST(the_first_that_breaks_is_taken_back_to_what_was_committed_and_the_next_is_tried)
{
	TELL(&three, UNTIL_FIRST_APPLY, {EVENT_BROKEN, DO_UNDO, 0}, {EVENT_OK, DO_APPLY, 2},
	     APPLIED(2), {EVENT_NO_WORSE, DO_APPLY, 6});
}

TEST(when_all_hurt_production_is_as_it_was)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_WORSE, DO_APPLY, 2},
			 APPLIED(2), {EVENT_BROKEN, DO_UNDO, 0}, {EVENT_OK, DO_APPLY, 4},
			 APPLIED(4), {EVENT_WORSE, DO_UNDO, 0}, {EVENT_OK, DO_END, 0});
	CHECK_INT(m.result, RESULT_ROLLED_BACK);
	CHECK_INT(m.dropped, 7);
}

/* 1 and 2 do not start together. */
TEST(a_whole_that_fails_cold_is_built_once_more_each_from_a_cold_start)
{
	Machine m =
	    TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_APPLY, 3}, APPLIED(3),
		 {EVENT_NO_WORSE, DO_APPLY, 7}, APPLIED(7), {EVENT_NO_WORSE, DO_COLD, 7},
		 {EVENT_BROKEN, DO_UNDO, 0}, {EVENT_OK, DO_APPLY, 1}, {EVENT_OK, DO_COLD, 1},
		 {EVENT_OK, DO_WATCH, 1}, {EVENT_NO_WORSE, DO_APPLY, 3}, {EVENT_OK, DO_COLD, 3},
		 {EVENT_BROKEN, DO_APPLY, 1}, {EVENT_OK, DO_APPLY, 5}, {EVENT_OK, DO_COLD, 5},
		 {EVENT_OK, DO_WATCH, 5}, {EVENT_NO_WORSE, DO_COMMIT, 5}, {EVENT_OK, DO_END, 5});
	CHECK_INT(m.result, RESULT_PARTIALLY_COMMITTED);
}

/* With all but the last of a set that fails kept, the last need not be tried to be known. */
TEST(what_would_complete_a_set_that_failed_is_dropped_without_a_try)
{
	const MachineSpec two = {.n = 2, .cold_start = true};
	TELL(&two, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_APPLY, 3}, APPLIED(3),
	     {EVENT_NO_WORSE, DO_COLD, 3}, {EVENT_OK, DO_WATCH, 3}, {EVENT_WORSE, DO_APPLY, 1},
	     {EVENT_OK, DO_COLD, 1}, {EVENT_OK, DO_WATCH, 1}, {EVENT_NO_WORSE, DO_COMMIT, 1});
}

/* The trial drops 2 beside 1; then 1 goes, and nothing speaks against 2 any more but its trial. */
TEST(what_was_dropped_beside_another_gets_a_second_chance_when_that_one_goes)
{
	const MachineSpec spec = {.n = 2, .colocated = true, .cold_start = true};
	Machine m =
	    TELL(&spec, {EVENT_START, DO_COLOCATED, 3}, {EVENT_BROKEN, DO_COLOCATED, 1},
		 {EVENT_OK, DO_OBSERVE, 0}, {EVENT_OK, DO_APPLY, 1}, {EVENT_BROKEN, DO_UNDO, 0},
		 {EVENT_OK, DO_COLOCATED, 2}, {EVENT_OK, DO_APPLY, 2}, APPLIED(2),
		 {EVENT_NO_WORSE, DO_COLD, 2}, {EVENT_OK, DO_WATCH, 2},
		 {EVENT_BETTER, DO_COMMIT, 2}, {EVENT_OK, DO_END, 2});
	CHECK_INT(m.result, RESULT_PARTIALLY_COMMITTED);
}

TEST(when_every_trial_breaks_production_is_not_touched)
{
	const MachineSpec spec = {.n = 2, .isolated = true, .colocated = true};
	Machine m = TELL(&spec, {EVENT_START, DO_ISOLATED, 1}, {EVENT_BROKEN, DO_ISOLATED, 2},
			 {EVENT_BROKEN, DO_END, 0});
	CHECK_INT(m.result, RESULT_REFUSED);
	CHECK(!m.touched);
}

TEST(doubt_is_watched_again_and_then_asked_about)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_DATA, DO_WATCH, 1},
			 {EVENT_INCONCLUSIVE, DO_ASK, 1}, {EVENT_BETTER, DO_NOTHING, 1},
			 {EVENT_CONTINUE, DO_WATCH, 1}, {EVENT_NO_WORSE, DO_APPLY, 3});
	CHECK_INT(m.kept, 1);
}

TEST(what_breaks_while_a_person_is_asked_is_undone_at_once)
{
	MachineSpec ask = three;
	ask.on_inconclusive = INCONCLUSIVE_ASK;
	TELL(&ask, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_APPLY, 3}, APPLIED(3),
	     {EVENT_NO_DATA, DO_ASK, 3}, {EVENT_BROKEN, DO_APPLY, 1});
}

TEST(nothing_but_an_undo_answers_when_nobody_knows_what_runs)
{
	static const MachineEvent lost[] = {EVENT_ERROR, EVENT_RESTARTED, EVENT_NO_DATA,
					    EVENT_INCONCLUSIVE};
	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
		TELL(&three, UNTIL_FIRST_APPLY, {lost[i], DO_UNDO, 0});
		TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_WORSE, DO_APPLY, 2}, APPLIED(2),
		     {EVENT_WORSE, DO_APPLY, 4}, APPLIED(4), {EVENT_NO_WORSE, DO_COLD, 4},
		     {lost[i], DO_UNDO, 0});
	}
}

TEST(a_restart_in_the_middle_of_the_commit_takes_it_back_unless_it_is_known_to_be_written)
{
	const MachineSpec one = {.n = 1, .cold_start = true};
	Machine m = TELL(&one, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_COLD, 1},
			 {EVENT_OK, DO_WATCH, 1}, {EVENT_NO_WORSE, DO_COMMIT, 1},
			 {EVENT_RESTARTED, DO_UNDO, 0});
	CHECK(m.commit_asked); /* whoever undoes it looks whether it is */
	m = TELL(&one, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_COLD, 1},
		 {EVENT_OK, DO_WATCH, 1}, {EVENT_NO_WORSE, DO_COMMIT, 1}, {EVENT_OK, DO_END, 1});
	CHECK_INT(m.result, RESULT_COMMITTED);
}

TEST(the_window_that_closes_stops_the_next_restart_and_not_the_commit)
{
	const MachineSpec one = {.n = 1, .cold_start = true};
	TELL(&one, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_BUDGET, DO_UNDO, 0});
	TELL(&one, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_COLD, 1},
	     {EVENT_OK, DO_WATCH, 1}, {EVENT_BUDGET, DO_NOTHING, 1}, {EVENT_NO_WORSE, DO_COMMIT, 1},
	     {EVENT_BUDGET, DO_NOTHING, 1});
}

TEST(probation_ends_well_or_takes_the_commit_back)
{
	const MachineSpec one = {.n = 1, .probation = true};
	Machine m = TELL(&one, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_COMMIT, 1},
			 {EVENT_OK, DO_PROBATION, 1}, {EVENT_EXPIRED, DO_NOTHING, 1},
			 {EVENT_RESTARTED, DO_PROBATION, 1}, {EVENT_WORSE, DO_UNDO, 0},
			 {EVENT_OK, DO_END, 0});
	CHECK_INT(m.result, RESULT_ROLLED_BACK);
	m = TELL(&one, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_COMMIT, 1},
		 {EVENT_OK, DO_PROBATION, 1}, {EVENT_ERROR, DO_PROBATION, 1},
		 {EVENT_INCONCLUSIVE, DO_END, 1});
	CHECK_INT(m.result, RESULT_COMMITTED);
}

TEST(an_undo_that_fails_is_tried_again_and_then_left_to_a_person)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY, {EVENT_ABORT, DO_UNDO, 0},
			 {EVENT_ERROR, DO_UNDO, 0}, {EVENT_BROKEN, DO_UNDO, 0},
			 {EVENT_NO_DATA, DO_UNDO, 0}, {EVENT_BROKEN, DO_ALERT, 0});
	CHECK_INT(m.result, RESULT_STUCK);
	for (int e = 0; e < EVENT_MAX_; e++)
		if (e != EVENT_ABORT && e != EVENT_RESTARTED) {
			Machine still = m;
			CHECK_INT(machine_step(&three, &still, (MachineEvent)e), DO_NOTHING);
			CHECK_INT(still.phase, PHASE_STUCK);
		}
	CHECK_INT(machine_step(&three, &m, EVENT_ABORT), DO_UNDO);
	CHECK_INT(machine_step(&three, &m, EVENT_BROKEN), DO_ALERT); /* one word, one try */
	CHECK_INT(machine_step(&three, &m, EVENT_ABORT), DO_UNDO);
	CHECK_INT(machine_step(&three, &m, EVENT_OK), DO_END);
	CHECK_INT(m.result, RESULT_ROLLED_BACK);
}

TEST(a_restart_of_ours_in_the_middle_of_an_undo_is_no_failed_try)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY, {EVENT_ABORT, DO_UNDO, 0});
	for (int i = 0; i < 100; i++) {
		CHECK_INT(machine_step(&three, &m, EVENT_RESTARTED), DO_UNDO);
		CHECK_INT(m.undo_tries, 0);
	}
	Machine done = m;
	CHECK_INT(machine_step(&three, &done, EVENT_OK), DO_END);
	CHECK_INT(done.result, RESULT_ROLLED_BACK);
	for (int i = 1; i < ROLLOUT_TRIES; i++) {
		CHECK_INT(machine_step(&three, &m, EVENT_BROKEN), DO_UNDO);
		CHECK_INT(machine_step(&three, &m, EVENT_RESTARTED), DO_UNDO);
	}
	CHECK_INT(machine_step(&three, &m, EVENT_BROKEN), DO_ALERT);
}

/* An undo after which more would be tried: once we died in it, nobody knows what runs. */
TEST(after_a_restart_of_ours_in_an_undo_nothing_more_is_tried)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY, {EVENT_BROKEN, DO_UNDO, 0},
			 {EVENT_RESTARTED, DO_UNDO, 0}, {EVENT_RESTARTED, DO_UNDO, 0},
			 {EVENT_OK, DO_END, 0});
	CHECK_INT(m.result, RESULT_ROLLED_BACK);
}

/* What DO_COMMIT rests on, one thing after another taken away. */
TEST(a_commit_needs_all_that_it_rests_on)
{
	const MachineSpec one = {.n = 1, .cold_start = true};
	const Machine good = TELL(&one, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_COLD, 1},
				  {EVENT_OK, DO_WATCH, 1}, {EVENT_NO_WORSE, DO_COMMIT, 1});
	CHECK(machine_may_commit(&one, &good));
	Machine less[8];
	for (size_t i = 0; i < 8; i++)
		less[i] = good;
	less[0].phase = PHASE_APPLY;
	less[1].confirmed_any = false;
	less[2].kept = 0;
	less[3].running_known = false;
	less[4].confirmed = 2;
	less[5].running = 0;
	less[6].cold_ok = false;
	less[7].phase = PHASE_PROBATION;
	for (size_t i = 0; i < 8; i++)
		CHECK(!machine_may_commit(&one, &less[i]));
}

TEST(a_promotion_of_no_parameter_or_too_many_is_refused)
{
	static const uint32_t counts[] = {0, ROLLOUT_PARAMS_MAX + 1, UINT32_MAX};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const MachineSpec spec = {.n = counts[i], .isolated = true};
		Machine m = TELL(&spec, {EVENT_START, DO_END, 0});
		CHECK_INT(m.result, RESULT_REFUSED);
	}
}

TEST(what_is_no_event_changes_nothing)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY);
	const Machine was = m;
	CHECK_INT(machine_step(&three, &m, (MachineEvent)EVENT_MAX_), DO_NOTHING);
	CHECK_INT(machine_step(&three, &m, (MachineEvent)1000), DO_NOTHING);
	CHECK(memcmp(&m, &was, sizeof(m)) == 0);
}

/* --- From the disk ---------------------------------------------------------------------------- */

static json_t *some_machine(void)
{
	Machine m = TELL(&three, UNTIL_FIRST_APPLY, APPLIED(1), {EVENT_NO_WORSE, DO_APPLY, 3},
			 {EVENT_BROKEN, DO_APPLY, 1});
	json_t *o = machine_json(&m);
	CHECK(o != NULL);
	return o;
}

TEST(a_machine_without_one_of_its_members_is_none)
{
	json_auto_t *o = some_machine();
	const char *key;
	json_t *v;
	CHECK(json_object_size(o) > 20);
	json_object_foreach (o, key, v) {
		Machine m;
		Err err = ERR_INIT;
		json_auto_t *less = js_copy(o);
		CHECK_OK(json_object_del(less, key));
		CHECK_ERR(machine_from_json(less, &m, &err), EBADMSG);
		CHECK(strstr(err.msg, key) != NULL);
	}
}

TEST(a_member_out_of_its_range_is_found)
{
	json_t *odd[] = {json_integer(-1),	json_integer(INT64_MAX),
			 json_integer(1 << 20), json_string("no such word"),
			 json_string("max"),	json_real(1.5),
			 json_null(),		json_array(),
			 json_object()};
	json_auto_t *o = some_machine();
	const char *key;
	json_t *v;
	json_object_foreach (o, key, v) {
		for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
			Machine m;
			json_auto_t *changed = js_copy(o);
			CHECK_OK(json_object_set(changed, key, odd[i]));
			CHECK_ERR(machine_from_json(changed, &m, NULL), EBADMSG);
		}
	}
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		json_decref(odd[i]);
}

TEST(what_no_machine_can_be_is_found)
{
	json_auto_t *o = some_machine();
	Machine m;
	CHECK_OK(machine_from_json(o, &m, NULL));
	CHECK_OK(json_object_set_new(o, "kept", json_integer(3))); /* and 2 is dropped */
	CHECK_ERR(machine_from_json(o, &m, NULL), EBADMSG);
	CHECK_OK(json_object_set_new(o, "kept", json_integer(1)));
	CHECK_OK(json_object_set_new(o, "phase", json_string("commit")));
	CHECK_ERR(machine_from_json(o, &m, NULL), EBADMSG);
	CHECK_ERR(machine_from_json(NULL, &m, NULL), EBADMSG);
}

/* Whatever is read, every event in it does something that is defined. */
TEST(a_machine_that_somebody_made_up_does_no_harm)
{
	static const char *const masks[] = {"target",	 "running", "kept",   "dropped",
					    "confirmed", "untried", "passed", "whole_bad"};
	size_t taken = 0;
	for (uint64_t i = 0; i < 20000; i++) {
		Rng rng = rng_derive(3, "made up", i);
		json_auto_t *o = some_machine();
		for (size_t k = 0; k < sizeof(masks) / sizeof(masks[0]); k++)
			CHECK_OK(json_object_set_new(o, masks[k],
						     json_integer((json_int_t)rng_below(&rng, 8))));
		MachinePhase p = (MachinePhase)rng_below(&rng, PHASE_MAX_);
		CHECK_OK(json_object_set_new(o, "phase", json_string(machine_phase_name(p))));
		p = (MachinePhase)rng_below(&rng, PHASE_MAX_);
		CHECK_OK(json_object_set_new(o, "asked_from", json_string(machine_phase_name(p))));
		CHECK_OK(
		    json_object_set_new(o, "next", json_integer((json_int_t)rng_below(&rng, 17))));
		Machine m;
		if (machine_from_json(o, &m, NULL) < 0)
			continue;
		taken++;
		for (int e = 0; e < EVENT_MAX_; e++) {
			Machine then = m;
			machine_step(&three, &then, (MachineEvent)e);
			json_auto_t *back = machine_json(&then);
			CHECK(back != NULL);
		}
	}
	CHECK(taken > 1000);
}
