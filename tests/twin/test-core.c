#include "test.h"
#include "twin/events.h"
#include "twin/ledger.h"
#include "twin/noise.h"
#include "twin/sim.h"

TEST(events_come_by_time_and_equal_times_in_the_order_added)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		Events e = {0};
		Rng rng = {seed};
		for (uint32_t i = 0; i < 300; i++)
			CHECK_OK(events_add(&e, (int64_t)rng_below(&rng, 40), 0, i, 0));
		Event last = {.at_us = -1}, next;
		size_t n = 0;
		for (; events_next(&e, &next); n++, last = next)
			if (next.at_us < last.at_us ||
			    (next.at_us == last.at_us && next.who < last.who))
				test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": out of order",
					  seed);
		CHECK_INT(n, 300);
		events_done(&e);
	}
}

TEST(memory_never_exceeds_the_card_and_the_peak_is_kept_by_owner)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		Ledger l = {.total_bytes = 1000};
		Rng rng = {seed};
		int64_t held[4] = {0}, peak = 0;
		for (int i = 0; i < 200; i++) {
			size_t owner = rng_below(&rng, 4);
			int64_t bytes = (int64_t)rng_below(&rng, 400);
			int64_t used = held[0] + held[1] + held[2] + held[3];
			if (rng_unit(&rng) < 0.6) {
				CHECK(ledger_take(&l, owner, bytes) == (used + bytes <= 1000));
				held[owner] += used + bytes <= 1000 ? bytes : 0;
			} else {
				ledger_give(&l, owner, bytes);
				held[owner] -= bytes < held[owner] ? bytes : held[owner];
			}
			used = held[0] + held[1] + held[2] + held[3];
			peak = used > peak ? used : peak;
			CHECK_INT(l.used_bytes, used);
			CHECK_INT(ledger_free_bytes(&l), 1000 - used);
		}
		CHECK_INT(l.peak_bytes, peak);
		CHECK_INT(l.at_peak[0] + l.at_peak[1] + l.at_peak[2] + l.at_peak[3], peak);
	}
	Ledger l = {.total_bytes = 10};
	CHECK(!ledger_take(&l, 0, INT64_MAX));
	CHECK(!ledger_take(&l, 0, -1));
}

static const NoiseSpec weather = {.trial_pct = 2,
				  .drift_pct = 3,
				  .drift_us = 600000000,
				  .jitter_pct = 1,
				  .jitter_correlation = 0.8,
				  .seed = 9};

TEST(drift_is_the_same_for_all_who_ask_and_forgets_over_its_time)
{
	double near = 0, far = 0, square = 0;
	int n = 4000;
	for (int i = 0; i < n; i++) {
		int64_t at = (int64_t)i * 1700000000;
		double here = noise_drift(&weather, at);
		CHECK(here == noise_drift(&weather, at));
		square += here * here;
		near += here * noise_drift(&weather, at + 60000000);
		far += here * noise_drift(&weather, at + 1500000000);
	}
	CHECK_NEAR(square / n, 1, 0.1);
	CHECK(near / square > 0.9);
	CHECK(fabs(far / square) < 0.1);
}

TEST(starts_differ_by_the_declared_deviation)
{
	double sum = 0, square = 0;
	for (uint64_t seed = 0; seed < 4000; seed++) {
		double x = log(noise_start(&weather, seed, 0).trial);
		sum += x;
		square += x * x;
	}
	CHECK_NEAR(sum / 4000, 0, 0.002);
	CHECK_NEAR(sqrt(square / 4000), 0.02, 0.001);
}

typedef struct Job {
	int worker;
	int64_t ended_us;
} Job;

static int ended(Sim *s, void *owner)
{
	Job *j = owner;
	j->ended_us = s->now_us;
	sim_rest(s, j->worker);
	return 0;
}

static const NoiseSpec calm = {.drift_us = 1};

static void drive(Sim *s, double switch_cost, Job *jobs, int n, double busy, const double *work)
{
	*s = (Sim){.switch_cost = switch_cost, .noise = noise_start(&calm, 1, 0)};
	CHECK_OK(sim_clear(s));
	for (int i = 0; i < n; i++) {
		jobs[i] = (Job){.worker = sim_add_worker(s, ended, &jobs[i], busy)};
		sim_work(s, jobs[i].worker, work[i]);
	}
	while (s->now_us < 1000000 && sim_step(s, 1000000) > 0)
		;
	events_done(&s->events);
}

TEST(work_alone_takes_its_own_time)
{
	static Sim s;
	Job j;
	drive(&s, 0.5, &j, 1, 0.9, (double[]){1234});
	CHECK_INT(j.ended_us, 1234);
}

TEST(two_that_are_always_in_kernels_take_turns)
{
	/* 1,000 and 3,000: both half as fast until the first is done at 2,000, when the second has
	 * 2,000 left. */
	static Sim s;
	Job j[2];
	drive(&s, 0, j, 2, 1, (double[]){1000, 3000});
	CHECK_INT(j[0].ended_us, 2000);
	CHECK_INT(j[1].ended_us, 4000);
}

TEST(switching_makes_the_whole_longer_than_its_parts)
{
	static Sim s;
	Job j[2];
	drive(&s, 0.25, j, 2, 1, (double[]){1000, 1000});
	CHECK_INT(j[0].ended_us, 2500);
	CHECK_INT(j[1].ended_us, 2500);
}

TEST(work_on_the_cpu_does_not_take_turns)
{
	static Sim s;
	Job j[2];
	drive(&s, 0.25, j, 2, 0, (double[]){1000, 3000});
	CHECK_INT(j[0].ended_us, 1000);
	CHECK_INT(j[1].ended_us, 3000);
}

TEST(time_goes_as_far_as_the_caller_says_and_no_further)
{
	static Sim s;
	s = (Sim){.noise = noise_start(&calm, 1, 0)};
	CHECK_OK(sim_clear(&s));
	Job j = {.worker = sim_add_worker(&s, ended, &j, 1)};
	sim_work(&s, j.worker, 5000);
	CHECK_INT(sim_step(&s, 3000), 0);
	CHECK_INT(s.now_us, 3000);
	CHECK_INT(j.ended_us, 0);
	CHECK_INT(sim_step(&s, 6000), 1);
	CHECK_INT(j.ended_us, 5000);
	events_done(&s.events);
}
