/* How often the judge is wrong, and how long it takes, by simulation: a sample; with DREAM_SOAK=1
 * as many rollouts as the promise is about. SEED chooses others. */
#include "series.h"
#include "test.h"

enum {
	BASELINE = SERIES_DAY,
	WATCH = 5000,
};

static const double rhos[] = {0, .3, .5, .7, .9};
static JudgeSample baseline[BASELINE], watch[WATCH];

static bool soak(void)
{
	const char *text = getenv("DREAM_SOAK");
	return text && strcmp(text, "1") == 0;
}

static uint64_t seed(void)
{
	const char *text = getenv("SEED");
	return text ? strtoull(text, NULL, 10) : 1;
}

typedef enum Drift {
	DRIFT_NONE,
	DRIFT_HUNDRED, /* lasts for a hundred samples */
	DRIFT_SLOW,    /* for as long as the baseline */
	DRIFT_MAX_,
} Drift;

static Play make(double rho, Drift drift, bool daily, double change)
{
	static const double phis[DRIFT_MAX_] = {0, .99, 1 - .01 / 30};
	return (Play){.series = {.rho = rho,
				 .sigma = 0.25,
				 .drift_phi = phis[drift],
				 .drift_sd = .10,
				 .white_sd = drift ? .05 : 0,
				 .daily = daily},
		      .judge = JUDGE_SPEC_DEFAULT,
		      .n_baseline = BASELINE,
		      .n_gap = daily ? BASELINE / 3 : 0,
		      .n_watch = WATCH,
		      .shift = log1p(change)};
}

typedef struct Count {
	size_t worse, harmless, n;
} Count;

static Count count(const Play *p, size_t n)
{
	Count c = {.n = n};
	for (size_t i = 0; i < n; i++) {
		Played got;
		CHECK_OK(play(p, seed(), i, baseline, watch, &got));
		c.worse += got.worse_at > 0;
		c.harmless += got.harmless_at > 0;
	}
	return c;
}

/* By this many no honest rate of alpha is exceeded: the lower 99.9 % end of what was seen must not
 * be above alpha; in the soak the upper 99 % end must be below. */
static void check_rate(const char *what, const Play *p, size_t k, size_t n)
{
	double expected = p->judge.alpha * (double)n;
	printf("# %s: rho %g%s%s, %+.0f %%: %zu of %zu, 99 %% bound %.3f %%\n", what, p->series.rho,
	       p->series.drift_phi > .99 ? ", slow drift"
	       : p->series.drift_phi > 0 ? ", drift"
					 : "",
	       p->series.daily ? ", daily load" : "", 100 * expm1(p->shift), k, n,
	       100 * rate_bound(k, n));
	if (soak() ? rate_bound(k, n) > p->judge.alpha
		   : (double)k > expected + 3.3 * sqrt(expected) + 1)
		test_fail(__FILE__, __LINE__, "%s: %zu of %zu with rho %g, seed %ju", what, k, n,
			  p->series.rho, (uintmax_t)seed());
}

/* A slow drift and a daily load together are no promise: a day tells one from the other too rarely.
 */
TEST(what_changed_nothing_is_called_worse_no_more_often_than_stated)
{
	static const struct {
		Drift drift;
		bool daily;
	} places[] = {{DRIFT_NONE, false},
		      {DRIFT_HUNDRED, false},
		      {DRIFT_NONE, true},
		      {DRIFT_HUNDRED, true},
		      {DRIFT_SLOW, false}};
	size_t n = soak() ? 10000 : 3;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		for (size_t r = 0; r < 5; r++) {
			Play p = make(rhos[r], places[i].drift, places[i].daily, 0);
			check_rate("worse", &p, count(&p, n).worse, n);
		}
	}
}

TEST(what_is_worse_by_the_margin_is_called_worse_no_more_often_than_stated)
{
	size_t n = soak() ? 10000 : 5;
	for (size_t r = 0; r < 5; r++) {
		Play p = make(rhos[r], DRIFT_NONE, false, JUDGE_SPEC_DEFAULT.margin);
		check_rate("worse", &p, count(&p, n).worse, n);
	}
}

TEST(twice_the_margin_is_called_no_worse_no_more_often_than_stated)
{
	size_t n = soak() ? 10000 : 5;
	for (int drift = 0; drift < DRIFT_MAX_; drift++) {
		for (size_t r = 0; r < 5; r++) {
			Play p = make(rhos[r], (Drift)drift, false, 2 * JUDGE_SPEC_DEFAULT.margin);
			check_rate("no worse", &p, count(&p, n).harmless, n);
		}
	}
}

/* In the soak the 90th percentile itself; in the sample no more beyond the limit than a tenth may
 * be by chance. */
static void check_delay(double change, size_t limit, size_t n)
{
	size_t beyond = 0;
	Play p = make(.5, DRIFT_NONE, false, change);
	p.n_watch = limit;
	for (size_t i = 0; i < n; i++) {
		Played got;
		CHECK_OK(play(&p, seed() + 1, i, baseline, watch, &got));
		beyond += got.worse_at == 0;
	}
	double expected = 0.1 * (double)n, spread = soak() ? 0 : 3.3 * sqrt(0.9 * expected);
	printf("# +%.0f %%: %zu of %zu not within %zu samples\n", 100 * change, beyond, n, limit);
	CHECK((double)beyond <= expected + spread);
}

TEST(a_fifth_is_found_within_380_samples_and_a_half_within_100_nine_times_of_ten)
{
	size_t n = soak() ? 10000 : 50;
	check_delay(0.2, 380, n);
	check_delay(0.5, 100, n);
}
