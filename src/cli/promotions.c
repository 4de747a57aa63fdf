/* dream promotions: the proposals to change production. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"
#include "record/promotion.h"
#include "rollout/views.h"

typedef struct Options {
	const char *config, *database, *experiment;
	bool json;
} Options;

typedef struct Walk {
	const Options *options;
	const char *id, *pinned_key;
	int64_t shown;
	int exit_code;
} Walk;

static void add_row(Table *t, const json_t *view, const json_t *body)
{
	_cleanup_(str_done) Str changes = STR_INIT;
	size_t i;
	json_t *change;
	const char *id = js_str(body, "id", "");
	bool lapsed = json_object_get(json_object_get(view, "lapsed"), id);
	char at[32];
	time_rfc3339(js_int(json_object_get(view, "recorded_at_us"), id, 0), at);
	json_array_foreach (json_object_get(body, "changes"), i, change) {
		json_auto_t *pair =
		    json_pack("{s:[O?,O?]}", js_str(change, "parameter", "?"),
			      json_object_get(change, "from"), json_object_get(change, "to"));
		str_add(&changes, i ? ", " : "");
		change_text(pair, &changes);
	}
	table_cell(t, "%s", js_str(body, "id", "-"));
	table_cell(t, "%.19sZ", at);
	table_cell(t, "%s", js_str(body, "experiment", "-"));
	table_cell(t, "%s%s", js_str(json_object_get(view, "states"), id, "?"),
		   lapsed ? " (lapsed)" : "");
	table_cell(t, "%s", changes.s ? changes.s : "none");
}

/* The view is consumed. */
static int print_list(json_t *view, const char *experiment, bool json)
{
	static const TableColumn columns[] = {{"promotion", ALIGN_LEFT, COLUMN_KEEP},
					      {"at", ALIGN_LEFT, COLUMN_DROP},
					      {"experiment", ALIGN_LEFT, COLUMN_DROP},
					      {"state", ALIGN_LEFT, COLUMN_KEEP},
					      {"changes", ALIGN_LEFT, COLUMN_CUT}};
	_cleanup_(table_freep) Table *table = NULL;
	json_auto_t *owned = view;
	size_t i;
	json_t *body;
	cli_say_left_out(owned);
	if (json)
		return cli_print_json(TAKE_PTR(owned));
	const json_t *list = json_object_get(owned, "promotions");
	if (table_new(columns, 5, &table) < 0)
		return cli_oom();
	json_array_foreach (list, i, body)
		add_row(table, owned, body);
	if (json_array_size(list))
		return cli_print_table(table);
	return cli_print(experiment ? "no promotion matches\n" : "no promotion yet\n");
}

/* *ret_view: the list as the daemon has it, where it alone may read the store. */
static int open_or_ask(const Options *o, bool listing, Plan **ret_plan, Store **ret,
		       json_t **ret_view)
{
	if (o->database || !listing)
		return cli_read(o->config, o->database, ret_plan, ret);
	int r = o->config || cli_has_config() ? cli_open(o->config, ret_plan) : 0;
	if (r == 0)
		r = cli_ask_instead(
		    *ret_plan, NULL,
		    json_pack("{s:s, s:s*}", "do", "promotions", "experiment", o->experiment),
		    ret_view);
	return r || *ret_view ? r : cli_store(*ret_plan, STORE_READ, ret);
}

static int list(const Walk *w, Store *store)
{
	const ViewSource s = {
	    .store = store, .pinned_key_hex = w->pinned_key, .now_us = clock_now_us(&clock_system)};
	json_t *view = NULL;
	Err err = ERR_INIT;
	int r = promotions_view(&s, w->options->experiment, &view, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err)
		     : print_list(view, w->options->experiment, w->options->json);
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
	json_t *view = NULL;
	int r = open_or_ask(o, listing, &plan, &store, &view);
	if (r)
		return r;
	if (view)
		return print_list(view, o->experiment, o->json);
	w.pinned_key = plan ? plan->run.pinned_key : NULL;
	if (!listing)
		return show(&w, store);
	if (!store && !o->json)
		return cli_nothing_yet(EXIT_DONE);
	return list(&w, store);
}

static const Option rows[] = {
    OPTION_CONFIG_OF_STORE,
    OPTION_DATABASE,
    OPTION_EXPERIMENT("list only those of this experiment"),
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_promotions = {
    .name = "promotions",
    .args = "[list|show [ID]]",
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
