/* dream baseline: what production should run, how that came about, and whether it does. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/decide.h"
#include "rollout/feedback.h"

typedef struct Options {
	const char *config, *reason;
	bool json;
} Options;

static void how_text(const Baseline *b, Str *out)
{
	str_addf(out, "%s", *b->why ? b->why : "?");
	if (b->of_version)
		str_addf(out, " to version %lld", (long long)b->of_version);
	if (*b->promotion) {
		str_add(out, " of ");
		said_text(b->promotion, out);
	}
	if (*b->by) {
		str_add(out, ", by ");
		said_text(b->by, out);
	}
	if (*b->reason) {
		str_add(out, ": ");
		said_text(b->reason, out);
	}
}

/* --- The current one ---------------------------------------------------------------------------
 */

static int print_current(const Baseline *b)
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
	json_object_foreach (b->values, unit, values)
		json_object_foreach (values, parameter, v) {
			table_text(t, unit);
			table_text(t, parameter);
			table_text(t, json_string_value(v));
		}
	str_addf(&out, "Version %lld, ", (long long)b->version);
	when_text(b->at_us, &out);
	str_add(&out, ", ");
	how_text(b, &out);
	str_addf(&out, "\nGeneration %s\n\n", b->generation);
	if (table_print(t, cli_width(), &out, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print(out.failed ? NULL : out.s);
}

static int print_json(json_t *o)
{
	return o ? cli_print_json(o) : cli_oom();
}

static int current(const Options *o)
{
	_cleanup_(decider_done) Decider d;
	_cleanup_(baseline_done) Baseline b = {0};
	Err err = ERR_INIT;
	int r = decider_open_look(o->config, &d);
	if (r)
		return r;
	if (decider_baseline(&d, &b, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (b.version == 0)
		return decider_no_baseline(&d);
	return o->json ? print_json(baseline_json(&b)) : print_current(&b);
}

/* --- log ------------------------------------------------------------------------------------- */

typedef struct Log {
	const Decider *d;
	Table *table;
	json_t *array, *said; /* said: {version: [feedback]} */
	const Baseline *last;
	json_t *last_params;
	bool failed;
} Log;

static void add_row(Log *l, const char *version, int64_t at_us, const Str *what, const Str *change)
{
	_cleanup_(str_done) Str at = STR_INIT;
	when_text(at_us, &at);
	table_text(l->table, version);
	table_text(l->table, at.s);
	table_text(l->table, what->len ? what->s : NULL);
	table_text(l->table, change->len ? change->s : NULL);
}

/* What is otherwise than in the version before; all of the first one. */
static void changes_text(const json_t *before, json_t *params, Str *out)
{
	const char *name;
	json_t *v;
	json_object_foreach (params, name, v) {
		const char *was = js_str(before, name, NULL), *is = json_string_value(v);
		if (was && baseline_value_same(was, is))
			continue;
		str_addf(out, "%s%s=", out->len ? ", " : "", name);
		said_text(is, out);
	}
}

static void add_said(Log *l, int64_t version)
{
	char key[32];
	size_t i;
	json_t *f;
	_cleanup_(str_done) Str none = STR_INIT;
	(void)snprintf(key, sizeof(key), "%lld", (long long)version);
	json_array_foreach (json_object_get(l->said, key), i, f) {
		_cleanup_(str_done) Str words = STR_INIT;
		str_addf(&words, "%s: ", js_str(f, "verdict", "?"));
		said_text(js_str(f, "words", ""), &words);
		str_add(&words, ", says ");
		said_text(js_str(f, "by", "?"), &words);
		if (js_str(f, "rollout", NULL)) {
			str_add(&words, ", in the middle of ");
			said_text(js_str(f, "rollout", ""), &words);
		}
		add_row(l, "", js_int(f, "at_us", 0), &words, &none);
	}
}

static int add_version(void *ctx, const Baseline *b)
{
	Log *l = ctx;
	_cleanup_(str_done) Str what = STR_INIT, change = STR_INIT;
	char version[32];
	(void)snprintf(version, sizeof(version), "%lld", (long long)b->version);
	if (l->array) {
		json_t *o = baseline_json(b);
		json_t *said = json_object_get(l->said, version);
		js_set(o, "feedback", said ? json_incref(said) : json_array(), &l->failed);
		l->failed |= json_array_append_new(l->array, o) < 0;
		return 0;
	}
	how_text(b, &what);
	changes_text(l->last_params, b->params, &change);
	add_row(l, version, b->at_us, &what, &change);
	add_said(l, b->version);
	json_decref(l->last_params);
	l->last_params = js_deep_copy(b->params);
	l->failed |= !l->last_params;
	return 0;
}

static int gather_said(void *ctx, const Feedback *f)
{
	Log *l = ctx;
	char key[32];
	json_t *o = json_object();
	(void)snprintf(key, sizeof(key), "%lld", (long long)f->baseline_version);
	if (!json_object_get(l->said, key))
		js_set(l->said, key, json_array(), &l->failed);
	js_set(o, "verdict", js_text(f->good ? "good" : "bad"), &l->failed);
	js_set(o, "words", js_text(f->words), &l->failed);
	js_set(o, "by", js_text(f->by.name), &l->failed);
	js_set(o, "rollout", *f->rollout ? js_text(f->rollout) : json_null(), &l->failed);
	js_set(o, "at_us", json_integer(f->at_us), &l->failed);
	l->failed |= json_array_append_new(json_object_get(l->said, key), o) < 0;
	return 0;
}

static int print_log(Log *l, bool json)
{
	bool failed = false;
	if (l->failed)
		return cli_oom();
	if (!json)
		return cli_print_table(l->table);
	json_t *o = json_object();
	js_set(o, "schema", js_text("dream.baseline_log/v1"), &failed);
	js_set(o, "versions", json_incref(l->array), &failed);
	if (failed) {
		json_decref(o);
		return cli_oom();
	}
	return cli_print_json(o);
}

static int history(const Options *o)
{
	static const TableColumn columns[] = {{"version", ALIGN_RIGHT, COLUMN_KEEP},
					      {"at", ALIGN_LEFT, COLUMN_DROP},
					      {"how", ALIGN_LEFT, COLUMN_CUT},
					      {"values", ALIGN_LEFT, COLUMN_CUT}};
	_cleanup_(decider_done) Decider d;
	_cleanup_(table_freep) Table *table = NULL;
	json_auto_t *array = o->json ? json_array() : NULL, *said = json_object();
	Err err = ERR_INIT;
	int r = decider_open_look(o->config, &d);
	if (r)
		return r;
	if (!said || (o->json && !array) || table_new(columns, 4, &table) < 0)
		return cli_oom();
	Log l = {.d = &d, .table = table, .array = array, .said = said};
	if (d.store)
		r = feedback_walk(d.store, d.pinned, gather_said, &l, &err);
	if (r == 0 && d.store)
		r = baseline_walk(d.store, d.pinned, add_version, &l, &err);
	bool any = l.last_params;
	json_decref(l.last_params);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	return any || o->json ? print_log(&l, o->json) : decider_no_baseline(&d);
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

static int print_lines(const Baseline *b, const json_t *lines, bool json)
{
	_cleanup_(str_done) Str out = STR_INIT;
	size_t i;
	json_t *line;
	bool failed = false, none = json_array_size(lines) == 0;
	if (json) {
		json_t *o = json_object();
		js_set(o, "schema", js_text("dream.baseline_diff/v1"), &failed);
		js_set(o, "version", json_integer(b->version), &failed);
		js_set(o, "drift", js_deep_copy(lines), &failed);
		if (failed) {
			json_decref(o);
			return cli_oom();
		}
		int r = cli_print_json(o);
		return r || none ? r : EXIT_NOTHING_BETTER;
	}
	if (none)
		str_addf(&out, "production runs version %lld of the baseline\n",
			 (long long)b->version);
	json_array_foreach (lines, i, line)
		str_addf(&out, "%s\n", json_string_value(line));
	int r = cli_print(out.failed ? NULL : out.s);
	return r || none ? r : EXIT_NOTHING_BETTER;
}

static int diff(const Options *o)
{
	_cleanup_(decider_done) Decider d;
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *lines = NULL;
	Err err = ERR_INIT;
	int r = decider_open_look(o->config, &d);
	if (r)
		return r;
	if (decider_baseline(&d, &b, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (b.version == 0)
		return decider_no_baseline(&d);
	if (look(&d, &b, &lines, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return print_lines(&b, lines, o->json);
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
	return o->json ? print_json(baseline_json(&is)) : print_current(&is);
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
    {"config", 'c', "FILE", OPT_STRING, offsetof(Options, config), .complete = "file",
     .help = "the configuration that names the store"},
    {"reason", 'r', "TEXT", OPT_STRING, offsetof(Options, reason),
     .help = "with 'accept': why; kept for ever"},
    {"json", 'j', NULL, OPT_FLAG, offsetof(Options, json), .help = "print JSON"},
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
