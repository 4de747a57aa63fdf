/* dream check: is the configuration right, and what does it say? */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

typedef struct Options {
	const char *config;
	bool schema, json, list;
} Options;

enum {
	SCAN_MAX = 100000 /* points that the memory model is asked about */
};

static const char *goal_name(int goal)
{
	return goal == GOAL_MINIMIZE ? "minimize" : goal == GOAL_MAXIMIZE ? "maximize" : "target";
}

static const char *strategy_of(const Experiment *x)
{
	return x->selector.kind ? x->selector.kind : "rzero";
}

/* --- For programs ----------------------------------------------------------------------------- */

static json_t *objectives_json(const Experiment *x, bool *failed)
{
	json_t *o = json_object();
	const Objective *list = x->goals.objectives.items;
	for (size_t i = 0; i < x->goals.objectives.n; i++)
		js_set(o, list[i].name,
		       json_pack("{s:s,s:f}", "goal", goal_name(list[i].goal), "weight",
				 list[i].weight),
		       failed);
	return o;
}

static json_t *constraints_json(const Experiment *x, bool *failed)
{
	json_t *o = json_object();
	const Constraint *list = x->goals.constraints.items;
	for (size_t i = 0; i < x->goals.constraints.n; i++) {
		json_t *limit = json_object();
		if (!isnan(list[i].min))
			js_set(limit, "min", js_number(list[i].min), failed);
		if (!isnan(list[i].max))
			js_set(limit, "max", js_number(list[i].max), failed);
		js_set(o, list[i].name, limit, failed);
	}
	return o;
}

static json_t *services_json(const Experiment *x, bool *failed)
{
	json_t *list = json_array();
	const ServiceSpec *s = x->services.items;
	for (size_t i = 0; i < x->services.n; i++) {
		json_t *o = json_object();
		js_set(o, "name", js_text(s[i].name), failed);
		js_set(o, "kind", js_text(s[i].kind), failed);
		js_set(o, "tuned", json_boolean(service_is_tuned(&s[i])), failed);
		*failed |= json_array_append_new(list, o) < 0;
	}
	return list;
}

static json_t *names_json(const char *(*name)(const Experiment *x, size_t i), const Experiment *x,
			  size_t n, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		*failed |= json_array_append_new(list, js_text(name(x, i))) < 0;
	return list;
}

static const char *workload_name(const Experiment *x, size_t i)
{
	return ((const Workload *)x->workloads.items)[i].name;
}

static const char *parameter_name(const Experiment *x, size_t i)
{
	return space_name(x->space, i);
}

static json_t *count_json(uint64_t n)
{
	return n > INT64_MAX ? json_null() : json_integer((json_int_t)n);
}

static json_t *experiment_json(const Experiment *x, const Scan *scan, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "name", js_text(x->name), failed);
	js_set(o, "enabled", json_boolean(x->enabled), failed);
	js_set(o, "evaluator", json_string(evaluator_spec_kind(&x->evaluator)), failed);
	js_set(o, "strategy", js_text(strategy_of(x)), failed);
	js_set(o, "scenario", x->scenario ? js_text(x->scenario) : json_null(), failed);
	js_set(o, "parameters", names_json(parameter_name, x, space_dims(x->space), failed),
	       failed);
	js_set(o, "points", count_json(space_count(x->space)), failed);
	js_set(o, "looked_at", count_json(scan->points), failed);
	js_set(o, "allowed", count_json(scan->allowed), failed);
	js_set(o, "fits", count_json(scan->fit), failed);
	js_set(o, "infeasible", count_json(scan->infeasible), failed);
	js_set(o, "unknown", count_json(scan->unknown), failed);
	js_set(o, "baseline", x->baseline ? json_incref(x->baseline) : json_null(), failed);
	js_set(o, "objectives", objectives_json(x, failed), failed);
	js_set(o, "constraints", constraints_json(x, failed), failed);
	js_set(o, "services", services_json(x, failed), failed);
	js_set(o, "workloads", names_json(workload_name, x, x->workloads.n, failed), failed);
	return o;
}

