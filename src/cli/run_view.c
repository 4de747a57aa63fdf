#include "cli/run_view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/internal.h"
#include "cli/options.h"

enum {
	PLAIN_WIDTH = 120, /* of lines that do not go to a terminal */
	BAR_CELLS = 24,
	COLUMNS_MAX = 8,
	FIXED_WIDTH = 45,   /* of the columns before the objectives */
	CANDIDATE_MIN = 20, /* columns in which breaking its text helps */
};

struct RunView {
	size_t width; /* 0: no terminal */
	bool bar_shown;
	const Experiment *experiment; /* whose lines were last printed */
	bool table_open;
};

int run_view_new(size_t width, RunView **ret, Err *err)
{
	RunView *v = calloc(1, sizeof(*v));
	if (!v)
		return err_oom(err);
	v->width = width;
	*ret = v;
	return 0;
}

RunView *run_view_free(RunView *v)
{
	if (v && v->bar_shown)
		fputs("\r\033[K", stdout);
	free(v);
	return NULL;
}

/* Line by line; on a terminal they are broken between words, and what goes on stands `indent`
 * columns to the right of where its line began. */
static void say(const RunView *v, size_t indent, const char *text)
{
	if (!v->width)
		printf("%s\n", text);
	while (v->width && *text) {
		_cleanup_(str_done) Str line = STR_INIT, out = STR_INIT;
		size_t len = strcspn(text, "\n"), lead = strspn(text, " ");
		str_addn(&line, text, len);
		if (line.failed)
			return;
		text_wrap(line.s + lead, lead, lead + indent, v->width, &out);
		printf("%*s%s", (int)lead, "", out.s ? out.s : "\n");
		text += len + (text[len] == '\n');
	}
}

static void sayf(const RunView *v, size_t indent, const char *fmt, ...) _printf_(3, 4);

static void sayf(const RunView *v, size_t indent, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	say(v, indent, text.s ? text.s : "");
}

/* --- The bar --------------------------------------------------------------------------------- */

void run_view_bar(const RunEvent *e, size_t width, Str *out)
{
	Str b = STR_INIT;
	uint64_t total = e->total > 0 ? e->total : 1;
	size_t cells = (size_t)(e->done * BAR_CELLS / total);
	char best[32], left[32] = "";
	report_number(e->best, "", best);
	if (e->left_us >= 0)
		time_human(e->left_us, left);
	str_addc(&b, '[');
	for (size_t i = 0; i < BAR_CELLS; i++)
		str_addc(&b, i < cells ? '#' : '.');
	str_addf(&b, "] %" PRIu64 "/%" PRIu64 "  gen %u  best %s", e->done, e->total, e->generation,
		 best);
	if (*left)
		str_addf(&b, "  %s left", left);
	if (e->kind == RUN_TRIAL_PROGRESS)
		str_addf(&b, "  (%s)", e->text);
	if (b.s)
		str_addn(out, b.s, width && b.len > width ? width : b.len);
	str_done(&b);
}

static void hide_bar(RunView *v)
{
	if (v->bar_shown)
		fputs("\r\033[K", stdout);
	v->bar_shown = false;
}

static void show_bar(RunView *v, const RunEvent *e)
{
	if (!v->width)
		return;
	_cleanup_(str_done) Str b = STR_INIT;
	size_t now = cli_width(); /* windows change their size */
	v->width = now ? now : v->width;
	run_view_bar(e, v->width - 1, &b);
	hide_bar(v);
	fputs(b.s ? b.s : "", stdout);
	fflush(stdout);
	v->bar_shown = true;
}

/* --- A line a trial -------------------------------------------------------------------------- */

static const Objective *objectives(const Experiment *x)
{
	return x->goals.objectives.items;
}

