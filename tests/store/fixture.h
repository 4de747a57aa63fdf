#pragma once
/* A store in a directory of its own, and trials to put into it. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/rng.h"
#include "scratch.h"
#include "store/store.h"
#include "test.h"

typedef struct Fixture {
	char dir[64];
	char path[96];
	int64_t now_us;
	Clock clock;
	Store *store;
	StoreTrial last; /* borrowed strings */
} Fixture;

static int64_t fixture_now(void *ctx)
{
	Fixture *f = ctx;
	return f->now_us += 1000;
}

__attribute__((unused)) static void fixture_open(Fixture *f)
{
	Err err = ERR_INIT;
	if (store_open(f->path, STORE_WRITE, &f->clock, &f->store, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static void fixture_paths(Fixture *f)
{
	*f = (Fixture){.now_us = INT64_C(1780000000000000)};
	snprintf(f->dir, sizeof(f->dir), "%s/dream-store-XXXXXX", scratch_root());
	CHECK(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/dream.db", f->dir);
	f->clock = (Clock){fixture_now, fixture_now, f};
}

__attribute__((unused)) static void fixture_new(Fixture *f)
{
	fixture_paths(f);
	fixture_open(f);
}

static void fixture_done(Fixture *f)
{
	f->store = store_close(f->store);
	CHECK_INT(scratch_clear(f->dir), 0);
}

/* Trial number n of an experiment: every field set, a seventh of them failed. */
__attribute__((unused)) static void make_trial(const char *experiment, int64_t n, StoreTrial *t)
{
	Rng rng = rng_derive(7, experiment, (uint64_t)n);
	*t = (StoreTrial){.epoch = 1 + n / 40,
			  .evolution = 1 + n / 40,
			  .ask = n,
			  .generation = n / 10,
			  .config_hash = "f47ecf886cf6beaa",
			  .parents = {n / 2, n / 3},
			  .stage = STAGE_TWIN,
			  .all_services = n % 2,
			  .fitness = rng_unit(&rng),
			  .fitness_se = 0.01,
			  .feasible = n % 7 != 3,
			  .m = {.duration_us = 1500}};
	char id[32];
	snprintf(id, sizeof(id), "spica-gpu-%08x", (unsigned)n);
	t->experiment = strdup(experiment);
	t->purpose = strdup("search");
	t->origin = strdup("mutation");
	t->spica_id = strdup(id);
	t->evaluator = strdup("twin");
	t->workload = strdup("steady");
	t->params = json_pack("{s: f, s: s}", "vllm_memory_util", 0.4 + 0.05 * (double)(n % 5),
			      "whisper_model_size", "small");
	t->mutations = json_pack("{s: [f, f]}", "vllm_memory_util", 0.4, 0.5);
	Metric m = {.name = "llm_latency_ms",
		    .unit = "ms",
		    .value = 100 + rng_unit(&rng),
		    .lo = 99,
		    .hi = 102,
		    .n = 60};
	CHECK_OK(measurement_set(&t->m, &m, NULL));
	if (!t->feasible) {
		t->fitness = 0;
		CHECK_OK(measurement_fail(&t->m, OUTCOME_OOM, "oom", "ran out of memory at %d", 7));
	}
}

__attribute__((unused)) static void add_trials(Store *s, const char *experiment, int64_t from,
					       int64_t n)
{
	for (int64_t i = from; i < from + n; i++) {
		StoreTrial t, *list[] = {&t};
		Err err = ERR_INIT;
		make_trial(experiment, i, &t);
		if (store_add_trials(s, list, 1, &err) < 0)
			test_fail(__FILE__, __LINE__, "%s", err.msg);
		store_trial_done(&t);
	}
}
