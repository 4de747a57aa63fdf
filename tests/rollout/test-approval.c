/* Decisions about promotions: one counts, it holds for what it was given for, and policy may only
 * say yes to what was measured. */
#include "fixture.h"

#include "rollout/fate.h"
#include "rollout/feedback.h"
#include "rollout/machine.h"

#define DIGEST "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER  "2222222222222222222222222222222222222222222222222222222222222222"

static Approval approval(bool approved, const char *name)
{
	Approval a = {.approved = approved,
		      .promotion = "promotion-spica-1",
		      .digest = DIGEST,
		      .baseline_version = 1,
		      .lasts_us = DAY_US,
		      .by = {.uid = 1000, .reason = "looks right"}};
	snprintf(a.by.name, sizeof(a.by.name), "%s", name);
	return a;
}

TEST(a_decision_comes_back_as_it_was_given)
{
	Box box;
	box_new(&box);
	Approval a = approval(true, "anna"), ret, back;
	CHECK_INT(approval_find(box.store, box.public, a.promotion, DIGEST, 1, &back, NULL), 0);
	CHECK_OK(approval_append(box.store, box.key, &a, &ret, NULL));
	CHECK_INT(ret.at_us, NOW_US);
	CHECK_INT(ret.expires_at_us, NOW_US + DAY_US);
	CHECK_INT(approval_find(box.store, box.public, a.promotion, DIGEST, 1, &back, NULL), 1);
	CHECK(back.approved);
	CHECK_INT(back.seq, ret.seq);
	CHECK_INT(back.by.uid, 1000);
	CHECK_STR(back.by.name, "anna");
	CHECK_STR(back.by.reason, "looks right");
	CHECK_INT(back.expires_at_us, NOW_US + DAY_US);
	/* Of another content, another version of the baseline, another promotion: nothing. */
	CHECK_INT(approval_find(box.store, box.public, a.promotion, OTHER, 1, &back, NULL), 0);
	CHECK_INT(approval_find(box.store, box.public, a.promotion, DIGEST, 2, &back, NULL), 0);
	CHECK_INT(approval_find(box.store, box.public, "promotion-2", DIGEST, 1, &back, NULL), 0);
	box_done(&box);
}

TEST(the_first_decision_counts)
{
	Box box;
	box_new(&box);
	Approval no = approval(false, "ben"), yes = approval(true, "anna"), ret, again;
	Err err = ERR_INIT;
	CHECK_OK(approval_append(box.store, box.key, &no, &ret, NULL));
	CHECK_ERR(approval_append(box.store, box.key, &yes, &again, &err), EALREADY);
	CHECK_STR(again.by.name, "ben");
	CHECK(!again.approved);
	CHECK(strstr(err.msg, "rejected by ben"));
	/* Production moved: it is asked anew. */
	yes.baseline_version = 2;
	CHECK_OK(approval_append(box.store, box.key, &yes, &again, NULL));
	CHECK(again.approved);
	box_done(&box);
}

TEST(a_decision_must_say_what_it_is_about)
{
	Box box;
	box_new(&box);
	Approval ret, a;
	a = approval(true, "anna"), a.promotion[0] = '\0';
	CHECK_ERR(approval_append(box.store, box.key, &a, &ret, NULL), EINVAL);
	a = approval(true, "anna"), a.digest[10] = '\0';
	CHECK_ERR(approval_append(box.store, box.key, &a, &ret, NULL), EINVAL);
	a = approval(true, "anna"), a.baseline_version = 0;
	CHECK_ERR(approval_append(box.store, box.key, &a, &ret, NULL), EINVAL);
	a = approval(true, "anna"), a.lasts_us = 0;
	CHECK_ERR(approval_append(box.store, box.key, &a, &ret, NULL), EINVAL);
	box_done(&box);
}

static int count(void *userdata, const Record *r, const json_t *body)
{
	int *n = userdata;
	(void)r;
	(void)body;
	(*n)++;
	return 0;
}

