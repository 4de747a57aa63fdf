/* The plan of a confirmation, and how often it errs over simulated ones. */
#include "base/rng.h"
#include "compare/compare.h"
#include "test.h"

static const char two_params[] = "vllm_memory_util: [0.4, 0.45, 0.5, 0.55, 0.6]\n"
				 "whisper_model_size: [tiny, base, small]\n"
				 "seed: [1, 2]\n";

static Space *space_of(const char *text, const char *forbid_text)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL, *forbid = NULL;
	Diags d = DIAGS_INIT;
	Space *s = NULL;
	CHECK_OK(conf_read_text("t.yaml", text, strlen(text), &doc, &d, NULL));
	if (forbid_text)
		CHECK_OK(
		    conf_read_text("f.yaml", forbid_text, strlen(forbid_text), &forbid, &d, NULL));
	CHECK_OK(space_read(conf_root(doc), NULL, forbid ? conf_root(forbid) : NULL, &s, &d));
	diags_done(&d);
	return s;
}

static CompareSpec spec_of(const Space *s, Point baseline, Point candidate)
{
	return (CompareSpec){.space = s,
			     .baseline = baseline,
			     .candidate = candidate,
			     .n_workloads = 2,
			     .pairs = 6,
			     .min_pairs = 8,
			     .confidence = 0.95,
			     .ablation = true,
			     .seed = 7};
}

TEST(every_arm_is_measured_once_in_every_block)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 0, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	CHECK_INT(compare_arms(c), 4);
	CHECK_INT(compare_steps(c), 2 * 6 * 4);
	size_t workload_blocks[2] = {0};
	for (uint32_t block = 0; block < 12; block++) {
		unsigned seen = 0;
		for (size_t k = 0; k < 4; k++) {
			CompareStep step = compare_step(c, block * 4 + k);
			CHECK_INT(step.block, block);
			CHECK_INT(step.workload, compare_step(c, block * 4).workload);
			seen |= 1U << step.arm;
		}
		CHECK_INT(seen, 15);
		workload_blocks[compare_step(c, block * 4).workload]++;
	}
	CHECK_INT(workload_blocks[0], 6);
	CHECK_INT(workload_blocks[1], 6);
}

TEST(workloads_take_turns)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 2, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	for (size_t round = 0; round < 6; round++)
		CHECK(compare_step(c, round * 4).workload !=
		      compare_step(c, round * 4 + 2).workload);
}

/* The arm that shows what a parameter does by itself, or why there is none, negative. */
static int alone(const Compare *c, size_t dim)
{
	size_t arm = SIZE_MAX;
	CompareAlone how = compare_alone(c, dim, &arm);
	return how == ALONE_MEASURED ? (int)arm : -(int)how;
}

TEST(each_changed_parameter_gets_an_arm_of_its_own)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 0, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	CHECK_INT(compare_arm(c, 0)->role, ROLE_BASELINE);
	CHECK_INT(compare_arm(c, 1)->role, ROLE_CANDIDATE);
	const CompareArm *a = compare_arm(c, 2), *b = compare_arm(c, 3);
	CHECK_INT(a->role, ROLE_ABLATION);
	CHECK_INT(a->dim, 0);
	CHECK(point_equal(s, &a->point, &(Point){{3, 2, 0}}));
	CHECK_INT(b->dim, 1);
	CHECK(point_equal(s, &b->point, &(Point){{2, 0, 0}}));
	CHECK_STR(compare_role_name(a->role), "ablation");
}

TEST(a_single_change_needs_no_ablation)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{4, 2, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	CHECK_INT(compare_arms(c), 2);
	CHECK_INT(alone(c, 0), 1);
}

TEST(ablation_can_be_switched_off)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 0, 1}});
	spec.ablation = false;
	CHECK_OK(compare_new(&spec, &c, NULL));
	CHECK_INT(compare_arms(c), 2);
	CHECK_INT(alone(c, 0), -ALONE_OFF);
}

