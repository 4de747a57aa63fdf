/* One experiment, put together from what its tables read: the space with its bounds, the goals by
 * their precedence, the strategy by its three names, the workloads that were left out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "config/draft.h"
#include "loadgen/trace.h"

static const ConfNode *place(const ConfNode *n, const char *key)
{
	const ConfNode *at = conf_get(n, key);

	return at ? at : n;
}

static bool given(const ConfNode *n, const char *key)
{
	const ConfNode *at = conf_get(n, key);

	return at && !conf_is_null(at);
}

/* --- Search ---------------------------------------------------------------------------------- */

static int finish_space(Draft *f, Diags *d)
{
	if (!f->search_space || conf_is_null(f->search_space))
		return 0; /* reported already */
	int r = space_read(f->search_space, f->safety.bounds, f->safety.forbid, &f->x.space, d);
	return r == -EBADMSG ? 0 : r;
}

static void take_rzero(Draft *f, const ConfNode *at, Diags *d)
{
	if (!given(at, "rzero"))
		return;
	if (given(at, "selector")) {
		conf_fault(place(at, "rzero"), d, "one of the two",
			   "rzero is the older name of selector, and both are given");
		return;
	}
	SelectorConfig unused = f->x.selector;
	f->x.selector = f->rzero;
	f->rzero = unused;
}

static void take_strategy(Draft *f, const ConfNode *at, Diags *d)
{
	const ConfNode *selector = conf_get(at, given(at, "rzero") ? "rzero" : "selector");

	if (!f->strategy)
		return;
	if (given(selector, "kind") && f->x.selector.kind &&
	    strcmp(f->x.selector.kind, f->strategy) != 0) {
		conf_fault(place(at, "strategy"), d, "one of the two",
			   "strategy says %s and the selector's kind says %s", f->strategy,
			   f->x.selector.kind);
		return;
	}
	free(f->x.selector.kind);
	f->x.selector.kind = TAKE_PTR(f->strategy);
}

/* --- Goals ----------------------------------------------------------------------------------- */

static bool has_constraint(const Goals *g, const char *name)
{
	const Constraint *c = g->constraints.items;

	for (size_t i = 0; i < g->constraints.n; i++)
		if (c[i].name && strcmp(c[i].name, name) == 0)
			return true;
	return false;
}

