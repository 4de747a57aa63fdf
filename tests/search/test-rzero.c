/* R-Zero as the documents promise it, and none of what went wrong with the first one. */
#include "problems.h"

enum {
	ASKS_MAX = 4096,
};

static SearchAsk asks[ASKS_MAX];

static double all_equal(const Space *s, const Point *p)
{
	(void)s;
	(void)p;
	return 0.537;
}

static const Problem equal_problem = {"all equal", GRID3, all_equal};

TEST(a_generation_is_ten_candidates_and_then_the_survivors_and_eight_new_ones)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	Point baseline = {.level = {5, 5, 5}};
	SearchSpec spec = seeds_spec("rzero", s, 1);
	spec.baseline = &baseline;
	_cleanup_(search_freep) Search *search = NULL;
	size_t n, in[4] = {0}, fresh[4] = {0};
	CHECK_OK(search_new(&spec, &search, NULL));
	CHECK_INT((intmax_t)search_remaining(search), 10 + 3 * 8);
	run_search(search, &problems[0], s, asks, ASKS_MAX, &n);
	CHECK_INT((intmax_t)n, 10 + 3 * 8);
	for (size_t i = 0; i < n; i++) {
		CHECK(asks[i].generation < 4);
		in[asks[i].generation]++;
		fresh[asks[i].generation] += asks[i].origin == ORIGIN_FRESH;
		if (asks[i].generation == 0)
			CHECK_INT(asks[i].origin, i == 0 ? ORIGIN_BASELINE : ORIGIN_RANDOM);
	}
	CHECK_INT((intmax_t)in[0], 10);
	for (size_t g = 1; g < 4; g++) {
		CHECK_INT((intmax_t)in[g], 8);
		CHECK_INT((intmax_t)fresh[g], 1);
	}
	CHECK_INT(search_stopped(search), SEARCH_STOP_GENERATIONS);
}

TEST(nothing_more_is_asked_before_the_generation_is_told)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	SearchSpec spec = seeds_spec("rzero", s, 1);
	_cleanup_(search_freep) Search *search = NULL;
	CHECK_OK(search_new(&spec, &search, NULL));
	for (size_t i = 0; i < 10; i++)
		CHECK_INT(search_ask(search, &asks[i], NULL), 1);
	SearchAsk more;
	for (size_t i = 0; i < 10; i++) {
		CHECK_INT(search_ask(search, &more, NULL), 0);
		CHECK_INT(search_stopped(search), SEARCH_RUNNING);
		SearchTell t = tell_of(&problems[0], s, &asks[i]);
		CHECK_OK(search_tell(search, &t, NULL));
	}
	CHECK_INT(search_ask(search, &more, NULL), 1);
	CHECK_INT(more.generation, 1);
}

/* The best candidate of every generation so far is among the survivors of the last. */
TEST(the_best_is_always_kept)
{
	for (uint64_t seed = 0; seed < 100; seed++) {
		const Problem *pr = &problems[seed % N_PROBLEMS];
		_cleanup_(space_freep) Space *s = space_from(pr->space);
		SearchSpec spec = seeds_spec("rzero", s, seed);
		_cleanup_(search_freep) Search *search = NULL;
		CHECK_OK(search_new(&spec, &search, NULL));
		double best = run_search(search, pr, s, NULL, ASKS_MAX, NULL);
		Point p[4];
		size_t n = search_survivors(search, p, 4);
		if (n != 2 || pr->value(s, &p[0]) != best || pr->value(s, &p[1]) > best)
			test_fail(__FILE__, __LINE__, "%s, seed %" PRIu64, pr->name, seed);
	}
}

