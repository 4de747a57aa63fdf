/* Appending and reading back. */
#include "fixture.h"

typedef struct Seen {
	int64_t n, last_seq;
	double last_fitness;
	bool unsorted;
	int64_t asks[64];
} Seen;

static int see_trial(void *userdata, const StoreTrial *t)
{
	Seen *s = userdata;
	s->unsorted |= s->n > 0 && s->last_fitness < t->fitness;
	s->last_fitness = t->fitness;
	s->last_seq = t->seq;
	if (s->n < 64)
		s->asks[s->n] = t->ask;
	s->n++;
	return 0;
}

TEST(a_trial_is_read_back_as_it_was_stored)
{
	Fixture f;
	fixture_new(&f);
	StoreTrial t, back, *list[] = {&t};
	make_trial("gpu", 5, &t);
	t.confirm = json_pack("{s: i, s: s}", "pair", 3, "role", "baseline");
	t.at_us = 1234567;
	CHECK_OK(store_add_trials(f.store, list, 1, NULL));
	CHECK_INT(t.seq, 1);
	CHECK_OK(store_trial(f.store, "1", &back, NULL));
	CHECK_INT(back.seq, 1);
	CHECK_INT(back.at_us, 1234567);
	CHECK_STR(back.experiment, "gpu");
	CHECK_INT(back.epoch, 1);
	CHECK_INT(back.ask, 5);
	CHECK_STR(back.purpose, "search");
	CHECK_STR(back.origin, "mutation");
	CHECK_STR(back.spica_id, "spica-gpu-00000005");
	CHECK(json_equal(back.params, t.params));
	CHECK_STR(back.config_hash, "f47ecf886cf6beaa");
	CHECK_INT(back.parents[0], 2);
	CHECK_INT(back.parents[1], 1);
	CHECK(json_equal(back.mutations, t.mutations));
	CHECK(json_equal(back.confirm, t.confirm));
	CHECK_INT(back.stage, STAGE_TWIN);
	CHECK_STR(back.evaluator, "twin");
	CHECK_STR(back.workload, "steady");
	CHECK(back.all_services);
	CHECK(back.feasible);
	CHECK(back.fitness >= t.fitness && back.fitness <= t.fitness);
	CHECK_INT(back.m.outcome, OUTCOME_OK);
	CHECK_INT(back.m.n_metrics, 1);
	CHECK_NEAR(measurement_get(&back.m, "llm_latency_ms")->value, t.m.metrics[0].value, 0);
	CHECK_INT(back.m.duration_us, 1500);
	store_trial_done(&back);
	store_trial_done(&t);
	fixture_done(&f);
}

TEST(absent_values_stay_absent)
{
	Fixture f;
	fixture_new(&f);
	StoreTrial t = {.experiment = strdup("e"),
			.purpose = strdup("eval"),
			.spica_id = strdup("x"),
			.params = json_object(),
			.m = MEASUREMENT_INIT};
	StoreTrial back, *list[] = {&t};
	CHECK_OK(store_add_trials(f.store, list, 1, NULL));
	CHECK(t.at_us > INT64_C(1780000000000000));
	CHECK_OK(store_trial(f.store, "x", &back, NULL));
	CHECK(!back.origin && !back.evaluator && !back.workload && !back.mutations &&
	      !back.confirm && !back.m.reason);
	CHECK_INT(back.m.outcome, OUTCOME_MEASURE_FAILED);
	CHECK_INT(back.at_us, t.at_us);
	store_trial_done(&back);
	store_trial_done(&t);
	fixture_done(&f);
}

TEST(what_cannot_be_kept_is_refused_and_nothing_of_the_call_stays)
{
	Fixture f;
	fixture_new(&f);
	StoreTrial good, bad, *list[] = {&good, &bad};
	make_trial("gpu", 1, &good);
	make_trial("gpu", 2, &bad);
	bad.fitness = (double)NAN;
	CHECK_ERR(store_add_trials(f.store, list, 2, NULL), EINVAL);
	CHECK_INT(good.seq, 0);
	int64_t seq;
	Hash h;
	CHECK_OK(store_head(f.store, &seq, &h, NULL));
	CHECK_INT(seq, 0);
	bad.fitness = 0;
	CHECK_OK(store_add_trials(f.store, list, 2, NULL));
	CHECK_INT(bad.seq, 2);
	CHECK_ERR(store_add(f.store, "trial", "x/v1", bad.params, NULL, NULL), EINVAL);
	CHECK_ERR(store_add(f.store, "head", "x/v1", bad.params, NULL, NULL), EINVAL);
	store_trial_done(&good);
	store_trial_done(&bad);
	fixture_done(&f);
}

