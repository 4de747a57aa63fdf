/* How often intervals contain what they promise to contain, by simulation. ROUNDS=N repeats each
 * case N times (default 2000; the soak more). */
#include <errno.h>

#include "stats/stats.h"
#include "test.h"

enum {
	SAMPLES_MAX = 2000,
};

static int rounds(void)
{
	const char *text = getenv("ROUNDS");
	long n = text ? strtol(text, NULL, 10) : 0;
	return n >= 100 && n <= 1000000 ? (int)n : 2000;
}

/* Latencies of a lognormal whose logarithms are an AR(1) series. */
static void draw(Rng *rng, double rho, double *x, size_t n)
{
	double z = rng_normal(rng);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			z = rho * z + sqrt(1 - rho * rho) * rng_normal(rng);
		x[i] = exp(0.5 * z);
	}
}

/* In percent, of the intervals that there are. */
static double coverage(double rho, double q, size_t n)
{
	static double x[SAMPLES_MAX], sorted[SAMPLES_MAX];
	double truth = exp(0.5 * stats_normal_quantile(q)), lo, hi;
	int covered = 0, made = 0;
	for (int r = 0; r < rounds(); r++) {
		Rng rng = rng_derive(21, "coverage", (uint64_t)r);
		draw(&rng, rho, x, n);
		memcpy(sorted, x, n * sizeof(*x));
		stats_sort(sorted, n);
		double effective = stats_effective_n_below(x, n, stats_quantile(sorted, n, q));
		int k = stats_quantile_interval_near(sorted, n, effective, q, 0.95, &lo, &hi, NULL);
		made += k == 0;
		covered += k == 0 && lo <= truth && truth <= hi;
	}
	CHECK(made >= rounds() * 85 / 100); /* the rest would be called insufficient */
	return 100.0 * covered / made;
}

typedef struct Case {
	double q;
	size_t n;
} Case;

static void check_coverage(const Case *cases, size_t n, double rho, double points)
{
	for (size_t i = 0; i < n; i++) {
		double got = coverage(rho, cases[i].q, cases[i].n);
		printf("# rho %g, q %g, n %zu: %.1f %%\n", rho, cases[i].q, cases[i].n, got);
		if (fabs(got - 95) > points)
			test_fail(__FILE__, __LINE__, "rho %g, q %g, n %zu: %.1f %%", rho,
				  cases[i].q, cases[i].n, got);
	}
}

/* From the floor on, where the fewest samples give an interval at all. */
TEST(intervals_of_independent_samples_cover_95_percent_within_two_points)
{
	static const Case cases[] = {{0.5, 11},	  {0.5, 130},  {0.9, 64},  {0.9, 300},
				     {0.95, 130}, {0.95, 400}, {0.99, 662}};
	check_coverage(cases, sizeof(cases) / sizeof(*cases), 0, 2);
}

/* Neighbours that resemble each other, at half. Below 300 samples the resemblance itself is too
 * uncertain; the next test says how far that goes. */
TEST(intervals_of_correlated_samples_cover_95_percent_within_two_points)
{
	static const Case cases[] = {{0.5, 300}, {0.9, 300}, {0.95, 300}, {0.99, 1000}};
	check_coverage(cases, sizeof(cases) / sizeof(*cases), 0.5, 2);
}

TEST(intervals_of_few_correlated_samples_cover_95_percent_within_four_points)
{
	static const Case cases[] = {{0.5, 64}, {0.9, 130}, {0.95, 200}};
	check_coverage(cases, sizeof(cases) / sizeof(*cases), 0.5, 4);
}

TEST(without_the_correction_correlated_samples_would_cover_far_less)
{
	static double x[300];
	int covered = 0;
	for (int r = 0; r < rounds(); r++) {
		Rng rng = rng_derive(22, "coverage", (uint64_t)r);
		double lo, hi;
		draw(&rng, 0.5, x, 300);
		stats_sort(x, 300);
		CHECK_OK(stats_quantile_interval_near(x, 300, 300, 0.5, 0.95, &lo, &hi, NULL));
		covered += lo <= 1 && 1 <= hi;
	}
	CHECK(covered < rounds() * 88 / 100);
}

/* What MLPerf's early stopping demands, as printed in its documents. */
TEST(the_fewest_samples_of_a_percentile_follow_from_the_binomial)
{
	CHECK_INT(stats_quantile_floor(0.5, 0.99), 11);
	CHECK_INT(stats_quantile_floor(0.9, 0.99), 64);
	CHECK_INT(stats_quantile_floor(0.95, 0.99), 130);
	CHECK_INT(stats_quantile_floor(0.97, 0.99), 219);
	CHECK_INT(stats_quantile_floor(0.99, 0.99), 662);
	CHECK_INT(stats_quantile_floor(0.999, 0.99), 6636);
	CHECK_INT(stats_quantile_floor(0.1, 0.99), 64);
	CHECK(stats_quantile_floor(1, 0.99) == SIZE_MAX);
}

