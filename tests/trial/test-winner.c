/* The winner rule as a table of evidence, and its error rates over many simulated experiments. */
#include "base/rng.h"
#include "test.h"
#include "trial/winner.h"

enum {
	PAIRS_MAX = 32
};

/* Evidence that a test bends to its case: lat (less is better), cap (more is better). */
typedef struct Case {
	Objective objectives[2];
	Constraint constraint;
	Goals goals;
	Measurement base[PAIRS_MAX], cand[PAIRS_MAX];
	const Measurement *base_at[PAIRS_MAX], *cand_at[PAIRS_MAX];
	size_t workload[PAIRS_MAX];
	WinnerEvidence e;
	WinnerReport r;
} Case;

static void put(Measurement *m, const char *name, double value)
{
	Metric x = {.value = value, .lo = (double)NAN, .hi = (double)NAN};
	snprintf(x.name, sizeof(x.name), "%s", name);
	CHECK_OK(measurement_set(m, &x, NULL));
}

static void case_init(Case *c, size_t pairs)
{
	*c = (Case){
	    .objectives =
		{
		    {.name = (char *)(uintptr_t) "stt_latency_ms",
		     .goal = GOAL_MINIMIZE,
		     .weight = 0.5,
		     .worst = 500,
		     .tolerance = 0.1},
		    {.name = (char *)(uintptr_t) "concurrent_capacity",
		     .goal = GOAL_MAXIMIZE,
		     .weight = 0.5,
		     .best = 20,
		     .tolerance = 0.1},
		},
	    .constraint = {.name = (char *)(uintptr_t) "wer_pct", .min = (double)NAN, .max = 6},
	};
	c->goals = (Goals){.objectives = {c->objectives, 2}, .oom_zero = true};
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		c->base[i].outcome = c->cand[i].outcome = OUTCOME_OK;
		c->base_at[i] = &c->base[i];
		c->cand_at[i] = &c->cand[i];
	}
	c->e = (WinnerEvidence){.goals = &c->goals,
				.baseline = c->base_at,
				.candidate = c->cand_at,
				.n_pairs = pairs,
				.min_pairs = 5,
				.confidence = 0.95};
}

/* Small, fixed wobble, so that nothing is exactly equal. */
static double wobble(size_t i, double size)
{
	static const double steps[] = {-1, 0.5, 1, -0.5, 0, 0.8, -0.8, 0.2};
	return size * steps[i % 8];
}

static void fill(Case *c, double base_lat, double cand_lat, double base_cap, double cand_cap)
{
	for (size_t i = 0; i < c->e.n_pairs; i++) {
		put(&c->base[i], "stt_latency_ms", base_lat + wobble(i, 3));
		put(&c->cand[i], "stt_latency_ms", cand_lat + wobble(i + 3, 3));
		put(&c->base[i], "concurrent_capacity", base_cap);
		put(&c->cand[i], "concurrent_capacity", cand_cap);
	}
}

static WinnerVerdict judge(Case *c)
{
	winner_report_done(&c->r);
	CHECK_OK(winner_judge(&c->e, &c->r));
	CHECK(c->r.reason[0]);
	return c->r.verdict;
}

static void case_done(Case *c)
{
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		measurement_done(&c->base[i]);
		measurement_done(&c->cand[i]);
	}
	winner_report_done(&c->r);
}

TEST(a_clear_gain_wins)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 200, 10, 10);
	CHECK_INT(judge(&c), WINNER_YES);
	CHECK_NEAR(c.r.fitness_diff.mean, 0.1, 0.002);
	CHECK(c.r.fitness_diff.lo > 0 && c.r.fitness_diff.lo < c.r.fitness_diff.hi);
	CHECK_INT(c.r.n_changes, 2);
	CHECK_STR(c.r.changes[0].objective->name, "stt_latency_ms");
	CHECK_NEAR(c.r.changes[0].diff.mean, -100, 1);
	CHECK_NEAR(c.r.changes[0].regress, -1.0 / 3, 0.005);
	CHECK(c.r.seed_mark);
	case_done(&c);
}