TEST(evidence_too_large_to_keep_does_not_cost_the_trial)
{
	Fixture f;
	fixture_new(&f);
	StoreTrial t, back, *list[] = {&t};
	make_trial("gpu", 1, &t);
	char *big = malloc(3 << 20);
	memset(big, 'x', 3 << 20);
	t.m.evidence = json_pack("{s: s#}", "log", big, (3 << 20) - 1);
	CHECK_OK(store_add_trials(f.store, list, 1, NULL));
	CHECK_OK(store_trial(f.store, "1", &back, NULL));
	CHECK(json_object_get(back.m.evidence, "dropped"));
	json_auto_t *body = json_pack("{s: s#}", "log", big, (3 << 20) - 1);
	CHECK_ERR(store_add(f.store, "note", "dream.note/v1", body, NULL, NULL), E2BIG);
	free(big);
	store_trial_done(&back);
	store_trial_done(&t);
	fixture_done(&f);
}

TEST(trials_are_listed_in_order_and_filtered)
{
	Fixture f;
	fixture_new(&f);
	add_trials(f.store, "a", 0, 60);
	add_trials(f.store, "b", 0, 30);
	Seen seen = {0};
	TrialQuery q = {.experiment = "a"};
	CHECK_OK(store_trials(f.store, &q, see_trial, &seen, NULL));
	CHECK_INT(seen.n, 60);
	for (int64_t i = 0; i < 60; i++)
		CHECK_INT(seen.asks[i], i);
	seen = (Seen){0};
	q = (TrialQuery){.epoch = 2, .limit = 5};
	CHECK_OK(store_trials(f.store, &q, see_trial, &seen, NULL));
	CHECK_INT(seen.n, 5);
	CHECK_INT(seen.asks[0], 40);
	seen = (Seen){0};
	q = (TrialQuery){.purpose = "confirm"};
	CHECK_OK(store_trials(f.store, &q, see_trial, &seen, NULL));
	CHECK_INT(seen.n, 0);
	fixture_done(&f);
}

TEST(the_best_come_first_and_only_feasible_ones)
{
	Fixture f;
	fixture_new(&f);
	add_trials(f.store, "a", 0, 63);
	const char *experiments[] = {"a", NULL};
	for (int i = 0; i < 2; i++) {
		Seen seen = {0};
		TrialQuery q = {.experiment = experiments[i], .best_first = true};
		CHECK_OK(store_trials(f.store, &q, see_trial, &seen, NULL));
		CHECK_INT(seen.n, 63 - 9);
		CHECK(!seen.unsorted);
	}
	fixture_done(&f);
}

static int see_told(void *userdata, const StoreTold *t)
{
	Seen *s = userdata;
	StoreTrial want;
	make_trial("a", t->ask, &want);
	_cleanup_(str_done) Str params = STR_INIT;
	js_canonical(want.params, &params);
	CHECK_STR(t->params, params.s);
	CHECK_INT(t->outcome, want.m.outcome);
	CHECK_NEAR(t->fitness, want.fitness, 0);
	CHECK_NEAR(t->fitness_se, want.fitness_se, 0);
	CHECK_INT(t->epoch, want.epoch);
	CHECK_INT(t->ask, s->n);
	store_trial_done(&want);
	s->n++;
	return 0;
}

TEST(a_search_is_told_its_own_search_trials_oldest_first)
{
	Fixture f;
	fixture_new(&f);
	for (int64_t i = 0; i < 50; i++) {
		add_trials(f.store, "a", i, 1);
		add_trials(f.store, "b", i, 1);
	}
	StoreTrial t, *list[] = {&t};
	make_trial("a", 99, &t);
	free(t.purpose);
	t.purpose = strdup("confirm");
	CHECK_OK(store_add_trials(f.store, list, 1, NULL));
	store_trial_done(&t);
	Seen seen = {0};
	CHECK_OK(store_told(f.store, "a", see_told, &seen, NULL));
	CHECK_INT(seen.n, 50);
	fixture_done(&f);
}

