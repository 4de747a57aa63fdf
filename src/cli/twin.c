/* dream twin: one configuration on the simulated box, many times: how far its numbers spread. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "cli/internal.h"
#include "stats/stats.h"
#include "twin/programs.h"
#include "twin/twin.h"

typedef struct Options {
	const char *config, *experiment, *workload;
	int64_t repeat;
	OptSeed seed;
	bool all_services, json;
} Options;

/* The values that one metric took. */
typedef struct Series {
	char name[METRIC_NAME_MAX], unit[METRIC_UNIT_MAX];
	double *values; /* room for `repeat` */
	size_t n;
} Series;

typedef struct Sample {
	const Options *options;
	const Experiment *x;
	json_t *params;
	int64_t outcomes[OUTCOME_MAX_];
	char *reason;			/* of the first that was not ok */
	Series series[METRICS_MAX + 1]; /* the first is the fitness */
	size_t n_series;
	int64_t virtual_us;
} Sample;

static void sample_done(Sample *s)
{
	for (size_t i = 0; i < s->n_series; i++)
		free(s->series[i].values);
	free(s->reason);
	json_decref(s->params);
}

static int add_value(Sample *s, const char *name, const char *unit, double value)
{
	size_t i = 0;
	while (i < s->n_series && strcmp(s->series[i].name, name) != 0)
		i++;
	if (i == METRICS_MAX + 1)
		return 0;
	Series *at = &s->series[i];
	if (i == s->n_series) {
		snprintf(at->name, sizeof(at->name), "%s", name);
		snprintf(at->unit, sizeof(at->unit), "%s", unit);
		at->values = calloc((size_t)s->options->repeat, sizeof(double));
		if (!at->values)
			return -ENOMEM;
		s->n_series++;
	}
	at->values[at->n++] = value;
	return 0;
}

static int add_measurement(Sample *s, const Measurement *m)
{
	Fitness f = fitness_of(&s->x->goals, m);
	s->outcomes[m->outcome]++;
	s->virtual_us += m->duration_us;
	if (m->outcome != OUTCOME_OK && !s->reason && m->reason) {
		s->reason = str_fmt("%s", m->reason);
		if (!s->reason)
			return -ENOMEM;
	}
	if (m->outcome != OUTCOME_OK)
		return 0;
	int r = add_value(s, "fitness", "", f.value);
	for (size_t i = 0; i < m->n_metrics && r == 0; i++)
		r = add_value(s, m->metrics[i].name, m->metrics[i].unit, m->metrics[i].value);
	return r;
}

static int sample(Sample *s, const Plan *plan, const Box *box, const Workload *w)
{
	const Options *o = s->options;
	Err err = ERR_INIT;
	uint64_t seed = o->seed.given ? o->seed.value : plan->run.seed;
	int r = 0;
	for (int64_t i = 0; i < o->repeat && r >= 0; i++) {
		Measurement m = MEASUREMENT_INIT;
		Rng rng = rng_derive(seed, "twin", (uint64_t)i);
		TwinTrial t = {.box = box,
			       .services = s->x->services.items,
			       .n_services = s->x->services.n,
			       .params = s->params,
			       .workload = w,
			       .all_services = o->all_services,
			       .seed = rng_u64(&rng),
			       .drift_at_us = s->virtual_us,
			       .timeout_us = s->x->budget.trial_timeout_us};
		r = twin_trial(&t, &m, &err);
		if (r >= 0 && add_measurement(s, &m) < 0)
			r = err_oom(&err);
		measurement_done(&m);
	}
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

/* --- Output ---------------------------------------------------------------------------------- */

static void number_cell(Table *t, double v, const char *unit)
{
	char text[32];
	report_number(v, unit, text);
	table_cell(t, "%s", text);
}

static void series_row(Table *t, const Series *s)
{
	static const double quantiles[] = {0, 0.05, 0.5, 0.95, 1};
	table_cell(t, "%s", s->name);
	table_cell(t, "%zu", s->n);
	number_cell(t, stats_mean(s->values, s->n), s->unit);
	number_cell(t, stats_sd(s->values, s->n), s->unit);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		number_cell(t, stats_quantile(s->values, s->n, quantiles[i]), s->unit);
}

static int print_text(const Sample *s, const Box *box)
{
	static const TableColumn columns[] = {
	    {"metric", ALIGN_LEFT, COLUMN_KEEP},  {"n", ALIGN_RIGHT, COLUMN_DROP},
	    {"mean", ALIGN_RIGHT, COLUMN_DROP},	  {"deviation", ALIGN_RIGHT, COLUMN_KEEP},
	    {"least", ALIGN_RIGHT, COLUMN_DROP},  {"5 %", ALIGN_RIGHT, COLUMN_KEEP},
	    {"median", ALIGN_RIGHT, COLUMN_KEEP}, {"95 %", ALIGN_RIGHT, COLUMN_KEEP},
	    {"most", ALIGN_RIGHT, COLUMN_DROP}};
	_cleanup_(table_freep) Table *table = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	str_addf(&out, "box %s, ", box_name(box));
	params_text(s->params, &out);
	str_add(&out, "\n");
	for (size_t i = 0; i < OUTCOME_MAX_; i++)
		if (s->outcomes[i] > 0)
			str_addf(&out, "%s %" PRId64 " of %" PRId64 "\n", outcome_name((Outcome)i),
				 s->outcomes[i], s->options->repeat);
	if (s->reason)
		text_wrap(s->reason, 0, 0, 80, &out);
	if (s->n_series > 0) {
		if (table_new(columns, sizeof(columns) / sizeof(*columns), &table) < 0)
			return cli_oom();
		for (size_t i = 0; i < s->n_series; i++)
			series_row(table, &s->series[i]);
		str_addc(&out, '\n');
		if (table_print(table, cli_width(), &out, &err) < 0)
			return cli_fail(EXIT_FAILED, &err);
	}
	return cli_print(out.failed ? NULL : out.s);
}

static json_t *series_json(const Series *s, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "unit", json_string(s->unit), failed);
	js_set(o, "n", json_integer((json_int_t)s->n), failed);
	js_set(o, "mean", js_number(stats_mean(s->values, s->n)), failed);
	js_set(o, "sd", js_number(stats_sd(s->values, s->n)), failed);
	js_set(o, "min", js_number(stats_quantile(s->values, s->n, 0)), failed);
	js_set(o, "p5", js_number(stats_quantile(s->values, s->n, 0.05)), failed);
	js_set(o, "median", js_number(stats_quantile(s->values, s->n, 0.5)), failed);
	js_set(o, "p95", js_number(stats_quantile(s->values, s->n, 0.95)), failed);
	js_set(o, "max", js_number(stats_quantile(s->values, s->n, 1)), failed);
	return o;
}