TEST(the_interval_is_the_paired_t_interval)
{
	/* Worked by hand: differences of fitness .01 .02 .03 .04 .05, mean .03, sd .0158114,
	 * t(4, .975) = 2.776445, half width 0.0196324. */
	Case c;
	case_init(&c, 5);
	for (size_t i = 0; i < 5; i++) {
		put(&c.base[i], "stt_latency_ms", 300 + 7 * (double)i);
		put(&c.cand[i], "stt_latency_ms", 300 + 7 * (double)i - 10 * (double)(i + 1));
		put(&c.base[i], "concurrent_capacity", 10);
		put(&c.cand[i], "concurrent_capacity", 10);
	}
	CHECK_INT(judge(&c), WINNER_YES);
	CHECK_NEAR(c.r.fitness_diff.mean, 0.03, 1e-9);
	CHECK_NEAR(c.r.fitness_diff.lo, 0.03 - 0.0196324, 1e-6);
	CHECK_NEAR(c.r.fitness_diff.hi, 0.03 + 0.0196324, 1e-6);
	CHECK_INT(c.r.fitness_diff.n, 5);
	case_done(&c);
}

TEST(a_difference_within_the_noise_does_not_win)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 299.9, 10, 10);
	CHECK_INT(judge(&c), WINNER_NOT_BETTER);
	CHECK(!c.r.seed_mark);
	case_done(&c);
}

TEST(a_clear_loss_is_called_worse)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 200, 300, 10, 10);
	CHECK_INT(judge(&c), WINNER_WORSE);
	case_done(&c);
}

TEST(a_gain_paid_by_another_objective_regresses)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 100, 10, 8);
	CHECK_INT(judge(&c), WINNER_REGRESSES);
	CHECK(strstr(c.r.reason, "concurrent_capacity is 20 % worse and 10 % is tolerated"));
	CHECK(c.r.changes[1].beyond_tolerance && !c.r.changes[0].beyond_tolerance);
	c.objectives[1].tolerance = 0.2001;
	CHECK_INT(judge(&c), WINNER_YES);
	case_done(&c);
}

TEST(better_on_average_but_worse_under_one_workload_regresses)
{
	Case c;
	case_init(&c, 16);
	for (size_t i = 0; i < 16; i++) {
		c.workload[i] = i % 2;
		put(&c.base[i], "stt_latency_ms", 300 + wobble(i, 3));
		put(&c.cand[i], "stt_latency_ms", (i % 2 ? 310 : 100) + wobble(i / 2, 3));
		put(&c.base[i], "concurrent_capacity", 10);
		put(&c.cand[i], "concurrent_capacity", 10);
	}
	CHECK_INT(judge(&c), WINNER_YES);
	c.e.workload = c.workload;
	CHECK_INT(judge(&c), WINNER_REGRESSES);
	CHECK(strstr(c.r.reason, "workload 2"));
	c.e.workload_names = (const char *const[]){"steady", "bursty"};
	CHECK_INT(judge(&c), WINNER_REGRESSES);
	CHECK(strstr(c.r.reason, "worse under bursty"));
	case_done(&c);
}

TEST(one_failed_measurement_of_the_candidate_disqualifies_it)
{
	for (Outcome o = OUTCOME_OK + 1; o < OUTCOME_MAX_; o++) {
		if (outcome_is_void(o))
			continue;
		Case c;
		case_init(&c, 8);
		fill(&c, 300, 100, 10, 10);
		CHECK_OK(measurement_fail(&c.cand[2], o, NULL, "it went wrong"));
		CHECK_INT(judge(&c), WINNER_INVALID);
		CHECK(strstr(c.r.reason, outcome_name(o)));
		CHECK(strstr(c.r.reason, "pair 3 of 8: it went wrong"));
		CHECK_INT(c.r.pairs_used, 7);
		case_done(&c);
	}
}

TEST(oom_events_disqualify_even_when_the_trial_ended_ok)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 100, 10, 10);
	put(&c.cand[7], "oom_events", 2);
	CHECK_INT(judge(&c), WINNER_INVALID);
	CHECK(strstr(c.r.reason, "ran out of memory in pair 8"));
	case_done(&c);
}

TEST(a_missing_objective_disqualifies)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 100, 10, 10);
	c.cand[1].n_metrics = 1; /* the capacity was not measured */
	CHECK_INT(judge(&c), WINNER_INVALID);
	CHECK(
	    strstr(c.r.reason, "concurrent_capacity of the candidate was not measured in pair 2"));
	case_done(&c);
}

