/* A promotion on one screen. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/decide.h"

enum {
	WIDTH = 80,
	LABEL = 12,
};

void said_text(const char *words, Str *out)
{
	str_add_safe(out, words, strlen(words), 400);
}

void when_text(int64_t at_us, Str *out)
{
	char at[32];
	time_rfc3339(at_us, at);
	str_addf(out, "%.10s %.8sZ", at, at + 11);
}

/* "state       words", wrapped. */
static void add_labelled(const char *label, const Str *words, Str *out)
{
	str_addf(out, "%-*s ", LABEL, label);
	text_wrap(words->s ? words->s : "-", LABEL + 1, LABEL + 1, WIDTH, out);
}

static void add_line(Str *out, const char *label, const char *fmt, ...) _printf_(3, 4);
static void add_line(Str *out, const char *label, const char *fmt, ...)
{
	_cleanup_(str_done) Str words = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&words, fmt, ap);
	va_end(ap);
	add_labelled(label, &words, out);
}

/* --- Who ------------------------------------------------------------------------------------- */

static void decision_text(const json_t *approval, Str *out)
{
	const char *reason = js_str(approval, "reason", "");
	said_text(js_str(approval, "decision", "decided"), out);
	str_add(out, " by ");
	said_text(js_str(json_object_get(approval, "by"), "name", "?"), out);
	str_add(out, ", ");
	when_text(js_int(approval, "at_us", 0), out);
	if (*reason) {
		str_add(out, ": ");
		said_text(reason, out);
	}
}

static void add_said(const char *before, const char *words, Str *out)
{
	if (!words)
		return;
	str_add(out, before);
	said_text(words, out);
}

static void add_state(const json_t *fate, Str *out)
{
	_cleanup_(str_done) Str words = STR_INIT;
	const json_t *decision = json_object_get(fate, "decision");
	const char *state = js_str(fate, "state", "?");
	bool decided = json_is_object(decision);
	bool is_decision = strcmp(state, promotion_state_name(PROMOTION_APPROVED)) == 0 ||
			   strcmp(state, promotion_state_name(PROMOTION_REJECTED)) == 0;
	if (!is_decision || !decided) {
		said_text(state, &words);
		str_add(&words, "; ");
	}
	if (decided)
		decision_text(decision, &words);
	else
		str_add(&words, "nobody has decided yet");
	add_said("; it does not hold any more: ", js_str(fate, "lapsed", NULL), &words);
	add_said("; ", js_str(fate, "words", NULL), &words);
	add_labelled("state", &words, out);
}

static void add_origin(const json_t *view, const json_t *p, Str *out)
{
	_cleanup_(str_done) Str words = STR_INIT;
	const json_t *by = json_object_get(p, "by");
	const char *key = js_str(json_object_get(p, "signature"), "key", "");
	const char *reason = js_str(p, "reason", "");
	str_addf(&words, "%.19sZ, ", js_str(p, "created_at", "?"));
	if (by) {
		str_add(&words, "by hand, by ");
		said_text(js_str(by, "name", "?"), &words);
	} else {
		str_add(&words, "by a run");
	}
	if (strcmp(key, js_str(view, "own_key", "")) != 0)
		str_addf(&words, ", elsewhere (key %.16s...)", key);
	if (*reason) {
		str_add(&words, ": ");
		said_text(reason, &words);
	}
	add_labelled("made", &words, out);
}

/* --- What changes ---------------------------------------------------------------------------- */

static void value_cell(Table *t, const json_t *v)
{
	_cleanup_(str_done) Str text = STR_INIT, safe = STR_INIT;
	param_value_text(v, &text);
	said_text(text.s ? text.s : "-", &safe);
	table_text(t, safe.s);
}

static void interval_cell(Table *t, const json_t *interval)
{
	char text[64];
	double mean = js_num(interval, "mean", (double)NAN);
	if (isnan(mean)) {
		table_text(t, NULL);
		return;
	}
	report_interval(mean, js_num(interval, "lo", (double)NAN),
			js_num(interval, "hi", (double)NAN), text);
	table_text(t, text);
}

