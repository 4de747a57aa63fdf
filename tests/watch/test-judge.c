/* What the judge says, and what it must never say. */
#include "watch/judge.h"

#include <errno.h>

#include "series.h"
#include "test.h"

enum {
	DAY = SERIES_DAY,
	WATCH = 5000,
};

static const SeriesSpec usual = {.rho = 0.5, .sigma = 0.25};

/* A judge whose baseline is a day of `series`, which goes on from there. */
static Judge *after_a_day(Series *series, const JudgeSpec *spec)
{
	static JudgeSample baseline[DAY];
	Judge *j = NULL;
	for (size_t i = 0; i < DAY; i++)
		baseline[i] = series_next(series, 0);
	CHECK_OK(judge_new(spec, baseline, DAY, &j, NULL));
	return j;
}

static Judge *usual_judge(Series *series, uint64_t seed)
{
	*series = series_start(&usual, seed, 0);
	return after_a_day(series, &JUDGE_SPEC_DEFAULT);
}

static void add(Judge *j, Series *s, size_t n, double factor)
{
	for (size_t i = 0; i < n; i++) {
		JudgeSample sample = series_next(s, log(factor));
		CHECK_OK(judge_add(j, &sample));
	}
}

static JudgeReport report(const Judge *j)
{
	JudgeReport r;
	judge_report(j, &r);
	CHECK(r.verdict == judge_verdict(j));
	CHECK(r.words[0] != '\0' && !strstr(r.words, "nan"));
	return r;
}

static void check_words(const JudgeReport *r, const char *part)
{
	if (!strstr(r->words, part))
		test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", r->words, part);
}

TEST(a_day_that_is_half_as_slow_again_is_worse_within_a_hundred_samples_and_stays_so)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 1);
	add(j, &s, 100, 1.5);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "worse");
	CHECK(r.change > 0.3 && r.change < 0.7);
	CHECK(r.lo > JUDGE_SPEC_DEFAULT.margin && r.lo < r.change && r.change < r.hi);
	CHECK_NEAR(r.now / r.baseline - 1, 0.5, 0.2);
	CHECK_NEAR(r.evidence, 1, 0);
	check_words(&r, "worse, allowed are 5.0 %");
	add(j, &s, 2000, 0.5);
	CHECK_STR(judge_verdict_name(judge_verdict(j)), "worse");
}

/* Alike to two per cent, where half as slow again is allowed: what is allowed is beyond everything
 * that the baseline had. */
static Judge *steady_judge(Series *series, uint64_t seed)
{
	static const SeriesSpec steady = {.rho = 0.3, .sigma = 0.02};
	JudgeSpec spec = JUDGE_SPEC_DEFAULT;
	spec.margin = 0.5;
	*series = series_start(&steady, seed, 0);
	return after_a_day(series, &spec);
}

TEST(a_margin_beyond_all_that_the_baseline_had_is_still_seen_to_be_passed)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = steady_judge(&s, 21);
	add(j, &s, 30, 1.8);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "worse");
	check_words(&r, "% worse, allowed are 50.0 %");
	CHECK(r.change > 0.5);
}

TEST(a_change_within_such_a_margin_is_no_worse_and_not_said_to_be_smaller_than_it_is)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = steady_judge(&s, 22);
	add(j, &s, 2000, 1.3);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "no_worse");
	CHECK_NEAR(r.change, 0.3, 0.05);
	CHECK(r.lo < 0.3 && r.hi > 0.3 && r.hi < 0.5);
}

TEST(the_same_as_before_is_no_worse_once_that_is_certain)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 2);
	add(j, &s, 200, 1);
	CHECK_STR(judge_verdict_name(report(j).verdict), "inconclusive");
	add(j, &s, WATCH, 1);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "no_worse");
	CHECK(r.hi < JUDGE_SPEC_DEFAULT.margin && r.lo < 0 && r.hi > 0);
	CHECK(r.rho > 0.4 && r.rho < 0.6);
	CHECK(r.evidence < 0.5);
	CHECK_INT(r.n, 200 + WATCH);
	check_words(&r, "at most");
}

TEST(a_fifth_faster_is_better)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 3);
	add(j, &s, 2000, 0.8);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "better");
	CHECK(r.hi < 0);
	check_words(&r, "better, at least");
}

TEST(slow_answers_that_become_frequent_are_worse_though_the_middle_stays)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 4);
	for (size_t i = 0; i < 3000 && judge_verdict(j) != JUDGE_WORSE; i++) {
		JudgeSample sample = series_next(&s, 0);
		if (i % 8 == 0)
			sample.value = 180;
		CHECK_OK(judge_add(j, &sample));
	}
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "worse");
	check_words(&r, "slow ones are more frequent");
}

