/* dream show --interference: medians over trials, by service and by what a parameter was set to. */
#include "cli/interference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"
#include "stats/stats.h"

enum {
	FIGURES = 5,
	SAMPLES_MAX = 1000000,
};

static const char *const figure_names[FIGURES] = {
    "factor", "alone_ms", "together_ms", "alone_p95_ms", "together_p95_ms",
};

/* One service in one trial. */
typedef struct Sample {
	char *experiment, *service; /* owned */
	json_t *params;		    /* owned */
	double figures[FIGURES];    /* NAN: too few requests for it */
} Sample;

typedef struct Samples {
	Sample *items;
	size_t n;
	int64_t trials; /* that have any */
} Samples;

static void samples_done(Samples *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->items[i].experiment);
		free(s->items[i].service);
		json_decref(s->items[i].params);
	}
	free(s->items);
	*s = (Samples){0};
}

/* --- Gathering ------------------------------------------------------------------------------- */

static int add_sample(Samples *s, const StoreTrial *t, const char *service, const json_t *slow)
{
	if (s->n >= SAMPLES_MAX)
		return -E2BIG;
	Sample *items = reallocarray(s->items, s->n + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	s->items = items;
	_cleanup_free_ char *experiment = str_fmt("%s", t->experiment),
			    *name = str_fmt("%s", service);
	if (!experiment || !name)
		return -ENOMEM;
	Sample *one = &items[s->n++];
	*one = (Sample){.experiment = TAKE_PTR(experiment),
			.service = TAKE_PTR(name),
			.params = json_incref(t->params)};
	for (size_t i = 0; i < FIGURES; i++)
		one->figures[i] = js_num(slow, figure_names[i], (double)NAN);
	return 0;
}

static int add_services(Samples *s, const StoreTrial *t)
{
	json_t *services = json_object_get(t->m.evidence, "services"), *service;
	const char *name;
	size_t before = s->n;
	json_object_foreach (services, name, service) {
		const json_t *slow = json_object_get(service, "slowdown");
		int r = json_is_object(slow) ? add_sample(s, t, name, slow) : 0;
		if (r < 0)
			return r;
	}
	s->trials += s->n > before;
	return 0;
}

/* A trial that did not end well may have been disturbed by others than its services. */
static int add_trial(void *userdata, const StoreTrial *t)
{
	return t->m.outcome == OUTCOME_OK ? add_services(userdata, t) : 0;
}

static int gather_one(Store *store, const char *id, Samples *s, int64_t *ret_seq, Err *err)
{
	StoreTrial t = {0};
	int r = store_trial(store, id, &t, err);
	if (r == -ENOENT)
		return err_set(err, r, "there is no trial '%s'; 'dream trials' lists them", id);
	if (r < 0)
		return r;
	*ret_seq = t.seq;
	r = add_services(s, &t);
	store_trial_done(&t);
	return r < 0 ? err_set(err, r, "cannot read trial %s: %s", id, strerror(-r)) : 0;
}

static int gather_all(Store *store, const char *experiment, Samples *s, Err *err)
{
	TrialQuery q = {.experiment = experiment};
	int r = store_trials(store, &q, add_trial, s, err);
	if (r == -ENOMEM || r == -E2BIG)
		return err_set(err, r, "cannot hold all trials: %s", strerror(-r));
	return r < 0 ? r : 0;
}

/* --- Groups ---------------------------------------------------------------------------------- */

/* Of one service: all its samples, or those in which a parameter has one value. */
typedef struct Group {
	const Sample *like;
	const char *param; /* NULL: all */
	const json_t *value;
	size_t first, n; /* the sample that began it; how many */
	double medians[FIGURES];
} Group;

static bool belongs(const Group *g, const Sample *s)
{
	return strcmp(g->like->service, s->service) == 0 &&
	       strcmp(g->like->experiment, s->experiment) == 0 &&
	       (!g->param || json_equal(g->value, json_object_get(s->params, g->param)));
}

static double median_of(const Group *g, const Samples *s, size_t figure, double *room)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++)
		if (belongs(g, &s->items[i]) && isfinite(s->items[i].figures[figure]))
			room[n++] = s->items[i].figures[figure];
	stats_sort(room, n);
	return stats_median(room, n);
}

