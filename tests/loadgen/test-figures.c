#include <errno.h>
#include <string.h>

#include "loadgen/figures.h"
#include "test.h"

enum {
	MANY = 700
};

static Exchange exchanges[MANY];

/* A request every 10 ms from 1 s on, sent 1 ms late, first token after `ttft_us`, five tokens. */
static Exchange *put(size_t i, int64_t e2e_us)
{
	Exchange *e = &exchanges[i];
	*e = (Exchange){.planned_us = 1000000 + (int64_t)i * 10000,
			.measured = true,
			.status = 200,
			.chunks = 5,
			.tokens_out = 5,
			.tokens_in = 20};
	e->sent_us = e->planned_us + 1000;
	e->first_us = e->planned_us + e2e_us / 2;
	e->last_us = e->end_us = e->planned_us + e2e_us;
	return e;
}

static StreamResult result_of(size_t n)
{
	StreamResult r = {.name = "llm",
			  .protocol = PROTOCOL_OPENAI_CHAT,
			  .load = {.arrivals = ARRIVALS_CONSTANT, .rate = 100},
			  .exchanges = exchanges,
			  .n = n};
	return r;
}

/* Latencies of 100, 101, ... ms in an order that says nothing. */
static StreamResult shuffled(size_t n)
{
	static int64_t order[MANY];
	Rng rng = {5};
	for (size_t i = 0; i < n; i++)
		order[i] = (int64_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t k = rng_below(&rng, i);
		int64_t t = order[i - 1];
		order[i - 1] = order[k];
		order[k] = t;
	}
	for (size_t i = 0; i < n; i++)
		put(i, 100000 + 1000 * order[i]);
	return result_of(n);
}

TEST(percentiles_are_exact_and_come_with_an_interval)
{
	StreamResult r = shuffled(201);
	StreamFigures f;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_INT(f.sent, 201);
	CHECK_INT(f.answered, 201);
	CHECK(f.steady && f.unsteady == 0);
	CHECK_NEAR(f.e2e_ms.p[0].value, 200, 1e-9);
	CHECK(f.e2e_ms.p[0].lo > 180 && f.e2e_ms.p[0].lo < 195);
	CHECK(f.e2e_ms.p[0].hi > 205 && f.e2e_ms.p[0].hi < 220);
	CHECK_NEAR(f.e2e_from_send_ms.p[0].value, 199, 1e-9);
	CHECK_NEAR(f.queue_ms.p[0].value, 1, 1e-9);
	CHECK_NEAR(f.ttft_ms.p[0].value, 100, 1e-9);
	CHECK_NEAR(f.tpot_ms.p[0].value, 25, 1e-9);
	CHECK_NEAR(f.e2e_ms.mean.value, 200, 1e-9);
	CHECK_NEAR(f.e2e_ms.min, 100, 1e-9);
	CHECK_NEAR(f.e2e_ms.max, 300, 1e-9);
}

TEST(a_percentile_with_too_few_samples_is_no_number)
{
	static const struct {
		size_t n;
		int percentile;
		bool sufficient;
	} rows[] = {{10, 0, false},  {11, 0, true},  {63, 1, false},  {64, 1, true},
		    {129, 2, false}, {130, 2, true}, {661, 3, false}, {662, 3, true}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		StreamResult r = shuffled(rows[i].n);
		StreamFigures f;
		CHECK_OK(stream_figures(&r, &f, NULL));
		CHECK(isfinite(f.e2e_ms.p[rows[i].percentile].value) == rows[i].sufficient);
	}
	StreamResult r = shuffled(15); /* fifteen samples are not a 99th percentile */
	StreamFigures f;
	char text[64];
	CHECK_OK(stream_figures(&r, &f, NULL));
	figure_insufficient(&f.e2e_ms.p[3], text);
	CHECK_STR(text, "insufficient (n=15, needs 662)");
}

/* The scenario of a server that serves one at a time in 10 ms, asked every 5 ms: the n-th waits n
 * times 5 ms. Counted from the sending one might see 10 ms only. */
TEST(both_conventions_of_latency_are_there)
{
	for (size_t i = 0; i < 100; i++) {
		Exchange *e = put(i, 0);
		e->planned_us = 1000000 + (int64_t)i * 5000;
		e->sent_us = 1000000 + (int64_t)i * 10000;
		e->end_us = e->last_us = e->sent_us + 10000;
	}
	StreamResult r = result_of(100);
	StreamFigures f;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_NEAR(f.e2e_from_send_ms.max, 10, 1e-9);
	CHECK_NEAR(f.e2e_ms.max, 10 + 99 * 5, 1e-9);
	CHECK_NEAR(f.queue_ms.max, 99 * 5, 1e-9);
	CHECK(!f.steady); /* it only grows */
	CHECK_NEAR(f.asked_rate, 200, 1e-9);
	CHECK_NEAR(f.delivered_rate, 100, 1e-9);
}