TEST(what_starts_well_and_gets_worse_later_is_found)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 5);
	add(j, &s, 1500, 1);
	CHECK(judge_verdict(j) != JUDGE_WORSE);
	add(j, &s, 1500, 1.4);
	CHECK_STR(judge_verdict_name(report(j).verdict), "worse");
}

TEST(failed_samples_are_worse_than_any_value_and_their_value_is_not_looked_at)
{
	static const double values[] = {-999, 0, 999, 1e300};
	for (size_t v = 0; v < 4; v++) {
		Series s;
		_cleanup_(judge_freep) Judge *j = usual_judge(&s, 6);
		for (size_t i = 0; i < 40; i++) {
			JudgeSample sample = series_next(&s, 0);
			sample.failed = true;
			sample.value = v == 0 ? (double)NAN : values[v];
			CHECK_OK(judge_add(j, &sample));
		}
		JudgeReport r = report(j);
		CHECK_STR(judge_verdict_name(r.verdict), "worse");
		CHECK_INT(r.n_failed, r.n);
		CHECK(isnan(r.now));
	}
}

TEST(one_request_that_hung_says_nothing)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 7);
	for (size_t i = 0; i < 1000; i++) {
		JudgeSample sample = series_next(&s, 0);
		if (i % 250 == 249)
			sample.value = 1e6;
		CHECK_OK(judge_add(j, &sample));
		CHECK(judge_verdict(j) != JUDGE_WORSE);
	}
}

TEST(what_is_no_latency_does_not_count)
{
	static const double unfit[] = {0,	   -1, -0.0, (double)INFINITY, -(double)INFINITY,
				       (double)NAN};
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 8);
	for (size_t i = 0; i < 6000; i++) {
		JudgeSample sample = series_next(&s, 0);
		sample.value = unfit[i % 6];
		CHECK_OK(judge_add(j, &sample));
	}
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "inconclusive");
	CHECK_INT(r.n, 0);
	CHECK_INT(r.n_unfit, 6000);
	CHECK(isnan(r.change) && isnan(r.now));
}

TEST(a_clock_that_goes_back_costs_one_sample_and_repetitions_do_not_count)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 9);
	JudgeSample sample = series_next(&s, 0);
	for (size_t i = 0; i < 50; i++)
		CHECK_OK(judge_add(j, &sample));
	CHECK_INT(report(j).n, 1);
	for (size_t i = 0; i < 50; i++) {
		sample = series_next(&s, 0);
		sample.at_us -= (int64_t)86400 * 1000000;
		CHECK_OK(judge_add(j, &sample));
	}
	CHECK_INT(report(j).n, 1 + 49);
	CHECK_INT(report(j).n_unfit, 49 + 1);
}

TEST(any_time_at_all_is_survived)
{
	static const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1, INT64_MAX, 1};
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 10);
	for (size_t i = 0; i < 300; i++) {
		JudgeSample sample = series_next(&s, 0);
		sample.at_us = times[i % 6];
		CHECK_OK(judge_add(j, &sample));
	}
	CHECK(judge_verdict(j) != JUDGE_WORSE);
	(void)report(j);
}

TEST(the_same_value_for_long_is_not_taken_for_steadiness)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 11);
	for (size_t i = 0; i < WATCH; i++) {
		JudgeSample sample = series_next(&s, 0);
		sample.value = 90;
		CHECK_OK(judge_add(j, &sample));
		CHECK_STR(judge_verdict_name(judge_verdict(j)), "inconclusive");
	}
	JudgeReport r = report(j);
	check_words(&r, "may be stuck");
	CHECK(r.n < 50);
}

TEST(an_exporter_that_gets_stuck_takes_no_worse_back)
{
	Series s;
	_cleanup_(judge_freep) Judge *j = usual_judge(&s, 2);
	add(j, &s, WATCH + 200, 1);
	CHECK_STR(judge_verdict_name(judge_verdict(j)), "no_worse");
	for (size_t i = 0; i < 60; i++) {
		JudgeSample sample = series_next(&s, 0);
		sample.value = 100;
		CHECK_OK(judge_add(j, &sample));
	}
	CHECK_STR(judge_verdict_name(report(j).verdict), "inconclusive");
}

