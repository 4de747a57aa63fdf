#include <errno.h>
#include <string.h>

#include "loadgen/arrivals.h"
#include "test.h"

static Schedule scheduled(const Stream *s, const Trace *t)
{
	Schedule plan;
	CHECK_OK(schedule_init(&plan, s, t, false, (Rng){3}, (Rng){4}));
	return plan;
}

/* Mean and coefficient of variation of the gaps, from their definition. */
static void gaps(const Stream *s, double *ret_mean_us, double *ret_cv)
{
	Schedule plan = scheduled(s, NULL);
	double sum = 0, square = 0;
	int64_t before = 0;
	int n = 100000;
	for (int i = 0; i < n; i++) {
		int64_t at = schedule_next_us(&plan);
		double x = (double)(at - before);
		CHECK(x >= 0);
		before = at;
		sum += x;
		square += x * x;
	}
	*ret_mean_us = sum / n;
	*ret_cv = sqrt(fmax(square / n - *ret_mean_us * *ret_mean_us, 0)) / *ret_mean_us;
}

TEST(gaps_have_the_rate_and_the_spread_that_were_asked)
{
	static const struct {
		Stream s;
		double cv;
	} rows[] = {
	    {{.arrivals = ARRIVALS_CONSTANT, .rate = 4}, 0},
	    {{.arrivals = ARRIVALS_POISSON, .rate = 4}, 1},
	    {{.arrivals = ARRIVALS_GAMMA, .rate = 4, .cv = 3}, 3},
	    {{.arrivals = ARRIVALS_GAMMA, .rate = 4, .cv = 0.5}, 0.5},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		double mean, cv;
		gaps(&rows[i].s, &mean, &cv);
		CHECK_NEAR(mean, 250000, 250000 * 0.03);
		CHECK_NEAR(cv, rows[i].cv, 0.03 * rows[i].cv + 1e-6);
	}
}

TEST(a_constant_rate_does_not_drift_by_the_rounding_of_its_gaps)
{
	const Stream s = {.arrivals = ARRIVALS_CONSTANT, .rate = 3000}; /* a gap of 333.33 us */
	Schedule plan = scheduled(&s, NULL);
	int64_t at = 0;
	for (int i = 0; i < 3000 * 600; i++)
		at = schedule_next_us(&plan);
	CHECK_INT(at, INT64_C(600000000));
}

TEST(the_same_seed_gives_the_same_times_whatever_the_lengths)
{
	const Stream s = {.arrivals = ARRIVALS_POISSON,
			  .rate = 10,
			  .prompt = {.median = 10, .sigma = 1, .min = 1, .max = 100},
			  .output = {.median = 10, .min = 1, .max = 100}};
	Schedule a = scheduled(&s, NULL), b = scheduled(&s, NULL);
	for (int i = 0; i < 100; i++) {
		Size size;
		schedule_size(&a, &size);
		CHECK(size.prompt >= 1 && size.prompt <= 100);
		CHECK_INT(size.output, 10);
		CHECK_INT(schedule_next_us(&a), schedule_next_us(&b));
	}
}

/* In each tenth of the time as many as the line says. */
TEST(a_ramp_grows_in_a_line_after_an_even_warm_up)
{
	const Stream s = {.arrivals = ARRIVALS_RAMP,
			  .rate = 100,
			  .rate_to = 900,
			  .warmup = 200,
			  .requests = 5000};
	Schedule plan = scheduled(&s, NULL);
	for (int i = 1; i <= 200; i++)
		CHECK_INT(schedule_next_us(&plan), i * 10000);
	/* 5,000 at a mean rate of 500 take 10 s. */
	int counts[10] = {0};
	int64_t at = 0;
	for (int i = 0; i < 5000; i++) {
		at = schedule_next_us(&plan) - 2000000;
		CHECK(at >= 0 && at <= 10000000);
		counts[at == 10000000 ? 9 : at / 1000000]++;
	}
	CHECK_INT(at, 10000000);
	for (int i = 0; i < 10; i++)
		CHECK_NEAR(counts[i], 140 + 80 * i, 1.01);
	/* What runs on keeps the last rate. */
	CHECK_NEAR((double)(schedule_next_us(&plan) - 2000000 - at), 1e6 / 900, 1);
}

