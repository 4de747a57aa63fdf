#include "cli/status_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/internal.h"

enum {
	LABEL = 12,
	STEPS_SHOWN = 3,
	ALERTS_SHOWN = 3,
	WAITING_SHOWN = 5,
	FIGURES_SHOWN = 6,
};

typedef struct View {
	Str *out;
	size_t width;
	int64_t now_us;
} View;

/* --- Lines
 * ---------------------------------------------------------------------------------------- */

static void line(const View *v, const char *label, const char *fmt, ...) _printf_(3, 4);

static void line(const View *v, const char *label, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	v->out->failed |= text.failed;
	if (!text.s)
		return;
	str_addf(v->out, "%-*s", LABEL, label);
	str_add_safe(v->out, text.s, text.len, v->width > LABEL + 20 ? v->width - LABEL : 0);
	str_addc(v->out, '\n');
}

/* "2026-11-20 12:30Z"; `ret` holds at least 32 bytes. */
static const char *when(const json_t *o, const char *key, char *ret)
{
	int64_t at_us = js_int(o, key, 0);
	if (at_us <= 0)
		return "-";
	time_rfc3339(at_us, ret);
	ret[10] = ' ';
	ret[16] = 'Z';
	ret[17] = '\0';
	return ret;
}

/* "3 m 20 s": how long it is since then. */
static const char *since(const View *v, const json_t *o, const char *key, char *ret)
{
	int64_t for_us = v->now_us - js_int(o, key, v->now_us);
	time_human(for_us > 0 ? for_us : 0, ret);
	return ret;
}

/* --- Production
 * ----------------------------------------------------------------------------------- */

static void params_line(const View *v, const json_t *params)
{
	_cleanup_(str_done) Str text = STR_INIT;
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)params, name, value) {
		str_addf(&text, "%s%s=", text.len ? " " : "", name);
		param_value_text(value, &text);
	}
	if (text.len)
		line(v, "", "%s", text.s);
}

static void production_lines(const View *v, const json_t *p)
{
	char at[32];
	const char *current = js_str(p, "current", NULL);
	const char *generation = js_str(p, "generation", "");
	const json_t *change = json_object_get(p, "change");
	if (js_int(p, "version", 0) == 0)
		line(v, "production", "%s",
		     !current || json_is_null(json_object_get(p, "version"))
			 ? "not known: see the problems below"
		     : *current ? "adopted, and no version of it is kept yet"
				: "nothing is adopted: 'dream adopt' does it");
	else
		line(v, "production", "version %" PRId64 " since %s (%s by %s), generation %s",
		     js_int(p, "version", 0), when(p, "since_us", at), js_str(p, "why", "?"),
		     js_str(p, "by", "?"), generation);
	params_line(v, json_object_get(p, "params"));
	if (current && *current && *generation && strcmp(current, generation) != 0)
		line(v, "", "generation %s is in effect at the moment", current);
	if (json_is_object(change))
		line(v, "", "a change is open since %s: %s", when(change, "began_at_us", at),
		     js_str(change, "rollout", "?"));
}

static void drift_lines(const View *v, const json_t *drift)
{
	char ago[32];
	size_t i;
	json_t *text;
	const json_t *lines = json_object_get(drift, "lines");
	const char *failure = js_str(drift, "failure", NULL);
	bool checked = js_int(drift, "checked_at_us", 0) > 0;
	if (failure)
		line(v, "drift", "not known: %s", failure);
	else if (!checked)
		line(v, "drift", "not looked at yet");
	else if (json_array_size(lines) == 0)
		line(v, "drift", "none, %s ago", since(v, drift, "checked_at_us", ago));
	json_array_foreach (lines, i, text)
		line(v, i || failure ? "" : "drift", "%s",
		     json_string_value(text) ? json_string_value(text) : "?");
}

/* --- What is going on
 * ----------------------------------------------------------------------------- */