TEST(an_interval_between_order_statistics_refuses_what_it_cannot_know)
{
	double x[40], lo, hi;
	size_t needs = 0;
	for (int i = 0; i < 40; i++)
		x[i] = i;
	CHECK_ERR(stats_quantile_interval_near(x, 40, 40, 0.99, 0.95, &lo, &hi, &needs), ENODATA);
	CHECK(needs > 300);
	CHECK_ERR(stats_quantile_interval_near(x, 40, 41, 0.5, 0.95, &lo, &hi, NULL), EINVAL);
	CHECK_ERR(stats_quantile_interval_near(x, 40, 0, 0.5, 0.95, &lo, &hi, NULL), EINVAL);
	CHECK_ERR(stats_quantile_interval_near(x, 40, 2, 0.5, 0.95, &lo, &hi, &needs), ENODATA);
	CHECK_INT((long)needs, 120); /* 20 times as many as six that are worth six */
	CHECK_OK(stats_quantile_interval_near(x, 40, 40, 0.5, 0.95, &lo, &hi, NULL));
	CHECK(lo > 11 && lo < 14 && hi > 25 && hi < 28);
}

/* Wilson's interval as worked out in print: 8 of 10 gives 0.490 to 0.943. */
TEST(the_interval_of_a_share_is_wilsons)
{
	double lo, hi;
	CHECK_OK(stats_share_interval(8, 10, 0.95, &lo, &hi));
	CHECK_NEAR(lo, 0.490, 0.0006);
	CHECK_NEAR(hi, 0.943, 0.0006);
	CHECK_OK(stats_share_interval(0, 50, 0.95, &lo, &hi));
	CHECK(lo == 0 && hi > 0.06 && hi < 0.08);
	CHECK_OK(stats_share_interval(50, 50, 0.95, &lo, &hi));
	CHECK(hi == 1 && lo > 0.92 && lo < 0.94);
	CHECK_ERR(stats_share_interval(0, 0, 0.95, &lo, &hi), ENODATA);
	CHECK_ERR(stats_share_interval(3, 2, 0.95, &lo, &hi), EINVAL);
}

/* --- Settling -------------------------------------------------------------------------------- */

static double series[1000], scratch[2000];

static void noise(uint64_t seed, size_t n)
{
	Rng rng = rng_derive(seed, "series", 0);
	draw(&rng, 0, series, n);
}

TEST(a_slow_start_is_left_out)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		size_t cut = 0;
		noise(seed, 400);
		for (size_t i = 0; i < 40; i++)
			series[i] *= 8 - (double)i / 8;
		CHECK(stats_settled(series, 400, scratch, &cut));
		if (cut < 25 || cut > 60)
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": cut %zu", seed, cut);
	}
}

TEST(one_slow_request_at_the_start_is_no_warm_up)
{
	size_t cut = 7;
	noise(3, 400);
	series[0] = 1e6;
	CHECK(stats_settled(series, 400, scratch, &cut));
	CHECK_INT((long)cut, 0);
}

TEST(a_queue_that_grows_never_settles)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		size_t cut = 7;
		noise(seed, 400);
		for (size_t i = 0; i < 400; i++)
			series[i] += (double)i / 40;
		CHECK(!stats_settled(series, 400, scratch, &cut));
		CHECK_INT((long)cut, 0);
	}
}

TEST(a_series_without_a_beginning_is_rarely_cut_and_rarely_called_unsteady)
{
	size_t cut, cuts = 0, unsteady = 0;
	for (uint64_t seed = 0; seed < 500; seed++) {
		noise(seed, 200);
		unsteady += !stats_settled(series, 200, scratch, &cut);
		cuts += cut > 0;
	}
	CHECK(unsteady <= 15);
	CHECK(cuts <= 25);
}

TEST(too_few_values_to_tell_are_all_kept)
{
	size_t cut = 7;
	for (size_t i = 0; i < 39; i++)
		series[i] = (double)i;
	CHECK(stats_settled(series, 39, scratch, &cut));
	CHECK_INT((long)cut, 0);
	CHECK(stats_settled(NULL, 0, scratch, &cut));
}

/* --- Ratios ---------------------------------------------------------------------------------- */

TEST(bootstrap_intervals_of_a_ratio_cover_nearly_as_often_as_they_promise)
{
	double above[80], below[80], room[80 + 400], lo, hi;
	int covered = 0, n = 600;
	for (int r = 0; r < n; r++) {
		Rng rng = rng_derive(31, "ratio", (uint64_t)r);
		for (int i = 0; i < 80; i++) {
			below[i] = (double)(5 + rng_below(&rng, 30));
			above[i] = 0;
			for (int k = 0; k < (int)below[i]; k++)
				above[i] += rng_unit(&rng) < 0.05;
		}
		CHECK_OK(stats_bootstrap_ratio(above, below, 80, 0.95, 400, &rng, room, &lo, &hi));
		covered += lo <= 0.05 && 0.05 <= hi;
	}
	CHECK(covered >= n * 92 / 100 && covered <= n * 98 / 100);
}

TEST(a_ratio_of_nothing_has_no_interval)
{
	double zero[2] = {0, 0}, one[2] = {1, 1}, room[102], lo, hi;
	Rng rng = {1};
	CHECK_ERR(stats_bootstrap_ratio(one, zero, 2, 0.95, 100, &rng, room, &lo, &hi), ENODATA);
	CHECK_ERR(stats_bootstrap_ratio(one, one, 1, 0.95, 100, &rng, room, &lo, &hi), ENODATA);
	CHECK_OK(stats_bootstrap_ratio(one, one, 2, 0.95, 100, &rng, room, &lo, &hi));
	CHECK(lo == 1 && hi == 1);
}
