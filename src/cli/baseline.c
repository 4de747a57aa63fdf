/* dream baseline: what production should run, how that came about, and whether it does. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/decide.h"

typedef struct Options {
	const char *config, *reason;
	bool json;
} Options;

static void add_member(const char *before, const json_t *b, const char *member, Str *out)
{
	const char *words = js_str(b, member, "");
	if (!*words)
		return;
	str_add(out, before);
	said_text(words, out);
}

/* Of a dream.baseline/v1. */
static void how_text(const json_t *b, Str *out)
{
	int64_t of_version = js_int(b, "of_version", 0);
	add_member("", b, "why", out);
	if (of_version)
		str_addf(out, " to version %lld", (long long)of_version);
	add_member(" of ", b, "promotion", out);
	add_member(", by ", b, "by", out);
	add_member(": ", b, "reason", out);
}

/* --- The current one ---------------------------------------------------------------------------
 */

static int print_current(const json_t *b)
{
	static const TableColumn columns[] = {{"unit", ALIGN_LEFT, COLUMN_KEEP},
					      {"parameter", ALIGN_LEFT, COLUMN_KEEP},
					      {"value", ALIGN_LEFT, COLUMN_CUT}};
	_cleanup_(table_freep) Table *t = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	const char *unit, *parameter;
	json_t *values, *v;
	Err err = ERR_INIT;
	if (table_new(columns, 3, &t) < 0)
		return cli_oom();
	json_object_foreach (json_object_get(b, "values"), unit, values)
		json_object_foreach (values, parameter, v) {
			table_text(t, unit);
			table_text(t, parameter);
			table_text(t, json_string_value(v));
		}
	str_addf(&out, "Version %lld, ", (long long)js_int(b, "version", 0));
	when_text(js_int(b, "at_us", 0), &out);
	str_add(&out, ", ");
	how_text(b, &out);
	add_member("\nGeneration ", b, "generation", &out);
	str_add(&out, "\n\n");
	if (table_print(t, cli_width(), &out, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print(out.failed ? NULL : out.s);
}

/* The version is consumed. */
static int print_version(json_t *b, bool json)
{
	if (!b)
		return cli_oom();
	if (json)
		return cli_print_json(b);
	int r = print_current(b);
	json_decref(b);
	return r;
}

/* The newest of the log, as it is without what people said of it. */
static int print_newest(const Decider *d, const json_t *log, bool json)
{
	const json_t *versions = json_object_get(log, "versions");
	size_t n = json_array_size(versions);
	if (n == 0)
		return decider_no_baseline(d);
	json_t *b = js_deep_copy(json_array_get(versions, n - 1));
	(void)json_object_del(b, "feedback");
	return print_version(b, json);
}

static int current(const Options *o)
{
	_cleanup_(decider_done) Decider d = {0};
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *log = NULL;
	Err err = ERR_INIT;
	int r = decider_open_or_ask(o->config, json_pack("{s:s}", "do", "baseline_log"), &d, &log);
	if (r)
		return r;
	if (log)
		return print_newest(&d, log, o->json);
	r = decider_make_store(o->config, &d);
	if (r)
		return r;
	if (decider_baseline(&d, &b, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return b.version ? print_version(baseline_json(&b), o->json) : decider_no_baseline(&d);
}

/* --- log ------------------------------------------------------------------------------------- */

static void add_row(Table *t, const char *version, int64_t at_us, const Str *what,
		    const Str *change)
{
	_cleanup_(str_done) Str at = STR_INIT;
	when_text(at_us, &at);
	table_text(t, version);
	table_text(t, at.s);
	table_text(t, what->len ? what->s : NULL);
	table_text(t, change->len ? change->s : NULL);
}

/* What is otherwise than in the version before; all of the first one. */
static void changes_text(const json_t *before, const json_t *params, Str *out)
{
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)params, name, v) {
		const char *was = js_str(before, name, NULL), *is = json_string_value(v);
		if (!is || (was && baseline_value_same(was, is)))
			continue;
		str_addf(out, "%s%s=", out->len ? ", " : "", name);
		said_text(is, out);
	}
}

static void add_said(Table *t, const json_t *version)
{
	size_t i;
	json_t *f;
	_cleanup_(str_done) Str none = STR_INIT;
	json_array_foreach (json_object_get(version, "feedback"), i, f) {
		_cleanup_(str_done) Str words = STR_INIT;
		said_text(js_str(f, "verdict", "?"), &words);
		str_add(&words, ": ");
		said_text(js_str(f, "words", ""), &words);
		str_add(&words, ", says ");
		said_text(js_str(f, "by", "?"), &words);
		add_member(", in the middle of ", f, "rollout", &words);
		add_row(t, "", js_int(f, "at_us", 0), &words, &none);
	}
}

static void add_version(Table *t, const json_t *before, const json_t *b)
{
	_cleanup_(str_done) Str what = STR_INIT, change = STR_INIT;
	char version[32];
	(void)snprintf(version, sizeof(version), "%lld", (long long)js_int(b, "version", 0));
	how_text(b, &what);
	changes_text(json_object_get(before, "params"), json_object_get(b, "params"), &change);
	add_row(t, version, js_int(b, "at_us", 0), &what, &change);
	add_said(t, b);
}

static int print_log(const json_t *versions)
{
	static const TableColumn columns[] = {{"version", ALIGN_RIGHT, COLUMN_KEEP},
					      {"at", ALIGN_LEFT, COLUMN_DROP},
					      {"how", ALIGN_LEFT, COLUMN_CUT},
					      {"values", ALIGN_LEFT, COLUMN_CUT}};
	_cleanup_(table_freep) Table *table = NULL;
	const json_t *before = NULL;
	size_t i;
	json_t *b;
	if (table_new(columns, 4, &table) < 0)
		return cli_oom();
	json_array_foreach (versions, i, b) {
		add_version(table, before, b);
		before = b;
	}
	return cli_print_table(table);
}

static int open_log(const Options *o, Decider *d, json_t **ret)
{
	Err err = ERR_INIT;
	int r = decider_open_or_ask(o->config, json_pack("{s:s}", "do", "baseline_log"), d, ret);
	if (r || *ret)
		return r;
	r = decider_make_store(o->config, d);
	if (r)
		return r;
	const ViewSource s = decider_source(d);
	return baseline_log_view(&s, ret, &err) < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

static int history(const Options *o)
{
	_cleanup_(decider_done) Decider d = {0};
	json_auto_t *view = NULL;
	int r = open_log(o, &d, &view);
	if (r)
		return r;
	cli_say_left_out(view);
	if (o->json)
		return cli_print_json(TAKE_PTR(view));
	const json_t *versions = json_object_get(view, "versions");
	return json_array_size(versions) ? print_log(versions) : decider_no_baseline(&d);
}

/* --- diff ------------------------------------------------------------------------------------ */

/* {parameter: text or null} of a unit's process; null when nothing runs. */
static json_t *found_values(const json_t *readback, bool *failed)
{
	json_t *o, *v;
	size_t i;
	if (js_int(readback, "pid", 0) <= 0)
		return json_null();
	o = json_object();
	json_array_foreach (json_object_get(readback, "values"), i, v) {
		const char *name = js_str(v, "parameter", "?"), *found = js_str(v, "found", NULL);
		const char *expected = js_str(v, "expected", "");
		/* Of several targets the one that is not as it should be is shown. */
		if (json_object_get(o, name) && found && baseline_value_same(found, expected))
			continue;
		js_set(o, name, found ? js_text(found) : json_null(), failed);
	}
	return o;
}

static void add_line(json_t *lines, const char *unit, const char *words, bool *failed)
{
	_cleanup_(str_done) Str line = STR_INIT;
	said_text(unit, &line);
	str_add(&line, ": ");
	said_text(words, &line);
	*failed |= line.failed || json_array_append_new(lines, js_text(line.s)) < 0;
}

/* A unit's own complaint: edited since it was adopted; a container that hides what it has. */
static void add_words(json_t *lines, const char *unit, const json_t *answer, bool *failed)
{
	const json_t *back = json_object_get(answer, "readback");
	const char *drift = js_str(back, "drift", "");
	if (*drift)
		add_line(lines, unit, drift, failed);
	if (!js_bool(back, "seen", true))
		add_line(lines, unit,
			 "it runs in a container that is not seen into: what it has is not known",
			 failed);
}

static int look(const Decider *d, const Baseline *b, json_t **ret, Err *err)
{
	json_auto_t *real = json_object(), *words = json_array(), *status = NULL;
	bool failed = !real || !words;
	int r = decider_ask_helper(d, "status", NULL, &status, err);
	const char *unit;
	json_t *ignored;
	json_object_foreach (json_object_get(status, "units"), unit, ignored) {
		json_auto_t *answer = NULL;
		if (r < 0)
			break;
		r = decider_ask_helper(d, "readback", unit, &answer, err);
		js_set(real, unit, found_values(json_object_get(answer, "readback"), &failed),
		       &failed);
		if (words)
			add_words(words, unit, answer, &failed);
	}
	if (r < 0)
		return err_wrap(err, r, "cannot see what production runs");
	json_auto_t *lines = failed ? NULL : baseline_drift(b, real);
	if (!lines || json_array_extend(lines, words) < 0)
		return err_oom(err);
	*ret = json_incref(lines);
	return 0;
}

/* `by_daemon`: it is not of now, so it is said of when. */
static int print_diff(const json_t *diff, bool json, bool by_daemon)
{
	_cleanup_(str_done) Str out = STR_INIT;
	size_t i;
	json_t *line;
	const json_t *lines = json_object_get(diff, "drift");
	bool none = json_array_size(lines) == 0;
	if (by_daemon && !json) {
		str_add(&out, "as the daemon saw it at ");
		when_text(js_int(diff, "checked_at_us", 0), &out);
		str_add(&out, ":\n");
	}
	if (none)
		str_addf(&out, "production runs version %lld of the baseline\n",
			 (long long)js_int(diff, "version", 0));
	json_array_foreach (lines, i, line) {
		const char *words = json_is_string(line) ? json_string_value(line) : "?";
		str_add_safe(&out, words, strlen(words), 0);
		str_addc(&out, '\n');
	}
	int r = json ? cli_print_json(js_deep_copy(diff)) : cli_print(out.failed ? NULL : out.s);
	return r || none ? r : EXIT_NOTHING_BETTER;
}

static int diff_here(const Options *o, Decider *d)
{
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *lines = NULL, *found = json_object();
	Err err = ERR_INIT;
	bool failed = !found;
	int r = decider_make_store(o->config, d);
	if (r)
		return r;
	if (decider_baseline(d, &b, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (b.version == 0)
		return decider_no_baseline(d);
	int64_t now_us = clock_now_us(&clock_system);
	if (look(d, &b, &lines, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	js_set(found, "schema", js_text("dream.baseline_diff/v1"), &failed);
	js_set(found, "version", json_integer(b.version), &failed);
	js_set(found, "drift", json_incref(lines), &failed);
	js_set(found, "checked_at_us", json_integer(now_us), &failed);
	return failed ? cli_oom() : print_diff(found, o->json, false);
}

static int diff(const Options *o)
{
	_cleanup_(decider_done) Decider d = {0};
	json_auto_t *view = NULL;
	int r =
	    decider_open_or_ask(o->config, json_pack("{s:s}", "do", "baseline_diff"), &d, &view);
	if (r)
		return r;
	return view ? print_diff(view, o->json, true) : diff_here(o, &d);
}

/* --- accept ---------------------------------------------------------------------------------- */

/* The newest version says what is set, and our key vouches for it. */
static bool is_as_set(const Decider *d, const Baseline *was, const Baseline *is)
{
	_cleanup_(baseline_done) Baseline verified = {0};
	return was->version > 0 && strcmp(was->generation, is->generation) == 0 &&
	       json_equal(was->values, is->values) &&
	       baseline_current(d->store, d->pinned, &verified, NULL) == 0;
}

/* The values that the current generation holds become the newest version: after units were adopted
 * or given back, or after somebody else changed the generation. */
static int accept_it(const Options *o)
{
	_cleanup_(decider_done) Decider d;
	_cleanup_(baseline_done) Baseline was = {0}, is = {0};
	json_auto_t *status = NULL;
	Approver by;
	Err err = ERR_INIT;
	int r = decider_open(o->config, STORE_WRITE, &d);
	if (r)
		return r;
	/* Not verified against a pinned key: accepting is how a new key takes over. */
	if (baseline_current(d.store, NULL, &was, &err) < 0 ||
	    decider_ask_helper(&d, "status", NULL, &status, &err) < 0 ||
	    baseline_from_helper_status(status, &is, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (is_as_set(&d, &was, &is))
		return cli_failf(EXIT_USAGE, "version %lld is what is set already",
				 (long long)was.version);
	decider_who(o->reason, &by);
	(void)snprintf(is.by, sizeof(is.by), "%s", by.name);
	(void)snprintf(is.reason, sizeof(is.reason), "%s", by.reason);
	(void)snprintf(is.why, sizeof(is.why), "%s", was.version ? "accepted" : "adopted");
	if (baseline_append(d.store, d.key, &is, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return print_version(baseline_json(&is), o->json);
}

/* --- The verb -------------------------------------------------------------------------------- */

static int run(const void *options, int argc, char **argv)
{
	const char *what = argc > 0 ? argv[0] : "show";
	if (strcmp(what, "show") == 0)
		return current(options);
	if (strcmp(what, "log") == 0)
		return history(options);
	if (strcmp(what, "diff") == 0)
		return diff(options);
	if (strcmp(what, "accept") == 0)
		return accept_it(options);
	return cli_failf(EXIT_USAGE, "it takes 'log', 'diff' or 'accept', not '%s'", what);
}

static const Option rows[] = {
    OPTION_CONFIG_OF_STORE,
    {"reason", 'r', "TEXT", OPT_STRING, offsetof(Options, reason),
     .help = "with 'accept': why; kept for ever"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_baseline = {
    .name = "baseline",
    .args = "[log|diff|accept]",
    .summary = "what production should run, and whether it does",
    .about =
	"The baseline is what was decided that production runs: signed versions, none of which is "
	"ever changed; going back is a new version. Without a word the newest is shown. 'log' "
	"lists "
	"all, with what people said of each ('dream feedback'). 'diff' looks at the running "
	"processes and names every value that is not as decided; then the exit code is 3. 'accept' "
	"makes a version of the values that are set now, after units were adopted or given back.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = 1,
    .run = run,
};