TEST(a_forbidden_ablation_is_left_out)
{
	_cleanup_(space_freep) Space *s =
	    space_of(two_params, "- {vllm_memory_util: 0.6, whisper_model_size: small}\n");
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{4, 0, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	CHECK_INT(compare_arms(c), 3);
	CHECK_INT(compare_arm(c, 2)->dim, 1);
	CHECK_INT(alone(c, 0), -ALONE_NOT_ALLOWED);
	CHECK_INT(alone(c, 1), 2);
}

TEST(a_parameter_that_another_brings_to_life_belongs_to_its_change)
{
	_cleanup_(space_freep) Space *s =
	    space_of("mode: [plain, draft]\n"
		     "draft_tokens: {values: [1, 2, 3], when: {mode: draft}}\n"
		     "seqs: [8, 16]\n",
		     NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	Point baseline = {{0, SPACE_INACTIVE, 0}}, candidate = {{1, 2, 1}};
	CompareSpec spec = spec_of(s, baseline, candidate);
	CHECK_OK(compare_new(&spec, &c, NULL));
	CHECK_INT(compare_arms(c), 4);
	CHECK(point_equal(s, &compare_arm(c, 2)->point, &(Point){{1, 2, 0}}));
	CHECK(point_equal(s, &compare_arm(c, 3)->point, &(Point){{0, SPACE_INACTIVE, 1}}));
	CHECK_INT(alone(c, 0), 2);
	CHECK_INT(alone(c, 1), -ALONE_NOTHING);
}

TEST(a_change_that_brings_all_others_with_it_is_known_by_the_candidate)
{
	_cleanup_(space_freep) Space *s =
	    space_of("mode: [plain, draft]\n"
		     "draft_tokens: {values: [1, 2, 3], when: {mode: draft}}\n",
		     NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{0, SPACE_INACTIVE}}, (Point){{1, 2}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	CHECK_INT(compare_arms(c), 2);
	CHECK_INT(alone(c, 0), 1);
	CHECK_INT(alone(c, 1), -ALONE_NOTHING);
}

TEST(the_order_is_drawn_by_lot_and_repeats_with_the_seed)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 2, 0}});
	spec.n_workloads = 1;
	spec.pairs = 1000;
	_cleanup_(compare_freep) Compare *a = NULL, *b = NULL;
	CHECK_OK(compare_new(&spec, &a, NULL));
	CHECK_OK(compare_new(&spec, &b, NULL));
	size_t baseline_first = 0;
	for (size_t i = 0; i < compare_steps(a); i++) {
		CHECK_INT(compare_step(a, i).arm, compare_step(b, i).arm);
		if (i % 2 == 0)
			baseline_first += compare_step(a, i).arm == 0;
	}
	/* 500 expected, 15.8 standard deviation. */
	CHECK(baseline_first > 437 && baseline_first < 563);
}

TEST(nonsense_is_refused_with_a_sentence)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	Compare *c = NULL;
	Err err = ERR_INIT;
	CompareSpec good = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 2, 0}}), bad = good;
	bad.candidate = bad.baseline;
	CHECK_ERR(compare_new(&bad, &c, &err), EINVAL);
	CHECK(strstr(err.msg, "no parameter differs"));
	bad = good;
	bad.n_workloads = 0;
	CHECK_ERR(compare_new(&bad, &c, &err), EINVAL);
	bad = good;
	bad.pairs = UINT32_MAX;
	CHECK_ERR(compare_new(&bad, &c, &err), EINVAL);
	bad = good;
	bad.confidence = 95;
	CHECK_ERR(compare_new(&bad, &c, &err), EINVAL);
}

/* --- Telling and judging --------------------------------------------------------------------- */

static const Objective objectives[] = {
    {.name = (char *)(uintptr_t) "llm_latency_ms",
     .goal = GOAL_MINIMIZE,
     .weight = 1,
     .worst = 1000,
     .tolerance = 0.1},
};

static const Goals goals = {
    .objectives = {(void *)(uintptr_t)objectives, 1},
    .oom_zero = true,
};

static void tell_value(Compare *c, size_t step, double value)
{
	Measurement m = {.outcome = OUTCOME_OK};
	Metric x = {.name = "llm_latency_ms", .value = value, .lo = 0, .hi = 2000};
	CHECK_OK(measurement_set(&m, &x, NULL));
	CHECK_OK(compare_tell(c, step, &m));
	measurement_done(&m);
}

static void tell_failure(Compare *c, size_t step, Outcome o)
{
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(measurement_fail(&m, o, NULL, "as told by the test"));
	CHECK_OK(compare_tell(c, step, &m));
	measurement_done(&m);
}

TEST(the_candidate_is_paired_with_the_baseline_of_its_block)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 0, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	/* A huge drift from block to block; within a block arm k is 10, 4, 6 ms faster. */
	static const double gain[] = {0, 10, 4, 6};
	for (size_t i = compare_steps(c); i-- > 0;) {
		CompareStep step = compare_step(c, i);
		tell_value(c, i,
			   400 + 20 * step.block - gain[step.arm] +
			       (step.block % 3) * 0.01 * (double)step.arm);
	}
	WinnerReport r = {0};
	CHECK_OK(compare_judge(c, &goals, &r));
	CHECK_INT(r.verdict, WINNER_YES);
	CHECK_INT(r.pairs_used, 12);
	CHECK_NEAR(r.fitness_diff.mean, 0.010, 0.0001);
	winner_report_done(&r);
	CHECK_OK(compare_effect(c, 2, &goals, &r));
	CHECK_NEAR(r.changes[0].diff.mean, -4, 0.1);
	winner_report_done(&r);
	CHECK_OK(compare_effect(c, 3, &goals, &r));
	CHECK_NEAR(r.changes[0].diff.mean, -6, 0.1);
	winner_report_done(&r);
	CHECK_ERR(compare_effect(c, 0, &goals, &r), EINVAL);
	CHECK_ERR(compare_effect(c, 4, &goals, &r), EINVAL);
}

TEST(only_complete_pairs_told_so_far_are_judged)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 2, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	WinnerReport r = {0};
	CHECK_OK(compare_judge(c, &goals, &r));
	CHECK_INT(r.verdict, WINNER_INCONCLUSIVE);
	winner_report_done(&r);
	for (size_t i = 0; i < 7; i++)
		tell_value(c, i, 500 + (double)i);
	CHECK_OK(compare_judge(c, &goals, &r));
	CHECK_INT(r.verdict, WINNER_INCONCLUSIVE);
	CHECK_INT(r.pairs_used, 3);
	winner_report_done(&r);
}