/* 1: added; 0: not the first sample of its group. */
static int add_group(const Samples *s, size_t at, Group g, double *room, Group *ret)
{
	g.like = &s->items[at];
	g.first = at;
	for (size_t i = 0; i < at; i++)
		if (belongs(&g, &s->items[i]))
			return 0;
	for (size_t i = at; i < s->n; i++)
		g.n += belongs(&g, &s->items[i]);
	for (size_t i = 0; i < FIGURES; i++)
		g.medians[i] = median_of(&g, s, i, room);
	*ret = g;
	return 1;
}

/* Numbers by size, words in the order in which they were met. */
static int by_place(const void *x, const void *y)
{
	const Group *a = x, *b = y;
	double u = json_number_value(a->value), v = json_number_value(b->value);
	int r = strcmp(a->like->experiment, b->like->experiment);
	if (r == 0)
		r = strcmp(a->like->service, b->like->service);
	if (r == 0 && a->param)
		r = strcmp(a->param, b->param);
	if (r == 0)
		r = (u > v) - (u < v);
	return r ? r : (a->first > b->first) - (a->first < b->first);
}

/* Room for the groups that one more sample may begin. */
static Group *more_room(Group **groups, size_t n, size_t more)
{
	Group *all = reallocarray(*groups, n + more + 1, sizeof(*all));
	if (all)
		*groups = all;
	return all;
}

/* By service, or by service, parameter and value. *ret is the caller's also on failure. */
static int group(const Samples *s, bool by_value, Group **ret, size_t *ret_n)
{
	_cleanup_free_ double *room = calloc(s->n + 1, sizeof(*room));
	size_t n = 0;
	if (!room)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++) {
		json_t *params = s->items[i].params, *value;
		const char *param;
		if (!more_room(ret, n, json_object_size(params)))
			return -ENOMEM;
		if (!by_value)
			n += (size_t)add_group(s, i, (Group){0}, room, &(*ret)[n]);
		else
			json_object_foreach (params, param, value)
				n +=
				    (size_t)add_group(s, i, (Group){.param = param, .value = value},
						      room, &(*ret)[n]);
	}
	if (n > 1)
		qsort(*ret, n, sizeof(**ret), by_place);
	*ret_n = n;
	return 0;
}

typedef int GroupFn(void *userdata, const Group *g);

static int each_group(const Samples *s, bool by_value, GroupFn *fn, void *userdata)
{
	_cleanup_free_ Group *groups = NULL;
	size_t n = 0;
	int r = group(s, by_value, &groups, &n);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = fn(userdata, &groups[i]);
	return r;
}

/* --- For programs ---------------------------------------------------------------------------- */

static int add_json(void *userdata, const Group *g)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "experiment", js_text(g->like->experiment), &failed);
	js_set(o, "service", js_text(g->like->service), &failed);
	if (g->param) {
		js_set(o, "parameter", js_text(g->param), &failed);
		js_set(o, "value", js_deep_copy(g->value), &failed);
	}
	js_set(o, "trials", json_integer((json_int_t)g->n), &failed);
	for (size_t i = 0; i < FIGURES; i++)
		js_set(o, figure_names[i], js_number(g->medians[i]), &failed);
	failed |= json_array_append_new(userdata, o) < 0;
	return failed ? -ENOMEM : 0;
}

static int print_json(const Samples *s, int64_t seq)
{
	bool failed = false;
	json_auto_t *services = json_array(), *values = json_array();
	failed |= each_group(s, false, add_json, services) < 0;
	failed |= seq == 0 && each_group(s, true, add_json, values) < 0;
	json_t *o = json_object();
	js_set(o, "schema", json_string("dream.interference/v1"), &failed);
	js_set(o, "trial", seq > 0 ? json_integer(seq) : json_null(), &failed);
	js_set(o, "trials", json_integer(s->trials), &failed);
	js_set(o, "services", json_incref(services), &failed);
	js_set(o, "values", json_incref(values), &failed);
	if (!failed)
		return cli_print_json(o);
	json_decref(o);
	return cli_oom();
}

/* --- For people ------------------------------------------------------------------------------ */

typedef struct View {
	Table *table;
	bool many; /* experiments */
} View;