/* In the first version every generation ended as three copies of the first element of the space. */
TEST(equal_fitness_gives_neither_clones_nor_a_favourite)
{
	size_t first_kept = 0, low = 0;
	for (uint64_t seed = 0; seed < 400; seed++) {
		_cleanup_(space_freep) Space *s = space_from(GRID3);
		Point baseline = {{0}}, kept[2];
		SearchSpec spec = seeds_spec("rzero", s, seed);
		spec.baseline = &baseline;
		_cleanup_(search_freep) Search *search = NULL;
		CHECK_OK(search_new(&spec, &search, NULL));
		size_t n;
		run_search(search, &equal_problem, s, asks, ASKS_MAX, &n);
		for (size_t a = 0; a < n; a++)
			for (size_t b = 0; b < a; b++)
				CHECK(!point_equal(s, &asks[a].point, &asks[b].point));
		CHECK_INT((intmax_t)search_survivors(search, kept, 2), 2);
		for (size_t k = 0; k < 2; k++) {
			first_kept += point_equal(s, &kept[k], &baseline);
			size_t at = 0;
			while (!point_equal(s, &asks[at].point, &kept[k]))
				at++;
			low += asks[at].generation < 3;
		}
	}
	/* By lot it survives four rounds of about 2 in 10 each. */
	CHECK(first_kept < 20);
	CHECK(low > 40); /* nor are the newest always preferred */
}

TEST(a_plateau_ends_the_search_early)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	SearchSpec spec = seeds_spec("rzero", s, 1);
	spec.max_generations = 50;
	spec.patience_gens = 3;
	_cleanup_(search_freep) Search *search = NULL;
	size_t n;
	CHECK_OK(search_new(&spec, &search, NULL));
	run_search(search, &equal_problem, s, asks, ASKS_MAX, &n);
	CHECK_INT(search_stopped(search), SEARCH_STOP_PLATEAU);
	CHECK_INT(search_generation(search), 3);
	CHECK_INT((intmax_t)n, 10 + 3 * 8);
}

TEST(children_name_their_parents_and_what_differs)
{
	size_t crossed = 0, mutated = 0;
	for (uint64_t seed = 0; seed < 30; seed++) {
		const Problem *pr = &problems[seed % N_PROBLEMS];
		_cleanup_(space_freep) Space *s = space_from(pr->space);
		SearchSpec spec = seeds_spec("rzero", s, seed);
		_cleanup_(search_freep) Search *search = NULL;
		size_t n;
		CHECK_OK(search_new(&spec, &search, NULL));
		run_search(search, pr, s, asks, ASKS_MAX, &n);
		for (size_t i = 0; i < n; i++) {
			const SearchAsk *a = &asks[i];
			bool child = a->origin == ORIGIN_CROSSOVER || a->origin == ORIGIN_MUTATION;
			CHECK((a->parents[0] >= 0) == child);
			CHECK((a->parents[1] >= 0) == (a->origin == ORIGIN_CROSSOVER));
			crossed += a->origin == ORIGIN_CROSSOVER;
			mutated += a->origin == ORIGIN_MUTATION;
			if (!child)
				continue;
			const SearchAsk *from = &asks[a->parents[0]];
			CHECK(from->generation < a->generation);
			uint32_t bits = 0;
			for (size_t d = 0; d < space_dims(s); d++)
				if (from->point.level[d] != a->point.level[d])
					bits |= UINT32_C(1) << d;
			CHECK_INT(a->mutated, bits);
			CHECK(bits != 0);
		}
	}
	CHECK(crossed > 50 && mutated > 50);
}

/* Survivors come back with the result they have, and the search goes on from them. */
TEST(survivors_of_the_last_evolution_take_part_without_being_measured_again)
{
	size_t descended = 0;
	for (uint64_t seed = 0; seed < 40; seed++) {
		_cleanup_(space_freep) Space *s = space_from(GRID3);
		SearchKnown known[3] = {
		    {{.level = {13, 13, 12}}, OUTCOME_OK, 0.99, 0, true},
		    {{.level = {13, 12, 12}}, OUTCOME_OK, 0.98, 0, true},
		    {{.level = {1, 1, 1}}, OUTCOME_OK, 0.97, 0, false},
		};
		SearchSpec spec = seeds_spec("rzero", s, seed);
		spec.known = known;
		spec.n_known = 3;
		_cleanup_(search_freep) Search *search = NULL;
		size_t n;
		CHECK_OK(search_new(&spec, &search, NULL));
		run_search(search, &problems[0], s, asks, ASKS_MAX, &n);
		for (size_t i = 0; i < n; i++) {
			for (size_t k = 0; k < 3; k++)
				CHECK(!point_equal(s, &asks[i].point, &known[k].point));
			if (asks[i].generation == 0)
				CHECK_INT((intmax_t)asks[i].parents[0], -1);
			CHECK(asks[i].parents[0] != -4 && asks[i].parents[1] != -4);
			descended += asks[i].parents[0] == -2 || asks[i].parents[0] == -3;
		}
		CHECK_INT((intmax_t)n, 8 + 3 * 8);
	}
	CHECK(descended > 100);
}

