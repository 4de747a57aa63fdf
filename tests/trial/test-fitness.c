/* The seeds' numbers, the presets, and what makes fitness zero. */
#include "base/rng.h"
#include "test.h"
#include "trial/objective.h"

static void set(Measurement *m, const char *name, double value, double se)
{
	Metric x = {.value = value, .se = se, .lo = (double)NAN, .hi = (double)NAN};
	snprintf(x.name, sizeof(x.name), "%s", name);
	CHECK_OK(measurement_set(m, &x, NULL));
}

static Measurement seed_measurement(double stt, double llm, double memory, double capacity)
{
	Measurement m = {.outcome = OUTCOME_OK};
	set(&m, "stt_latency_ms", stt, 0);
	set(&m, "llm_latency_ms", llm, 0);
	set(&m, "gpu_memory_pct", memory, 0);
	set(&m, "concurrent_capacity", capacity, 0);
	set(&m, "oom_events", 0, 0);
	return m;
}

static double seed_fitness(double stt, double llm, double memory, double capacity)
{
	Goals g = {0};
	CHECK_OK(goals_seed_default(&g));
	Measurement m = seed_measurement(stt, llm, memory, capacity);
	Fitness f = fitness_of(&g, &m);
	CHECK(f.feasible && f.complete);
	measurement_done(&m);
	goals_done(&g);
	return f.value;
}

TEST(the_documents_printed_fitness_is_reproduced)
{
	CHECK_NEAR(seed_fitness(999, 999, 90.4, 5), 0.309, 0.0005);
	CHECK_NEAR(seed_fitness(44.0, 999, 90.4, 5), 0.537, 0.0005);
	CHECK_NEAR(seed_fitness(300, 600, 73, 16), 0.654, 0.0005);
}

TEST(fitness_stays_between_zero_and_one)
{
	CHECK_NEAR(seed_fitness(-5, -5, 70, 400), 1, 1e-12);
	CHECK_NEAR(seed_fitness(1e9, 1e9, 1e9, -3), 0.2, 1e-12);
}

TEST(any_oom_gives_zero)
{
	Goals g = {0};
	CHECK_OK(goals_seed_default(&g));
	Measurement m = seed_measurement(44, 300, 70, 20);
	set(&m, "oom_events", 1, 0);
	Fitness f = fitness_of(&g, &m);
	CHECK_NEAR(f.value, 0, 0);
	CHECK(!f.feasible);

	g.oom_zero = false;
	CHECK(fitness_of(&g, &m).value > 0.5);
	measurement_done(&m);
	goals_done(&g);
}

TEST(a_trial_that_did_not_end_ok_has_fitness_zero)
{
	Goals g = {0};
	CHECK_OK(goals_seed_default(&g));
	Measurement m = seed_measurement(44, 300, 70, 20);
	for (Outcome o = 0; o < OUTCOME_MAX_; o++) {
		m.outcome = o;
		Fitness f = fitness_of(&g, &m);
		CHECK_INT(f.feasible, o == OUTCOME_OK);
		CHECK_INT(f.value > 0, o == OUTCOME_OK);
	}
	measurement_done(&m);
	goals_done(&g);
}

TEST(a_missing_metric_scores_zero_and_is_named)
{
	Goals g = {0};
	CHECK_OK(goals_seed_default(&g));
	Measurement m = {.outcome = OUTCOME_OK};
	set(&m, "stt_latency_ms", 0, 0);
	set(&m, "oom_events", 0, 0);
	set(&m, "gpu_memory_pct", 70, 0);
	Fitness f = fitness_of(&g, &m);
	CHECK_NEAR(f.value, 0.25 + 0.2 + 0.1, 1e-12);
	CHECK(f.feasible);
	CHECK(!f.complete);
	CHECK_STR(f.missing, "llm_latency_ms");
	measurement_done(&m);
	goals_done(&g);
}

TEST(weights_count_relative_to_their_sum)
{
	Objective o[] = {
	    {.name = (char[]){"a"}, .goal = GOAL_MAXIMIZE, .weight = 3, .best = 1},
	    {.name = (char[]){"b"}, .goal = GOAL_MAXIMIZE, .weight = 1, .best = 1},
	};
	Goals g = {.objectives = {.items = o, .n = 2}};
	Measurement m = {.outcome = OUTCOME_OK};
	set(&m, "a", 1, 0);
	set(&m, "b", 0, 0);
	CHECK_NEAR(fitness_of(&g, &m).value, 0.75, 1e-12);
	measurement_done(&m);
}

TEST(a_broken_or_unmeasured_constraint_gives_zero_and_is_named)
{
	Objective o = {.name = (char[]){"a"}, .goal = GOAL_MAXIMIZE, .weight = 1, .best = 1};
	Constraint c[] = {{.name = (char[]){"wer_pct"}, .min = (double)NAN, .max = 6},
			  {.name = (char[]){"tokens"}, .min = 10, .max = (double)NAN}};
	Goals g = {.objectives = {&o, 1}, .constraints = {c, 2}};
	Measurement m = {.outcome = OUTCOME_OK};
	set(&m, "a", 1, 0);
	set(&m, "wer_pct", 6, 0);
	Fitness f = fitness_of(&g, &m);
	CHECK_STR(f.missing, "tokens");
	CHECK_STR(f.violated, "");
	CHECK(!f.feasible);
	CHECK(f.complete);

	set(&m, "tokens", 10, 0);
	CHECK_NEAR(fitness_of(&g, &m).value, 1, 0);
	set(&m, "wer_pct", 6.01, 0);
	f = fitness_of(&g, &m);
	CHECK_NEAR(f.value, 0, 0);
	CHECK_STR(f.violated, "wer_pct");
	set(&m, "wer_pct", 5, 0);
	set(&m, "tokens", 9, 0);
	CHECK_STR(fitness_of(&g, &m).violated, "tokens");
	measurement_done(&m);
}

