/* dream show: one trial, or any other record, in full. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/eval_view.h"
#include "cli/interference.h"
#include "cli/internal.h"
#include "record/promotion.h"

typedef struct Options {
	const char *config, *database, *experiment;
	bool interference, json;
} Options;

static void missing_row(Table *t, const Measurement *m, const char *name)
{
	if (measurement_get(m, name))
		return;
	table_text(t, name);
	table_text(t, "missing");
	table_text(t, NULL);
	table_text(t, NULL);
}

/* What was wanted of a trial that ended ok and was not measured. */
static void missing_rows(Table *t, const Measurement *m, const Goals *goals)
{
	const Objective *o = goals->objectives.items;
	const Constraint *c = goals->constraints.items;
	for (size_t i = 0; i < goals->objectives.n; i++)
		missing_row(t, m, o[i].name);
	for (size_t i = 0; i < goals->constraints.n; i++)
		missing_row(t, m, c[i].name);
}

void metrics_text(const Measurement *measured, const Goals *goals, Str *out)
{
	static const TableColumn columns[] = {{"metric", ALIGN_LEFT, COLUMN_KEEP},
					      {"value", ALIGN_RIGHT, COLUMN_KEEP},
					      {"95 % interval", ALIGN_RIGHT, COLUMN_KEEP},
					      {"samples", ALIGN_RIGHT, COLUMN_KEEP}};
	_cleanup_(table_freep) Table *table = NULL;
	char value[32], lo[32], hi[32];
	if (measured->n_metrics == 0)
		return;
	if (table_new(columns, 4, &table) < 0) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < measured->n_metrics; i++) {
		const Metric *m = &measured->metrics[i];
		report_number(m->value, m->unit, value);
		report_number(m->lo, m->unit, lo);
		report_number(m->hi, m->unit, hi);
		table_cell(table, "%s", m->name);
		table_cell(table, "%s", value);
		if (m->lo <= m->hi)
			table_cell(table, "%s to %s", lo, hi);
		else
			table_cell(table, "-");
		if (m->n > 0)
			table_cell(table, "%lld", (long long)m->n);
		else
			table_cell(table, "-");
	}
	if (goals && measured->outcome == OUTCOME_OK)
		missing_rows(table, measured, goals);
	str_addc(out, '\n');
	if (table_print(table, 0, out, NULL) < 0)
		out->failed = true;
}

void outcome_text(const StoreTrial *t, Str *out)
{
	str_addf(out, "outcome      %s%s%s\n", outcome_name(t->m.outcome), *t->m.cause ? ": " : "",
		 t->m.cause);
	if (t->m.reason) {
		str_add(out, "reason       ");
		text_wrap(t->m.reason, 13, 13, 80, out);
	}
	str_addf(out, "fitness      %.4f", t->fitness);
	if (t->fitness_se > 0)
		str_addf(out, " (standard error %.4f)", t->fitness_se);
	str_add(out, t->feasible ? "\n" : ", not feasible\n");
}

static void origin_line(const StoreTrial *t, Str *out)
{
	const char *names[] = {" of trial ", " and "};
	str_add(out, "origin       ");
	origin_text(t, out);
	for (size_t i = 0; i < 2; i++)
		if (t->parents[i] > 0)
			str_addf(out, "%s%lld", names[i], (long long)t->parents[i]);
	if (json_object_size(t->mutations) > 0) {
		str_add(out, ": ");
		change_text(t->mutations, out);
	}
	str_addc(out, '\n');
}

static int print_trial(const StoreTrial *t, const Plan *plan)
{
	_cleanup_(str_done) Str out = STR_INIT;
	const Experiment *x = find_experiment(plan, t->experiment);
	char at[32], took[32];
	time_rfc3339(t->at_us, at);
	time_human(t->m.duration_us, took);
	str_addf(&out, "Trial %lld, %s, %s\n\n", (long long)t->seq, t->spica_id, at);
	str_addf(&out, "experiment   %s, epoch %lld, evolution %lld, generation %lld\n",
		 t->experiment, (long long)t->epoch, (long long)t->evolution,
		 (long long)t->generation);
	origin_line(t, &out);
	str_add(&out, "parameters   ");
	params_text(t->params, &out);
	str_addf(&out, "\nconfig       %s\n", t->config_hash);
	str_addf(&out, "stage        %s, %s, workload %s, took %s\n", stage_name(t->stage),
		 t->all_services ? "all services" : "tuned services only",
		 t->workload && *t->workload ? t->workload : "none", took);
	outcome_text(t, &out);
	services_text(&t->m, &out);
	metrics_text(&t->m, x ? &x->goals : NULL, &out);
	return cli_print(out.failed ? NULL : out.s);
}