/* As many objectives as fit beside the fixed columns and a candidate of moderate length. */
static size_t columns_that_fit(const RunView *v, const Experiment *x)
{
	size_t width = v->width ? v->width : PLAIN_WIDTH, used = FIXED_WIDTH + 30, n = 0;
	while (n < x->goals.objectives.n && n < COLUMNS_MAX) {
		used += strlen(objectives(x)[n].name) + 2;
		if (used > width)
			break;
		n++;
	}
	return n;
}

static void print_header(RunView *v, const Experiment *x)
{
	printf("%6s %4s  %-12s %-13s %7s", "trial", "gen", "origin", "outcome", "fitness");
	size_t n = columns_that_fit(v, x);
	for (size_t i = 0; i < n; i++)
		printf("  %s", objectives(x)[i].name);
	printf("  %s\n", x->baseline ? "what differs from the baseline" : "candidate");
}

/* How many columns they took. */
static size_t print_metrics(const RunView *v, const Experiment *x, const StoreTrial *t)
{
	size_t n = columns_that_fit(v, x);
	int used = 0;
	for (size_t i = 0; i < n; i++) {
		const Objective *o = &objectives(x)[i];
		const Metric *m = measurement_get(&t->m, o->name);
		char text[32];
		report_number(m ? m->value : (double)NAN, "", text);
		used += printf("  %*s", (int)strlen(o->name), text);
	}
	return used > 0 ? (size_t)used : 0;
}

/* What differs from the baseline; all of it for the baseline itself and where there is none. */
static void candidate_text(const Experiment *x, const StoreTrial *t, Str *out)
{
	const char *name;
	json_t *value;
	json_auto_t *changed = json_object();
	json_object_foreach (t->params, name, value) {
		if (changed && !json_equal(value, json_object_get(x->baseline, name)))
			(void)json_object_set(changed, name, value);
	}
	params_text(json_object_size(changed) ? changed : t->params, out);
}

/* Why a trial scores 0 although it ended well, or did not end well. */
static void print_reason(const RunView *v, const Experiment *x, const StoreTrial *t)
{
	if (t->m.outcome != OUTCOME_OK) {
		if (t->m.reason)
			sayf(v, 0, "%13s%s", "", t->m.reason);
		return;
	}
	Fitness f = fitness_of(&x->goals, &t->m);
	char value[32];
	const Metric *m = measurement_get(&t->m, f.violated);
	report_number(m ? m->value : (double)NAN, m ? m->unit : "", value);
	if (*f.violated)
		printf("%13s%s is %s and breaks its constraint\n", "", f.violated, value);
	else if (*f.missing)
		printf("%13s%s was not measured\n", "", f.missing);
}

static void print_trial(RunView *v, const RunEvent *e)
{
	const StoreTrial *t = e->trial;
	bool quiet =
	    strcmp(t->purpose, "confirm") == 0 && t->m.outcome == OUTCOME_OK && t->feasible;
	if (quiet)
		return;
	if (!v->table_open || v->experiment != e->experiment)
		print_header(v, e->experiment);
	v->table_open = true;
	v->experiment = e->experiment;
	_cleanup_(str_done) Str candidate = STR_INIT;
	candidate_text(e->experiment, t, &candidate);
	char fitness[32];
	report_number(t->m.outcome == OUTCOME_OK ? t->fitness : (double)NAN, "", fitness);
	int fixed = printf("%6" PRId64 " %4" PRId64 "  %-12s %-13s %7s", t->seq, t->generation,
			   t->origin, outcome_name(t->m.outcome), fitness);
	size_t at = (fixed > 0 ? (size_t)fixed : 0) + print_metrics(v, e->experiment, t) + 2;
	_cleanup_(str_done) Str out = STR_INIT;
	text_wrap(candidate.s ? candidate.s : "", at, at,
		  v->width > at + CANDIDATE_MIN ? v->width : SIZE_MAX, &out);
	printf("  %s", out.s ? out.s : "\n");
	print_reason(v, e->experiment, t);
}

/* --- The verdict ----------------------------------------------------------------------------- */

