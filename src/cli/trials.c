/* dream trials: what was measured, as a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

typedef struct Options {
	const char *config, *database, *experiment, *purpose, *outcome;
	int64_t best, limit, epoch;
	bool json;
} Options;

/* Either a table or an array is built up, trial by trial. */
typedef struct Listing {
	const Options *options;
	const Experiment *experiment; /* its objectives are columns; NULL: none */
	bool many;		      /* experiments, so their names are a column */
	bool wide;		      /* room for every column */
	Table *table;
	json_t *array;
	int64_t shown;
} Listing;

enum {
	WIDE = 160,	 /* a terminal with fewer columns gets a shorter table */
	PARAMS_MAX = 12, /* more of them share one column */
	FIXED_COLUMNS = 8,
	COLUMNS_MAX = 40
};

static size_t n_objectives(const Listing *l)
{
	size_t n = l->experiment && l->wide ? l->experiment->goals.objectives.n : 0;
	size_t room = COLUMNS_MAX - FIXED_COLUMNS - PARAMS_MAX;
	return n < room ? n : room;
}

/* How many parameters have a column of their own; 0: all are in one. */
static size_t n_params(const Listing *l)
{
	size_t n = l->experiment ? space_dims(l->experiment->space) : 0;
	return n <= PARAMS_MAX ? n : 0;
}

static const Objective *objective(const Listing *l, size_t i)
{
	return (const Objective *)l->experiment->goals.objectives.items + i;
}

static int begin_table(Listing *l, TableColumn *columns)
{
	size_t n = 0;
	columns[n++] = (TableColumn){"trial", ALIGN_RIGHT, COLUMN_KEEP};
	if (l->many)
		columns[n++] = (TableColumn){"experiment", ALIGN_LEFT, COLUMN_KEEP};
	columns[n++] = (TableColumn){"gen", ALIGN_RIGHT, COLUMN_DROP};
	columns[n++] = (TableColumn){"origin", ALIGN_LEFT, COLUMN_CUT};
	if (l->wide)
		columns[n++] = (TableColumn){"candidate", ALIGN_LEFT, COLUMN_KEEP};
	for (size_t d = 0; d < n_params(l); d++)
		columns[n++] =
		    (TableColumn){space_name(l->experiment->space, d), ALIGN_LEFT, COLUMN_CUT};
	if (n_params(l) == 0)
		columns[n++] = (TableColumn){"parameters", ALIGN_LEFT, COLUMN_CUT};
	if (l->wide)
		columns[n++] = (TableColumn){"workload", ALIGN_LEFT, COLUMN_KEEP};
	columns[n++] = (TableColumn){"outcome", ALIGN_LEFT, COLUMN_KEEP};
	columns[n++] = (TableColumn){"fitness", ALIGN_RIGHT, COLUMN_KEEP};
	for (size_t i = 0; i < n_objectives(l); i++)
		columns[n++] = (TableColumn){objective(l, i)->name, ALIGN_RIGHT, COLUMN_KEEP};
	return table_new(columns, n, &l->table);
}

static void metric_cell(Table *t, const Measurement *m, const char *name)
{
	char text[32];
	const Metric *metric = measurement_get(m, name);
	report_number(metric ? metric->value : (double)NAN, metric ? metric->unit : "", text);
	table_cell(t, "%s", text);
}

static void param_cells(Listing *l, json_t *params)
{
	for (size_t d = 0; d < n_params(l); d++) {
		_cleanup_(str_done) Str text = STR_INIT;
		const json_t *v = json_object_get(params, space_name(l->experiment->space, d));
		if (v)
			param_value_text(v, &text);
		table_cell(l->table, "%s", text.s ? text.s : "-");
	}
	if (n_params(l) == 0) {
		_cleanup_(str_done) Str text = STR_INIT;
		params_text(params, &text);
		table_cell(l->table, "%s", text.s ? text.s : "");
	}
}

static void add_row(Listing *l, const StoreTrial *t)
{
	_cleanup_(str_done) Str origin = STR_INIT;
	bool ok = t->m.outcome == OUTCOME_OK;
	origin_text(t, &origin);
	table_cell(l->table, "%lld", (long long)t->seq);
	if (l->many)
		table_cell(l->table, "%s", t->experiment);
	table_cell(l->table, "%lld", (long long)t->generation);
	table_cell(l->table, "%s", origin.s ? origin.s : "");
	if (l->wide)
		table_cell(l->table, "%s", t->spica_id);
	param_cells(l, t->params);
	if (l->wide)
		table_cell(l->table, "%s", t->workload && *t->workload ? t->workload : "-");
	table_cell(l->table, "%s%s%s%s", outcome_name(t->m.outcome), *t->m.cause ? ": " : "",
		   t->m.cause, ok && !t->feasible ? "; breaks a constraint" : "");
	if (ok)
		table_cell(l->table, "%.4f", t->fitness);
	else
		table_cell(l->table, "-");
	for (size_t i = 0; i < n_objectives(l); i++)
		metric_cell(l->table, &t->m, objective(l, i)->name);
}

