/* What every strategy promises: candidates that are allowed, feasible, in the space and new, the
 * same ones for the same inputs, and an honest end. */
#include "problems.h"

static const char *const names[] = {"rzero", "random", "grid"};

enum {
	N_NAMES = 3,
	ASKS_MAX = 2048,
};

static bool same_ask(const Space *s, const SearchAsk *a, const SearchAsk *b)
{
	return a->number == b->number && point_equal(s, &a->point, &b->point) &&
	       a->origin == b->origin && a->generation == b->generation &&
	       a->parents[0] == b->parents[0] && a->parents[1] == b->parents[1] &&
	       a->mutated == b->mutated && a->repeat == b->repeat;
}

static bool odd_sum(void *userdata, const Point *p)
{
	const Space *s = userdata;
	if (!space_allows(s, p, NULL))
		test_fail(__FILE__, __LINE__, "asked about a forbidden point");
	uint32_t sum = 0;
	for (size_t d = 0; d < space_dims(s); d++)
		sum += p->level[d] == SPACE_INACTIVE ? 0 : p->level[d];
	return sum % 2 == 1;
}

TEST(every_strategy_is_listed_with_a_name_and_a_sentence)
{
	size_t n = 0;
	for (const SearchStrategy *st; (st = search_strategy(n)); n++)
		CHECK(st->name && st->help && st->version > 0);
	CHECK_INT((intmax_t)n, N_NAMES);
}

TEST(unknown_strategies_and_knobs_out_of_range_are_refused)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	Err err = ERR_INIT;
	Search *search = NULL;
	SearchSpec spec = seeds_spec("genetic", s, 1);
	CHECK_ERR(search_new(&spec, &search, &err), ENOENT);
	CHECK_STR(err.msg, "no search strategy is called genetic");
	for (int i = 0; i < 6; i++) {
		spec = seeds_spec("rzero", s, 1);
		*(i == 0   ? &spec.max_candidates
		  : i == 1 ? &spec.max_generations
		  : i == 2 ? &spec.tournament_size
			   : &spec.survivors) = 0;
		spec.elitism = i == 4 ? 3 : spec.elitism;
		spec.noise = i == 5 ? -1 : 0;
		spec.survivors = i > 3 ? 2 : spec.survivors;
		CHECK_ERR(search_new(&spec, &search, &err), EINVAL);
	}
	CHECK(!search);
}

TEST(a_baseline_outside_hard_bounds_is_refused_with_the_reason)
{
	_cleanup_(space_freep) Space *s =
	    space_from("search_space: {u: [0.4, 0.5, 0.8]}\nbounds: {u: {max: 0.7}}\n");
	Err err = ERR_INIT;
	Search *search = NULL;
	Point p = {.level = {2}};
	SearchSpec spec = seeds_spec("rzero", s, 1);
	spec.baseline = &p;
	CHECK_ERR(search_new(&spec, &search, &err), EINVAL);
	CHECK_STR(err.msg, "the baseline cannot be measured: u 0.8 is above its hard bound 0.7");
}

/* On every problem, with a predicate that refuses half of the space and with hard bounds. */
TEST(asks_are_allowed_feasible_canonical_and_distinct)
{
	static SearchAsk asks[ASKS_MAX];
	for (size_t i = 0; i < N_PROBLEMS * N_NAMES; i++) {
		const Problem *pr = &problems[i / N_NAMES];
		_cleanup_(str_done) Str y = STR_INIT;
		bool bound = pr->space == problems[0].space;
		str_addf(&y, "%s%s", pr->space,
			 bound ? "bounds: {a: {min: 15}}\nforbid: [{b: [1, 2], c: 3}]\n" : "");
		_cleanup_(space_freep) Space *s = space_from(y.s);
		for (uint64_t seed = 0; seed < 20; seed++) {
			SearchSpec spec = seeds_spec(names[i % N_NAMES], s, seed);
			spec.feasible = odd_sum;
			spec.feasible_userdata = s;
			_cleanup_(search_freep) Search *search = NULL;
			CHECK_OK(search_new(&spec, &search, NULL));
			size_t n;
			run_search(search, pr, s, asks, ASKS_MAX, &n);
			for (size_t a = 0; a < n; a++) {
				Point canonical = asks[a].point;
				space_canonical(s, &canonical);
				bool ok = asks[a].number == a &&
					  space_allows(s, &asks[a].point, NULL) &&
					  odd_sum(s, &asks[a].point) &&
					  point_equal(s, &canonical, &asks[a].point);
				for (size_t b = 0; b < a; b++)
					ok = ok && !point_equal(s, &asks[a].point, &asks[b].point);
				if (!ok)
					test_fail(__FILE__, __LINE__,
						  "%s on %s, seed %" PRIu64 ", ask %zu",
						  names[i % N_NAMES], pr->name, seed, a);
			}
			CHECK(n >= 10);
			CHECK(search_stopped(search) != SEARCH_RUNNING);
		}
	}
}