static void figure_cells(Table *t, const Group *g)
{
	char text[32];
	for (size_t i = 1; i < FIGURES; i++) {
		report_number(g->medians[i], "ms", text);
		table_text(t, isfinite(g->medians[i]) ? text : NULL);
	}
	table_cell(t, "%.2f", g->medians[0]);
}

static int add_row(void *userdata, const Group *g)
{
	View *v = userdata;
	if (v->many)
		table_text(v->table, g->like->experiment);
	table_text(v->table, g->like->service);
	if (g->param) {
		_cleanup_(str_done) Str value = STR_INIT;
		param_value_text(g->value, &value);
		table_text(v->table, g->param);
		table_text(v->table, value.s);
	}
	table_cell(v->table, "%zu", g->n);
	figure_cells(v->table, g);
	return 0;
}

static bool has_many(const Samples *s)
{
	for (size_t i = 1; i < s->n; i++)
		if (strcmp(s->items[0].experiment, s->items[i].experiment) != 0)
			return true;
	return false;
}

static int add_table(const Samples *s, bool by_value, Str *out)
{
	TableColumn columns[10];
	size_t n = 0;
	View v = {.many = has_many(s)};
	if (v.many)
		columns[n++] = (TableColumn){"experiment", ALIGN_LEFT, COLUMN_CUT};
	columns[n++] = (TableColumn){"service", ALIGN_LEFT, COLUMN_KEEP};
	if (by_value) {
		columns[n++] = (TableColumn){"parameter", ALIGN_LEFT, COLUMN_CUT};
		columns[n++] = (TableColumn){"value", ALIGN_LEFT, COLUMN_CUT};
	}
	columns[n++] = (TableColumn){"trials", ALIGN_RIGHT, COLUMN_KEEP};
	columns[n++] = (TableColumn){"alone", ALIGN_RIGHT, COLUMN_KEEP};
	columns[n++] = (TableColumn){"together", ALIGN_RIGHT, COLUMN_KEEP};
	columns[n++] = (TableColumn){"alone p95", ALIGN_RIGHT, COLUMN_DROP};
	columns[n++] = (TableColumn){"together p95", ALIGN_RIGHT, COLUMN_DROP};
	columns[n++] = (TableColumn){"factor", ALIGN_RIGHT, COLUMN_KEEP};
	int r = table_new(columns, n, &v.table);
	if (r >= 0)
		r = each_group(s, by_value, add_row, &v);
	if (r >= 0)
		r = table_print(v.table, cli_width(), out, NULL);
	(void)table_free(v.table);
	return r;
}

static int print_tables(const Samples *s, int64_t seq)
{
	_cleanup_(str_done) Str out = STR_INIT;
	if (seq > 0)
		str_addf(&out,
			 "Trial %lld: the median answer of each service, alone and beside the "
			 "others\n\n",
			 (long long)seq);
	else
		str_addf(
		    &out,
		    "%lld trial%s: medians over them of each service's median answer, alone and "
		    "beside the others\n\n",
		    (long long)s->trials, s->trials == 1 ? "" : "s");
	int r = add_table(s, false, &out);
	if (r >= 0 && seq == 0) {
		str_addc(&out, '\n');
		r = add_table(s, true, &out);
	}
	return r < 0 || out.failed ? cli_oom() : cli_print(out.s);
}

/* --- Both ------------------------------------------------------------------------------------ */

static int print_none(int64_t seq)
{
	char which[64] = "no trial here has";
	if (seq > 0)
		snprintf(which, sizeof(which), "trial %lld has not", (long long)seq);
	return cli_failf(EXIT_FAILED,
			 "%s measured its services alone and together: that takes an evaluator of "
			 "kind gpu_allocation with 'alone: true' and a workload for two services",
			 which);
}

int interference_show(Store *store, const char *id, const char *experiment, bool json)
{
	_cleanup_(samples_done) Samples s = {0};
	int64_t seq = 0;
	Err err = ERR_INIT;
	int r =
	    id ? gather_one(store, id, &s, &seq, &err) : gather_all(store, experiment, &s, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (json)
		return print_json(&s, seq);
	return s.n > 0 ? print_tables(&s, seq) : print_none(seq);
}