static void targets_cell(Table *t, const json_t *targets)
{
	_cleanup_(str_done) Str text = STR_INIT;
	size_t i;
	json_t *target;
	json_array_foreach (targets, i, target) {
		const char *flag = js_str(target, "flag", NULL), *env = js_str(target, "env", NULL);
		const char *file = js_str(target, "file", NULL);
		str_add(&text, i ? ", " : "");
		said_text(js_str(target, "unit", "?"), &text);
		str_addc(&text, ' ');
		if (file) {
			said_text(file, &text);
			str_addc(&text, ':');
		}
		said_text(flag ? flag : env ? env : js_str(target, "key", "?"), &text);
	}
	table_text(t, text.len ? text.s : NULL);
}

static void print_table(Table *t, Str *out)
{
	Err err = ERR_INIT;
	if (table_print(t, cli_width(), out, &err) < 0)
		out->failed = true;
}

static void add_changes(const json_t *p, Str *out)
{
	static const TableColumn columns[] = {{"parameter", ALIGN_LEFT, COLUMN_KEEP},
					      {"from", ALIGN_LEFT, COLUMN_KEEP},
					      {"to", ALIGN_LEFT, COLUMN_KEEP},
					      {"fitness alone", ALIGN_LEFT, COLUMN_CUT},
					      {"goes to", ALIGN_LEFT, COLUMN_CUT}};
	_cleanup_(table_freep) Table *t = NULL;
	size_t i;
	json_t *change;
	if (table_new(columns, 5, &t) < 0) {
		out->failed = true;
		return;
	}
	json_array_foreach (json_object_get(p, "changes"), i, change) {
		table_text(t, js_str(change, "parameter", "?"));
		value_cell(t, json_object_get(change, "from"));
		value_cell(t, json_object_get(change, "to"));
		interval_cell(t, json_object_get(json_object_get(change, "effect"), "fitness"));
		targets_cell(t, json_object_get(change, "targets"));
	}
	str_add(out, "\nWhat changes\n");
	print_table(t, out);
}

/* --- Evidence -------------------------------------------------------------------------------- */

static void mean_cell(Table *t, const json_t *interval)
{
	char text[32];
	report_number(js_num(interval, "mean", (double)NAN), "", text);
	table_text(t, text);
}

static void metric_row(Table *t, const char *name, const json_t *before, const json_t *after,
		       const json_t *difference)
{
	table_text(t, name);
	mean_cell(t, before);
	mean_cell(t, after);
	interval_cell(t, difference);
}

static void add_how(const json_t *p, Str *out)
{
	const json_t *rule = json_object_get(p, "rule");
	_cleanup_(str_done) Str stages = STR_INIT;
	size_t i;
	json_t *stage;
	json_array_foreach (json_object_get(p, "stages_passed"), i, stage)
		str_addf(&stages, "%s%s", i ? ", " : "", json_string_value(stage));
	add_line(out, "measured", "%lld pairs for each of %zu workloads, intervals of %.4g %%",
		 (long long)js_int(rule, "pairs_per_workload", 0),
		 json_array_size(json_object_get(p, "workloads")),
		 100 * js_num(rule, "interval_confidence", js_num(rule, "confidence", 0)));
	add_line(out, "stages", "%s", stages.len ? stages.s : "none passed yet");
}

static void add_evidence(const json_t *p, Str *out)
{
	static const TableColumn columns[] = {{"metric", ALIGN_LEFT, COLUMN_KEEP},
					      {"before", ALIGN_RIGHT, COLUMN_KEEP},
					      {"after", ALIGN_RIGHT, COLUMN_KEEP},
					      {"difference", ALIGN_LEFT, COLUMN_KEEP}};
	const json_t *winner = json_object_get(p, "winner"), *base = json_object_get(p, "baseline");
	_cleanup_(table_freep) Table *t = NULL;
	const char *name;
	json_t *after;
	str_add(out, "\nEvidence\n");
	if (!json_object_get(winner, "fitness")) {
		str_add(out, "none: it was made by hand, and nothing was measured\n");
		return;
	}
	if (table_new(columns, 4, &t) < 0) {
		out->failed = true;
		return;
	}
	metric_row(t, "fitness", json_object_get(base, "fitness"),
		   json_object_get(winner, "fitness"), json_object_get(p, "fitness_gain"));
	json_object_foreach (json_object_get(winner, "metrics"), name, after)
		metric_row(t, name, json_object_get(json_object_get(base, "metrics"), name), after,
			   json_object_get(json_object_get(p, "differences"), name));
	print_table(t, out);
	add_how(p, out);
}

/* --- What would happen ----------------------------------------------------------------------- */