/* Every process must have seen the same decision, its own or the other's. */
TEST(decisions_at_once_resolve_to_one)
{
	enum {
		ROUNDS = 12,
		PROCESSES = 4
	};
	Box box;
	box_new(&box);
	for (int round = 0; round < ROUNDS; round++) {
		int go[2], told[2];
		CHECK_INT(pipe(go), 0);
		CHECK_INT(pipe(told), 0);
		for (int p = 0; p < PROCESSES; p++) {
			pid_t pid = fork();
			CHECK(pid >= 0);
			if (pid > 0)
				continue;
			char name[8], c;
			Store *s = NULL;
			Approval ret;
			snprintf(name, sizeof(name), "p%d", p);
			Approval a = approval(p % 2, name);
			a.baseline_version = round + 1;
			close(go[1]);
			if (store_open(box.path, STORE_WRITE, &box.clock, &s, NULL) < 0)
				_exit(9);
			(void)!read(go[0], &c, 1); /* until the other end is closed */
			int r = approval_append(s, box.key, &a, &ret, NULL);
			if (r != 0 && r != -EALREADY)
				_exit(9);
			if (write(told[1], ret.by.name, 2) != 2)
				_exit(9);
			_exit(r == 0);
		}
		close(go[0]);
		close(go[1]);
		close(told[1]);
		int winners = 0, status;
		for (int p = 0; p < PROCESSES; p++) {
			CHECK(wait(&status) > 0);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
			winners += WEXITSTATUS(status);
		}
		CHECK_INT(winners, 1);
		char names[2 * PROCESSES + 1] = "";
		CHECK_INT(read(told[0], names, 2 * PROCESSES), 2 * PROCESSES);
		for (int p = 1; p < PROCESSES; p++)
			CHECK(memcmp(names, names + 2 * p, 2) == 0);
		close(told[0]);
	}
	int n = 0;
	CHECK_OK(store_records(box.store, "approval", false, 0, count, &n, NULL));
	CHECK_INT(n, ROUNDS);
	box_done(&box);
}

TEST(what_another_key_signed_does_not_count)
{
	Box box;
	box_new(&box);
	_cleanup_(sign_key_freep) SignKey *other = box_other_key(&box);
	Approval forged = approval(true, "mallory"), real = approval(false, "anna"), ret;
	CHECK_OK(approval_append(box.store, other, &forged, &ret, NULL));
	CHECK_INT(approval_find(box.store, box.public, real.promotion, DIGEST, 1, &ret, NULL), 0);
	CHECK_OK(approval_append(box.store, box.key, &real, &ret, NULL));
	CHECK_INT(approval_find(box.store, box.public, real.promotion, DIGEST, 1, &ret, NULL), 1);
	CHECK_STR(ret.by.name, "anna");
	box_done(&box);
}

static int turn_round(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	(void)at_us;
	(void)err;
	*ret = json_incref(userdata);
	return 0;
}

TEST(a_decision_that_was_changed_is_an_error)
{
	Box box;
	box_new(&box);
	Approval a = approval(false, "anna"), ret;
	Err err = ERR_INIT;
	a.at_us = NOW_US;
	json_auto_t *body = approval_json(&a), *decision = NULL;
	CHECK_OK(decision_sign(body, box.key, &decision, NULL));
	json_object_set_new(decision, "decision", json_string("approved"));
	CHECK_OK(
	    store_add_if(box.store, "approval", APPROVAL_SCHEMA, turn_round, decision, NULL, NULL));
	CHECK_ERR(approval_find(box.store, box.public, a.promotion, DIGEST, 1, &ret, &err),
		  EBADMSG);
	CHECK(strstr(err.msg, "record 1"));
	CHECK_ERR(approval_append(box.store, box.key, &a, &ret, NULL), EBADMSG);
	box_done(&box);
}

