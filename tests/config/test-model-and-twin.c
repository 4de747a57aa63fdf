/* The memory model against the simulated box, which allocates every byte and knows none of the
 * model's formulas: what is refused must really not run, and what is promised must be what the
 * simulated server prints. */
#include "config/config.h"
#include "test.h"
#include "twin/twin.h"

typedef struct Pair {
	Plan *plan;
	const Experiment *x;
	Box *box;
} Pair;

static Pair load(const char *name)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_free_ char *plan = str_fmt(SOURCE_ROOT "/examples/%s.yaml", name);
	_cleanup_free_ char *box = str_fmt(SOURCE_ROOT "/boxes/%s.yaml", name);
	Pair p = {0};

	CHECK_OK(config_load(plan, DIAG_ERROR, &p.plan, &d, NULL));
	CHECK_OK(box_load(box, &p.box, &d, NULL));
	p.x = &p.plan->experiments[0];
	return p;
}

static void unload(Pair *p)
{
	config_free(p->plan);
	box_free(p->box);
}

static void simulate(const Pair *p, const json_t *params, uint64_t seed, Measurement *ret)
{
	TwinTrial t = {.box = p->box,
		       .services = p->x->services.items,
		       .n_services = p->x->services.n,
		       .params = params,
		       .workload = p->x->workloads.items,
		       .seed = seed};

	CHECK_OK(twin_trial(&t, ret, NULL));
}

/* The line that the simulated server would have printed for this cache. */
static bool says_tokens(const Measurement *m, int64_t tokens)
{
	char *text = json_dumps(m->evidence, 0);
	_cleanup_free_ char *want =
	    tokens >= 1000 ? str_fmt("GPU KV cache size: %lld,%03lld tokens",
				     (long long)tokens / 1000, (long long)tokens % 1000)
			   : str_fmt("GPU KV cache size: %lld tokens", (long long)tokens);
	bool found = text && strstr(text, want);

	free(text);
	return found;
}

/* The model rounds 5.505 GiB to three decimals, the box does not: a block more or less. */
static bool says_about(const Measurement *m, int64_t tokens)
{
	return says_tokens(m, tokens) || says_tokens(m, tokens - 16) || says_tokens(m, tokens + 16);
}

TEST(on_the_3060_every_verdict_is_what_happens)
{
	Pair b = load("rtx3060");
	Point p;

	for (bool more = space_first(b.x->space, &p); more; more = space_next(b.x->space, &p)) {
		json_t *params = point_json(b.x->space, &p);
		Measurement m = MEASUREMENT_INIT;
		Fit f;
		CHECK_OK(footprint_predict(b.x->memory, b.x->services.items, b.x->services.n,
					   params, &f, NULL));
		simulate(&b, params, 1, &m);
		bool ran = m.outcome == OUTCOME_OK;
		if (f.verdict != (ran ? FIT_YES : FIT_NO))
			test_fail(__FILE__, __LINE__, "predicted: %s; it was %s (%s)", f.reason,
				  outcome_name(m.outcome), m.reason ? m.reason : "");
		if (ran && !says_about(&m, f.kv_tokens))
			test_fail(__FILE__, __LINE__, "%lld tokens were predicted",
				  (long long)f.kv_tokens);
		if (!ran)
			CHECK_STR(m.cause, f.cause);
		fit_done(&f);
		measurement_done(&m);
		json_decref(params);
	}
	unload(&b);
}

/* The other way round does not hold there, on purpose: the box has needs that are not declared. */
TEST(on_the_4090_nothing_that_would_run_is_refused)
{
	Pair b = load("rtx4090");
	Point p;
	size_t refused = 0;

	for (bool more = space_first(b.x->space, &p); more; more = space_next(b.x->space, &p)) {
		json_t *params = point_json(b.x->space, &p);
		Fit f;
		CHECK_OK(footprint_predict(b.x->memory, b.x->services.items, b.x->services.n,
					   params, &f, NULL));
		if (f.verdict == FIT_NO) {
			Measurement m = MEASUREMENT_INIT;
			simulate(&b, params, refused, &m);
			if (m.outcome == OUTCOME_OK)
				test_fail(__FILE__, __LINE__, "it ran, but: %s", f.reason);
			measurement_done(&m);
			refused++;
		}
		fit_done(&f);
		json_decref(params);
	}
	CHECK(refused > 1000);
	unload(&b);
}

/* What its owner could not declare: some candidates that fit on paper fail when they are started
 * or loaded. */
TEST(on_the_4090_something_that_fits_on_paper_fails_for_real)
{
	Pair b = load("rtx4090");
	Point p;
	size_t fits = 0, failed = 0;

	for (bool more = space_first(b.x->space, &p); more; more = space_next(b.x->space, &p)) {
		json_t *params = point_json(b.x->space, &p);
		Fit f;
		CHECK_OK(footprint_predict(b.x->memory, b.x->services.items, b.x->services.n,
					   params, &f, NULL));
		if (f.verdict == FIT_YES) {
			Measurement m = MEASUREMENT_INIT;
			simulate(&b, params, 1, &m);
			fits++;
			failed += m.outcome != OUTCOME_OK;
			measurement_done(&m);
		}
		fit_done(&f);
		json_decref(params);
	}
	printf("# %zu fit on paper, %zu of them fail\n", fits, failed);
	CHECK(failed > 0 && failed < fits);
	unload(&b);
}