static int show_trial(Store *store, const Plan *plan, const char *id, bool json, bool *ret_found)
{
	StoreTrial t = {0};
	Err err = ERR_INIT;
	int r = store_trial(store, id, &t, &err);
	*ret_found = r != -ENOENT;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	json_t *v = json ? store_trial_json(&t) : NULL;
	if (json)
		r = v ? cli_print_json(v) : cli_oom();
	else
		r = print_trial(&t, plan);
	store_trial_done(&t);
	return r;
}

int record_print(const Record *r, const json_t *body, bool json)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	char at[32];
	if (json)
		return cli_print_json(js_deep_copy(body));
	if (promotion_yaml(body, &text, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	time_rfc3339(r->at_us, at);
	str_addf(&out, "Record %lld, %s, %s\n\n%s", (long long)r->seq, r->kind, at, text);
	return cli_print(out.s);
}

bool record_is(const Record *r, const json_t *body, const char *id)
{
	char seq[32];
	snprintf(seq, sizeof(seq), "%lld", (long long)r->seq);
	return strcmp(seq, id) == 0 || strcmp(js_str(body, "id", ""), id) == 0;
}

typedef struct Find {
	const char *id;
	bool json;
	int exit_code;
} Find;

static int find_record(void *userdata, const Record *r, const json_t *body)
{
	Find *f = userdata;
	if (!record_is(r, body, f->id))
		return 0;
	f->exit_code = record_print(r, body, f->json);
	return 1;
}

static int show_record(Store *store, const char *id, bool json)
{
	static const char *const kinds[] = {"promotion", "verdict", "evolution", "epoch", "head"};
	Find f = {.id = id, .json = json};
	Err err = ERR_INIT;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		int r = store_records(store, kinds[i], true, 0, find_record, &f, &err);
		if (r < 0)
			return cli_fail(EXIT_FAILED, &err);
		if (r > 0)
			return f.exit_code;
	}
	return cli_failf(EXIT_FAILED,
			 "there is no trial, promotion or other record '%s'; 'dream trials' "
			 "and 'dream promotions' list what there is",
			 id);
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(store_closep) Store *store = NULL;
	bool found = false;
	if (argc == 0 && !o->interference)
		return cli_failf(EXIT_USAGE, "something is missing: it takes ID");
	int r = cli_read(o->config, o->database, &plan, &store);
	if (r)
		return r;
	if (!store)
		return cli_nothing_yet(EXIT_FAILED);
	if (o->interference)
		return interference_show(store, argc > 0 ? argv[0] : NULL, o->experiment, o->json);
	r = show_trial(store, plan, argv[0], o->json, &found);
	return found ? r : show_record(store, argv[0], o->json);
}

static const Option rows[] = {
    OPTION_CONFIG_OF_STORE,
    OPTION_DATABASE,
    {"interference", 'i', NULL, OPT_FLAG, offsetof(Options, interference),
     .help = "how much services slow each other down: of the trial ID, or of all trials"},
    OPTION_EXPERIMENT("with --interference: only trials of this experiment"),
    OPTION_JSON("print JSON, with the evidence"),
    {0},
};

const Command cmd_show = {
    .name = "show",
    .args = "[ID]",
    .summary = "show one trial, promotion or other record in full",
    .about = "ID is the number of a record or trial, a candidate's name (spica-gpu-1a2b3c4d) or a "
	     "promotion's id. Only with --interference it may be left out: then the table is of "
	     "all trials, with medians by service and by the value of each parameter.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = 1,
    .run = run,
};