TEST(failures_are_no_latencies_and_no_goodput)
{
	StreamResult r = shuffled(100);
	StreamFigures f;
	r.load.limit_us = 1000000;
	for (size_t i = 0; i < 20; i++) {
		exchanges[5 * i].failed = i < 15 ? EXCHANGE_TRANSPORT : EXCHANGE_REFUSED;
		exchanges[5 * i].fault = i < 15 ? HTTP_TIMEOUT : HTTP_FINE;
	}
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_INT(f.sent, 100);
	CHECK_INT(f.answered, 80);
	CHECK_INT(f.failed, 20);
	CHECK_INT(f.failures[EXCHANGE_REFUSED], 5);
	CHECK_INT(f.failures[EXCHANGE_TRANSPORT], 15);
	CHECK_INT(f.faults[HTTP_TIMEOUT], 15);
	CHECK_INT(f.e2e_ms.n, 80);
	CHECK_NEAR(f.goodput_share, 0.8, 1e-12);
}

TEST(each_limit_counts)
{
	Exchange e = *put(0, 400000); /* first token after 200 ms, then 50 ms a token */
	Stream load = {0};
	CHECK(exchange_meets(&load, &e));
	load.limit_us = 399999;
	CHECK(!exchange_meets(&load, &e));
	load = (Stream){.ttft_limit_us = 199999};
	CHECK(!exchange_meets(&load, &e));
	load = (Stream){.tpot_limit_us = 49999};
	CHECK(!exchange_meets(&load, &e));
	load = (Stream){.limit_us = 400000, .ttft_limit_us = 200000, .tpot_limit_us = 50000};
	CHECK(exchange_meets(&load, &e));
	e.failed = EXCHANGE_HALF;
	CHECK(!exchange_meets(&load, &e));
}

TEST(a_limit_of_what_the_server_does_not_count_is_not_met_for_free)
{
	Exchange e = *put(0, 400000); /* first token after 200 ms, then 50 ms a token */
	Stream load = {.tpot_limit_us = 49999};
	e.chunks = e.tokens_out;
	e.tokens_out = -1;
	CHECK(!exchange_meets(&load, &e)); /* from chunk to chunk */
	load.tpot_limit_us = 50000;
	CHECK(exchange_meets(&load, &e));
	load = (Stream){.ttft_limit_us = 399999};
	e.first_us = e.last_us = 0; /* it came whole */
	CHECK(!exchange_meets(&load, &e));
	load.ttft_limit_us = 400000;
	CHECK(exchange_meets(&load, &e));
}

TEST(misses_in_a_row_are_less_evidence_than_as_many_apart)
{
	StreamResult r = shuffled(200);
	StreamFigures apart, row;
	r.load.limit_us = 10000000;
	for (size_t i = 0; i < 200; i += 10)
		exchanges[i].failed = EXCHANGE_REFUSED;
	CHECK_OK(stream_figures(&r, &apart, NULL));
	r = shuffled(200);
	r.load.limit_us = 10000000;
	for (size_t i = 90; i < 110; i++)
		exchanges[i].failed = EXCHANGE_REFUSED;
	CHECK_OK(stream_figures(&r, &row, NULL));
	CHECK_NEAR(apart.goodput_share, 0.9, 1e-12);
	CHECK_NEAR(row.goodput_share, 0.9, 1e-12);
	CHECK(row.goodput_lo < apart.goodput_lo - 0.05);
	CHECK(row.goodput_hi > apart.goodput_hi);
}

TEST(tokens_a_second_are_those_of_all_answers_or_unknown)
{
	StreamResult r = shuffled(60);
	StreamFigures f;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK(f.tokens_s > 0);
	r.exchanges[30].tokens_out = -1;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK(isnan(f.tokens_s));
	r.exchanges[30].failed = EXCHANGE_HALF; /* nobody expects a count of it */
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK(f.tokens_s > 0);
}

TEST(warm_up_and_what_was_cut_off_are_counted_apart)
{
	StreamResult r = shuffled(60);
	StreamFigures f;
	for (size_t i = 0; i < 7; i++)
		exchanges[i].measured = false;
	exchanges[59].measured = false; /* sent after the last measured one */
	exchanges[58].failed = EXCHANGE_UNFINISHED;
	exchanges[57].end_us = 0;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_INT(f.warmup, 7);
	CHECK_INT(f.unfinished, 2);
	CHECK_INT(f.sent, 50);
	CHECK_INT(f.failed, 0);
	CHECK_INT(f.e2e_ms.n, 50);
}