TEST(a_baseline_of_one_value_is_no_basis)
{
	JudgeSample baseline[500];
	for (size_t i = 0; i < 500; i++)
		baseline[i] =
		    (JudgeSample){.at_us = (int64_t)i + 1, .value = 85.2, .load = (double)NAN};
	_cleanup_(judge_freep) Judge *j = NULL;
	CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, baseline, 500, &j, NULL));
	for (size_t i = 0; i < 500; i++) {
		JudgeSample sample = {
		    .at_us = (int64_t)i + 1000, .value = 85.2, .load = (double)NAN};
		CHECK_OK(judge_add(j, &sample));
	}
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "inconclusive");
	check_words(&r, "may be stuck");
}

TEST(without_a_baseline_nothing_is_said)
{
	_cleanup_(judge_freep) Judge *j = NULL;
	CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, NULL, 0, &j, NULL));
	Series s = series_start(&usual, 1, 0);
	add(j, &s, 500, 3);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "inconclusive");
	check_words(&r, "no sample from before");
	CHECK(isnan(r.baseline) && isnan(r.lo) && isnan(r.hi));
}

/* 150 samples that resemble each other at 0.9 are worth about 8. */
TEST(a_baseline_that_is_worth_too_little_is_no_basis_and_the_words_say_so)
{
	SeriesSpec slow = {.rho = 0.9, .sigma = 0.25};
	JudgeSample baseline[150];
	Series s = series_start(&slow, 12, 0);
	for (size_t i = 0; i < 150; i++)
		baseline[i] = series_next(&s, 0);
	_cleanup_(judge_freep) Judge *j = NULL;
	CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, baseline, 150, &j, NULL));
	add(j, &s, 3000, 1);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "inconclusive");
	check_words(&r, "30 are needed");
	CHECK(r.n_effective < 30);
}

TEST(a_baseline_of_failures_is_no_basis)
{
	JudgeSample baseline[200];
	Series s = series_start(&usual, 13, 0);
	for (size_t i = 0; i < 200; i++) {
		baseline[i] = series_next(&s, 0);
		baseline[i].failed = i % 3 != 0;
	}
	_cleanup_(judge_freep) Judge *j = NULL;
	CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, baseline, 200, &j, NULL));
	add(j, &s, 500, 1);
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "inconclusive");
	check_words(&r, "failed");
}

static const SeriesSpec daily = {.rho = 0.5, .sigma = 0.25, .daily = true};

/* Twice the load of any hour: the latency triples, and says nothing about the change. */
TEST(samples_at_a_load_that_the_baseline_does_not_know_are_not_compared)
{
	Series s = series_start(&daily, 14, 0);
	_cleanup_(judge_freep) Judge *j = after_a_day(&s, &JUDGE_SPEC_DEFAULT);
	for (size_t i = 0; i < 1000; i++) {
		JudgeSample sample = series_next(&s, log(3));
		sample.load = i % 2 == 0 ? 60 : (double)NAN;
		CHECK_OK(judge_add(j, &sample));
	}
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "inconclusive");
	CHECK_INT(r.n_unlike, 1000);
	check_words(&r, "load");
}

TEST(no_worse_is_taken_back_when_most_samples_come_at_a_load_that_cannot_be_compared)
{
	Series s = series_start(&daily, 22, 0);
	_cleanup_(judge_freep) Judge *j = after_a_day(&s, &JUDGE_SPEC_DEFAULT);
	add(j, &s, 2 * DAY, 1);
	CHECK_STR(judge_verdict_name(judge_verdict(j)), "no_worse");
	for (size_t i = 0; i < 2 * DAY + 200; i++) {
		JudgeSample sample = series_next(&s, 0);
		sample.load *= 10;
		CHECK_OK(judge_add(j, &sample));
	}
	JudgeReport r = report(j);
	CHECK_STR(judge_verdict_name(r.verdict), "inconclusive");
	check_words(&r, "came at a load that the baseline does not know");
}

TEST(a_load_that_hardly_varied_need_not_be_met_exactly)
{
	static JudgeSample before[DAY];
	Series s = series_start(&usual, 19, 0);
	for (size_t i = 0; i < DAY; i++) {
		before[i] = series_next(&s, 0);
		before[i].load = 2;
	}
	_cleanup_(judge_freep) Judge *j = NULL;
	CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, before, DAY, &j, NULL));
	for (size_t i = 0; i < 100; i++) {
		JudgeSample sample = series_next(&s, 0);
		sample.load = i % 2 == 0 ? 2.1 : 4;
		CHECK_OK(judge_add(j, &sample));
	}
	CHECK_INT(report(j).n, 50);
	CHECK_INT(report(j).n_unlike, 50);
}