/* Ground truth: draw the metrics many times and look at how much the fitness spreads. */
TEST(the_standard_error_agrees_with_repeated_draws)
{
	Goals g = {0};
	CHECK_OK(goals_seed_default(&g));
	Rng rng = rng_derive(1, "test", 0);
	double sum = 0, sum2 = 0;
	enum {
		DRAWS = 20000
	};
	for (int i = 0; i < DRAWS; i++) {
		Measurement m =
		    seed_measurement(300 + 8 * rng_normal(&rng), 600 + 20 * rng_normal(&rng),
				     78 + 1.5 * rng_normal(&rng), 9 + 0.5 * rng_normal(&rng));
		double f = fitness_of(&g, &m).value;
		sum += f;
		sum2 += f * f;
		measurement_done(&m);
	}
	double sd = sqrt(sum2 / DRAWS - (sum / DRAWS) * (sum / DRAWS));

	Measurement m = {.outcome = OUTCOME_OK};
	set(&m, "stt_latency_ms", 300, 8);
	set(&m, "llm_latency_ms", 600, 20);
	set(&m, "gpu_memory_pct", 78, 1.5);
	set(&m, "oom_events", 0, 0);
	Metric capacity = {.name = "concurrent_capacity", .value = 9};
	capacity.lo = 9 - 1.96 * 0.5, capacity.hi = 9 + 1.96 * 0.5; /* only an interval */
	CHECK_OK(measurement_set(&m, &capacity, NULL));
	CHECK_NEAR(fitness_of(&g, &m).se / sd, 1, 0.03);
	measurement_done(&m);
	goals_done(&g);
}

TEST(a_metric_beyond_its_range_adds_no_uncertainty)
{
	Objective o = {.name = (char[]){"a"}, .goal = GOAL_MINIMIZE, .weight = 1, .worst = 500};
	Goals g = {.objectives = {&o, 1}};
	Measurement m = {.outcome = OUTCOME_OK};
	set(&m, "a", 999, 50);
	CHECK_NEAR(fitness_of(&g, &m).se, 0, 0);
	set(&m, "a", 250, 50);
	CHECK_NEAR(fitness_of(&g, &m).se, 0.1, 1e-12);
	measurement_done(&m);
}

TEST(regress_is_a_share_of_the_baseline)
{
	Objective down = {.goal = GOAL_MINIMIZE, .worst = 500};
	Objective up = {.goal = GOAL_MAXIMIZE, .best = 20};
	Objective at = {.goal = GOAL_TARGET, .target = 70, .width = 50};
	CHECK_NEAR(objective_regress(&down, 200, 220), 0.1, 1e-12);
	CHECK_NEAR(objective_regress(&down, 200, 150), -0.25, 1e-12);
	CHECK_NEAR(objective_regress(&up, 10, 8), 0.2, 1e-12);
	CHECK_NEAR(objective_regress(&at, 75, 60), 0.1, 1e-12);
	/* From nothing there is no share: the range stands in. */
	CHECK_NEAR(objective_regress(&down, 0, 50), 0.1, 1e-12);
}

TEST(each_scenario_prefers_what_its_document_describes)
{
	/* tiny: fast and 7.5 % of the words wrong; small: slower and 3.4 %; large: room for 14. */
	static const struct {
		const char *name;
		double stt, llm, memory, capacity, wer;
	} points[] = {
	    {"fast", 44, 580, 62, 3.4, 7.5},
	    {"wide", 48, 640, 74, 14, 7.5},
	    {"good", 300, 640, 76, 8.8, 3.4},
	};
	static const char *const wanted[] = {"fast", "wide", "good"};
	for (size_t s = 0; goals_scenarios[s]; s++) {
		Goals g = {0};
		CHECK_OK(goals_scenario(goals_scenarios[s], &g));
		CHECK(g.oom_zero);
		const char *best = NULL;
		double best_fitness = 0;
		for (size_t i = 0; i < 3; i++) {
			Measurement m = seed_measurement(points[i].stt, points[i].llm,
							 points[i].memory, points[i].capacity);
			set(&m, "wer_pct", points[i].wer, 0);
			double f = fitness_of(&g, &m).value;
			if (f > best_fitness) {
				best_fitness = f;
				best = points[i].name;
			}
			measurement_done(&m);
		}
		CHECK_STR(best, wanted[s]);
		goals_done(&g);
	}
}

TEST(the_weights_of_every_preset_sum_to_one)
{
	for (size_t s = 0; s < 4; s++) {
		Goals g = {0};
		if (s < 3)
			CHECK_OK(goals_scenario(goals_scenarios[s], &g));
		else
			CHECK_OK(goals_seed_default(&g));
		double sum = 0;
		const Objective *o = g.objectives.items;
		for (size_t i = 0; i < g.objectives.n; i++)
			sum += o[i].weight;
		CHECK_NEAR(sum, 1, 1e-12);
		goals_done(&g);
	}
}

TEST(an_unknown_scenario_is_not_there)
{
	Goals g = {0};
	CHECK_ERR(goals_scenario("throughput", &g), ENOENT);
}