TEST(a_survivor_whose_result_was_void_is_asked_for_first)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	SearchKnown known = {{.level = {4, 5, 6}}, OUTCOME_CONTENDED, 0, 0, true};
	SearchSpec spec = seeds_spec("rzero", s, 5);
	spec.known = &known;
	spec.n_known = 1;
	_cleanup_(search_freep) Search *search = NULL;
	SearchAsk a;
	CHECK_OK(search_new(&spec, &search, NULL));
	CHECK_INT(search_ask(search, &a, NULL), 1);
	CHECK(point_equal(s, &a.point, &known.point));
	CHECK_INT(a.origin, ORIGIN_WARM);
	CHECK(!a.repeat);
}

/* Measured fitness with an error that shrinks when readings are combined. */
TEST(under_noise_the_best_is_measured_again_on_purpose_until_it_is_known_well_enough)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	SearchSpec spec = seeds_spec("rzero", s, 9);
	spec.max_generations = 12;
	spec.noise = 0.05;
	_cleanup_(search_freep) Search *search = NULL;
	CHECK_OK(search_new(&spec, &search, NULL));
	size_t repeats[20 * 20 * 20] = {0}, total = 0;
	SearchAsk a;
	while (search_ask(search, &a, NULL) == 1) {
		SearchTell t = tell_of(&problems[0], s, &a);
		t.se = 0.1;
		CHECK(a.repeat == (a.origin == ORIGIN_ELITE));
		size_t at = (a.point.level[0] * 20 + a.point.level[1]) * 20 + a.point.level[2];
		CHECK(a.repeat == (repeats[at] > 0));
		repeats[at]++;
		total += a.repeat;
		/* 0.1 / sqrt(n) is below 0.05 of a fitness near 1 from the fifth reading on. */
		CHECK(repeats[at] <= 6);
		CHECK_OK(search_tell(search, &t, NULL));
	}
	CHECK(total >= 3);
}

TEST(a_candidate_that_failed_once_in_a_repeat_no_longer_leads)
{
	_cleanup_(space_freep) Space *s = space_from("search_space: {a: {min: 1, max: 40}}");
	SearchSpec spec = seeds_spec("rzero", s, 2);
	spec.noise = 0.01;
	_cleanup_(search_freep) Search *search = NULL;
	CHECK_OK(search_new(&spec, &search, NULL));
	SearchAsk a;
	uint32_t failed = UINT32_MAX;
	while (search_ask(search, &a, NULL) == 1) {
		SearchTell t = {a.number, OUTCOME_OK, 0.2 + 0.01 * a.point.level[0], 0.05, NULL};
		if (a.repeat && failed == UINT32_MAX) {
			failed = a.point.level[0];
			t.outcome = OUTCOME_OOM;
			t.fitness = 0;
		} else if (a.repeat) {
			CHECK(a.point.level[0] != failed);
		}
		CHECK_OK(search_tell(search, &t, NULL));
	}
	CHECK(failed != UINT32_MAX);
	Point best;
	CHECK_INT((intmax_t)search_survivors(search, &best, 1), 1);
	CHECK(best.level[0] != failed);
}

