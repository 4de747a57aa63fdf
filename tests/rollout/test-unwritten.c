/* A store that cannot be written at the moment of a commit: production does not wait for it, and
 * the version is written when it can be, whoever is there then. */
#include <sys/resource.h>

#include "stand.h"

enum {
	QUESTION_COMMIT = 11, /* of going back: see test-outstanding.c */
};

/* No file may grow: the database is longer than that, a note is not. */
static void take_store_away(bool away)
{
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = away ? 16 << 10 : limit.rlim_max;
	CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static int count_one(void *ctx, const Record *r, const json_t *body)
{
	(void)r, (void)body;
	++*(int *)ctx;
	return 0;
}

static int records(const Stand *s, const char *kind)
{
	int n = 0;
	CHECK_OK(store_records(s->box.store, kind, false, 0, count_one, &n, NULL));
	return n;
}

static bool is_noted(const Stand *s)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/commit.json", s->box.dir);
	return access(path, F_OK) == 0;
}

static void expect_version_3(const Stand *s)
{
	_cleanup_(baseline_done) Baseline b = {0};
	CHECK_OK(baseline_current(s->box.store, NULL, &b, NULL));
	CHECK_INT(b.version, 3);
	CHECK_STR(b.generation, GENERATION_2);
	CHECK_STR(b.why, "rollback");
	CHECK_INT(b.of_version, 1);
	CHECK_STR(b.by, "anna");
	CHECK(!is_noted(s));
}

/* It goes back, and is done, with no version that says so. */
static void go_back_unwritten(Stand *s)
{
	Heard h = {0};
	Rollout *r = NULL;
	stand_plain(s, QUESTION_COMMIT, false);
	stand_go_back(s, &h, &r);
	CHECK(stand_run(s, &h));
	take_store_away(true);
	stand_let_go(s);
	CHECK(!stand_run(s, &h));
	rollout_free(r);
	take_store_away(false);
	CHECK_INT(h.code, 0);
	CHECK_INT(records(s, "baseline"), 2);
	CHECK(is_noted(s));
}

static json_t *status_of_helper(Stand *s)
{
	json_t *status = NULL;
	Err err = ERR_INIT;
	CHECK_OK(helper_ask(s->helper, json_pack("{s:s}", "do", "status"), 5000000, &status, &err));
	return status;
}

TEST(the_version_of_a_commit_is_written_when_the_store_is_there_again)
{
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(str_done) Str words = STR_INIT;
	Err err = ERR_INIT;
	go_back_unwritten(&s);
	json_auto_t *status = status_of_helper(&s);
	RolloutWorld w = stand_world(&s);
	CHECK_INT(rollout_settle(&w, status, &words, &err), 1);
	CHECK(strstr(words.s, "production is version 3 of the baseline"));
	expect_version_3(&s);
	CHECK_INT(rollout_settle(&w, status, &words, &err), 0);
	CHECK_INT(records(&s, "baseline"), 3);
}

TEST(while_the_store_is_away_nothing_is_written_and_nothing_forgotten)
{
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(str_done) Str words = STR_INIT;
	Err err = ERR_INIT;
	go_back_unwritten(&s);
	json_auto_t *status = status_of_helper(&s);
	RolloutWorld w = stand_world(&s);
	take_store_away(true);
	int r = rollout_settle(&w, status, &words, &err);
	take_store_away(false);
	CHECK(r < 0 && is_noted(&s));
	CHECK(strstr(err.msg, "cannot be written down yet"));
	CHECK_INT(records(&s, "baseline"), 2);
	CHECK_INT(rollout_settle(&w, status, &words, &err), 1);
	expect_version_3(&s);
}

TEST(the_next_start_writes_it_too)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Heard h = {0};
	Rollout *r = NULL;
	go_back_unwritten(&s);
	stand_take_up(&s, &h, &r);
	expect_version_3(&s);
	CHECK(r != NULL); /* its end was not recorded: what runs is looked at once more */
	CHECK(!stand_run(&s, &h));
	rollout_free(r);
	CHECK_INT(h.code, 0);
	expect_version_3(&s);
	CHECK_INT(records(&s, "baseline"), 3);
}

/* Somebody moved production meanwhile: what the note says is over. */
TEST(a_note_of_what_production_does_not_run_is_thrown_away)
{
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(str_done) Str words = STR_INIT;
	Err err = ERR_INIT;
	go_back_unwritten(&s);
	json_auto_t *status = status_of_helper(&s);
	RolloutWorld w = stand_world(&s);
	json_object_set_new(status, "change", json_pack("{s:s}", "rollout", "another"));
	CHECK_INT(rollout_settle(&w, status, &words, &err), 0);
	CHECK(is_noted(&s)); /* what comes of that is not known yet */
	json_object_set_new(status, "change", json_null());
	json_object_set_new(status, "current", json_string(GENERATION_1));
	CHECK_INT(rollout_settle(&w, status, &words, &err), 0);
	CHECK(!is_noted(&s));
	CHECK_INT(records(&s, "baseline"), 2);
}

TEST(steps_that_could_not_be_recorded_are_recorded_while_it_goes_on)
{
	__attribute__((cleanup(stand_done))) Stand s;
	Heard h = {0};
	Rollout *r = NULL;
	stand_plain(&s, QUESTION_COMMIT, false);
	stand_go_back(&s, &h, &r);
	take_store_away(true);
	bool held = stand_run(&s, &h);
	take_store_away(false);
	CHECK(held);
	CHECK_INT(records(&s, "rollout"), 0);
	int64_t until = clock_mono_us(&clock_system) + INT64_C(10000000);
	while (!h.caught_up && clock_mono_us(&clock_system) < until)
		CHECK_OK(sd_event_run(s.loop, 100000));
	CHECK(h.caught_up);
	CHECK_INT(records(&s, "rollout"), 1);
	stand_let_go(&s);
	CHECK(!stand_run(&s, &h));
	rollout_free(r);
	CHECK_INT(records(&s, "rollout"), 2);
	expect_version_3(&s);
}