/* Asks as many as it gets, then tells them in an order drawn by lot, again and again. */
static size_t run_shuffled(Search *search, const Problem *pr, const Space *s, uint64_t order,
			   SearchAsk *ret)
{
	size_t n = 0, told = 0;
	Rng r = rng_derive(order, "order", 0);
	for (;;) {
		int e = 0;
		while (n < ASKS_MAX && (e = search_ask(search, &ret[n], NULL)) == 1)
			n++;
		CHECK_OK(e);
		if (n == told)
			return n;
		size_t left = n - told, at[ASKS_MAX];
		for (size_t i = 0; i < left; i++)
			at[i] = told + i;
		for (; left > 0; left--, told++) {
			size_t pick = order ? (size_t)rng_below(&r, left) : 0;
			SearchTell t = tell_of(pr, s, &ret[at[pick]]);
			CHECK_OK(search_tell(search, &t, NULL));
			for (size_t i = pick; i + 1 < left; i++)
				at[i] = at[i + 1];
		}
	}
}

TEST(tells_in_any_order_give_the_same_asks)
{
	static SearchAsk first[ASKS_MAX], again[ASKS_MAX];
	for (size_t i = 0; i < N_PROBLEMS * N_NAMES; i++) {
		const Problem *pr = &problems[i / N_NAMES];
		_cleanup_(space_freep) Space *s = space_from(pr->space);
		size_t n = 0;
		for (uint64_t order = 0; order < 8; order++) {
			SearchSpec spec = seeds_spec(names[i % N_NAMES], s, 42);
			_cleanup_(search_freep) Search *search = NULL;
			CHECK_OK(search_new(&spec, &search, NULL));
			size_t got = run_shuffled(search, pr, s, order, order ? again : first);
			n = order ? n : got;
			CHECK_INT((intmax_t)got, (intmax_t)n);
			for (size_t a = 0; order && a < n; a++)
				if (!same_ask(s, &first[a], &again[a]))
					test_fail(__FILE__, __LINE__,
						  "%s on %s, order %" PRIu64 ", ask %zu",
						  names[i % N_NAMES], pr->name, order, a);
		}
	}
}

/* How a run resumes: a new search is asked and told what the store kept, and goes on the same. */
TEST(a_replayed_search_goes_on_where_the_first_one_was)
{
	static SearchAsk whole[ASKS_MAX];
	for (size_t i = 0; i < N_PROBLEMS * N_NAMES; i++) {
		const Problem *pr = &problems[i / N_NAMES];
		_cleanup_(space_freep) Space *s = space_from(pr->space);
		SearchSpec spec = seeds_spec(names[i % N_NAMES], s, 7);
		size_t n;
		_cleanup_(search_freep) Search *search = NULL;
		CHECK_OK(search_new(&spec, &search, NULL));
		run_search(search, pr, s, whole, ASKS_MAX, &n);
		for (size_t cut = 0; cut < n; cut += 3) {
			_cleanup_(search_freep) Search *resumed = NULL;
			CHECK_OK(search_new(&spec, &resumed, NULL));
			for (size_t a = 0; a < n; a++) {
				SearchAsk ask;
				CHECK_INT(search_ask(resumed, &ask, NULL), 1);
				CHECK(same_ask(s, &ask, &whole[a]));
				if (a == cut)
					break; /* killed while this one was pending */
				SearchTell t = tell_of(pr, s, &ask);
				CHECK_OK(search_tell(resumed, &t, NULL));
			}
		}
	}
}

static bool few_feasible(void *userdata, const Point *p)
{
	(void)userdata;
	return p->level[0] == 3 && p->level[1] % 7 == 0;
}

