/* The judges of a rollout: a watch that goes on, and one that lasts longer than what is known
 * closely. DREAM_SOAK=1 simulates as many as a rate needs; SEED chooses others. */
#include "../watch/series.h"
#include "base/rng.h"
#include "rollout/figures.h"
#include "test.h"

enum {
	CLOSE = 900,	  /* half an hour at one look every two seconds */
	DAY = 43200,	  /* of such looks */
	COARSE_EACH = 30, /* looks for one between rollouts */
};

static const RolloutConfig config = {
    .probe_every_us = SERIES_INTERVAL_US,
    .watch_us = (int64_t)CLOSE * SERIES_INTERVAL_US,
    .false_alarms = 0.01,
    .max_regression = 0.05,
};

static uint64_t seed(void)
{
	const char *text = getenv("SEED");
	return text ? strtoull(text, NULL, 10) : 1;
}

static bool soak(void)
{
	const char *text = getenv("DREAM_SOAK");
	return text && strcmp(text, "1") == 0;
}

/* One figure with what was before, and production as it goes on from there. */
typedef struct Bed {
	Figures f;
	Figure *g;
	Series s;
} Bed;

static void bed_open(Bed *b, const SeriesSpec *spec, uint64_t number, size_t n_long, bool coarse)
{
	memset(b, 0, sizeof(*b));
	b->s = series_start(spec, seed(), number);
	b->g = figures_find(&b->f, "judge", "latency_ms", true);
	CHECK(b->g);
	b->g->coarse_every_us = (int64_t)COARSE_EACH * SERIES_INTERVAL_US;
	for (size_t i = 0; i < n_long; i++) {
		JudgeSample s = series_next(&b->s, 0);
		if (coarse && i % COARSE_EACH == 0)
			CHECK_OK(before_add(&b->g->coarse, &s));
		if (i + CLOSE >= n_long)
			CHECK_OK(before_add(&b->g->close, &s));
	}
}

static void begin(Bed *b, int64_t samples, bool go_on)
{
	Err err = ERR_INIT;
	CHECK_OK(figures_judge(&b->f, &config, samples * SERIES_INTERVAL_US, go_on, &err));
}

static MachineEvent verdict(const Bed *b, const char *want)
{
	_cleanup_(str_done) Str words = STR_INIT;
	MachineEvent e = figures_verdict(&b->f, &words);
	CHECK(words.s && !words.failed);
	if (!strstr(words.s, want))
		printf("# %s\n", words.s);
	CHECK(strstr(words.s, want));
	return e;
}

/* After how many samples it is worse, looked at again every `each`; 0: not in `most`. */
static size_t worse_at(Bed *b, double shift, size_t most, size_t each, bool go_on)
{
	begin(b, (int64_t)each, false);
	for (size_t i = 0; i < most; i++) {
		if (i > 0 && i % each == 0) {
			CHECK(verdict(b, "judge latency_ms: ") == EVENT_INCONCLUSIVE);
			begin(b, (int64_t)each, go_on);
		}
		JudgeSample s = series_next(&b->s, shift);
		if (figure_add(b->g, &s))
			return i + 1;
	}
	return 0;
}

static const SeriesSpec usual = {.rho = 0.5, .sigma = 0.25};

TEST(a_watch_that_goes_on_is_the_same_watch)
{
	const double shift = log(1.2);
	Bed whole, parts, anew;
	size_t found_anew = 0;
	for (uint64_t i = 0; i < 5; i++) {
		bed_open(&whole, &usual, i, CLOSE, false);
		bed_open(&parts, &usual, i, CLOSE, false);
		bed_open(&anew, &usual, i, CLOSE, false);
		size_t once = worse_at(&whole, shift, 5000, 5000, false);
		size_t again = worse_at(&parts, shift, 5000, 30, true);
		printf("# found after %zu, in parts after %zu\n", once, again);
		CHECK(once > 0);
		CHECK_INT(again, once);
		found_anew += worse_at(&anew, shift, once, 30, false) > 0;
		figures_done(&whole.f);
		figures_done(&parts.f);
		figures_done(&anew.f);
	}
	CHECK(found_anew < 5); /* what each part saw would be lost with it */
}