static json_t *diag_json(const Diag *d, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "level", json_string(d->level == DIAG_ERROR ? "error" : "warning"), failed);
	js_set(o, "file", js_text(d->file), failed);
	js_set(o, "line", json_integer(d->line), failed);
	js_set(o, "column", json_integer(d->column), failed);
	js_set(o, "what", js_text(d->what), failed);
	js_set(o, "accept", d->accept ? js_text(d->accept) : json_null(), failed);
	return o;
}

static int print_json(const char *path, const Plan *plan, const Diags *d)
{
	bool failed = false;
	json_t *experiments = json_array(), *diagnostics = json_array(), *o = json_object();
	Err err = ERR_INIT;
	for (size_t i = 0; i < d->n; i++)
		failed |= json_array_append_new(diagnostics, diag_json(&d->items[i], &failed)) < 0;
	for (size_t i = 0; plan && i < plan->n_experiments; i++) {
		const Experiment *x = &plan->experiments[i];
		Scan scan;
		failed |= scan_space(x, NULL, SCAN_MAX, NULL, NULL, &scan, &err) < 0;
		failed |=
		    json_array_append_new(experiments, experiment_json(x, &scan, &failed)) < 0;
	}
	js_set(o, "schema", json_string("dream.check/v1"), &failed);
	js_set(o, "file", js_text(path), &failed);
	js_set(o, "errors", json_integer((json_int_t)d->errors), &failed);
	js_set(o, "warnings", json_integer((json_int_t)(d->n - d->errors)), &failed);
	js_set(o, "diagnostics", diagnostics, &failed);
	js_set(o, "experiments", experiments, &failed);
	if (failed) {
		json_decref(o);
		return cli_oom();
	}
	int r = cli_print_json(o);
	return r == EXIT_DONE && d->errors > 0 ? EXIT_USAGE : r;
}

/* --- For people ------------------------------------------------------------------------------- */

static void space_line(const Experiment *x, Str *out)
{
	uint64_t n = space_count(x->space);
	str_add(out, "  space       ");
	for (size_t d = 0; d < space_dims(x->space); d++)
		str_addf(out, "%s%s (%" PRIu32 ")", d ? " x " : "", space_name(x->space, d),
			 space_levels(x->space, d));
	str_addf(out, ": %" PRIu64 " point%s\n", n, n == 1 ? "" : "s");
}

static void memory_line(const Experiment *x, const Scan *scan, Str *out)
{
	str_add(out, "  candidates  ");
	if (!scan->whole)
		str_addf(out, "of the first %" PRIu64 ": ", scan->points);
	str_addf(out, "%" PRIu64 " allowed", scan->allowed);
	if (!x->memory) {
		str_add(out, "; no memory: block, so none is ruled out beforehand\n");
		return;
	}
	str_addf(out,
		 "; by the memory model %" PRIu64 " fit, %" PRIu64 " cannot, %" PRIu64 " unknown\n",
		 scan->fit, scan->infeasible, scan->unknown);
}

static void objectives_line(const Experiment *x, Str *out)
{
	const Objective *o = x->goals.objectives.items;
	const Constraint *c = x->goals.constraints.items;
	str_add(out, "  objectives  ");
	for (size_t i = 0; i < x->goals.objectives.n; i++)
		str_addf(out, "%s%s %s (%g)", i ? ", " : "", goal_name(o[i].goal), o[i].name,
			 o[i].weight);
	str_addc(out, '\n');
	if (x->goals.constraints.n == 0)
		return;
	str_add(out, "  constraints ");
	for (size_t i = 0; i < x->goals.constraints.n; i++) {
		str_addf(out, "%s%s", i ? ", " : "", c[i].name);
		if (!isnan(c[i].min))
			str_addf(out, " >= %g", c[i].min);
		if (!isnan(c[i].max))
			str_addf(out, " <= %g", c[i].max);
	}
	str_addc(out, '\n');
}

static void services_line(const Experiment *x, Str *out)
{
	const ServiceSpec *s = x->services.items;
	if (x->services.n == 0)
		return;
	str_add(out, "  services    ");
	for (size_t i = 0; i < x->services.n; i++)
		str_addf(out, "%s%s (%s%s)", i ? ", " : "", s[i].name, s[i].kind,
			 service_is_tuned(&s[i]) ? ", tuned" : "");
	str_addc(out, '\n');
}