TEST(a_slow_beginning_is_left_out_of_the_figures)
{
	StreamResult r = shuffled(400);
	StreamFigures f;
	for (size_t i = 0; i < 30; i++)
		exchanges[i].end_us += 3000000;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK(f.steady);
	CHECK_INT(f.unsteady, 30);
	CHECK_INT(f.e2e_ms.n, 370);
	CHECK(f.e2e_ms.max < 1000);
	CHECK_INT(f.sent, 400);
}

TEST(chunks_are_not_tokens)
{
	StreamResult r = shuffled(20);
	StreamFigures f;
	for (size_t i = 0; i < 20; i++)
		exchanges[i].tokens_out = 9; /* one chunk may have several, or none */
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_INT(f.tpot_ms.n, 20);
	CHECK_NEAR(f.tokens_s / f.chunks_s, 9.0 / 5, 1e-9);
	for (size_t i = 1; i < 20; i++)
		exchanges[i].tokens_out = -1;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_INT(f.tpot_ms.n, 1);
	CHECK(isnan(f.tokens_s) && isfinite(f.chunks_s));
}

TEST(gaps_are_those_of_the_answered_measured_ones)
{
	static uint32_t gaps[] = {1000, 3000, 9000000, 7000000};
	StreamResult r = shuffled(3);
	StreamFigures f;
	r.gaps_us = gaps;
	r.n_gaps = 4;
	exchanges[0].n_gaps = 2;
	exchanges[1].gaps_at = 2;
	exchanges[1].n_gaps = 1;
	exchanges[1].failed = EXCHANGE_HALF;
	exchanges[2].gaps_at = 3;
	exchanges[2].n_gaps = 200; /* more than there are */
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_INT(f.gap_ms.n, 2);
	CHECK_NEAR(f.gap_ms.mean.value, 2, 1e-9);
}

TEST(neighbours_that_resemble_each_other_count_less)
{
	StreamResult r = shuffled(600);
	StreamFigures f;
	Rng rng = {3};
	double z = 0;
	for (size_t i = 0; i < 600; i++) {
		z = 0.7 * z + 0.7 * rng_normal(&rng);
		exchanges[i].end_us = exchanges[i].planned_us + (int64_t)(200000 + 10000 * z);
	}
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_NEAR(f.autocorrelation, 0.7, 0.1);
	CHECK(f.e2e_ms.p[0].n_effective < 300);
	CHECK_INT(f.e2e_ms.p[0].n, 600);
}

TEST(nothing_measured_gives_nothing)
{
	StreamResult r = result_of(0);
	StreamFigures f;
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_INT(f.e2e_ms.n, 0);
	CHECK(isnan(f.delivered_rate) && isnan(f.goodput_share) && isnan(f.e2e_ms.min));
	CHECK_OK(stream_metrics(&f, "llm", &m, NULL));
	CHECK_INT(m.n_metrics, 0);
	json_auto_t *o = stream_figures_json(&f);
	CHECK(o && json_is_null(json_object_get(o, "e2e_ms")));
	measurement_done(&m);
}

TEST(metrics_have_the_names_that_trials_have_and_leave_out_what_is_insufficient)
{
	StreamResult r = shuffled(200);
	StreamFigures f;
	Measurement m = MEASUREMENT_INIT;
	r.load.limit_us = 200000;
	CHECK_OK(stream_figures(&r, &f, NULL));
	CHECK_OK(stream_metrics(&f, "llm", &m, NULL));
	static const char *const there[] = {
	    "llm_latency_ms", "llm_latency_p95_ms", "llm_ttft_ms",     "llm_ttft_p95_ms",
	    "llm_tpot_ms",    "llm_tokens_per_s",   "llm_goodput_pct", "llm_queue_ms"};
	for (size_t i = 0; i < sizeof(there) / sizeof(*there); i++)
		CHECK(measurement_get(&m, there[i]));
	CHECK(!measurement_get(&m, "llm_latency_p99_ms"));
	const Metric *p50 = measurement_get(&m, "llm_latency_ms");
	CHECK(p50->lo < p50->value && p50->value < p50->hi && p50->se > 0 && p50->n == 200);
	CHECK_NEAR(measurement_get(&m, "llm_goodput_pct")->value, 50.5, 1e-9);
	measurement_done(&m);
}
