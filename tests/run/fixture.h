#pragma once
/* An experiment from text, a store in a directory of its own, and records as a run leaves them. */
#include <unistd.h>

#include "base/json.h"
#include "run/internal.h"
#include "scratch.h"
#include "test.h"

typedef struct Fixture {
	char dir[64];
	int64_t now_us;
	Clock clock;
	Store *store;
	Plan *plan;
	const Experiment *x;
	Identity id;
} Fixture;

static int64_t fixture_now(void *ctx)
{
	Fixture *f = ctx;
	return f->now_us += 1000;
}

/* `more` is added to the experiment's keys. */
static Plan *plan_of(const char *more)
{
	_cleanup_free_ char *text = str_fmt("experiments:\n"
					    "- name: e\n"
					    "  search_space: {u: [1, 2, 3, 4, 5]}\n"
					    "  baseline: {u: 3}\n"
					    "  evaluator: {command: [/bin/true], applies: true}\n"
					    "%s",
					    more);
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str said = STR_INIT;
	Plan *p = NULL;
	Err err = ERR_INIT;
	if (config_load_text("dream.yaml", text, strlen(text), DIAG_ERROR, &p, &d, &err) < 0) {
		diags_text(&d, &said);
		test_fail(__FILE__, __LINE__, "%s\n%s", err.msg, said.s ? said.s : "");
	}
	return p;
}

static Identity identity(const Experiment *x)
{
	Identity id;
	CHECK_OK(identity_of(x, "c0ffee", "rzero", 1, 7, false, &id));
	return id;
}

/* The configuration was edited: another plan over the same store. */
__attribute__((unused)) static void fixture_edit(Fixture *f, const char *more)
{
	(void)config_free(f->plan);
	f->plan = plan_of(more);
	f->x = &f->plan->experiments[0];
	f->id = identity(f->x);
}

__attribute__((unused)) static void fixture_new(Fixture *f)
{
	Err err = ERR_INIT;
	char path[96];
	*f = (Fixture){.now_us = INT64_C(1780000000000000), .dir = "/tmp/dream-run-XXXXXX"};
	CHECK(mkdtemp(f->dir));
	(void)snprintf(path, sizeof(path), "%s/dream.db", f->dir);
	f->clock = (Clock){fixture_now, fixture_now, f};
	if (store_open(path, STORE_WRITE, &f->clock, &f->store, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	fixture_edit(f, "");
}

__attribute__((unused)) static void fixture_done(Fixture *f)
{
	f->store = store_close(f->store);
	f->plan = config_free(f->plan);
	CHECK_INT(scratch_clear(f->dir), 0);
}

static void add_record(Fixture *f, const char *kind, json_t *body)
{
	Err err = ERR_INIT;
	CHECK(body);
	if (store_add(f->store, kind, "dream.test/v1", body, NULL, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	json_decref(body);
}

__attribute__((unused)) static void add_evolution(Fixture *f, int64_t number)
{
	add_record(f, "evolution",
		   json_pack("{s:s, s:I, s:s, s:s}", "experiment", "e", "evolution",
			     (json_int_t)number, "fingerprint", f->id.fingerprint, "context",
			     f->id.context));
}

__attribute__((unused)) static void add_verdict(Fixture *f, int64_t evolution, int64_t epoch,
						const char *verdict)
{
	add_record(f, "verdict",
		   json_pack("{s:s, s:I, s:I, s:s, s:[{s:i}, {s:i}]}", "experiment", "e",
			     "evolution", (json_int_t)evolution, "epoch", (json_int_t)epoch,
			     "verdict", verdict, "survivors", "u", 4, "u", 2));
}

__attribute__((unused)) static void add_epoch(Fixture *f, int64_t number)
{
	add_record(f, "epoch",
		   json_pack("{s:s, s:I}", "experiment", "e", "epoch", (json_int_t)number));
}

/* A search trial of {u: value}. */
__attribute__((unused)) static void add_trial(Fixture *f, int64_t evolution, int64_t ask, int value,
					      Outcome outcome, double fitness)
{
	Err err = ERR_INIT;
	json_auto_t *params = json_pack("{s:i}", "u", value);
	StoreTrial trial = {.experiment = f->x->name,
			    .epoch = evolution,
			    .evolution = evolution,
			    .ask = ask,
			    .purpose = (char *)(uintptr_t) "search",
			    .spica_id = (char *)(uintptr_t) "spica-gpu-00000001",
			    .params = params,
			    .stage = STAGE_COLOCATED,
			    .fitness = fitness,
			    .feasible = outcome == OUTCOME_OK,
			    .m = {.outcome = outcome}};
	StoreTrial *one = &trial;
	if (store_add_trials(f->store, &one, 1, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}
