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

void decision_text(const Approval *a, Str *out)
{
	str_addf(out, "%s by ", a->approved ? "approved" : "rejected");
	said_text(a->by.name, out);
	str_add(out, ", ");
	when_text(a->at_us, out);
	if (*a->by.reason) {
		str_add(out, ": ");
		said_text(a->by.reason, out);
	}
}

static void add_state(const Fate *fate, const Baseline *b, const json_t *promotion, Str *out)
{
	_cleanup_(str_done) Str words = STR_INIT;
	Err why = ERR_INIT;
	const char *digest = js_str(json_object_get(promotion, "signature"), "digest", "");
	PromotionState state = fate ? fate->state : PROMOTION_PROPOSED;
	bool is_decision = state == PROMOTION_APPROVED || state == PROMOTION_REJECTED;
	if (!is_decision)
		str_addf(&words, "%s; ", promotion_state_name(state));
	if (fate && fate->decided)
		decision_text(&fate->decision, &words);
	else
		str_add(&words, "nobody has decided yet");
	if (state == PROMOTION_APPROVED && approval_holds(&fate->decision, digest, b->version,
							  clock_now_us(&clock_system), &why) < 0)
		str_addf(&words, "; it does not hold any more: %s", why.msg);
	if (fate && *fate->words) {
		str_add(&words, "; ");
		said_text(fate->words, &words);
	}
	add_labelled("state", &words, out);
}

static void add_origin(const Decider *d, const json_t *p, Str *out)
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
	if (strcmp(key, d->public) != 0)
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

void checks_text(const Validation *v, Str *out)
{
	for (size_t i = 0; i < v->n; i++) {
		_cleanup_(str_done) Str words = STR_INIT;
		said_text(v->checks[i].words, &words);
		str_addf(out, "%s %-10s ", v->checks[i].ok ? "yes" : "NO ", v->checks[i].name);
		text_wrap(words.s ? words.s : "", 15, 15, WIDTH, out);
	}
}

static void add_fitness(const Validation *v, Str *out)
{
	str_addf(out, "\nFit for production now: %s\n", v->ok ? "yes" : "NO");
	checks_text(v, out);
}

static void add_trials(const Validation *v, Str *out)
{
	if (v->isolated || v->colocated)
		add_line(out, "first", "as trials, production untouched: %s%s%s",
			 v->isolated ? "each parameter alone (isolated)" : "",
			 v->isolated && v->colocated ? ", then " : "",
			 v->colocated ? "with all services (colocated)" : "");
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

static void add_failure(const RolloutConfig *c, const Baseline *b, Str *out)
{
	char budget[32];
	time_human(c->budget_us, budget);
	add_line(out, "if it breaks",
		 "a start that fails, a crash, out of memory or a value that is not in effect is "
		 "taken back at once, to what runs before it%s",
		 b->version > 0 ? "" : " (nothing is adopted yet)");
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
	if (b->version > 0)
		add_line(out, "afterwards", "`dream rollback %lld` brings version %lld back",
			 (long long)b->version, (long long)b->version);
}

void promotion_text(const Decider *d, const json_t *promotion, const Fate *fate, const Baseline *b,
		    const Validation *v, Str *out)
{
	const Experiment *x = decider_experiment(d, promotion);
	_cleanup_(str_done) Str experiment = STR_INIT;
	said_text(js_str(promotion, "experiment", "?"), &experiment);
	str_add(out, "Promotion ");
	said_text(js_str(promotion, "id", "?"), out);
	str_addc(out, '\n');
	add_state(fate, b, promotion, out);
	add_labelled("experiment", &experiment, out);
	add_origin(d, promotion, out);
	add_changes(promotion, out);
	add_evidence(promotion, out);
	add_fitness(v, out);
	if (!x)
		return;
	str_add(out, "\nHow it would go\n");
	add_trials(v, out);
	add_steps(&x->rollout, v->isolated || v->colocated, out);
	add_failure(&x->rollout, b, out);
}