static void workloads_line(const Experiment *x, Str *out)
{
	str_add(out, "  workloads   ");
	for (size_t i = 0; i < x->workloads.n; i++)
		str_addf(out, "%s%s", i ? ", " : "", workload_name(x, i));
	str_addc(out, '\n');
}

static int experiment_text(const Experiment *x, Str *out, Err *err)
{
	Scan scan;
	int r = scan_space(x, NULL, SCAN_MAX, NULL, NULL, &scan, err);
	if (r < 0)
		return r;
	str_addf(out, "\n%s%s\n", x->name, x->enabled ? "" : " (disabled)");
	space_line(x, out);
	memory_line(x, &scan, out);
	str_add(out, "  baseline    ");
	if (x->baseline)
		point_text(x->space, &x->baseline_point, out);
	else
		str_add(out, "none, so there can be trials but no promotion");
	str_addc(out, '\n');
	objectives_line(x, out);
	services_line(x, out);
	workloads_line(x, out);
	str_addf(out, "  search      %s, evaluator %s\n", strategy_of(x),
		 evaluator_spec_kind(&x->evaluator));
	return 0;
}

static int print_text(const char *path, const Plan *plan, const Diags *d)
{
	_cleanup_(str_done) Str out = STR_INIT, problems = STR_INIT;
	Err err = ERR_INIT;
	size_t warnings = d->n - d->errors, enabled = 0;
	diags_text(d, &problems);
	fputs(problems.s ? problems.s : "", stderr);
	if (!plan)
		return cli_failf(EXIT_USAGE, "%s: %zu mistake%s", path, d->errors,
				 d->errors == 1 ? "" : "s");
	for (size_t i = 0; i < plan->n_experiments; i++)
		enabled += plan->experiments[i].enabled;
	str_addf(&out, "%s: correct, %zu experiment%s (%zu enabled), %zu warning%s\n", path,
		 plan->n_experiments, plan->n_experiments == 1 ? "" : "s", enabled, warnings,
		 warnings == 1 ? "" : "s");
	for (size_t i = 0; i < plan->n_experiments; i++)
		if (experiment_text(&plan->experiments[i], &out, &err) < 0)
			return cli_fail(EXIT_FAILED, &err);
	return cli_print(out.failed ? NULL : out.s);
}

static int print_list(const Plan *plan)
{
	_cleanup_(str_done) Str out = STR_INIT;
	for (size_t i = 0; plan && i < plan->n_experiments; i++)
		str_addf(&out, "%s\n", plan->experiments[i].name);
	return cli_print(out.failed ? NULL : out.s ? out.s : "");
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_free_ char *path = NULL;
	Err err = ERR_INIT;
	if (o->schema)
		return cli_print_json(config_schema());
	int r = cli_named_config(o->config, argc, argv, &path);
	if (r)
		return r;
	r = config_load(path, DIAG_WARNING, &plan, &d, &err);
	if (err_is_shortage(r))
		return cli_fail(EXIT_FAILED, &err);
	if (r < 0 && d.errors == 0)
		return cli_fail(EXIT_USAGE, &err);
	diags_sort(&d);
	if (o->list)
		return print_list(plan);
	return o->json ? print_json(path, plan, &d) : print_text(path, plan, &d);
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration (default: ./dream.yaml, then the user's, then /etc/dream's)"),
    {"schema", 's', NULL, OPT_FLAG, offsetof(Options, schema),
     .help = "print the JSON Schema of dream.yaml, for editors"},
    {"list", 'l', NULL, OPT_FLAG, offsetof(Options, list),
     .help = "print only the names of the experiments"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_check = {
    .name = "check",
    .args = "[CONFIG]",
    .summary = "check a configuration and say what it means",
    .about = "Reports every mistake at once with its place and what would be accepted, then what "
	     "each experiment searches. Touches nothing. An evaluator's file that is not on this "
	     "machine is a warning here and an error for dream run.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = 1,
    .run = run,
};