/* Eight thousand points, sixty of them feasible: found without being near each other. */
TEST(a_small_feasible_part_is_measured_completely_and_then_the_search_says_so)
{
	static SearchAsk asks[ASKS_MAX];
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	for (size_t i = 0; i < N_NAMES; i++) {
		SearchSpec spec = seeds_spec(names[i], s, 3);
		spec.feasible = few_feasible;
		spec.max_generations = 100;
		_cleanup_(search_freep) Search *search = NULL;
		CHECK_OK(search_new(&spec, &search, NULL));
		size_t n;
		run_search(search, &problems[0], s, asks, ASKS_MAX, &n);
		CHECK_INT((intmax_t)n, 3 * 20);
		CHECK_INT(search_stopped(search), SEARCH_STOP_EXHAUSTED);
		CHECK_STR(search_stop_text(search_stopped(search)),
			  "every feasible candidate has been measured");
		CHECK_INT((intmax_t)search_remaining(search), 0);
	}
}

static bool nothing(void *userdata, const Point *p)
{
	(void)userdata;
	(void)p;
	return false;
}

TEST(when_nothing_is_feasible_the_search_ends_without_an_ask)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	for (size_t i = 0; i < N_NAMES; i++) {
		SearchSpec spec = seeds_spec(names[i], s, 3);
		spec.feasible = nothing;
		_cleanup_(search_freep) Search *search = NULL;
		SearchAsk a;
		CHECK_OK(search_new(&spec, &search, NULL));
		CHECK_INT(search_ask(search, &a, NULL), 0);
		CHECK_INT(search_stopped(search), SEARCH_STOP_EXHAUSTED);
		Point p;
		CHECK_INT((intmax_t)search_survivors(search, &p, 1), 0);
	}
}

TEST(the_baseline_is_asked_first_even_where_it_is_predicted_not_to_run)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	Point baseline = {.level = {9, 9, 9}};
	for (size_t i = 0; i < N_NAMES; i++) {
		SearchSpec spec = seeds_spec(names[i], s, 3);
		spec.baseline = &baseline;
		spec.feasible = few_feasible;
		_cleanup_(search_freep) Search *search = NULL;
		SearchAsk a;
		CHECK_OK(search_new(&spec, &search, NULL));
		CHECK_INT(search_ask(search, &a, NULL), 1);
		CHECK(point_equal(s, &a.point, &baseline));
		CHECK_INT(a.origin, ORIGIN_BASELINE);
		CHECK_INT(search_ask(search, &a, NULL), 1);
		CHECK(few_feasible(NULL, &a.point));
	}
}

TEST(grid_walks_in_the_order_of_the_file)
{
	_cleanup_(space_freep) Space *s = space_from("search_space: {a: [1, 2], b: [x, y, z]}");
	SearchSpec spec = seeds_spec("grid", s, 3);
	Point baseline = {.level = {0, 1}};
	spec.baseline = &baseline;
	_cleanup_(search_freep) Search *search = NULL;
	SearchAsk asks[16];
	size_t n;
	CHECK_OK(search_new(&spec, &search, NULL));
	run_search(search, &problems[0], s, asks, 16, &n);
	static const uint32_t want[6][2] = {{0, 1}, {0, 0}, {0, 2}, {1, 0}, {1, 1}, {1, 2}};
	CHECK_INT((intmax_t)n, 6);
	for (size_t i = 0; i < 6; i++)
		CHECK(asks[i].point.level[0] == want[i][0] && asks[i].point.level[1] == want[i][1]);
	CHECK_INT(search_stopped(search), SEARCH_STOP_EXHAUSTED);
}

TEST(random_ends_after_the_same_number_of_trials_as_the_generations_allow)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	SearchSpec spec = seeds_spec("random", s, 3);
	_cleanup_(search_freep) Search *search = NULL;
	static SearchAsk asks[ASKS_MAX];
	size_t n;
	CHECK_OK(search_new(&spec, &search, NULL));
	CHECK_INT((intmax_t)search_remaining(search), 40);
	run_search(search, &problems[0], s, asks, ASKS_MAX, &n);
	CHECK_INT((intmax_t)n, 40);
	CHECK_INT(asks[39].generation, 3);
	CHECK_INT(search_generation(search), 3);
	CHECK_INT(search_stopped(search), SEARCH_STOP_GENERATIONS);
	Point best[2];
	CHECK_INT((intmax_t)search_survivors(search, best, 2), 2);
	CHECK(sphere(s, &best[0]) >= sphere(s, &best[1]));
	for (size_t i = 0; i < n; i++)
		CHECK(sphere(s, &asks[i].point) <= sphere(s, &best[0]));
}