TEST(an_approval_holds_only_for_what_it_was_given_for)
{
	static const struct {
		bool approved;
		const char *digest;
		int64_t version, now_us;
		int error;
		const char *words;
	} cases[] = {
	    {true, DIGEST, 1, NOW_US, 0, ""},
	    {true, DIGEST, 1, NOW_US + DAY_US - 1, 0, ""},
	    {true, DIGEST, 1, NOW_US + DAY_US, EKEYEXPIRED, "expired at"},
	    {true, DIGEST, 1, NOW_US + 400 * DAY_US, EKEYEXPIRED, "expired at"},
	    {true, DIGEST, 1, NOW_US - APPROVAL_SKEW_US, 0, ""},
	    {true, DIGEST, 1, NOW_US - APPROVAL_SKEW_US - 1, EKEYEXPIRED, "clock was set back"},
	    {true, OTHER, 1, NOW_US, ESTALE, "is not this promotion"},
	    {true, DIGEST, 2, NOW_US, ESTALE, "production is at version 2"},
	    {true, DIGEST, 0, NOW_US, ESTALE, "production is at version 0"},
	    {false, DIGEST, 1, NOW_US, EPERM, "rejected by anna: looks right"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		Approval a = approval(cases[i].approved, "anna");
		Err err = ERR_INIT;
		a.at_us = NOW_US;
		a.expires_at_us = NOW_US + DAY_US;
		CHECK_ERR(
		    approval_holds(&a, cases[i].digest, cases[i].version, cases[i].now_us, &err),
		    cases[i].error);
		if (!strstr(err.msg, cases[i].words))
			test_fail(__FILE__, __LINE__, "case %zu: %s", i, err.msg);
	}
}

/* --- Policy ----------------------------------------------------------------------------------- */

static char util[] = "vllm_memory_util", size_[] = "whisper_model_size", other[] = "other";
static char *both[] = {util, size_}, *one[] = {util}, *none[] = {other};

TEST(policy_says_yes_only_to_what_was_measured_and_waited_for)
{
	enum {
		TWO = 2
	};
	static char automatic[] = "auto", manual[] = "manual", night[] = "03:00-07:00",
		    garbage[] = "at night";
	/* NOW_US is 16:00 UTC. The gain is 0.1 at least, of 0.5: a fifth. */
	static const struct {
		const char *name;
		char *approval, *window;
		char **parameters;
		size_t n;
		double min_gain;
		int64_t age_us;
		int offset_min, error;
		const char *set; /* a member of the promotion that is taken away */
	} cases[] = {
	    {"fit", automatic, NULL, NULL, 0, 0.2, 8 * DAY_US, 0, 0, NULL},
	    {"manual", manual, NULL, NULL, 0, 0.2, 8 * DAY_US, 0, EPERM, NULL},
	    {"not said", NULL, NULL, NULL, 0, 0.2, 8 * DAY_US, 0, EPERM, NULL},
	    {"gain too small", automatic, NULL, NULL, 0, 0.21, 8 * DAY_US, 0, EPERM, NULL},
	    {"no gain", automatic, NULL, NULL, 0, 0, 8 * DAY_US, 0, EPERM, "fitness_gain"},
	    {"no baseline", automatic, NULL, NULL, 0, 0, 8 * DAY_US, 0, EPERM, "baseline"},
	    {"no changes", automatic, NULL, NULL, 0, 0, 8 * DAY_US, 0, EPERM, "changes"},
	    {"parameters named", automatic, NULL, both, TWO, 0.2, 8 * DAY_US, 0, 0, NULL},
	    {"one not named", automatic, NULL, one, 1, 0.2, 8 * DAY_US, 0, EPERM, NULL},
	    {"none named", automatic, NULL, none, 1, 0.2, 8 * DAY_US, 0, EPERM, NULL},
	    {"too fresh", automatic, NULL, NULL, 0, 0.2, 7 * DAY_US - 1, 0, EAGAIN, NULL},
	    {"soaked", automatic, NULL, NULL, 0, 0.2, 7 * DAY_US, 0, 0, NULL},
	    {"from the future", automatic, NULL, NULL, 0, 0.2, -DAY_US, 0, EPERM, NULL},
	    {"outside the window", automatic, night, NULL, 0, 0.2, 8 * DAY_US, 0, EAGAIN, NULL},
	    {"inside elsewhere", automatic, night, NULL, 0, 0.2, 8 * DAY_US, 12 * 60, 0, NULL},
	    {"no window", automatic, garbage, NULL, 0, 0.2, 8 * DAY_US, 0, EPERM, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_auto_t *p = promotion_body();
		Err err = ERR_INIT;
		RolloutConfig policy = {
		    .approval = cases[i].approval,
		    .window = cases[i].window,
		    .auto_min_gain = cases[i].min_gain,
		    .soak_us = 7 * DAY_US,
		    .auto_parameters = {cases[i].parameters, cases[i].n},
		};
		if (cases[i].set)
			CHECK_INT(json_object_del(p, cases[i].set), 0);
		int r = approval_by_policy(&policy, p, NOW_US - cases[i].age_us, NOW_US,
					   cases[i].offset_min, &err);
		if (r != -cases[i].error || (r < 0 && !*err.msg))
			test_fail(__FILE__, __LINE__, "%s: %d, %s", cases[i].name, r, err.msg);
	}
}

TEST(a_gain_that_may_be_none_is_no_gain)
{
	static const char *const gains[] = {
	    "{\"lo\": 0, \"mean\": 0.1}", "{\"lo\": -0.01}", "{\"lo\": null}", "{}", "3",
	    "{\"lo\": \"0.5\"}"};
	static char automatic[] = "auto";
	RolloutConfig policy = {.approval = automatic};
	for (size_t i = 0; i < sizeof(gains) / sizeof(*gains); i++) {
		json_auto_t *p = promotion_body();
		char text[64];
		snprintf(text, sizeof(text), "[%s]", gains[i]);
		json_auto_t *list = parse(text);
		json_object_set(p, "fitness_gain", json_array_get(list, 0));
		CHECK_ERR(approval_by_policy(&policy, p, 0, NOW_US, 0, NULL), EPERM);
	}
}

TEST(a_newer_promotion_of_the_experiment_ends_the_soak)
{
	Box box;
	int64_t since = 0;
	Err err = ERR_INIT;
	box_new(&box);
	json_auto_t *p = signed_promotion(box.key);
	CHECK_ERR(approval_staged_since(box.store, "promotion-spica-1", &since, NULL), ENOENT);
	CHECK_INT(promotion_store(box.store, p, NULL), 1);
	box.now_us += DAY_US;
	CHECK_OK(approval_staged_since(box.store, "promotion-spica-1", &since, NULL));
	CHECK_INT(since, NOW_US);

	json_auto_t *elsewhere = promotion_body(), *newer = promotion_body();
	json_object_set_new(elsewhere, "id", json_string("p-2"));
	json_object_set_new(elsewhere, "experiment", json_string("another"));
	CHECK_INT(promotion_store(box.store, elsewhere, NULL), 1);
	CHECK_OK(approval_staged_since(box.store, "promotion-spica-1", &since, NULL));
	json_object_set_new(newer, "id", json_string("p-3"));
	CHECK_INT(promotion_store(box.store, newer, NULL), 1);
	CHECK_ERR(approval_staged_since(box.store, "promotion-spica-1", &since, &err), ESTALE);
	CHECK(strstr(err.msg, "p-3"));
	box_done(&box);
}

/* --- What became of it -------------------------------------------------------------------------
 */

static void add_step(Box *box, const char *promotion, const char *phase, const char *result)
{
	json_auto_t *o =
	    json_pack("{s:s, s:s, s:s, s:s, s:s}", "rollout", "r-1", "promotion", promotion,
		      "phase", phase, "result", result, "words", "as it went");
	CHECK_OK(store_add(box->store, "rollout", ROLLOUT_SCHEMA, o, NULL, NULL));
}

static PromotionState state_of(Box *box, const char *promotion)
{
	_cleanup_(fates_freep) Fates *f = NULL;
	CHECK_OK(fates_load(box->store, box->public, &f, NULL));
	const Fate *fate = fates_of(f, promotion);
	return fate ? fate->state : PROMOTION_PROPOSED;
}

TEST(the_state_follows_from_the_records)
{
	Box box;
	box_new(&box);
	const char *p = "promotion-spica-1";
	Approval a = approval(true, "anna"), ret;
	CHECK_INT(state_of(&box, p), PROMOTION_PROPOSED);
	CHECK_OK(approval_append(box.store, box.key, &a, &ret, NULL));
	CHECK_INT(state_of(&box, p), PROMOTION_APPROVED);
	add_step(&box, p, "apply", "none");
	CHECK_INT(state_of(&box, p), PROMOTION_ROLLING_OUT);
	add_step(&box, p, "ended", "rolled_back");
	CHECK_INT(state_of(&box, p), PROMOTION_ROLLED_BACK);
	a.baseline_version = 2;
	a.approved = false;
	a.expires_at_us = 0;
	CHECK_OK(approval_append(box.store, box.key, &a, &ret, NULL));
	CHECK_INT(state_of(&box, p), PROMOTION_REJECTED);
	add_step(&box, p, "ended", "partially_committed");
	CHECK_INT(state_of(&box, p), PROMOTION_PARTIALLY_COMMITTED);
	add_step(&box, p, "probation", "committed");
	CHECK_INT(state_of(&box, p), PROMOTION_COMMITTED);
	add_step(&box, p, "stuck", "stuck");
	CHECK_INT(state_of(&box, p), PROMOTION_STUCK);
	CHECK_INT(state_of(&box, "another"), PROMOTION_PROPOSED);
	add_step(&box, "", "ended", "rolled_back"); /* a way back is no promotion's */
	box_done(&box);
}

static void add_event(Box *box, const char *rollout, const char *event, const char *result,
		      const char *words)
{
	json_auto_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "rollout", rollout,
				   "promotion", "promotion-spica-1", "event", event, "phase",
				   "watch", "result", result, "words", words);
	CHECK_OK(store_add(box->store, "rollout", ROLLOUT_SCHEMA, o, NULL, NULL));
}

static void check_words(Box *box, const char *want)
{
	_cleanup_(fates_freep) Fates *f = NULL;
	CHECK_OK(fates_load(box->store, box->public, &f, NULL));
	const Fate *fate = fates_of(f, "promotion-spica-1");
	CHECK_STR(fate ? fate->words : "no fate", want);
}

TEST(what_hurt_is_said_and_not_that_going_back_went_well)
{
	Box box;
	box_new(&box);
	add_event(&box, "r-1", "start", "none", "");
	add_event(&box, "r-1", "worse", "none", "judge: 40 % slower");
	add_event(&box, "r-1", "ok", "rolled_back", "");
	check_words(&box, "judge: 40 % slower");
	add_event(&box, "r-2", "start", "none", ""); /* tried once more */
	check_words(&box, "");
	add_event(&box, "r-2", "inconclusive", "none", "too few samples");
	check_words(&box, "too few samples");
	add_event(&box, "r-2", "no_worse", "none", "judge: at most 2 % worse");
	add_event(&box, "r-2", "ok", "committed", "");
	check_words(&box, "");
	box_done(&box);
}

static Validation refusal(Check *checks, const char *first, const char *second)
{
	static char words[] = "it is so";
	snprintf(checks[0].name, sizeof(checks[0].name), "%s", first);
	snprintf(checks[1].name, sizeof(checks[1].name), "%s", second);
	checks[0].words = checks[1].words = words;
	return (Validation){.checks = checks, .n = 2};
}

TEST(a_refusal_is_said_once)
{
	Box box;
	Check checks[2] = {{.ok = false}, {.ok = false}};
	box_new(&box);
	json_auto_t *p = signed_promotion(box.key);
	Validation v = refusal(checks, "age", "memory");
	CHECK_INT(promotion_refuse(box.store, box.key, p, 1, &v, NULL), 1);
	CHECK_INT(promotion_refuse(box.store, box.key, p, 1, &v, NULL), 0);
	CHECK_INT(state_of(&box, "promotion-spica-1"), PROMOTION_REFUSED);
	CHECK_INT(promotion_refuse(box.store, box.key, p, 2, &v, NULL), 1);
	checks[0].ok = true; /* now for less */
	CHECK_INT(promotion_refuse(box.store, box.key, p, 2, &v, NULL), 1);
	CHECK_INT(promotion_refuse(box.store, box.key, p, 2, &v, NULL), 0);
	add_step(&box, "promotion-spica-1", "apply", "none"); /* it went on in between */
	CHECK_INT(promotion_refuse(box.store, box.key, p, 2, &v, NULL), 1);
	box_done(&box);
}

TEST(a_refusal_afterwards_does_not_hide_what_became_of_it)
{
	Box box;
	Check checks[2] = {{.ok = false}, {.ok = false}};
	const char *p = "promotion-spica-1";
	Approval a = approval(true, "anna"), ret;
	box_new(&box);
	json_auto_t *promotion = signed_promotion(box.key);
	Validation v = refusal(checks, "baseline", "adopted");
	CHECK_OK(approval_append(box.store, box.key, &a, &ret, NULL));
	add_step(&box, p, "ended", "committed");
	CHECK_INT(promotion_refuse(box.store, box.key, promotion, 2, &v, NULL), 1);
	CHECK_INT(state_of(&box, p), PROMOTION_COMMITTED);
	/* Approved once more, and then refused. */
	a.baseline_version = 2;
	CHECK_OK(approval_append(box.store, box.key, &a, &ret, NULL));
	CHECK_INT(state_of(&box, p), PROMOTION_APPROVED);
	CHECK_INT(promotion_refuse(box.store, box.key, promotion, 3, &v, NULL), 1);
	CHECK_INT(state_of(&box, p), PROMOTION_REFUSED);
	box_done(&box);
}

TEST(a_promotion_is_stored_once_and_never_under_anothers_name)
{
	Box box;
	box_new(&box);
	json_auto_t *p = signed_promotion(box.key), *found = NULL;
	CHECK_INT(promotion_store(box.store, p, NULL), 1);
	CHECK_INT(promotion_store(box.store, p, NULL), 0);
	json_auto_t *impostor = js_deep_copy(p);
	json_object_set_new(impostor, "state", json_string("other"));
	CHECK_ERR(promotion_store(box.store, impostor, NULL), EEXIST);
	CHECK_OK(promotion_find(box.store, "promotion-spica-1", &found, NULL));
	CHECK(json_equal(found, p));
	json_auto_t *by_number = NULL;
	CHECK_OK(promotion_find(box.store, "1", &by_number, NULL));
	CHECK_ERR(promotion_find(box.store, "../etc/passwd", &by_number, NULL), ENOENT);
	box_done(&box);
}

/* --- Feedback ----------------------------------------------------------------------------------
 */

TEST(bad_feedback_counts_for_its_version_and_time)
{
	Box box;
	box_new(&box);
	_cleanup_(sign_key_freep) SignKey *foreign = box_other_key(&box);
	Feedback bad = {.baseline_version = 2, .words = "it stutters", .by = {.name = "anna"}};
	Feedback good = {.good = true, .baseline_version = 2, .by = {.name = "ben"}};
	CHECK_INT(feedback_bad_since(box.store, box.public, 2, 0, NULL), 0);
	CHECK_OK(feedback_append(box.store, box.key, &bad, NULL));
	box.now_us += HOUR_US;
	CHECK_OK(feedback_append(box.store, box.key, &good, NULL));
	CHECK_OK(feedback_append(box.store, box.key, &bad, NULL));
	CHECK_OK(feedback_append(box.store, foreign, &bad, NULL));
	CHECK_INT(feedback_bad_since(box.store, box.public, 2, 0, NULL), 2);
	CHECK_INT(feedback_bad_since(box.store, NULL, 2, 0, NULL), 3);
	CHECK_INT(feedback_bad_since(box.store, box.public, 2, NOW_US + HOUR_US, NULL), 1);
	CHECK_INT(feedback_bad_since(box.store, box.public, 2, NOW_US + HOUR_US + 1, NULL), 0);
	CHECK_INT(feedback_bad_since(box.store, box.public, 1, 0, NULL), 0);
	box_done(&box);
}
