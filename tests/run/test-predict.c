/* The memory model as the search sees it. */
#include "fixture.h"

typedef struct Refusals {
	uint32_t levels[8];
	size_t n;
	int stop_with;
} Refusals;

static int note(void *userdata, const Point *p, const Fit *fit)
{
	Refusals *r = userdata;
	CHECK(fit->reason);
	if (fit->verdict != FIT_NO)
		return 0;
	r->levels[r->n++] = p->level[0];
	return r->stop_with;
}

static const char shares[] = "experiments:\n"
			     "- name: e\n"
			     "  search_space: {share: [0.2, 0.4, 0.6, 0.8]}\n"
			     "  evaluator: {command: [/bin/true]}\n"
			     "  services:\n"
			     "    llm:\n"
			     "      kind: vllm\n"
			     "      settings: {model: m, max_model_len: 1024}\n"
			     "      params: {share: gpu_memory_utilization}\n"
			     "  safety: {forbid: [{share: 0.6}]}\n"
			     "  memory:\n"
			     "    total_bytes: 10 GiB\n"
			     "    context_bytes: 0\n"
			     "    vllm:\n"
			     "    - {model: m, max_model_len: 1024, non_kv_bytes: 5 GiB, "
			     "token_bytes: 1024}\n";

static Plan *shares_plan(void)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str said = STR_INIT;
	Plan *p = NULL;
	Err err = ERR_INIT;
	if (config_load_text("dream.yaml", shares, strlen(shares), DIAG_ERROR, &p, &d, &err) < 0) {
		diags_text(&d, &said);
		test_fail(__FILE__, __LINE__, "%s\n%s", err.msg, said.s ? said.s : "");
	}
	return p;
}

TEST(without_a_memory_model_everything_is_unknown_and_worth_a_try)
{
	_cleanup_(config_freep) Plan *p = plan_of("");
	const Experiment *x = &p->experiments[0];
	Scan sum;
	Refusals none = {0};
	CHECK_OK(scan_space(x, NULL, PREDICT_MAX, note, &none, &sum, NULL));
	CHECK_INT((intmax_t)sum.allowed, 5);
	CHECK_INT((intmax_t)sum.unknown, 5);
	CHECK_INT((intmax_t)sum.infeasible, 0);
	CHECK(sum.whole);
	Predictor predictor = {.experiment = x};
	Point first;
	CHECK(space_first(x->space, &first));
	CHECK(predict_feasible(&predictor, &first));
	CHECK_INT(predictor.failed, 0);
}

/* 0.2 and 0.4 of 10 GiB are less than the 5 GiB that are no KV cache; 0.6 is forbidden. */
TEST(what_cannot_start_is_counted_among_what_is_allowed)
{
	_cleanup_(config_freep) Plan *p = shares_plan();
	const Experiment *x = &p->experiments[0];
	Scan sum;
	Refusals r = {0};
	CHECK_OK(scan_space(x, NULL, PREDICT_MAX, note, &r, &sum, NULL));
	CHECK_INT((intmax_t)sum.allowed, 3);
	CHECK_INT((intmax_t)sum.infeasible, 2);
	CHECK_INT((intmax_t)r.n, 2);
	CHECK_INT(r.levels[0], 0);
	CHECK_INT(r.levels[1], 1);
	Predictor predictor = {.experiment = x};
	CHECK(!predict_feasible(&predictor, &(Point){{1}}));
	CHECK(predict_feasible(&predictor, &(Point){{3}}));
}

TEST(a_callback_that_fails_ends_the_walk)
{
	_cleanup_(config_freep) Plan *p = shares_plan();
	Scan sum;
	Refusals r = {.stop_with = -ENOSPC};
	CHECK_ERR(scan_space(&p->experiments[0], NULL, PREDICT_MAX, note, &r, &sum, NULL), ENOSPC);
	CHECK_INT((intmax_t)r.n, 1);
}

TEST(a_large_space_is_looked_at_in_part_and_that_is_said)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = NULL;
	static const char text[] =
	    "experiments:\n"
	    "- name: e\n"
	    "  search_space: {a: {min: 1, max: 1000}, b: {min: 1, max: 21}}\n"
	    "  evaluator: {command: [/bin/true]}\n";
	CHECK_OK(config_load_text("dream.yaml", text, strlen(text), DIAG_ERROR, &p, &d, NULL));
	Scan sum;
	CHECK_OK(scan_space(&p->experiments[0], NULL, PREDICT_MAX, NULL, NULL, &sum, NULL));
	CHECK_INT((intmax_t)sum.allowed, PREDICT_MAX);
	CHECK(!sum.whole);
}

TEST(the_chance_of_a_false_winner_is_shared_among_the_finalists)
{
	ConfirmConfig one = {.confidence = 0.95, .finalists = 1};
	ConfirmConfig five = {.confidence = 0.95, .finalists = 5};
	CHECK_NEAR(confirm_confidence(&one), 0.95, 1e-12);
	CHECK_NEAR(confirm_confidence(&five), 0.99, 1e-12);
}