TEST(a_broken_or_unmeasured_constraint_disqualifies)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 100, 10, 10);
	c.goals.constraints = (ConfList){&c.constraint, 1};
	CHECK_INT(judge(&c), WINNER_INVALID);
	CHECK(strstr(c.r.reason, "wer_pct of the candidate was not measured"));
	for (size_t i = 0; i < 8; i++) {
		put(&c.base[i], "wer_pct", 3);
		put(&c.cand[i], "wer_pct", 5);
	}
	CHECK_INT(judge(&c), WINNER_YES);
	put(&c.cand[4], "wer_pct", 7.5);
	CHECK_INT(judge(&c), WINNER_INVALID);
	CHECK(strstr(c.r.reason, "breaks the constraint on wer_pct in pair 5 of 8 (7.5)"));
	case_done(&c);
}

TEST(a_baseline_that_breaks_a_constraint_is_still_an_opponent)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 299, 10, 10);
	c.goals.constraints = (ConfList){&c.constraint, 1};
	for (size_t i = 0; i < 8; i++) {
		put(&c.base[i], "wer_pct", 9);
		put(&c.cand[i], "wer_pct", 5);
	}
	CHECK_INT(judge(&c), WINNER_YES);
	CHECK_NEAR(c.r.fitness_baseline.mean, 0, 0);
	case_done(&c);
}

TEST(pairs_whose_baseline_failed_are_left_out_and_counted)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 200, 10, 10);
	for (size_t i = 0; i < 3; i++)
		CHECK_OK(measurement_fail(&c.base[i], OUTCOME_TIMEOUT, NULL, "too slow"));
	CHECK_INT(judge(&c), WINNER_YES);
	CHECK_INT(c.r.pairs_used, 5);
	CHECK_INT(c.r.pairs_baseline_failed, 3);
	CHECK_OK(measurement_fail(&c.base[3], OUTCOME_TIMEOUT, NULL, "too slow"));
	CHECK_INT(judge(&c), WINNER_INCONCLUSIVE);
	CHECK(strstr(c.r.reason, "in 4 the baseline itself failed"));
	case_done(&c);
}

TEST(void_pairs_blame_nobody)
{
	Case c;
	case_init(&c, 8);
	fill(&c, 300, 200, 10, 10);
	CHECK_OK(measurement_fail(&c.cand[0], OUTCOME_CONTENDED, NULL, "a game was started"));
	CHECK_OK(measurement_fail(&c.base[1], OUTCOME_HARDWARE_FAULT, NULL, "fell off the bus"));
	CHECK_INT(judge(&c), WINNER_YES);
	CHECK_INT(c.r.pairs_void, 2);
	CHECK_INT(c.r.pairs_used, 6);
	case_done(&c);
}

TEST(below_the_sample_floor_nothing_is_concluded)
{
	Case c;
	case_init(&c, 4);
	fill(&c, 300, 100, 10, 10);
	CHECK_INT(judge(&c), WINNER_INCONCLUSIVE);
	CHECK(strstr(c.r.reason, "4 of 4 pairs can be compared and 5 are needed"));
	c.e.min_pairs = 0;
	CHECK_INT(judge(&c), WINNER_YES);
	c.e.n_pairs = 1;
	CHECK_INT(judge(&c), WINNER_INCONCLUSIVE);
	c.e.n_pairs = 0;
	CHECK_INT(judge(&c), WINNER_INCONCLUSIVE);
	case_done(&c);
}

TEST(equal_numbers_everywhere_never_win_and_raise_the_question)
{
	Case c;
	case_init(&c, 8);
	for (size_t i = 0; i < 8; i++) {
		put(&c.base[i], "stt_latency_ms", 999);
		put(&c.cand[i], "stt_latency_ms", 999);
		put(&c.base[i], "concurrent_capacity", 5);
		put(&c.cand[i], "concurrent_capacity", 5);
	}
	CHECK_INT(judge(&c), WINNER_NOT_BETTER);
	CHECK(strstr(c.r.reason, "was the candidate applied at all"));
	c.e.exact = true;
	CHECK_INT(judge(&c), WINNER_NOT_BETTER);
	case_done(&c);
}