static int print_json(const Sample *s, const Box *box)
{
	bool failed = false;
	json_t *o = json_object(), *outcomes = json_object(), *metrics = json_object();
	for (size_t i = 0; i < OUTCOME_MAX_; i++)
		if (s->outcomes[i] > 0)
			js_set(outcomes, outcome_name((Outcome)i), json_integer(s->outcomes[i]),
			       &failed);
	for (size_t i = 0; i < s->n_series; i++)
		js_set(metrics, s->series[i].name, series_json(&s->series[i], &failed), &failed);
	js_set(o, "schema", json_string("dream.twin/v1"), &failed);
	js_set(o, "box", js_text(box_name(box)), &failed);
	js_set(o, "experiment", js_text(s->x->name), &failed);
	js_set(o, "params", json_incref(s->params), &failed);
	js_set(o, "repeats", json_integer(s->options->repeat), &failed);
	js_set(o, "outcomes", outcomes, &failed);
	js_set(o, "reason", s->reason ? js_text(s->reason) : json_null(), &failed);
	js_set(o, "metrics", metrics, &failed);
	if (failed) {
		json_decref(o);
		return cli_oom();
	}
	return cli_print_json(o);
}

/* --- The verb -------------------------------------------------------------------------------- */

static int open_box(const Plan *plan, const Experiment *x, Box **ret)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str text = STR_INIT;
	_cleanup_free_ char *path = NULL;
	Err err = ERR_INIT;
	if (!x->evaluator.box)
		return cli_failf(EXIT_USAGE,
				 "%s is not measured on a simulated box: its evaluator "
				 "names no box: file",
				 x->name);
	path = path_join(plan->dir, x->evaluator.box);
	if (!path)
		return cli_oom();
	int r = box_load(path, ret, &d, &err);
	diags_text(&d, &text);
	fputs(text.s ? text.s : "", stderr);
	if (r < 0 && d.errors > 0)
		return EXIT_USAGE;
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

static int run(const void *options, int argc, char **argv)
{
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(box_freep) Box *box = NULL;
	const Workload *w = NULL;
	const Options *o = options;
	Sample s = {.options = o};
	int r = cli_open(cli_take_config(o->config, &argc, &argv), &plan);
	if (r == 0)
		r = cli_experiment(plan, o->experiment, &s.x);
	if (r == 0)
		r = cli_candidate(s.x, argc, argv, &s.params);
	if (r == 0)
		r = cli_workload(s.x, o->workload, &w);
	if (r == 0)
		r = open_box(plan, s.x, &box);
	if (r == 0)
		r = sample(&s, plan, box, w);
	for (size_t i = 0; i < s.n_series; i++)
		stats_sort(s.series[i].values, s.series[i].n);
	if (r == 0)
		r = o->json ? print_json(&s, box) : print_text(&s, box);
	sample_done(&s);
	return r;
}

/* The box's servers as programs: their command lines are the real ones'. */
static bool program(int argc, char **argv, int *ret)
{
	static const struct {
		const char *name;
		int (*main)(int argc, char **argv);
	} programs[] = {{"vllm", twin_vllm}, {"whisper", twin_whisper}, {"gpu", twin_gpu}};
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs) && argc > 1; i++) {
		if (strcmp(argv[1], programs[i].name) == 0) {
			*ret = programs[i].main(argc - 2, argv + 2);
			return true;
		}
	}
	return false;
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration"),
    OPTION_ONE_EXPERIMENT,
    {"workload", 'w', "NAME", OPT_STRING, offsetof(Options, workload),
     .help = "the load profile (default: the experiment's first)"},
    {"repeat", 'r', "N", OPT_INT, offsetof(Options, repeat), .otherwise = "100", .min = 1,
     .max = 1e6, .help = "how many trials, each with its own noise"},
    {"all-services", 'a', NULL, OPT_FLAG, offsetof(Options, all_services),
     .help = "with every service of the box active, not only the tuned ones"},
    {"seed", 0, "N", OPT_SEED, offsetof(Options, seed),
     .help = "of the noise (default: the configuration's)"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_twin = {
    .name = "twin",
    .args = "[CONFIG] [PARAM=VALUE...]",
    .summary = "try one configuration on the simulated box many times",
    .about =
	"Simulates one candidate of an experiment again and again, in virtual time, and prints "
	"how each metric is distributed: what noise a single trial carries, and how often it "
	"fails. Parameters that are not given are the baseline's. Nothing is stored.\n\n"
	"'dream twin vllm', 'dream twin whisper' and 'dream twin gpu' are the servers and the "
	"other tenants of a simulated box as programs, in wall time: they take the command lines "
	"of the real ones and share one simulated card. Their own --help says what they can do.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = -1,
    .program = program,
    .run = run,
};