static const char *next_words(const char *phase)
{
	static const struct {
		const char *phase, *words;
	} table[] = {
	    {"ready", "the first stage begins"},
	    {"isolated", "if the trial is good, the next stage; else the parameter is dropped"},
	    {"colocated",
	     "if the trial is good, production; else nothing of production is touched"},
	    {"observe", "then the first parameter is changed"},
	    {"apply", "when it runs and answers, it is watched; what breaks is taken back at once"},
	    {"watch", "no worse: the next parameter, or the cold start; worse: taken back"},
	    {"cold_start",
	     "all answer after a start together: watched as a whole; else taken back"},
	    {"commit", "it becomes the new version of the baseline"},
	    {"probation", "it is committed; a slower guard takes it back if it gets worse"},
	    {"undo", "what ran before runs again"},
	    {"asked", "a person decides: 'dream rollout --continue' or 'dream rollout --abort'"},
	    {"stuck", "nothing more is touched: a person must look now"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strcmp(table[i].phase, phase) == 0)
			return table[i].words;
	return NULL;
}

static void downtime_line(const View *v, const json_t *list)
{
	_cleanup_(str_done) Str text = STR_INIT;
	size_t i;
	json_t *u;
	json_array_foreach (list, i, u) {
		char spent[32];
		if (js_int(u, "us", 0) <= 0)
			continue;
		time_human(js_int(u, "us", 0), spent);
		str_addf(&text, "%s%s %s", text.len ? ", " : "", js_str(u, "unit", "?"), spent);
	}
	if (text.len)
		line(v, "", "downtime so far: %s", text.s);
}

static void rollout_lines(const View *v, const json_t *r)
{
	char for_[32];
	const char *phase = js_str(r, "phase", "?"), *next = next_words(phase);
	const json_t *steps = json_object_get(r, "steps");
	size_t n = json_array_size(steps);
	if (!json_is_object(r))
		return;
	line(v, "rollout", "%s: %s, for %s", js_str(r, "what", "?"), phase,
	     since(v, r, "since_us", for_));
	for (size_t i = n > STEPS_SHOWN ? n - STEPS_SHOWN : 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(steps, i));
		line(v, "", "- %s", text ? text : "?");
	}
	downtime_line(v, json_object_get(r, "downtime"));
	if (next)
		line(v, "", "next: %s", next);
}

static void run_lines(const View *v, const json_t *run)
{
	char at[32];
	const char *result = js_str(run, "result", NULL);
	if (js_bool(run, "running", false))
		line(v, "runs", "one is going on, for %s", since(v, run, "began_at_us", at));
	else if (js_int(run, "next_at_us", 0) > 0)
		line(v, "runs", "the next at %s (window %s)", when(run, "next_at_us", at),
		     js_str(run, "window", "?"));
	if (result)
		line(v, "", "the last ended %s: %s", when(run, "ended_at_us", at), result);
}

static void watch_lines(const View *v, const json_t *w)
{
	char at[32];
	size_t i, shown = 0;
	json_t *f;
	const char *failure = js_str(w, "failure", NULL), *trouble = js_str(w, "trouble", NULL);
	_cleanup_(str_done) Str text = STR_INIT;
	json_array_foreach (json_object_get(w, "figures"), i, f) {
		const json_t *value = json_object_get(f, "value");
		if (++shown > FIGURES_SHOWN)
			break;
		str_addf(&text, "%s%s %s ", shown > 1 ? ", " : "", js_str(f, "service", "?"),
			 js_str(f, "metric", "?"));
		if (json_is_number(value))
			str_addf(&text, "%.4g", json_number_value(value));
		else
			str_add(&text, "no answer");
	}
	if (js_bool(w, "watched", false))
		line(v, "watch", "%" PRId64 " service%s%s%s", js_int(w, "services", 0),
		     js_int(w, "services", 0) == 1 ? "" : "s", text.len ? ": " : "",
		     text.len ? text.s : "");
	if (failure)
		line(v, "watch", "%s", failure);
	if (trouble)
		line(v, "trouble", "%s %s", when(w, "trouble_at_us", at), trouble);
}

/* --- People
 * --------------------------------------------------------------------------------------- */

static void changes_text_of(const json_t *changes, Str *out)
{
	size_t i;
	json_t *c;
	json_array_foreach (changes, i, c) {
		str_addf(out, "%s%s ", i ? ", " : "", js_str(c, "parameter", "?"));
		param_value_text(json_object_get(c, "from"), out);
		str_add(out, " -> ");
		param_value_text(json_object_get(c, "to"), out);
	}
}

/* One line each of what was measured, or that nothing was. */
static void evidence_lines(const View *v, const json_t *e)
{
	_cleanup_(str_done) Str text = STR_INIT;
	const char *name, *by = js_str(e, "by_hand_of", NULL), *reason = js_str(e, "reason", NULL);
	json_t *pair, *stage;
	size_t i;
	const json_t *gain = json_object_get(e, "fitness_gain");
	if (json_is_object(gain)) {
		char interval[64];
		report_interval(js_num(gain, "mean", (double)NAN), js_num(gain, "lo", (double)NAN),
				js_num(gain, "hi", (double)NAN), interval);
		str_addf(&text, "fitness %s", interval);
	}
	json_object_foreach (json_object_get(e, "metrics"), name, pair)
		str_addf(&text, "%s%s %.4g -> %.4g", text.len ? ", " : "", name,
			 js_num(pair, "before", 0), js_num(pair, "after", 0));
	json_array_foreach (json_object_get(e, "stages_passed"), i, stage)
		str_addf(&text, "%s%s", i ? ", " : "; passed: ", json_string_value(stage));
	if (by)
		str_addf(&text, "%sby hand, by %s%s", text.len ? "; " : "", by,
			 json_is_object(gain) ? "" : ": nothing was measured");
	if (reason)
		str_addf(&text, "; %s", reason);
	if (text.len)
		line(v, "", "  %s", text.s);
}