TEST(a_ramp_between_equal_rates_is_even)
{
	const Stream s = {.arrivals = ARRIVALS_RAMP, .rate = 50, .rate_to = 50, .requests = 100};
	Schedule plan = scheduled(&s, NULL);
	for (int i = 1; i <= 120; i++)
		CHECK_INT(schedule_next_us(&plan), i * 20000);
}

TEST(a_ramp_may_fall)
{
	const Stream s = {.arrivals = ARRIVALS_RAMP, .rate = 30, .rate_to = 10, .requests = 40};
	Schedule plan = scheduled(&s, NULL);
	int64_t at = 0;
	for (int i = 0; i < 40; i++)
		at = schedule_next_us(&plan);
	CHECK_INT(at, 2000000);
}

static Trace parsed(const char *text)
{
	Trace t;
	Err err = ERR_INIT;
	int r = trace_parse(text, strlen(text), &t, &err);
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return t;
}

TEST(a_trace_is_replayed_and_starts_over)
{
	Trace t = parsed("at_s,prompt_tokens,output_tokens\n10,100,7\n10.5,200,8\n12,300,\n");
	const Stream s = {.arrivals = ARRIVALS_REPLAY,
			  .prompt = {.median = 1, .min = 1, .max = 1},
			  .output = {.median = 55, .min = 1, .max = 99}};
	Schedule plan = scheduled(&s, &t);
	static const int64_t at[] = {0, 500000, 2000000, 3000000, 3500000, 5000000, 6000000};
	static const int64_t prompt[] = {100, 200, 300, 100}, output[] = {7, 8, 55, 7};
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++)
		CHECK_INT(schedule_next_us(&plan), at[i]);
	for (size_t i = 0; i < 4; i++) {
		Size size;
		schedule_size(&plan, &size);
		CHECK_INT(size.prompt, prompt[i]);
		CHECK_INT(size.output, output[i]);
	}
	trace_done(&t);
}

TEST(a_trace_is_replayed_faster)
{
	Trace t = parsed("at_s\n0\n1\n5\n");
	const Stream s = {.arrivals = ARRIVALS_REPLAY, .speed = 4};
	Schedule plan = scheduled(&s, &t);
	CHECK_INT(schedule_next_us(&plan), 0);
	CHECK_INT(schedule_next_us(&plan), 250000);
	CHECK_INT(schedule_next_us(&plan), 1250000);
	trace_done(&t);
}

TEST(a_trace_names_clips)
{
	Trace t = parsed("clip,at_s\nhello.wav,0\n,1\n\"good bye.wav\",1\n");
	const Stream s = {.arrivals = ARRIVALS_REPLAY,
			  .clip_ms = {.median = 900, .min = 1, .max = 1000}};
	Schedule plan;
	Size size;
	CHECK_OK(schedule_init(&plan, &s, &t, true, (Rng){1}, (Rng){2}));
	schedule_size(&plan, &size);
	CHECK_STR(size.clip, "hello.wav");
	CHECK_INT(size.clip_ms, 900);
	schedule_size(&plan, &size);
	CHECK(!size.clip);
	schedule_size(&plan, &size);
	CHECK_STR(size.clip, "good bye.wav");
	trace_done(&t);
}