void checks_text(const json_t *checks, Str *out)
{
	size_t i;
	json_t *check;
	json_array_foreach (checks, i, check) {
		_cleanup_(str_done) Str words = STR_INIT, name = STR_INIT;
		said_text(js_str(check, "words", ""), &words);
		said_text(js_str(check, "check", "?"), &name);
		str_addf(out, "%s %-10s ", js_bool(check, "ok", false) ? "yes" : "NO ",
			 name.s ? name.s : "");
		text_wrap(words.s ? words.s : "", 15, 15, WIDTH, out);
	}
}

static void add_fitness(const json_t *view, Str *out)
{
	str_addf(out, "\nFit for production now: %s\n", js_bool(view, "fit", false) ? "yes" : "NO");
	checks_text(json_object_get(view, "checks"), out);
}

static void add_committed(int64_t as, int64_t version, Str *out)
{
	str_addf(out, "\nCommitted as version %lld of the baseline", (long long)as);
	if (as == version)
		str_add(out, ", which is what production should run\n");
	else
		str_addf(out, "; production should run version %lld now\n", (long long)version);
}

static bool is_listed(const json_t *list, const char *name)
{
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), name) == 0)
			return true;
	return false;
}

/* false: none are wanted. */
static bool add_trials(const json_t *view, Str *out)
{
	const json_t *trials = json_object_get(view, "trials");
	bool isolated = is_listed(trials, "isolated"), colocated = is_listed(trials, "colocated");
	if (!isolated && !colocated)
		return false;
	add_line(out, "first", "as trials, production untouched: %s%s%s",
		 isolated ? "each parameter alone (isolated)" : "",
		 isolated && colocated ? ", then " : "",
		 colocated ? "with all services (colocated)" : "");
	return true;
}

static void add_steps(const RolloutConfig *c, bool trials_before, Str *out)
{
	char watch[32], probation[32];
	time_human(c->watch_us, watch);
	time_human(c->probation_us, probation);
	add_line(out, trials_before ? "then" : "first",
		 "one parameter after another, the most useful first: restarted, read back, "
		 "watched for %s",
		 watch);
	add_line(out, "at last", "%swhat is left is committed%s%s",
		 rollout_asks_stage(c, "cold_start")
		     ? "all units are started together, as after a power cut, and watched once "
		       "more; "
		     : "",
		 c->probation_us > 0 ? ", and watched for another " : "",
		 c->probation_us > 0 ? probation : "");
}

static void add_failure(const RolloutConfig *c, int64_t version, Str *out)
{
	char budget[32];
	time_human(c->budget_us, budget);
	add_line(out, "if it breaks",
		 "a start that fails, a crash, out of memory or a value that is not in effect is "
		 "taken back at once, to what runs before it%s",
		 version > 0 ? "" : " (nothing is adopted yet)");
	add_line(
	    out, "if it is",
	    "worse by more than %.3g %%: the parameter is taken back, the others stay; when it "
	    "cannot be told: %s",
	    100 * c->max_regression,
	    strcmp(c->on_inconclusive, "undo") == 0   ? "it is taken back"
	    : strcmp(c->on_inconclusive, "wait") == 0 ? "it is watched longer, then a person "
							"is asked"
						      : "a person is asked");
	add_line(out, "downtime", "at most %s for each service", budget);
	if (version > 0)
		add_line(out, "afterwards", "`dream rollback %lld` brings version %lld back",
			 (long long)version, (long long)version);
}

void promotion_text(const json_t *view, const Experiment *x, Str *out)
{
	const json_t *promotion = json_object_get(view, "promotion");
	int64_t version = js_int(view, "baseline_version", 0);
	int64_t committed = js_int(view, "committed_version", 0);
	_cleanup_(str_done) Str experiment = STR_INIT;
	said_text(js_str(promotion, "experiment", "?"), &experiment);
	str_add(out, "Promotion ");
	said_text(js_str(promotion, "id", "?"), out);
	str_addc(out, '\n');
	add_state(json_object_get(view, "fate"), out);
	add_labelled("experiment", &experiment, out);
	add_origin(view, promotion, out);
	add_changes(promotion, out);
	add_evidence(promotion, out);
	if (committed > 0)
		add_committed(committed, version, out);
	/* What it would take to do once more what runs is of no use. */
	if (committed > 0 && committed == version)
		return;
	add_fitness(view, out);
	if (!x)
		return;
	str_add(out, "\nHow it would go\n");
	add_steps(&x->rollout, add_trials(view, out), out);
	add_failure(&x->rollout, version, out);
}