static void one_waiting(const View *v, const json_t *w, bool first)
{
	_cleanup_(str_done) Str text = STR_INIT;
	char at[32];
	const json_t *d = json_object_get(w, "decision");
	bool by_policy = strcmp(js_str(w, "approval", ""), "auto") == 0;
	const char *why = js_str(w, "policy", NULL);
	changes_text_of(json_object_get(w, "changes"), &text);
	line(v, first ? "waiting" : "", "%s: %s", js_str(w, "id", "?"), text.s ? text.s : "");
	evidence_lines(v, json_object_get(w, "evidence"));
	if (json_is_object(d))
		line(v, "", "  approved by %s until %s; 'dream rollout %s' begins it",
		     js_str(d, "by", "?"), when(d, "expires_at_us", at), js_str(w, "id", "?"));
	else
		line(v, "", "  not approved yet%s: 'dream approve %s' or 'dream reject %s'",
		     by_policy && !why ? " (policy is about to)" : "", js_str(w, "id", "?"),
		     js_str(w, "id", "?"));
	if (why)
		line(v, "", "  policy: %s", why);
}

static void waiting_lines(const View *v, const json_t *list)
{
	size_t n = json_array_size(list);
	for (size_t i = 0; i < n && i < WAITING_SHOWN; i++)
		one_waiting(v, json_array_get(list, i), i == 0);
	if (n > WAITING_SHOWN)
		line(v, "", "and %zu more; 'dream promotions' lists them", n - WAITING_SHOWN);
}

static void paused_line(const View *v, const json_t *p)
{
	char at[32];
	const char *why = js_str(p, "why", "");
	if (json_is_object(p))
		line(v, "paused", "by %s since %s%s%s", js_str(p, "by", "?"), when(p, "at_us", at),
		     *why ? ": " : "", why);
}

static void alert_lines(const View *v, const json_t *list)
{
	size_t n = json_array_size(list);
	char at[32];
	for (size_t i = n > ALERTS_SHOWN ? n - ALERTS_SHOWN : 0, first = i; i < n; i++) {
		const json_t *a = json_array_get(list, i);
		line(v, i == first ? "alerts" : "", "%s %s: %s", when(a, "at_us", at),
		     js_str(a, "kind", "?"), js_str(a, "words", "?"));
	}
}

static void daemon_line(const View *v, const json_t *d)
{
	char at[32];
	const char *mistake = js_str(d, "configuration_error", NULL);
	if (!js_bool(d, "running", false)) {
		bool known = !json_is_null(json_object_get(d, "running"));
		line(v, "daemon", "%s%s",
		     known ? "down: " : "not asked: ", js_str(d, "why", "nobody answers"));
		return;
	}
	line(v, "daemon", "up since %s, process %" PRId64 ", %s", when(d, "since_us", at),
	     js_int(d, "pid", 0), js_str(d, "configuration", "?"));
	if (mistake)
		line(v, "", "the configuration that is there now is not in effect: %s", mistake);
}

void status_text(const json_t *s, int64_t now_us, size_t width, Str *out)
{
	const View v = {.out = out, .width = width, .now_us = now_us};
	size_t i;
	json_t *problem;
	bool up = js_bool(json_object_get(s, "daemon"), "running", false);
	production_lines(&v, json_object_get(s, "production"));
	if (up)
		drift_lines(&v, json_object_get(s, "drift"));
	rollout_lines(&v, json_object_get(s, "rollout"));
	waiting_lines(&v, json_object_get(s, "waiting"));
	run_lines(&v, json_object_get(s, "run"));
	watch_lines(&v, json_object_get(s, "watch"));
	paused_line(&v, json_object_get(s, "paused"));
	alert_lines(&v, json_object_get(s, "alerts"));
	json_array_foreach (json_object_get(s, "problems"), i, problem)
		line(&v, i ? "" : "problems", "%s",
		     json_string_value(problem) ? json_string_value(problem) : "?");
	daemon_line(&v, json_object_get(s, "daemon"));
}

void status_event_text(const json_t *event, Str *out)
{
	char at[32];
	const char *text = js_str(event, "text", "");
	const char *phase = js_str(event, "phase", NULL);
	time_rfc3339(js_int(event, "at_us", 0), at);
	str_addf(out, "%.19sZ ", at);
	if (phase)
		str_addf(out, "[%s] ", phase);
	str_add_safe(out, text, strlen(text), 0);
	str_addc(out, '\n');
}
