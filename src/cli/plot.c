/* dream plot: the trials of an experiment as a picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

typedef struct Options {
	const char *config, *database, *experiment, *output, *x, *y;
	int64_t epoch, evolution;
} Options;

/* What the store has, made ready for the plot. */
typedef struct Gathered {
	const Experiment *x;
	const char *metric_x, *metric_y;
	PlotTrial *trials;
	double *levels; /* n_trials * dims */
	size_t n, cap;
	char unit_x[METRIC_UNIT_MAX], unit_y[METRIC_UNIT_MAX];
	double baseline_sum;
	size_t baseline_n;
	size_t n_refused; /* the first of `trials` */
	char subtitle[96];
	Err err;
} Gathered;

enum {
	REFUSED_MAX = 20000, /* points of the space that the memory model is asked about */
	REFUSED_SHOWN = 24,  /* more of them would push the trials to the side */
};

static int make_room(Gathered *g)
{
	size_t dims = space_dims(g->x->space), cap = g->cap ? 2 * g->cap : 64;
	if (g->n < g->cap)
		return 0;
	PlotTrial *trials = reallocarray(g->trials, cap, sizeof(*trials));
	if (!trials)
		return err_oom(&g->err);
	g->trials = trials;
	double *levels = reallocarray(g->levels, cap * (dims ? dims : 1), sizeof(*levels));
	if (!levels)
		return err_oom(&g->err);
	g->levels = levels;
	g->cap = cap;
	return 0;
}

static double metric_value(const Measurement *m, const char *name, char *unit)
{
	const Metric *metric = name ? measurement_get(m, name) : NULL;
	if (!metric)
		return (double)NAN;
	snprintf(unit, METRIC_UNIT_MAX, "%s", metric->unit);
	return metric->value;
}

static void add_levels(Gathered *g, const Point *p)
{
	size_t dims = space_dims(g->x->space);
	for (size_t d = 0; d < dims; d++)
		g->levels[g->n * dims + d] =
		    p->level[d] == SPACE_INACTIVE ? (double)NAN : (double)p->level[d];
}

/* What the memory model refuses was never a trial, but belongs in the picture. */
static int gather_refused(void *userdata, const Point *p, const Fit *fit)
{
	Gathered *g = userdata;
	if (fit->verdict != FIT_NO)
		return 0;
	if (make_room(g) < 0)
		return -ENOMEM;
	g->trials[g->n] =
	    (PlotTrial){.outcome = OUTCOME_INFEASIBLE, .x = (double)NAN, .y = (double)NAN};
	add_levels(g, p);
	g->n++;
	return 0;
}

static int gather(void *userdata, const StoreTrial *t)
{
	Gathered *g = userdata;
	Point p;
	/* A trial of another space, from before the configuration was changed, has no place in it.
	 */
	if (!t->params || point_from_json(g->x->space, t->params, &p, NULL) < 0)
		return 0;
	if (make_room(g) < 0)
		return -ENOMEM;
	g->trials[g->n] = (PlotTrial){
	    .generation = (uint32_t)(t->generation > 0 ? t->generation : 0),
	    .number = t->seq,
	    .outcome = t->m.outcome,
	    .fitness = t->fitness,
	    .feasible = t->feasible,
	    .x = metric_value(&t->m, g->metric_x, g->unit_x),
	    .y = metric_value(&t->m, g->metric_y, g->unit_y),
	};
	add_levels(g, &p);
	if (g->x->baseline && t->m.outcome == OUTCOME_OK &&
	    point_equal(g->x->space, &p, &g->x->baseline_point)) {
		g->baseline_sum += t->fitness;
		g->baseline_n++;
	}
	g->n++;
	return 0;
}

/* --- Names of levels -------------------------------------------------------------------------- */

typedef struct LevelNames {
	const char *params[SPACE_DIMS_MAX];
	uint32_t n_levels[SPACE_DIMS_MAX];
	char **names[SPACE_DIMS_MAX];
	size_t dims;
} LevelNames;

static void level_names_done(LevelNames *l)
{
	for (size_t d = 0; d < l->dims; d++) {
		for (uint32_t i = 0; l->names[d] && i < l->n_levels[d]; i++)
			free(l->names[d][i]);
		free(l->names[d]);
	}
}