static int add_trial(void *userdata, const StoreTrial *t)
{
	Listing *l = userdata;
	const Options *o = l->options;
	if (o->outcome && strcmp(o->outcome, outcome_name(t->m.outcome)) != 0)
		return 0;
	l->shown++;
	if (l->array) {
		json_t *v = store_trial_json(t);
		if (!v || json_array_append_new(l->array, v) < 0)
			return -ENOMEM;
	} else {
		add_row(l, t);
	}
	return o->limit > 0 && l->shown >= o->limit ? 1 : 0;
}

static int finish(Listing *l)
{
	if (l->array) {
		bool failed = false;
		json_t *o = json_object();
		js_set(o, "schema", json_string("dream.trials/v1"), &failed);
		js_set(o, "trials", json_incref(l->array), &failed);
		return failed ? cli_oom() : cli_print_json(o);
	}
	const Options *o = l->options;
	bool chosen = o->experiment || o->purpose || o->outcome || o->best > 0 || o->epoch > 0;
	if (l->shown == 0)
		return cli_print(chosen ? "no trial matches\n"
					: "nothing was measured yet; run 'dream run'\n");
	return cli_print_table(l->table);
}

static int list(const Options *o, const Plan *plan, Store *store)
{
	TableColumn columns[COLUMNS_MAX + 1];
	json_auto_t *array = o->json ? json_array() : NULL;
	Err err = ERR_INIT;
	const char *only = plan && plan->n_experiments == 1 ? plan->experiments[0].name : NULL;
	const char *name = o->experiment ? o->experiment : only;
	Listing l = {.options = o,
		     .experiment = find_experiment(plan, name),
		     .many = !name,
		     .wide = cli_width() == 0 || cli_width() >= WIDE,
		     .array = array};
	TrialQuery q = {.experiment = o->experiment,
			.purpose = o->purpose,
			.epoch = o->epoch,
			.best_first = o->best > 0,
			.limit = o->best};
	if (o->json ? !array : begin_table(&l, columns) < 0)
		return cli_oom();
	int r = store ? store_trials(store, &q, add_trial, &l, &err) : 0;
	if (r == -ENOMEM)
		r = cli_oom();
	else if (r < 0)
		r = cli_fail(EXIT_FAILED, &err);
	else
		r = finish(&l);
	table_free(l.table);
	return r;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(store_closep) Store *store = NULL;
	Outcome outcome;
	(void)argc;
	(void)argv;
	if (o->outcome && !outcome_from_name(o->outcome, &outcome))
		return cli_failf(EXIT_USAGE,
				 "--outcome takes the name of an outcome, such as ok, "
				 "start_failed or oom, not '%s'",
				 o->outcome);
	int r = cli_read(o->config, o->database, &plan, &store);
	if (r)
		return r;
	if (!store && !o->json)
		return cli_nothing_yet(EXIT_DONE);
	return list(o, plan, store);
}

static const Option rows[] = {
    OPTION_CONFIG_OF_STORE,
    OPTION_DATABASE,
    OPTION_EXPERIMENT("only trials of this experiment"),
    {"best", 'b', "N", OPT_INT, offsetof(Options, best), .min = 1, .max = 1e6,
     .help = "the N best, best first; only feasible ones count"},
    {"epoch", 0, "N", OPT_INT, offsetof(Options, epoch), .min = 1, .max = 1e9,
     .help = "only trials of this epoch"},
    {"purpose", 'p', "WHAT", OPT_STRING, offsetof(Options, purpose),
     .complete = "search confirm predict eval",
     .help =
	 "only trials of the search, of confirmations, refused by prediction, or of dream eval"},
    {"outcome", 'o', "NAME", OPT_STRING, offsetof(Options, outcome),
     .help = "only trials that ended so: ok, infeasible, start_failed, oom, ..."},
    {"limit", 'n', "N", OPT_INT, offsetof(Options, limit), .min = 1, .max = 1e9,
     .help = "stop after N trials"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_trials = {
    .name = "trials",
    .args = "",
    .summary = "list what was measured",
    .about = "Lists the trials in the store, oldest first. With one experiment its objectives are "
	     "columns; a terminal of less than 160 columns gets fewer of them. Reads the store "
	     "only, so it works while a run is going on.",
    .options = rows,
    .options_size = sizeof(Options),
    .run = run,
};
