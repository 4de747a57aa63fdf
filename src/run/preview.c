/* What a run would do, without doing it. */
#include <string.h>

#include "base/json.h"
#include "run/internal.h"

typedef struct Pace {
	const char *experiment;
	int64_t trial_us;
} Pace;

static int read_pace(void *userdata, const Record *r, const json_t *body)
{
	(void)r;
	Pace *p = userdata;
	if (strcmp(js_str(body, "experiment", ""), p->experiment) == 0)
		p->trial_us = js_int(body, "trial_us", -1);
	return p->trial_us >= 0;
}

static int find_pace(Store *store, const char *experiment, int64_t *ret, Err *err)
{
	Pace p = {.experiment = experiment, .trial_us = -1};
	int r = store ? store_records(store, "epoch", true, 0, read_pace, &p, err) : 0;
	*ret = p.trial_us;
	return r;
}

/* Asks for a generation and tells nothing. */
static int ask_all(Turn *t, RunPreview *p, Err *err)
{
	SearchAsk ask;
	int r = 1;
	while (p->n_next < PREVIEW_MAX && (r = search_ask(t->search, &ask, err)) > 0 &&
	       (p->n_next == 0 || ask.generation == t->generation)) {
		p->next[p->n_next++] = ask.point;
		t->generation = ask.generation;
	}
	return r;
}

/* Every finalist's pairs under every workload, with an arm for every parameter. */
static uint64_t confirming_trials(const Experiment *x)
{
	size_t dims = space_dims(x->space);
	uint64_t arms = 2 + (x->confirm.ablation && dims > 1 ? dims : 0);
	if (!x->baseline)
		return 0;
	return (uint64_t)x->confirm.finalists * (uint64_t)x->confirm.pairs * x->workloads.n * arms;
}

static int preview(Turn *t, RunPreviewFn *fn, void *userdata, Err *err)
{
	RunPreview p = {.experiment = t->x, .strategy = t->strategy};
	int r = t->r->store ? history_load(t->r->store, t->x, &t->id, &t->history, err) : 0;
	if (!t->r->store)
		t->history.evolution = t->history.epoch = 1;
	if (r >= 0)
		r = evolve_prepare(t, err);
	if (r < 0)
		return r;
	p.resumed = t->history.resumed;
	p.trials_at_most = search_remaining(t->search) + confirming_trials(t->x);
	Scan scan = {0};
	r = ask_all(t, &p, err);
	if (r >= 0)
		r = scan_space(t->x, NULL, PREDICT_MAX, NULL, NULL, &scan, err);
	if (r >= 0)
		r = find_pace(t->r->store, t->x->name, &p.trial_us, err);
	p.candidates = scan.allowed;
	p.infeasible = scan.infeasible;
	p.all_looked_at = scan.whole;
	return r < 0 ? r : fn(userdata, &p);
}

int run_preview(const Plan *plan, Store *store, const RunOptions *options, RunPreviewFn *fn,
		void *userdata, Err *err)
{
	Runner runner = {.plan = plan,
			 .store = store,
			 .options = options,
			 .clock = options->clock,
			 .seed = options->has_seed ? options->seed : plan->run.seed};
	int r = 0;
	for (size_t i = 0; i < plan->n_experiments && r >= 0; i++) {
		const Experiment *x = &plan->experiments[i];
		if (options->experiment ? strcmp(options->experiment, x->name) != 0 : !x->enabled)
			continue;
		Turn *t = NULL;
		r = turn_new(&runner, x, &t, err);
		if (r >= 0)
			r = preview(t, fn, userdata, err);
		(void)turn_free(t);
	}
	return r < 0 ? r : 0;
}