/* Whatever happens in whatever order. */
TEST(only_what_was_not_touched_is_watched_on)
{
	Rng rng = rng_derive(seed(), "go on", 0);
	size_t on = 0, anew = 0;
	for (size_t i = 0; i < 20000; i++) {
		const MachineSpec spec = {.n = 1 + (uint32_t)rng_below(&rng, 3),
					  .colocated = rng_below(&rng, 2),
					  .cold_start = rng_below(&rng, 2),
					  .probation = true,
					  .on_inconclusive = (OnInconclusive)rng_below(&rng, 3),
					  .waits = 2};
		Machine m;
		bool touched = true;
		machine_init(&m);
		MachineDo d = machine_step(&spec, &m, EVENT_START);
		for (size_t k = 0; k < 40 && d != DO_END; k++) {
			MachineEvent any = (MachineEvent)rng_below(&rng, EVENT_MAX_);
			d = machine_step(&spec, &m, rng_below(&rng, 3) ? EVENT_OK : any);
			if (d != DO_WATCH && d != DO_PROBATION) {
				touched = touched || (d != DO_NOTHING && d != DO_ASK);
				continue;
			}
			CHECK(!figures_go_on(&m) || !touched);
			on += figures_go_on(&m);
			anew += !figures_go_on(&m);
			touched = false;
		}
	}
	printf("# %zu watches, %zu times watched on\n", anew, on);
	CHECK(on > 100 && anew > 100);
}

TEST(what_was_good_and_gives_no_sample_any_more_says_nothing)
{
	const SeriesSpec calm = {.rho = 0.2, .sigma = 0.03};
	Bed b;
	bed_open(&b, &calm, 1, CLOSE, false);
	begin(&b, CLOSE, false);
	CHECK(verdict(&b, "no sample") == EVENT_NO_DATA);
	for (size_t i = 0; i < CLOSE; i++) {
		JudgeSample s = series_next(&b.s, 0);
		CHECK(!figure_add(b.g, &s));
	}
	CHECK(verdict(&b, "at most") == EVENT_NO_WORSE);
	begin(&b, CLOSE, true);
	CHECK(verdict(&b, "no sample since") == EVENT_NO_DATA);
	JudgeSample s = series_next(&b.s, 0);
	CHECK(!figure_add(b.g, &s));
	CHECK(verdict(&b, "at most") == EVENT_NO_WORSE);
	begin(&b, CLOSE, false);
	CHECK(verdict(&b, "no sample") == EVENT_NO_DATA);
	figures_done(&b.f);
}

TEST(a_figure_that_was_worse_stays_so)
{
	Bed b;
	bed_open(&b, &usual, 3, CLOSE, false);
	CHECK(worse_at(&b, log(2), CLOSE, CLOSE, false) > 0);
	begin(&b, CLOSE, true);
	CHECK(verdict(&b, "worse") == EVENT_WORSE);
	figures_done(&b.f);
}

TEST(the_least_good_word_counts)
{
	const SeriesSpec calm = {.rho = 0.2, .sigma = 0.03};
	Bed b;
	bed_open(&b, &calm, 1, CLOSE, false);
	Series other = series_start(&calm, seed(), 2);
	Figure *page = figures_find(&b.f, "judge", "server_latency_ms", true);
	CHECK(page);
	for (size_t i = 0; i < CLOSE; i++) {
		JudgeSample s = series_next(&other, 0);
		CHECK_OK(before_add(&page->close, &s));
	}
	begin(&b, CLOSE, false);
	for (size_t i = 0; i < CLOSE; i++) {
		JudgeSample s = series_next(&b.s, log(0.8));
		CHECK(!figure_add(b.g, &s));
	}
	/* Of the server's own page nothing came: it need not show that there is no harm. */
	CHECK(verdict(&b, "better") == EVENT_BETTER);
	Figure *first = figures_find(&b.f, "judge", "ttft_ms", true);
	CHECK(first);
	begin(&b, CLOSE, true);
	JudgeSample last = series_next(&b.s, log(0.8));
	CHECK(!figure_add(b.g, &last) && !figure_add(first, &last));
	/* What was not measured just before the change is not asked for. */
	CHECK(verdict(&b, "better") == EVENT_BETTER);
	for (size_t i = 0; i < CLOSE; i++)
		CHECK_OK(before_add(&first->close, &b.g->close.list[i]));
	begin(&b, CLOSE, false);
	CHECK(!figure_add(b.g, &last));
	CHECK(verdict(&b, "ttft_ms: no sample that can be compared yet") == EVENT_NO_DATA);
	figures_done(&b.f);
}