static int stop_at_three(void *userdata, const StoreTrial *t)
{
	(void)t;
	return ++*(int *)userdata == 3 ? 77 : 0;
}

TEST(a_callback_ends_the_walk_with_its_own_value)
{
	Fixture f;
	fixture_new(&f);
	add_trials(f.store, "a", 0, 10);
	int n = 0;
	TrialQuery q = {0};
	CHECK_INT(store_trials(f.store, &q, stop_at_three, &n, NULL), 77);
	CHECK_INT(n, 3);
	add_trials(f.store, "a", 10, 1); /* the ended walk holds nothing up */
	fixture_done(&f);
}

TEST(a_trial_is_found_by_number_and_by_spica_id)
{
	Fixture f;
	fixture_new(&f);
	add_trials(f.store, "a", 0, 5);
	add_trials(f.store, "a", 3, 1); /* the same candidate once more */
	StoreTrial t;
	CHECK_OK(store_trial(f.store, "spica-gpu-00000003", &t, NULL));
	CHECK_INT(t.seq, 4);
	store_trial_done(&t);
	Err err = ERR_INIT;
	CHECK_ERR(store_trial(f.store, "7", &t, &err), ENOENT);
	CHECK_STR(err.msg, "no trial is called '7'");
	CHECK_ERR(store_trial(f.store, "99999999999999999999", &t, NULL), ENOENT);
	CHECK_ERR(store_trial(f.store, "", &t, NULL), ENOENT);
	fixture_done(&f);
}

typedef struct Kinds {
	int n;
	int64_t seqs[8];
} Kinds;

static int see_record(void *userdata, const Record *r, const json_t *body)
{
	Kinds *k = userdata;
	CHECK(json_is_object(body));
	k->seqs[k->n++] = r->seq;
	return 0;
}

TEST(records_of_a_kind_are_listed_from_either_end)
{
	Fixture f;
	fixture_new(&f);
	json_auto_t *body = json_pack("{s: f}", "x", 0.45);
	for (int i = 0; i < 3; i++) {
		int64_t seq;
		CHECK_OK(store_add(f.store, "epoch", "dream.epoch/v1", body, &seq, NULL));
		CHECK_INT(seq, 2 * i + 1);
		CHECK_OK(store_add(f.store, "winner", "dream.winner/v1", body, &seq, NULL));
	}
	Kinds k = {0};
	CHECK_OK(store_records(f.store, "epoch", false, 0, see_record, &k, NULL));
	CHECK_INT(k.n, 3);
	CHECK_INT(k.seqs[2], 5);
	k = (Kinds){0};
	CHECK_OK(store_records(f.store, "winner", true, 1, see_record, &k, NULL));
	CHECK_INT(k.n, 1);
	CHECK_INT(k.seqs[0], 6);
	k = (Kinds){0};
	CHECK_OK(store_records(f.store, NULL, false, 0, see_record, &k, NULL));
	CHECK_INT(k.n, 6);
	fixture_done(&f);
}

TEST(a_store_is_read_while_another_process_could_write)
{
	Fixture f;
	fixture_new(&f);
	add_trials(f.store, "a", 0, 3);
	Store *reader = NULL;
	CHECK_OK(store_open(f.path, STORE_READ, &f.clock, &reader, NULL));
	add_trials(f.store, "a", 3, 2);
	Seen seen = {0};
	TrialQuery q = {0};
	CHECK_OK(store_trials(reader, &q, see_trial, &seen, NULL));
	CHECK_INT(seen.n, 5);
	Err err = ERR_INIT;
	json_auto_t *body = json_object();
	CHECK_ERR(store_add(reader, "note", "dream.note/v1", body, NULL, &err), EROFS);
	store_close(reader);
	fixture_done(&f);
}

TEST(the_projection_can_be_thrown_away_and_rebuilt)
{
	Fixture f;
	fixture_new(&f);
	add_trials(f.store, "a", 0, 20);
	CHECK_OK(store_rebuild(f.store, NULL));
	Seen seen = {0};
	TrialQuery q = {.experiment = "a", .best_first = true, .limit = 4};
	CHECK_OK(store_trials(f.store, &q, see_trial, &seen, NULL));
	CHECK_INT(seen.n, 4);
	char *text = NULL;
	CHECK_OK(store_verify(f.store, NULL, 0, NULL, &text, NULL));
	CHECK_STR(text, "20 records, without a signed head");
	free(text);
	fixture_done(&f);
}
