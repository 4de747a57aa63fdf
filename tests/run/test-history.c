/* What the store says about where a run stands. */
#include "fixture.h"

static History history_of(Fixture *f)
{
	History h = {0};
	Err err = ERR_INIT;
	if (history_load(f->store, f->x, &f->id, &h, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return h;
}

TEST(an_empty_store_begins_with_epoch_and_evolution_1)
{
	Fixture f;
	fixture_new(&f);
	History h = history_of(&f);
	CHECK_INT(h.epoch, 1);
	CHECK_INT(h.evolution, 1);
	CHECK(!h.resumed && !h.decided);
	CHECK_INT((intmax_t)h.n_told, 0);
	history_done(&h);
	fixture_done(&f);
}

TEST(an_evolution_without_a_verdict_goes_on)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_trial(&f, 1, 0, 3, OUTCOME_OK, 0.5);
	History h = history_of(&f);
	CHECK(h.resumed && !h.decided);
	CHECK_INT(h.epoch, 1);
	CHECK_INT(h.evolution, 1);
	CHECK_INT((intmax_t)h.n_told, 1);
	CHECK_INT(h.told[0].point.level[0], 2);
	history_done(&h);

	add_epoch(&f, 1); /* its budget was used up */
	h = history_of(&f);
	CHECK(h.resumed);
	CHECK_INT(h.epoch, 2);
	CHECK_INT(h.evolution, 1);
	history_done(&h);
	fixture_done(&f);
}

TEST(an_evolution_of_another_configuration_is_left_and_a_new_one_begins)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_trial(&f, 1, 0, 3, OUTCOME_OK, 0.5);
	fixture_edit(&f, "  budget: {max_candidates: 5}\n");
	History h = history_of(&f);
	CHECK(!h.resumed);
	CHECK_INT(h.evolution, 2);
	CHECK_INT(h.epoch, 1);
	CHECK(h.told[0].known); /* a budget does not change what was measured */
	history_done(&h);
	fixture_done(&f);
}

TEST(a_verdict_ends_an_evolution_and_its_survivors_are_remembered)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_verdict(&f, 1, 1, "not_better");
	add_epoch(&f, 1);
	History h = history_of(&f);
	CHECK(!h.resumed && !h.decided);
	CHECK_INT(h.evolution, 2);
	CHECK_INT(h.epoch, 2);
	CHECK_INT((intmax_t)h.n_survivors, 2);
	CHECK_INT(h.survivors[0].level[0], 3);
	CHECK_INT(h.survivors[1].level[0], 1);
	history_done(&h);
	fixture_done(&f);
}

TEST(a_kill_between_a_verdict_and_the_end_of_its_epoch_is_seen)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_verdict(&f, 1, 1, "not_better");
	History h = history_of(&f);
	CHECK(h.decided && h.resumed && !h.proposed);
	CHECK_INT(h.epoch, 1);
	CHECK_INT(h.evolution, 1);
	history_done(&h);

	fixture_edit(&f, "  budget: {max_candidates: 5}\n");
	h = history_of(&f);
	CHECK(!h.decided && !h.resumed);
	CHECK_INT(h.evolution, 2);
	history_done(&h);
	fixture_done(&f);
}

TEST(what_such_a_verdict_proposed_or_found_proposed_counts)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_verdict(&f, 1, 1, "standing");
	History h = history_of(&f);
	CHECK(h.decided && h.proposed);
	history_done(&h);
	fixture_done(&f);
}

TEST(measurements_are_known_only_where_they_mean_the_same)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_trial(&f, 1, 0, 3, OUTCOME_OK, 0.5);
	add_verdict(&f, 1, 1, "not_better");
	add_epoch(&f, 1);
	fixture_edit(&f, "  constraints: {latency_ms: {max: 9}}\n");
	History h = history_of(&f);
	CHECK_INT((intmax_t)h.n_told, 1);
	CHECK(!h.told[0].known);
	CHECK_INT((intmax_t)h.n_trials, 1);
	history_done(&h);
	fixture_done(&f);
}

TEST(an_evaluator_that_failed_to_measure_condemns_no_candidate)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_trial(&f, 1, 0, 3, OUTCOME_MEASURE_FAILED, 0);
	add_trial(&f, 1, 1, 4, OUTCOME_OOM, 0);
	add_trial(&f, 1, 2, 5, OUTCOME_TIMEOUT, 0);
	add_verdict(&f, 1, 1, "no_winner");
	add_epoch(&f, 1);
	History h = history_of(&f);
	CHECK(!h.told[0].known);
	CHECK(h.told[1].known);
	CHECK(h.told[2].known); /* under the same deadline it would run into it again */
	history_done(&h);

	fixture_edit(&f, "  budget: {trial_timeout_sec: 4000}\n");
	h = history_of(&f);
	CHECK(!h.told[0].known);
	CHECK(h.told[1].known);
	CHECK(!h.told[2].known);
	history_done(&h);
	fixture_done(&f);
}

TEST(trials_of_points_that_the_space_no_longer_has_are_counted_and_left_out)
{
	Fixture f;
	fixture_new(&f);
	add_evolution(&f, 1);
	add_trial(&f, 1, 0, 3, OUTCOME_OK, 0.5);
	add_trial(&f, 1, 1, 77, OUTCOME_OK, 0.9);
	History h = history_of(&f);
	CHECK_INT((intmax_t)h.n_told, 1);
	CHECK_INT(h.n_trials, 2);
	history_done(&h);
	fixture_done(&f);
}

TEST(another_experiment_in_the_same_store_is_nobody_s_business)
{
	Fixture f;
	fixture_new(&f);
	add_record(&f, "evolution",
		   json_pack("{s:s, s:i, s:s, s:s}", "experiment", "other", "evolution", 9,
			     "fingerprint", f.id.fingerprint, "context", f.id.context));
	add_record(&f, "epoch", json_pack("{s:s, s:i}", "experiment", "other", "epoch", 9));
	History h = history_of(&f);
	CHECK_INT(h.epoch, 1);
	CHECK_INT(h.evolution, 1);
	CHECK_INT((intmax_t)h.n_same, 0);
	history_done(&h);
	fixture_done(&f);
}

TEST(impossible_numbers_in_a_store_are_refused)
{
	static const json_int_t bad[] = {-1, INT32_MAX, INT64_MAX};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Fixture f;
		Err err = ERR_INIT;
		History h = {0};
		fixture_new(&f);
		add_epoch(&f, bad[i]);
		CHECK_ERR(history_load(f.store, f.x, &f.id, &h, &err), EBADMSG);
		CHECK(strstr(err.msg, "impossible number of epoch"));
		fixture_done(&f);
	}
}

TEST(a_history_grows_to_any_length)
{
	History h = {0};
	for (int64_t i = 0; i < 1000; i++)
		CHECK_OK(history_told(&h, &(Told){.seq = i}, NULL));
	CHECK_INT((intmax_t)h.n_told, 1000);
	for (int64_t i = 0; i < 1000; i++)
		CHECK_INT(h.told[i].seq, i);
	history_done(&h);
}