static char *level_name(const Space *s, size_t dim, uint32_t level)
{
	json_auto_t *v = space_value(s, dim, level);
	Str text = STR_INIT;
	char *name = NULL;
	if (v)
		param_value_text(v, &text);
	if (str_take(&text, &name) < 0)
		return NULL;
	return name;
}

static int level_names(const Space *s, LevelNames *ret)
{
	ret->dims = space_dims(s);
	for (size_t d = 0; d < ret->dims; d++) {
		ret->params[d] = space_name(s, d);
		ret->n_levels[d] = space_levels(s, d);
		ret->names[d] = calloc(ret->n_levels[d], sizeof(char *));
		for (uint32_t i = 0; ret->names[d] && i < ret->n_levels[d]; i++)
			if (!(ret->names[d][i] = level_name(s, d, i)))
				return -ENOMEM;
		if (!ret->names[d])
			return -ENOMEM;
	}
	return 0;
}

/* --- The two metrics of the Pareto plot --------------------------------------------------------
 */

static const Objective *find_objective(const Experiment *x, const char *name)
{
	const Objective *o = x->goals.objectives.items;
	for (size_t i = 0; i < x->goals.objectives.n; i++)
		if (strcmp(o[i].name, name) == 0)
			return &o[i];
	return NULL;
}

static int no_such_axis(const Experiment *x, const char *asked)
{
	_cleanup_(str_done) Str names = STR_INIT;
	const Objective *o = x->goals.objectives.items;
	for (size_t i = 0; i < x->goals.objectives.n; i++)
		if (o[i].goal != GOAL_TARGET)
			str_addf(&names, "%s%s", names.len ? ", " : "", o[i].name);
	return cli_failf(EXIT_USAGE,
			 "%s is no objective of %s that is to be made small or large; these are: "
			 "%s",
			 asked, x->name, names.s ? names.s : "none");
}

/* The one that was asked for, else the i-th that is to be made small or large. */
static int choose_metric(const Experiment *x, const char *asked, size_t i, const Objective **ret)
{
	const Objective *o = x->goals.objectives.items;
	if (asked) {
		*ret = find_objective(x, asked);
		if (!*ret || (*ret)->goal == GOAL_TARGET)
			return no_such_axis(x, asked);
		return 0;
	}
	for (size_t k = 0; k < x->goals.objectives.n; k++) {
		if (o[k].goal == GOAL_TARGET || i-- > 0)
			continue;
		*ret = &o[k];
		return 0;
	}
	return cli_failf(EXIT_USAGE, "%s has fewer than two objectives to weigh against each other",
			 x->name);
}

static char *axis_label(const Objective *o, const char *unit)
{
	if (!o)
		return str_fmt("%s", "");
	return *unit ? str_fmt("%s (%s)", o->name, unit) : str_fmt("%s", o->name);
}

/* --- Drawing --------------------------------------------------------------------------------- */

static int draw(const Gathered *g, PlotKind kind, const Objective *x, const Objective *y,
		const char *output)
{
	LevelNames names = {0};
	Err err = ERR_INIT;
	_cleanup_free_ char *x_label = axis_label(x, g->unit_x),
			    *y_label = axis_label(y, g->unit_y);
	size_t dims = space_dims(g->x->space);
	for (size_t i = 0; i < g->n; i++)
		g->trials[i].levels = g->levels + i * dims;
	PlotSpec spec = {.kind = kind,
			 .title = g->x->name,
			 .subtitle = *g->subtitle ? g->subtitle : NULL,
			 .trials = g->trials,
			 .n_trials = g->n,
			 .baseline =
			     g->baseline_n ? g->baseline_sum / (double)g->baseline_n : (double)NAN,
			 .x_label = x_label,
			 .y_label = y_label,
			 .x_maximize = x && x->goal == GOAL_MAXIMIZE,
			 .y_maximize = y && y->goal == GOAL_MAXIMIZE};
	int r = x_label && y_label ? level_names(g->x->space, &names) : -ENOMEM;
	if (r >= 0) {
		spec.param_names = names.params;
		spec.level_names = (const char *const *const *)names.names;
		spec.n_levels = names.n_levels;
		spec.n_params = dims;
		r = plot_write(&spec, output, &err);
	} else {
		(void)err_oom(&err);
	}
	level_names_done(&names);
	return r < 0 ? cli_fail(r == -EINVAL ? EXIT_USAGE : EXIT_FAILED, &err) : EXIT_DONE;
}