TEST(repeats_without_any_noise_are_not_believed_unless_exact)
{
	Case c;
	case_init(&c, 8);
	for (size_t i = 0; i < 8; i++) {
		put(&c.base[i], "stt_latency_ms", 300);
		put(&c.cand[i], "stt_latency_ms", 200);
		put(&c.base[i], "concurrent_capacity", 5);
		put(&c.cand[i], "concurrent_capacity", 5);
	}
	CHECK_INT(judge(&c), WINNER_INCONCLUSIVE);
	CHECK(strstr(c.r.reason, "exactly the same numbers"));
	c.e.exact = true;
	CHECK_INT(judge(&c), WINNER_YES);
	case_done(&c);
}

TEST(noise_that_cancels_out_of_the_score_does_not_win)
{
	/* All latencies beyond the worst: the metric varies, fitness never does. */
	Case c;
	case_init(&c, 8);
	fill(&c, 900, 700, 10, 10);
	CHECK_INT(judge(&c), WINNER_NOT_BETTER);
	case_done(&c);
}

TEST(the_seeds_mark_is_ten_percent_of_latency_or_capacity)
{
	static const struct {
		double lat, cap;
		bool mark;
	} cases[] = {{270, 10, true}, {271.5, 10, false}, {300, 11, true}, {300, 10.9, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Case c;
		case_init(&c, 8);
		for (size_t k = 0; k < 8; k++) {
			double w = wobble(k, 3);
			put(&c.base[k], "stt_latency_ms", 300 + w);
			put(&c.cand[k], "stt_latency_ms", (300 + w) * cases[i].lat / 300);
			put(&c.base[k], "concurrent_capacity", 10);
			put(&c.cand[k], "concurrent_capacity", cases[i].cap);
		}
		judge(&c);
		CHECK_INT(c.r.seed_mark, cases[i].mark);
		case_done(&c);
	}
}

TEST(nonsense_evidence_is_refused)
{
	Case c;
	case_init(&c, 2);
	WinnerReport r;
	c.e.confidence = 1;
	CHECK_ERR(winner_judge(&c.e, &r), EINVAL);
	c.e.confidence = 0.95;
	c.base_at[1] = NULL;
	CHECK_ERR(winner_judge(&c.e, &r), EINVAL);
	c.base_at[1] = &c.base[1];
	c.goals.objectives.n = 0;
	CHECK_ERR(winner_judge(&c.e, &r), EINVAL);
	case_done(&c);
}

/* One experiment: 8 pairs, both latencies with `noise` of their own and a drift they share. */
static WinnerVerdict simulate(uint64_t seed, double gain, double noise)
{
	Case c;
	case_init(&c, 8);
	Rng rng = rng_derive(seed, "winner", 0);
	double drift = 1;
	for (size_t i = 0; i < 8; i++) {
		drift *= 1 + 0.02 * rng_normal(&rng);
		put(&c.base[i], "stt_latency_ms", 250 * drift * (1 + noise * rng_normal(&rng)));
		put(&c.cand[i], "stt_latency_ms",
		    250 * (1 - gain) * drift * (1 + noise * rng_normal(&rng)));
		put(&c.base[i], "concurrent_capacity", 10);
		put(&c.cand[i], "concurrent_capacity", 10);
	}
	WinnerVerdict v = judge(&c);
	case_done(&c);
	return v;
}

TEST(equal_configurations_rarely_yield_a_winner)
{
	enum {
		RUNS = 4000
	};
	int wins = 0;
	for (uint64_t seed = 0; seed < RUNS; seed++)
		wins += simulate(seed, 0, 0.03) == WINNER_YES;
	printf("# false winners: %d of %d\n", wins, RUNS);
	/* A two-sided 95 % interval errs on one side in 2.5 %; 3.3 % is three standard errors up.
	 */
	CHECK(wins <= RUNS * 0.033);
}

TEST(a_real_gain_is_usually_found)
{
	enum {
		RUNS = 1000
	};
	int five = 0, ten = 0;
	for (uint64_t seed = 0; seed < RUNS; seed++) {
		five += simulate(seed, 0.05, 0.03) == WINNER_YES;
		ten += simulate(seed, 0.10, 0.03) == WINNER_YES;
	}
	printf("# found with 3 %% noise and 8 pairs: a gain of 5 %% in %d, of 10 %% in %d of %d\n",
	       five, ten, RUNS);
	/* By the noncentral t: delta / (sd sqrt(2) / sqrt(8)) = 3.4, power about .84. */
	CHECK(five > RUNS * 0.75);
	CHECK(ten > RUNS * 0.99);
}