static const char *unit_of(const char *metric)
{
	size_t n = strlen(metric);
	if (n > 3 && strcmp(metric + n - 3, "_ms") == 0)
		return "ms";
	return n > 4 && strcmp(metric + n - 4, "_pct") == 0 ? "%" : "";
}

static void add_comparison(Table *table, const char *name, const Interval *baseline,
			   const Interval *candidate, const Interval *diff)
{
	char a[32], b[32], change[64];
	report_number(baseline->mean, unit_of(name), a);
	report_number(candidate->mean, unit_of(name), b);
	report_interval(diff->mean, diff->lo, diff->hi, change);
	table_cell(table, "%s", name);
	table_cell(table, "%s", a);
	table_cell(table, "%s", b);
	table_cell(table, "%s", change);
}

static void print_comparison(const WinnerReport *r)
{
	static const TableColumn columns[] = {
	    {"metric", ALIGN_LEFT, COLUMN_KEEP},
	    {"baseline", ALIGN_RIGHT, COLUMN_KEEP},
	    {"candidate", ALIGN_RIGHT, COLUMN_KEEP},
	    {"change [interval]", ALIGN_RIGHT, COLUMN_KEEP},
	};
	_cleanup_(table_freep) Table *table = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	if (table_new(columns, 4, &table) < 0)
		return;
	add_comparison(table, "fitness", &r->fitness_baseline, &r->fitness_candidate,
		       &r->fitness_diff);
	for (size_t i = 0; i < r->n_changes; i++)
		add_comparison(table, r->changes[i].objective->name, &r->changes[i].baseline,
			       &r->changes[i].candidate, &r->changes[i].diff);
	if (table_print(table, 0, &out, NULL) == 0 && out.s)
		fputs(out.s, stdout);
}

static const char *verdict_text(WinnerVerdict v)
{
	return v == WINNER_NOT_BETTER ? "not better" : winner_verdict_name(v);
}

/* --- Events ---------------------------------------------------------------------------------- */

static void print_event(RunView *v, const RunEvent *e)
{
	const char *who = e->experiment ? e->experiment->name : "run";
	switch (e->kind) {
	case RUN_EPOCH_BEGIN:
		v->table_open = false;
		printf("%s: epoch %" PRId64 ", %s\n", who, e->epoch, e->text);
		break;
	case RUN_TRIAL_DONE:
		print_trial(v, e);
		break;
	case RUN_CONFIRM_DONE:
		v->table_open = false;
		sayf(v, 2, "%s: %s", verdict_text(e->report->verdict), e->text);
		print_comparison(e->report);
		break;
	case RUN_WINNER:
		sayf(v, 2, "winner: %s", e->text);
		break;
	case RUN_NO_WINNER:
		sayf(v, 2, "no winner: %s", e->text);
		break;
	case RUN_PROMOTION:
		printf("proposed as %s\n", e->text);
		break;
	case RUN_EPOCH_END: {
		char elapsed[32];
		time_human(e->elapsed_us, elapsed);
		printf("%s: epoch %" PRId64 " %s, %" PRIu64 " trials in %s\n", who, e->epoch,
		       e->text, e->done, elapsed);
		break;
	}
	case RUN_PREDICTED:
	case RUN_SEARCH_DONE:
	case RUN_CONFIRM_BEGIN:
	case RUN_MESSAGE:
		say(v, 2, e->text);
		break;
	case RUN_TRIAL_BEGIN:
	case RUN_TRIAL_PROGRESS:
	case RUN_GENERATION_DONE:
		break;
	}
}

void run_view_event(void *view, const RunEvent *e)
{
	RunView *v = view;
	hide_bar(v);
	print_event(v, e);
	fflush(stdout);
	if (e->kind == RUN_TRIAL_DONE || e->kind == RUN_TRIAL_BEGIN ||
	    e->kind == RUN_TRIAL_PROGRESS)
		show_bar(v, e);
}
