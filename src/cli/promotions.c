/* dream promotions: the proposals to change production. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"
#include "record/promotion.h"
#include "rollout/fate.h"

typedef struct Options {
	const char *config, *database, *experiment;
	bool json;
} Options;

typedef struct Walk {
	const Options *options;
	const char *id, *pinned_key;
	Table *table;
	json_t *array, *states;
	const Fates *fates;
	int64_t baseline_version;
	int64_t shown;
	int exit_code;
} Walk;

/* What became of it is not in the promotion itself, which is signed: it follows from the records.
 */
static const char *state_of(const Walk *w, const json_t *body)
{
	const Fate *fate = fates_of(w->fates, js_str(body, "id", ""));
	return promotion_state_name(fate ? fate->state : PROMOTION_PROPOSED);
}

/* An approval that holds no more says so. */
static bool has_lapsed(const Walk *w, const json_t *body)
{
	const Fate *fate = fates_of(w->fates, js_str(body, "id", ""));
	const char *digest = js_str(json_object_get(body, "signature"), "digest", "");
	return fate && fate->state == PROMOTION_APPROVED &&
	       approval_holds(&fate->decision, digest, w->baseline_version,
			      clock_now_us(&clock_system), NULL) < 0;
}

static void add_row(const Walk *w, const Record *r, const json_t *body)
{
	Table *t = w->table;
	_cleanup_(str_done) Str changes = STR_INIT;
	size_t i;
	json_t *change;
	const json_t *list = json_object_get(body, "changes");
	char at[32];
	time_rfc3339(r->at_us, at);
	json_array_foreach (list, i, change) {
		json_auto_t *pair =
		    json_pack("{s:[O?,O?]}", js_str(change, "parameter", "?"),
			      json_object_get(change, "from"), json_object_get(change, "to"));
		str_add(&changes, i ? ", " : "");
		change_text(pair, &changes);
	}
	table_cell(t, "%s", js_str(body, "id", "-"));
	table_cell(t, "%.19sZ", at);
	table_cell(t, "%s", js_str(body, "experiment", "-"));
	table_cell(t, "%s%s", state_of(w, body), has_lapsed(w, body) ? " (lapsed)" : "");
	table_cell(t, "%s", changes.s ? changes.s : "none");
}

static int list_one(void *userdata, const Record *r, const json_t *body)
{
	Walk *w = userdata;
	const char *only = w->options->experiment;
	if (only && strcmp(js_str(body, "experiment", ""), only) != 0)
		return 0;
	w->shown++;
	if (w->array) {
		bool failed = json_array_append_new(w->array, js_deep_copy(body)) < 0;
		js_set(w->states, js_str(body, "id", ""), js_text(state_of(w, body)), &failed);
		return failed ? -ENOMEM : 0;
	}
	add_row(w, r, body);
	return 0;
}

static int list(Walk *w, Store *store)
{
	static const TableColumn columns[] = {{"promotion", ALIGN_LEFT, COLUMN_KEEP},
					      {"at", ALIGN_LEFT, COLUMN_DROP},
					      {"experiment", ALIGN_LEFT, COLUMN_DROP},
					      {"state", ALIGN_LEFT, COLUMN_KEEP},
					      {"changes", ALIGN_LEFT, COLUMN_CUT}};
	_cleanup_(table_freep) Table *table = NULL;
	_cleanup_(fates_freep) Fates *fates = NULL;
	_cleanup_(baseline_done) Baseline baseline = {0};
	json_auto_t *array = json_array(), *states = json_object();
	Err err = ERR_INIT;
	bool failed = false;
	if (!array || !states || table_new(columns, 5, &table) < 0)
		return cli_oom();
	w->table = table;
	w->array = w->options->json ? array : NULL;
	w->states = states;
	int r = store ? fates_load(store, w->pinned_key, &fates, &err) : 0;
	w->fates = fates;
	if (r == 0 && store)
		r = baseline_current(store, w->pinned_key, &baseline, &err);
	w->baseline_version = baseline.version;
	if (r == 0 && store)
		r = store_records(store, "promotion", false, 0, list_one, w, &err);
	if (r < 0)
		return r == -ENOMEM ? cli_oom() : cli_fail(EXIT_FAILED, &err);
	if (w->options->json) {
		json_t *o = json_object();
		js_set(o, "schema", json_string("dream.promotions/v1"), &failed);
		js_set(o, "promotions", json_incref(array), &failed);
		js_set(o, "states", json_incref(states), &failed);
		return failed ? cli_oom() : cli_print_json(o);
	}
	return w->shown ? cli_print_table(table) : cli_print("no promotion yet\n");
}

static int show_one(void *userdata, const Record *r, const json_t *body)
{
	Walk *w = userdata;
	Err err = ERR_INIT;
	if (w->id && !record_is(r, body, w->id))
		return 0;
	w->shown++;
	w->exit_code = record_print(r, body, w->options->json);
	if (w->exit_code == EXIT_DONE && promotion_verify(body, w->pinned_key, &err) < 0)
		w->exit_code = cli_fail(EXIT_FAILED, &err);
	return 1;
}

/* Without an id: the newest. */
static int show(Walk *w, Store *store)
{
	Err err = ERR_INIT;
	if (!store)
		return cli_nothing_yet(EXIT_FAILED);
	int r = store_records(store, "promotion", true, 0, show_one, w, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (w->shown)
		return w->exit_code;
	if (!w->id)
		return cli_failf(EXIT_FAILED, "there is no promotion yet");
	return cli_failf(EXIT_FAILED, "there is no promotion '%s'; 'dream promotions' lists them",
			 w->id);
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(store_closep) Store *store = NULL;
	Walk w = {.options = o, .id = argc > 1 ? argv[1] : NULL};
	const char *what = argc > 0 ? argv[0] : "list";
	bool listing = strcmp(what, "list") == 0;
	if (!listing && strcmp(what, "show") != 0)
		return cli_failf(EXIT_USAGE, "it takes 'list' or 'show [ID]', not '%s'", what);
	if (listing && w.id)
		return cli_failf(EXIT_USAGE, "'list' takes nothing more; did you mean 'show %s'?",
				 w.id);
	int r = cli_read(o->config, o->database, &plan, &store);
	if (r)
		return r;
	w.pinned_key = plan ? plan->run.pinned_key : NULL;
	if (!listing)
		return show(&w, store);
	if (!store && !o->json)
		return cli_nothing_yet(EXIT_DONE);
	return list(&w, store);
}

static const Option rows[] = {
    {"config", 'c', "FILE", OPT_STRING, offsetof(Options, config), .complete = "file",
     .help = "the configuration that names the store"},
    {"database", 'd', "FILE", OPT_STRING, offsetof(Options, database), .complete = "file",
     .help = "the store itself, instead of the configuration's"},
    {"experiment", 'e', "NAME", OPT_STRING, offsetof(Options, experiment), .complete = "experiment",
     .help = "list only those of this experiment"},
    {"json", 'j', NULL, OPT_FLAG, offsetof(Options, json), .help = "print JSON"},
    {0},
};

const Command cmd_promotions = {
    .name = "promotions",
    .args = "list|show [ID]",
    .summary = "list or show the proposals to change production",
    .about =
	"A promotion is a signed record: the winner, the baseline it was measured against, the "
	"change of each parameter with its own effect. 'list' is the default and says what became "
	"of each: proposed, approved, rejected, refused, rolling_out, committed, "
	"partially_committed, rolled_back or stuck. 'show' prints one (by default the newest) as "
	"YAML and checks its signature; 'dream promotion show' tells what it means.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = 2,
    .run = run,
};