TEST(a_schedule_without_what_it_needs_is_refused)
{
	Schedule plan;
	static const Stream rows[] = {
	    {.arrivals = ARRIVALS_REPLAY},
	    {.arrivals = ARRIVALS_POISSON},
	    {.arrivals = ARRIVALS_RAMP, .rate = 3},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		CHECK_ERR(schedule_init(&plan, &rows[i], NULL, false, (Rng){1}, (Rng){2}), EINVAL);
}

TEST(a_request_meets_all_its_limits_or_none)
{
	Stream s = {
	    .limit_us = 1000, .ttft_limit_us = 200, .tpot_limit_us = 10}; /* planned at 5000 */
	CHECK(stream_has_limits(&s));
	CHECK(!stream_has_limits(&(Stream){0}));
	CHECK(stream_met(&s, 5000, 5200, 5900, 6000, 71));
	CHECK(!stream_met(&s, 5000, 5200, 5900, 6001, 71)); /* too long as a whole */
	CHECK(!stream_met(&s, 5000, 5201, 5900, 6000, 71)); /* its first token too late */
	CHECK(!stream_met(&s, 5000, 5200, 5900, 6000, 70)); /* 10.1 us a token */
	CHECK(stream_met(&s, 5000, 5200, 5900, 6000, 1));   /* no time between tokens */
	/* Not streamed: its first token was there at its end, and who knows since when. */
	CHECK(stream_met(&s, 5000, 0, 0, 5200, -1));
	CHECK(!stream_met(&s, 5000, 0, 0, 5201, -1));
	/* A count that a server made up does not overflow. */
	s.tpot_limit_us = INT64_MAX / 2;
	CHECK(stream_met(&s, 5000, 5200, 5900, 6000, INT32_MAX));
}

/* --- Files ----------------------------------------------------------------------------------- */

/* The header and the first rows are as the public trace has them (Azure/AzurePublicDataset,
 * AzureLLMInferenceTrace_conv.csv, CC-BY). */
TEST(the_azure_trace_is_read_as_it_is)
{
	Trace t = parsed("TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
			 "2023-11-16 18:15:46.6805900,374,44\r\n"
			 "2023-11-16 18:15:50.9951690,396,109\r\n"
			 "2023-11-16 18:15:51.2225670,879,55\r\n");
	CHECK_INT(t.n, 3);
	CHECK_INT(t.rows[0].at_us, 0);
	CHECK_INT(t.rows[1].at_us, 4314579);
	CHECK_INT(t.rows[2].at_us, 4541977);
	CHECK_INT(t.rows[1].prompt, 396);
	CHECK_INT(t.rows[2].output, 55);
	trace_done(&t);
}

TEST(dates_count_over_midnight_and_leap_days)
{
	Trace t = parsed("TIMESTAMP,ContextTokens,GeneratedTokens\n"
			 "2024-02-28 23:59:59.5+00:00,1,1\n"
			 "2024-03-01T00:00:00.25Z,1,1\n"
			 "2025-01-01 00:00:00,1,1\n");
	CHECK_INT(t.rows[1].at_us, INT64_C(86400750000));
	CHECK_INT(t.rows[2].at_us, INT64_C(307) * 86400 * 1000000 + 500000);
	trace_done(&t);
}

TEST(a_bad_trace_is_refused_with_its_line)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
	    {"", "is empty"},
	    {"\n\r\n", "is empty"},
	    {"a,b\n1,2\n", "neither a column at_s nor a column TIMESTAMP"},
	    {"at_s\n", "has no rows"},
	    {"at_s\n1\nsoon\n", "line 3 of the trace: this is no time in seconds: 'soon'"},
	    {"at_s\n2\n1\n", "line 3 of the trace: this goes back in time"},
	    {"at_s\n-1\n", "no time"},
	    {"at_s\n1e3\n", "no time"},
	    {"at_s\nnan\n", "no time"},
	    {"at_s,prompt_tokens\n1,many\n", "no number of tokens"},
	    {"at_s,prompt_tokens\n1,1.5\n", "no number of tokens"},
	    {"at_s,prompt_tokens\n1,99999999999\n", "no number of tokens"},
	    {"at_s\n0\n999999999\n", "more than a year"},
	    {"at_s,clip\n0,../../etc/passwd\n", "name of a file"},
	    {"TIMESTAMP\n2023-13-01 00:00:00\n", "no date"},
	    {"TIMESTAMP\n2023-12-01\n", "no date"},
	    {"prompt_tokens,at_s\n5\n", "line 2 of the trace: this is no time"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Trace t;
		Err err = ERR_INIT;
		CHECK_ERR(trace_parse(rows[i].text, strlen(rows[i].text), &t, &err), EBADMSG);
		if (!strstr(err.msg, rows[i].says))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err.msg);
	}
}

TEST(only_a_regular_file_is_a_trace)
{
	Trace t;
	Err err = ERR_INIT;
	CHECK_ERR(trace_read("/dev/zero", &t, &err), EINVAL);
	CHECK_ERR(trace_read("/does/not/exist.csv", &t, &err), ENOENT);
}