/* With elitism off, who survives is decided by tournaments alone: the best often, not always. */
TEST(tournaments_prefer_the_better_without_certainty)
{
	size_t best_kept = 0, worst_kept = 0;
	for (uint64_t seed = 0; seed < 300; seed++) {
		_cleanup_(space_freep) Space *s =
		    space_from("search_space: {a: {min: 1, max: 10}}");
		SearchSpec spec = seeds_spec("rzero", s, seed);
		spec.elitism = 0;
		spec.max_generations = 1;
		_cleanup_(search_freep) Search *search = NULL;
		Point p[2];
		CHECK_OK(search_new(&spec, &search, NULL));
		CHECK_NEAR(run_search(search, &problems[0], s, NULL, ASKS_MAX, NULL), 1, 0.01);
		CHECK_INT((intmax_t)search_survivors(search, p, 2), 2);
		for (size_t i = 0; i < 2; i++) {
			best_kept += p[i].level[0] == 6;
			worst_kept += p[i].level[0] == 0;
		}
	}
	/* 4 of 10, then about 4 of 9: 1 - 0.6 * 5/9 = 2/3 for the best; never for the worst three.
	 */
	CHECK(best_kept > 170 && best_kept < 230);
	CHECK_INT((intmax_t)worst_kept, 0);
}

/* More candidates than the space has, tiny populations, more survivors than members. */
TEST(odd_knobs_still_give_a_search_that_ends)
{
	static const uint32_t knobs[][6] = {
	    {1, 30, 4, 2, 1, 1},    {2, 30, 1, 2, 2, 5},   {3, 30, 9, 9, 0, 0},
	    {100, 3, 4, 50, 50, 1}, {5, 30, 4, 2, 1, 100},
	};
	for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++) {
		_cleanup_(space_freep) Space *s =
		    space_from("search_space: {a: {min: 1, max: 5}, b: [x, y, z]}");
		SearchSpec spec = {.strategy = "rzero",
				   .space = s,
				   .max_candidates = knobs[i][0],
				   .max_generations = knobs[i][1],
				   .tournament_size = knobs[i][2],
				   .survivors = knobs[i][3],
				   .elitism = knobs[i][4],
				   .fresh_inject = knobs[i][5]};
		_cleanup_(search_freep) Search *search = NULL;
		size_t n;
		CHECK_OK(search_new(&spec, &search, NULL));
		run_search(search, &problems[0], s, asks, ASKS_MAX, &n);
		CHECK_INT((intmax_t)n, 15);
		CHECK_INT(search_stopped(search), SEARCH_STOP_EXHAUSTED);
	}
}

static double mean_best(const char *strategy, const Problem *pr)
{
	double sum = 0;
	_cleanup_(space_freep) Space *s = space_from(pr->space);
	for (uint64_t seed = 0; seed < 200; seed++) {
		SearchSpec spec = seeds_spec(strategy, s, seed);
		/* The same number of measurements for both. */
		spec.max_generations = 10;
		_cleanup_(search_freep) Search *search = NULL;
		CHECK_OK(search_new(&spec, &search, NULL));
		sum += run_search(search, pr, s, NULL, 80, NULL);
	}
	return sum / 200;
}

/* The best value of each space, by trying all of it. */
static double optimum(const Problem *pr)
{
	_cleanup_(space_freep) Space *s = space_from(pr->space);
	double best = 0;
	Point p;
	for (bool more = space_first(s, &p); more; more = space_next(s, &p)) {
		double v = pr->value(s, &p);
		best = v > best ? v : best;
	}
	return best;
}

TEST(it_beats_random_draws_where_good_candidates_lie_together_and_never_does_much_worse)
{
	for (size_t i = 0; i < N_PROBLEMS; i++) {
		const Problem *pr = &problems[i];
		double top = optimum(pr), rzero = top - mean_best("rzero", pr),
		       random = top - mean_best("random", pr);
		printf("# %s: regret after 80 trials: rzero %.4f, random %.4f\n", pr->name, rzero,
		       random);
		bool smooth = pr->value == sphere || pr->value == categorical;
		if (smooth ? rzero > 0.6 * random : rzero > 1.25 * random + 0.01)
			test_fail(__FILE__, __LINE__, "%s: rzero %.4f, random %.4f", pr->name,
				  rzero, random);
	}
}
