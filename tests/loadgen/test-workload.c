#include <errno.h>
#include <string.h>

#include "loadgen/arrivals.h"
#include "test.h"

typedef struct Read {
	Workload w;
	char *messages;
	size_t errors;
} Read;

static Read read_text(const char *text)
{
	Read r = {0};
	Diags d = DIAGS_INIT;
	ConfDoc *doc = NULL;
	CHECK_OK(conf_read_text("w.yaml", text, strlen(text), &doc, &d, NULL));
	CHECK_OK(conf_fill(&workload_table, conf_root(doc), &r.w, &d));
	Str out = STR_INIT;
	diags_text(&d, &out);
	CHECK_OK(str_take(&out, &r.messages));
	r.errors = d.errors;
	diags_done(&d);
	conf_free(doc);
	return r;
}

static void read_done(Read *r)
{
	conf_done(&workload_table, &r->w);
	free(r->messages);
}

TEST(a_workload_is_read_with_its_defaults)
{
	Read r =
	    read_text("llm: {rate: 2.5, prompt_tokens: {median: 700, max: 3000}, limit: 1500ms}\n"
		      "stt: {arrivals: closed, users: 3, think: 2 s}\n");
	CHECK_STR(r.messages, "");
	CHECK_INT(r.w.llm->arrivals, ARRIVALS_POISSON);
	CHECK_NEAR(r.w.llm->rate, 2.5, 0);
	CHECK_INT(r.w.llm->limit_us, 1500000);
	CHECK_NEAR(r.w.llm->prompt.median, 700, 0);
	CHECK_INT(r.w.llm->prompt.max, 3000);
	CHECK_INT(r.w.llm->requests, 150);
	CHECK_NEAR(r.w.llm->output.median, 128, 0);
	CHECK_INT(r.w.stt->users, 3);
	CHECK_INT(r.w.stt->think_us, 2000000);
	CHECK_NEAR(r.w.stt->clip_ms.median, 3000, 0);
	CHECK_NEAR(r.w.capacity_share, 0.95, 0);
	read_done(&r);
}

TEST(a_workload_that_grows_or_repeats_a_trace_is_read)
{
	Read r = read_text(
	    "llm: {arrivals: ramp, rate: 1, rate_to: 9, ttft_limit: 300ms, tpot_limit: 50ms}\n"
	    "stt: {arrivals: replay, trace: day.csv, speed: 2.5}\n");
	CHECK_STR(r.messages, "");
	CHECK_INT(r.w.llm->arrivals, ARRIVALS_RAMP);
	CHECK_NEAR(r.w.llm->rate_to, 9, 0);
	CHECK_INT(r.w.llm->ttft_limit_us, 300000);
	CHECK_INT(r.w.llm->tpot_limit_us, 50000);
	CHECK_INT(r.w.stt->arrivals, ARRIVALS_REPLAY);
	CHECK_STR(r.w.stt->trace, "day.csv");
	CHECK_NEAR(r.w.stt->speed, 2.5, 0);
	read_done(&r);
}

TEST(numbers_that_contradict_each_other_are_named_at_their_place)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
	    {"capacity_max: 3\n", "asks nothing of any service"},
	    {"llm: {arrivals: closed}\n",
	     "w.yaml:1:17: error: closed arrivals need the number of users"},
	    {"llm: {arrivals: gamma}\n", "gamma arrivals need a rate"},
	    {"llm: {arrivals: closed, users: 2, rate: 3}\n",
	     "w.yaml:1:41: error: closed arrivals have no rate"},
	    {"llm: {rate: 3, users: 2}\n", "poisson arrivals have no users"},
	    {"llm: {rate: 3, think: 2 s}\n", "poisson arrivals have no time to think"},
	    {"llm: {rate: 3, cv: 3}\n", "poisson arrivals have no cv"},
	    {"llm: {arrivals: ramp, rate: 3}\n", "ramp arrivals need a rate_to"},
	    {"llm: {arrivals: ramp, rate_to: 3}\n", "ramp arrivals need a rate"},
	    {"llm: {rate: 3, rate_to: 5}\n", "1:25: error: poisson arrivals have no rate_to"},
	    {"llm: {arrivals: replay}\n", "replay arrivals need a trace"},
	    {"llm: {arrivals: replay, trace: a.csv, rate: 2}\n", "replay arrivals have no rate"},
	    {"llm: {rate: 3, trace: a.csv}\n", "poisson arrivals have no trace"},
	    {"llm: {rate: 3, speed: 2}\n", "poisson arrivals have no speed"},
	    {"stt: {rate: 3, ttft_limit: 1 s}\n", "ttft_limit"},
	    {"llm: {rate: 3, prompt_tokens: {min: 10, max: 5}}\n", "min 10 is above max 5"},
	    {"llm: {rate: 3, prompt_tokens: {median: 5000}}\n",
	     "the median 5000 lies outside 1 to 1024"},
	    {"llm: {rate: 3, clip_ms: {median: 5}}\n", "clip_ms"},
	    {"stt: {rate: 3, prompt_tokens: {median: 5}}\n", "prompt_tokens"},
	    {"llm: {rate: 0}\n", "rate"},
	    {"llm: {rate: 1, arrivals: uniform}\n", "uniform"},
	    {"llm: {rate: 1}\ncapacity_share: 1.5\n", "capacity_share"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Read r = read_text(rows[i].text);
		if (r.errors == 0 || !strstr(r.messages, rows[i].says))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, r.messages);
		read_done(&r);
	}
}

TEST(there_are_two_profiles_when_none_is_written)
{
	Workload w;
	CHECK_OK(workload_default(0, &w));
	CHECK_STR(w.name, "steady");
	CHECK(!workload_is_bursty(&w));
	conf_done(&workload_table, &w);
	CHECK_OK(workload_default(1, &w));
	CHECK_STR(w.name, "bursty");
	CHECK(workload_is_bursty(&w));
	CHECK_NEAR(w.llm->cv, 3, 0);
	conf_done(&workload_table, &w);
	CHECK_ERR(workload_default(2, &w), ENOENT);
}

/* A trial in another process gets them as a file is written. */
TEST(a_profile_that_nobody_wrote_is_read_as_one_that_is_written)
{
	for (size_t i = 0; i < 2; i++) {
		Workload w;
		CHECK_OK(workload_default(i, &w));
		json_auto_t *o = conf_dump(&workload_table, &w);
		char *text = json_dumps(o, 0);
		CHECK(text);
		Read r = read_text(text);
		CHECK_STR(r.messages, "");
		CHECK_INT(r.errors, 0);
		json_auto_t *again = conf_dump(&workload_table, &r.w);
		CHECK(json_equal(o, again));
		read_done(&r);
		free(text);
		conf_done(&workload_table, &w);
	}
}

TEST(lengths_keep_their_median_and_their_ends)
{
	Lengths l = {.median = 200, .sigma = 0.5, .min = 50, .max = 900};
	Rng rng = {2};
	int below = 0, at_min = 0, at_max = 0;
	for (int i = 0; i < 20000; i++) {
		int64_t v = lengths_draw(&l, &rng);
		CHECK(v >= 50 && v <= 900);
		below += v < 200;
		at_min += v == 50;
		at_max += v == 900;
	}
	CHECK(below > 9500 && below < 10500);
	CHECK(at_min > 0 && at_max > 0);
	l.sigma = 0;
	CHECK_INT(lengths_draw(&l, &rng), 200);
	l.median = 5000;
	CHECK_INT(lengths_draw(&l, &rng), 900);
}