/* Between night and noon the latency changes by half: at the same load it does not. */
TEST(the_rhythm_of_the_day_is_no_change)
{
	Series s = series_start(&daily, 15, 0);
	_cleanup_(judge_freep) Judge *j = after_a_day(&s, &JUDGE_SPEC_DEFAULT);
	for (size_t i = 0; i < 2 * DAY; i++) {
		add(j, &s, 1, 1);
		CHECK(judge_verdict(j) != JUDGE_WORSE);
	}
	CHECK_STR(judge_verdict_name(report(j).verdict), "no_worse");
}

/* A quarter of a day before, the other quarters after: most of it was never seen. */
TEST(a_baseline_of_some_hours_does_not_judge_the_others)
{
	for (uint64_t seed = 0; seed < 40; seed++) {
		JudgeSample baseline[DAY / 4];
		Series s = series_start(&daily, 16, seed);
		for (size_t i = 0; i < DAY / 4; i++)
			baseline[i] = series_next(&s, 0);
		_cleanup_(judge_freep) Judge *j = NULL;
		CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, baseline, DAY / 4, &j, NULL));
		add(j, &s, 3 * DAY / 4, 1);
		CHECK(judge_verdict(j) != JUDGE_WORSE);
	}
}

TEST(a_specification_out_of_range_is_refused_with_words)
{
	static const JudgeSpec wrong[] = {
	    {.alpha = 0, .margin = 0.05, .tail_q = 0.95, .load_ratio = 2},
	    {.alpha = (double)NAN, .margin = 0.05, .tail_q = 0.95, .load_ratio = 2},
	    {.alpha = 0.01, .margin = -0.1, .tail_q = 0.95, .load_ratio = 2},
	    {.alpha = 0.01, .margin = 0.05, .tail_q = 1, .load_ratio = 2},
	    {.alpha = 0.01, .margin = 0.05, .tail_q = 0.95, .load_ratio = 0.5},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		Judge *j = NULL;
		Err err = ERR_INIT;
		CHECK_ERR(judge_new(&wrong[i], NULL, 0, &j, &err), EINVAL);
		CHECK(j == NULL && err.msg[0] != '\0');
	}
}

/* The same samples give the same verdict, whatever unit they are in. */
TEST(milliseconds_or_seconds_make_no_difference)
{
	static JudgeSample baseline[DAY], scaled[DAY];
	Series s = series_start(&daily, 17, 0);
	for (size_t i = 0; i < DAY; i++) {
		baseline[i] = scaled[i] = series_next(&s, 0);
		scaled[i].value /= 1024;
	}
	_cleanup_(judge_freep) Judge *a = NULL, *b = NULL;
	CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, baseline, DAY, &a, NULL));
	CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, scaled, DAY, &b, NULL));
	for (size_t i = 0; i < 800; i++) {
		JudgeSample sample = series_next(&s, log(1.1));
		CHECK_OK(judge_add(a, &sample));
		sample.value /= 1024;
		CHECK_OK(judge_add(b, &sample));
		CHECK(judge_verdict(a) == judge_verdict(b));
	}
	JudgeReport ra = report(a), rb = report(b);
	CHECK_NEAR(ra.change, rb.change, 1e-6);
	CHECK_NEAR(ra.lo, rb.lo, 1e-4);
}

/* Nonsense of every kind, from a seed: no crash, no verdict without a basis. */
TEST(hostile_samples_never_make_a_promotion)
{
	static const double odd[] = {0,	   -5,	 1e-320, 1e308, (double)NAN, (double)INFINITY,
				     1e-5, 1e12, 50};
	for (uint64_t seed = 0; seed < 60; seed++) {
		Rng rng = rng_derive(18, "nonsense", seed);
		JudgeSample baseline[300];
		for (size_t i = 0; i < 300; i++)
			baseline[i] = (JudgeSample){.at_us = (int64_t)rng_below(&rng, 400),
						    .value = odd[rng_below(&rng, 9)],
						    .load = odd[rng_below(&rng, 9)],
						    .failed = rng_below(&rng, 8) == 0};
		_cleanup_(judge_freep) Judge *j = NULL;
		CHECK_OK(judge_new(&JUDGE_SPEC_DEFAULT, baseline, 300, &j, NULL));
		for (size_t i = 0; i < 500; i++) {
			JudgeSample sample = {.at_us = (int64_t)rng_below(&rng, 4000),
					      .value = odd[rng_below(&rng, 9)],
					      .load = odd[rng_below(&rng, 9)],
					      .failed = rng_below(&rng, 8) == 0};
			CHECK_OK(judge_add(j, &sample));
		}
		JudgeReport r = report(j);
		CHECK(r.verdict == JUDGE_INCONCLUSIVE || r.verdict == JUDGE_WORSE);
	}
}