TEST(spacings_are_not_mixed)
{
	const int64_t second = 1000000;
	JudgeSample list[40] = {0};
	size_t n = 0;
	for (int64_t t = 0; t < 10; t++) /* too close by half */
		list[n++].at_us = t * second;
	for (int64_t t = 0; t < 10; t++) /* as wanted, after a gap */
		list[n++].at_us = (1000 + 2 * t) * second;
	for (int64_t t = 0; t < 10; t++) /* too far apart */
		list[n++].at_us = (2000 + 60 * t) * second;
	n = samples_spaced(list, n, 2 * second);
	CHECK_INT(n, 4 + 9);
	for (size_t i = 0; i < n; i++)
		CHECK_INT(list[i].at_us / second,
			  i < 4 ? 2 + 2 * (int64_t)i : 1002 + 2 * (int64_t)(i - 4));
	CHECK_INT(samples_spaced(list, 0, 2 * second), 0);
}

/* --- Watched for a day, known closely for half an hour ------------------------------------------
 */

static size_t day_found_at(const SeriesSpec *spec, uint64_t number, bool coarse, size_t after,
			   double shift)
{
	Bed b;
	size_t found = 0;
	bed_open(&b, spec, number, coarse ? 2 * (size_t)DAY : CLOSE, coarse);
	begin(&b, DAY, false);
	for (size_t i = 0; i < DAY && found == 0; i++) {
		JudgeSample s = series_next(&b.s, i < after ? 0 : shift);
		if (figure_add(b.g, &s))
			found = i + 1;
	}
	figures_done(&b.f);
	return found;
}

static const SeriesSpec days[] = {
    {.rho = .5, .sigma = .25, .day = DAY},
    {.rho = .5, .sigma = .25, .day = DAY, .daily = true, .unknown = true},
    {.rho = .5, .sigma = .25, .day = DAY, .daily = true},
    {.rho = .9, .sigma = .25, .day = DAY, .daily = true, .unknown = true},
};
static const char *const day_names[] = {"steady", "daily rhythm, load not known",
					"daily rhythm, load known",
					"daily rhythm, load not known, rho 0.9"};

TEST(a_day_is_judged_by_what_a_day_does)
{
	size_t n = soak() ? 1000 : 3;
	for (size_t d = 0; d < sizeof(days) / sizeof(*days); d++) {
		size_t with = 0;
		for (uint64_t i = 0; i < n; i++)
			with += day_found_at(&days[d], i, true, 0, 0) > 0;
		printf("# %s: false in %zu of %zu (99 %% bound %.2f %%)\n", day_names[d], with, n,
		       100 * rate_bound(with, n));
		CHECK(soak() ? rate_bound(with, n) <= config.false_alarms : with == 0);
	}
}

/* Half an hour does not tell a step in the middle of a day from what a day does by itself. */
TEST(harm_is_found_at_once_and_late_in_the_day)
{
	size_t n = soak() ? 200 : 2, at_once = 0, late = 0, late_alone = 0;
	for (uint64_t i = 0; i < n; i++) {
		size_t found = day_found_at(&days[0], i, true, 0, log(1.5));
		at_once += found > 0 && found <= 200;
		late += day_found_at(&days[0], i, true, 10000, log(1.5)) > 10000;
		late_alone += day_found_at(&days[0], i, false, 10000, log(1.5)) > 10000;
	}
	printf("# half as slow again, of %zu: found within 200 looks %zu; after 10000 good looks "
	       "%zu, by half an hour alone %zu\n",
	       n, at_once, late, late_alone);
	CHECK(10 * at_once >= 9 * n);
	CHECK(10 * late >= 9 * n);
}