/* Those of `from` that `to` does not have itself move over. */
static int add_constraints(Goals *to, Goals *from)
{
	size_t n = to->constraints.n;
	Constraint *more = from->constraints.items;
	Constraint *all = calloc(n + from->constraints.n + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	if (n > 0)
		memcpy(all, to->constraints.items, n * sizeof(*all));
	for (size_t i = 0; i < from->constraints.n; i++) {
		if (has_constraint(to, more[i].name))
			continue;
		all[n++] = more[i];
		more[i] = (Constraint){0};
	}
	free(to->constraints.items);
	to->constraints = (ConfList){all, n};
	return 0;
}

/* The file's objectives, else the scenario's, else the seeds' five. The scenario's constraints hold
 * beside the file's. */
static int finish_goals(Draft *f, const ConfNode *at, Diags *d)
{
	_cleanup_(goals_done) Goals preset = {0};
	Goals *g = &f->x.goals;
	bool own = given(at, "objectives");
	int r = 0;

	g->oom_zero = f->safety.oom_zero;
	if (f->x.scenario) {
		r = goals_scenario(f->x.scenario, &preset);
		if (own)
			conf_warn(place(at, "scenario"), d, "one of the two",
				  "the scenario's objectives have no effect beside objectives; its "
				  "constraints hold");
	} else if (!own) {
		r = goals_seed_default(&preset);
	}
	if (r == 0)
		r = add_constraints(g, &preset);
	if (r < 0)
		return r;
	if (!own) {
		ConfList none = g->objectives;
		g->objectives = preset.objectives;
		preset.objectives = none;
	}
	return 0;
}

/* --- Baseline -------------------------------------------------------------------------------- */

static void check_baseline(Experiment *x, const ConfNode *at, Diags *d)
{
	_cleanup_(str_done) Str why = STR_INIT;
	Err err = ERR_INIT;

	if (!x->space)
		return;
	if (point_from_json(x->space, x->baseline, &x->baseline_point, &err) < 0)
		conf_fault(place(at, "baseline"), d, NULL,
			   "the baseline is no point of the space: %s", err.msg);
	else if (!space_allows(x->space, &x->baseline_point, &why))
		conf_fault(place(at, "baseline"), d, "a baseline that safety allows",
			   "safety refuses the baseline: %s", why.s ? why.s : "");
}

static void finish_baseline(Draft *f, const ConfNode *at, Diags *d)
{
	Experiment *x = &f->x;

	if (json_is_null(x->baseline)) {
		json_decref(x->baseline);
		x->baseline = NULL;
	}
	if (x->baseline)
		check_baseline(x, at, d);
	else if (x->enabled)
		conf_warn(at, d, "a baseline with the values that production runs now",
			  "%s has no baseline: there can be trials but no promotion",
			  x->name ? x->name : "the experiment");
}

/* --- Load, evaluator ------------------------------------------------------------------------- */

/* A trace stands beside the configuration, and is read once here so that its mistakes are found
 * before anything runs. */
static int finish_trace(Stream *s, const ConfNode *at, const char *dir, DiagLevel missing, Diags *d)
{
	if (!s || !s->trace)
		return 0;
	char *path = path_join(dir, s->trace);
	if (!path)
		return -ENOMEM;
	free(s->trace);
	s->trace = path;
	Trace trace;
	Err why = ERR_INIT;
	int r = trace_read(path, &trace, &why);
	if (r == 0)
		trace_done(&trace);
	else if (err_is_shortage(r))
		return r;
	else if (missing == DIAG_WARNING && r == -ENOENT)
		conf_warn(place(at, "trace"), d, NULL, "%s", why.msg);
	else
		conf_fault(place(at, "trace"), d, "a CSV file with a column at_s or TIMESTAMP",
			   "%s", why.msg);
	return 0;
}

static int finish_traces(Experiment *x, const ConfNode *at, const char *dir, DiagLevel missing,
			 Diags *d)
{
	const ConfNode *map = conf_get(at, "workloads");
	Workload *w = x->workloads.items;
	int r = 0;

	for (size_t i = 0; i < x->workloads.n && r == 0; i++) {
		const ConfNode *one = w[i].name ? conf_get(map, w[i].name) : NULL;
		r = finish_trace(w[i].llm, conf_get(one, "llm"), dir, missing, d);
		if (r == 0)
			r = finish_trace(w[i].stt, conf_get(one, "stt"), dir, missing, d);
	}
	return r;
}

static int finish_workloads(Experiment *x)
{
	enum {
		DEFAULTS = 2
	};

	if (x->workloads.n > 0)
		return 0;
	free(x->workloads.items);
	x->workloads = (ConfList){calloc(DEFAULTS, sizeof(Workload)), 0};
	if (!x->workloads.items)
		return -ENOMEM;
	for (size_t i = 0; i < DEFAULTS; i++) {
		int r = workload_default(i, (Workload *)x->workloads.items + i);
		if (r < 0)
			return r;
		x->workloads.n++;
	}
	return 0;
}

/* Its own table had nothing to say? */
static int evaluator_is_clean(const ConfNode *n, bool *ret)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	EvaluatorSpec spec = {0};
	int r = conf_fill(&evaluator_table, n, &spec, &d);

	conf_done(&evaluator_table, &spec);
	*ret = d.errors == 0;
	return r;
}

/* Asks the evaluator itself whether it could be made. What a disabled experiment names may be on
 * another machine. */
static int finish_evaluator(Experiment *x, const ConfNode *at, const char *dir, DiagLevel missing,
			    Diags *d, Err *err)
{
	_cleanup_(evaluator_freep) Evaluator *e = NULL;

	x->evaluator_at = place(at, "evaluator");
	if (!x->enabled || !given(at, "evaluator"))
		return 0;
	bool clean;
	Err why = ERR_INIT;
	int r = evaluator_is_clean(x->evaluator_at, &clean);
	if (r < 0 || !clean)
		return r < 0 ? err_oom(err) : 0;
	size_t before = d->n;
	r = evaluator_new(&x->evaluator, dir, x->evaluator_at, missing, &e, d, &why);
	if (err_is_shortage(r))
		return err_set(err, r, "%s", why.msg);
	if (r < 0 && d->n == before)
		conf_fault(x->evaluator_at, d, NULL, "%s", why.msg);
	return 0;
}

int draft_finish(Draft *f, const ConfNode *at, const char *dir, DiagLevel missing, Diags *d,
		 Err *err)
{
	Experiment *x = &f->x;
	int r;

	x->source = conf_to_json(at);
	x->target_direction = TAKE_PTR(f->metrics.target_direction);
	x->metric_map = TAKE_PTR(f->metrics.map);
	x->patience_gens = f->convergence.patience_gens;
	x->search_all_services = f->search_services == 1;
	take_rzero(f, at, d);
	take_strategy(f, at, d);
	if (!x->source)
		return err_oom(err);
	if ((r = finish_space(f, d)) < 0 || (r = finish_goals(f, at, d)) < 0 ||
	    (r = finish_workloads(x)) < 0 || (r = finish_traces(x, at, dir, missing, d)) < 0)
		return err_wrap(err, r, "cannot read %s", x->name ? x->name : "an experiment");
	finish_baseline(f, at, d);
	check_experiment(x, at, d);
	return finish_evaluator(x, at, dir, missing, d, err);
}