TEST(known_candidates_are_not_measured_again)
{
	static SearchAsk asks[ASKS_MAX];
	_cleanup_(space_freep) Space *s = space_from("search_space: {a: {min: 1, max: 50}}");
	SearchKnown known[30] = {0};
	for (uint32_t i = 0; i < 30; i++)
		known[i] = (SearchKnown){.point.level = {i}, .outcome = OUTCOME_OK, .fitness = 0.5};
	known[4].outcome = OUTCOME_CONTENDED; /* void: nothing is known of it */
	for (size_t i = 0; i < N_NAMES; i++) {
		SearchSpec spec = seeds_spec(names[i], s, 3);
		spec.known = known;
		spec.n_known = 30;
		spec.max_generations = 100;
		_cleanup_(search_freep) Search *search = NULL;
		size_t n;
		CHECK_OK(search_new(&spec, &search, NULL));
		run_search(search, &problems[0], s, asks, ASKS_MAX, &n);
		CHECK_INT((intmax_t)n, 21);
		for (size_t a = 0; a < n; a++)
			CHECK(asks[a].point.level[0] >= 30 || asks[a].point.level[0] == 4);
	}
}

TEST(a_void_trial_is_asked_again_twice_and_then_given_up)
{
	_cleanup_(space_freep) Space *s = space_from("search_space: {a: [1, 2, 3]}");
	for (size_t i = 0; i < N_NAMES; i++) {
		SearchSpec spec = seeds_spec(names[i], s, 3);
		_cleanup_(search_freep) Search *search = NULL;
		size_t asked[3] = {0}, n = 0;
		SearchAsk a;
		CHECK_OK(search_new(&spec, &search, NULL));
		while (search_ask(search, &a, NULL) == 1) {
			SearchTell t = {.number = a.number,
					.outcome =
					    a.point.level[0] == 1 ? OUTCOME_CONTENDED : OUTCOME_OK,
					.fitness = 0.5};
			CHECK(!a.repeat);
			CHECK_OK(search_tell(search, &t, NULL));
			asked[a.point.level[0]]++;
			n++;
		}
		CHECK_INT((intmax_t)n, 5);
		CHECK_INT((intmax_t)asked[1], 3);
		CHECK_INT(search_stopped(search), SEARCH_STOP_EXHAUSTED);
		Point p[3];
		CHECK_INT((intmax_t)search_survivors(search, p, 3), 2);
		CHECK(p[0].level[0] != 1 && p[1].level[0] != 1);
	}
}

TEST(only_what_is_pending_can_be_told_and_only_once)
{
	_cleanup_(space_freep) Space *s = space_from(GRID3);
	SearchSpec spec = seeds_spec("random", s, 3);
	_cleanup_(search_freep) Search *search = NULL;
	SearchAsk a;
	Err err = ERR_INIT;
	CHECK_OK(search_new(&spec, &search, NULL));
	SearchTell t = {.number = 0, .outcome = OUTCOME_OK, .fitness = 0.5};
	CHECK_ERR(search_tell(search, &t, &err), ENOENT);
	CHECK_INT(search_ask(search, &a, NULL), 1);
	t.fitness = (double)NAN;
	CHECK_ERR(search_tell(search, &t, &err), EINVAL);
	t.fitness = 0.5;
	t.se = -1;
	CHECK_ERR(search_tell(search, &t, &err), EINVAL);
	t.se = 0;
	CHECK_OK(search_tell(search, &t, &err));
	CHECK_ERR(search_tell(search, &t, &err), ENOENT);
	CHECK_STR(err.msg, "ask 0 is not pending");
	t.number = 1;
	CHECK_ERR(search_tell(search, &t, &err), ENOENT);
}

/* No fixed number of asks may come out larger than what was announced before. */
TEST(the_remaining_asks_never_grow_and_end_at_zero)
{
	for (size_t i = 0; i < N_PROBLEMS * N_NAMES; i++) {
		const Problem *pr = &problems[i / N_NAMES];
		_cleanup_(space_freep) Space *s = space_from(pr->space);
		SearchSpec spec = seeds_spec(names[i % N_NAMES], s, 5);
		_cleanup_(search_freep) Search *search = NULL;
		SearchAsk a;
		CHECK_OK(search_new(&spec, &search, NULL));
		uint64_t left = search_remaining(search);
		while (search_ask(search, &a, NULL) == 1) {
			CHECK(search_remaining(search) <= left);
			SearchTell t = tell_of(pr, s, &a);
			CHECK_OK(search_tell(search, &t, NULL));
			CHECK(search_remaining(search) < left);
			left = search_remaining(search);
		}
		CHECK_INT((intmax_t)search_remaining(search), 0);
	}
}