TEST(a_void_measurement_may_be_repeated_and_no_other)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 2, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	Measurement m = {.outcome = OUTCOME_OK};
	tell_failure(c, 3, OUTCOME_CONTENDED);
	tell_failure(c, 3, OUTCOME_CONTENDED);
	CHECK_OK(compare_tell(c, 3, &m));
	CHECK_ERR(compare_tell(c, 3, &m), EEXIST);
	CHECK_ERR(compare_tell(c, compare_steps(c), &m), EINVAL);
}

TEST(a_candidate_that_failed_twice_is_hopeless)
{
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 0, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	size_t n = 0;
	for (size_t i = 0; i < compare_steps(c); i++) {
		size_t arm = compare_step(c, i).arm;
		if (arm == 0 || arm == 2) /* others may fail as often as they like */
			tell_failure(c, i, OUTCOME_CRASHED);
		else if (arm == 1 && compare_step(c, i).block == 0)
			tell_failure(c, i, OUTCOME_CONTENDED); /* void: says nothing */
		else if (arm == 1 && compare_step(c, i).block < 3) {
			CHECK(!compare_hopeless(c, &goals));
			tell_failure(c, i, n++ ? OUTCOME_START_FAILED : OUTCOME_OOM);
		}
	}
	CHECK(compare_hopeless(c, &goals));
	WinnerReport r = {0};
	CHECK_OK(compare_judge(c, &goals, &r));
	CHECK_INT(r.verdict, WINNER_INVALID);
	winner_report_done(&r);
}

TEST(a_candidate_that_broke_a_constraint_twice_is_hopeless_too)
{
	Constraint constraints[] = {
	    {.name = (char *)(uintptr_t) "llm_latency_ms", .min = (double)NAN, .max = 500}};
	Goals strict = goals;
	strict.constraints = (ConfList){constraints, 1};
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 0, 0}});
	CHECK_OK(compare_new(&spec, &c, NULL));
	for (size_t i = 0; i < compare_steps(c); i++) {
		CompareStep step = compare_step(c, i);
		bool breaks = step.arm == 1 && (step.block == 1 || step.block == 4);
		/* The baseline may break what it likes: it is what production has. */
		CHECK_INT(compare_hopeless(c, &strict), false);
		tell_value(c, i, step.arm == 0 || breaks ? 600 : 300);
		if (step.arm == 1 && step.block == 4)
			break;
	}
	CHECK(compare_hopeless(c, &strict));
	CHECK(!compare_hopeless(c, &goals));
	WinnerReport r = {0};
	CHECK_OK(compare_judge(c, &strict, &r));
	CHECK_INT(r.verdict, WINNER_INVALID);
	winner_report_done(&r);
}

/* A box whose latency depends on workload and drifts as a random walk; every measurement has noise
 * of its own. The candidate's true latency is (1 - gain) of the baseline's. */
static WinnerVerdict simulate(const Space *s, uint64_t seed, double gain, double noise)
{
	_cleanup_(compare_freep) Compare *c = NULL;
	CompareSpec spec = spec_of(s, (Point){{2, 2, 0}}, (Point){{3, 2, 0}});
	spec.seed = seed;
	CHECK_OK(compare_new(&spec, &c, NULL));
	Rng rng = rng_derive(seed, "box", 0);
	double drift = 1;
	for (size_t i = 0; i < compare_steps(c); i++) {
		CompareStep step = compare_step(c, i);
		drift *= 1 + 0.005 * rng_normal(&rng);
		double latency = step.workload == 0 ? 400 : 600;
		if (step.arm == 1)
			latency *= 1 - gain;
		tell_value(c, i, latency * drift * (1 + noise * rng_normal(&rng)));
	}
	WinnerReport r = {0};
	CHECK_OK(compare_judge(c, &goals, &r));
	WinnerVerdict v = r.verdict;
	winner_report_done(&r);
	return v;
}

TEST(equal_configurations_rarely_yield_a_winner)
{
	enum {
		RUNS = 3000
	};
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	int wins = 0;
	for (uint64_t seed = 0; seed < RUNS; seed++)
		wins += simulate(s, seed, 0, 0.03) == WINNER_YES;
	printf("# false winners: %d of %d\n", wins, RUNS);
	CHECK(wins <= RUNS * 0.035);
}

TEST(a_real_gain_of_five_percent_is_usually_found)
{
	enum {
		RUNS = 1000
	};
	_cleanup_(space_freep) Space *s = space_of(two_params, NULL);
	int wins = 0;
	for (uint64_t seed = 0; seed < RUNS; seed++)
		wins += simulate(s, seed, 0.05, 0.03) == WINNER_YES;
	printf("# a gain of 5 %% under 3 %% noise, 2 x 6 pairs: found in %d of %d\n", wins, RUNS);
	CHECK(wins > RUNS * 0.9);
}