/* Over time they come first, while they are few; otherwise a sentence speaks for them. */
static int add_refused(Gathered *g, PlotKind kind)
{
	Scan scan = {0};
	if (!g->x->memory || kind == PLOT_PARETO)
		return 0;
	int r = scan_space(g->x, NULL, REFUSED_MAX, gather_refused, g, &scan, &g->err);
	if (r < 0)
		return r;
	if (g->n > 0)
		snprintf(g->subtitle, sizeof(g->subtitle),
			 "%zu of %llu candidates were refused unstarted by the memory model", g->n,
			 (unsigned long long)scan.allowed);
	if (kind == PLOT_FITNESS_EVOLUTION && g->n > REFUSED_SHOWN)
		g->n = 0;
	g->n_refused = g->n;
	return 0;
}

static int plot(const Options *o, const Experiment *x, Store *store, PlotKind kind)
{
	const Objective *mx = NULL, *my = NULL;
	Gathered g = {.x = x};
	TrialQuery q = {.experiment = x->name,
			.purpose = "search",
			.epoch = o->epoch,
			.evolution = o->evolution};
	int r = kind == PLOT_PARETO ? choose_metric(x, o->x, 0, &mx) : 0;
	if (r == 0 && kind == PLOT_PARETO)
		r = choose_metric(x, o->y, o->x ? 0 : 1, &my);
	if (r)
		return r;
	g.metric_x = mx ? mx->name : NULL;
	g.metric_y = my ? my->name : NULL;
	r = add_refused(&g, kind);
	if (r >= 0)
		r = store_trials(store, &q, gather, &g, &g.err);
	if (r < 0)
		r = cli_fail(EXIT_FAILED, &g.err);
	else if (g.n == g.n_refused)
		r = cli_failf(EXIT_FAILED, "there is no trial of %s to plot", x->name);
	else
		r = draw(&g, kind, mx, my, o->output);
	free(g.trials);
	free(g.levels);
	return r;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(store_closep) Store *store = NULL;
	const Experiment *x = NULL;
	PlotKind kind;
	(void)argc;
	if (!plot_kind_from_name(argv[0], &kind))
		return cli_failf(EXIT_USAGE,
				 "it draws fitness-evolution, pareto or trials, not '%s'", argv[0]);
	if (!o->output)
		return cli_failf(EXIT_USAGE,
				 "name the file to write with --output FILE (.svg, .png or .pdf)");
	int r = cli_open(o->config, &plan);
	if (r == 0)
		r = cli_experiment(plan, o->experiment, &x);
	if (r == 0 && o->database)
		r = cli_open_store(o->database, STORE_READ, &store);
	else if (r == 0)
		r = cli_store(plan, STORE_READ, &store);
	if (r)
		return r;
	return store ? plot(o, x, store, kind) : cli_nothing_yet(EXIT_FAILED);
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration"),
    OPTION_DATABASE,
    OPTION_ONE_EXPERIMENT,
    {"output", 'o', "FILE", OPT_STRING, offsetof(Options, output), .complete = "file",
     .help = "the picture: .svg, .png or .pdf by its ending"},
    {"epoch", 0, "N", OPT_INT, offsetof(Options, epoch), .min = 1, .max = 1e9,
     .help = "only trials of this epoch"},
    {"evolution", 0, "N", OPT_INT, offsetof(Options, evolution), .min = 1, .max = 1e9,
     .help = "only trials of this evolution"},
    {"x", 'x', "METRIC", OPT_STRING, offsetof(Options, x),
     .help = "pareto: the objective across (default: the first)"},
    {"y", 'y', "METRIC", OPT_STRING, offsetof(Options, y),
     .help = "pareto: the objective upwards (default: the second)"},
    {0},
};

const Command cmd_plot = {
    .name = "plot",
    .args = "fitness-evolution|pareto|trials",
    .summary = "draw the search as a picture",
    .about =
	"fitness-evolution shows every trial by generation with the best so far and the baseline, "
	"pareto two objectives against each other with the front, trials each parameter against "
	"fitness. Needs gnuplot.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
