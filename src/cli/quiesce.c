/* What trials on real services cost the machine they run on. */
#include "cli/quiesce.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/internal.h"
#include "gpu/nvml.h"
#include "service/quiesce.h"
#include "systemd/bus.h"
#include "worker/worker.h"

enum {
	SERVICES_MAX = 32,
	RECENT = 20, /* trials that an average is taken of */
	MIB = 1 << 20,
};

static const AllocationSpec *allocation_of(const Experiment *x)
{
	const char *kind = evaluator_spec_kind(&x->evaluator);
	return kind && strcmp(kind, "gpu_allocation") == 0 ? &x->evaluator.allocation : NULL;
}

int cli_recover(const Plan *plan, const Experiment *x)
{
	const AllocationSpec *a = allocation_of(x);
	Err err = ERR_INIT;
	int r = a ? worker_recover(a, plan->dir, &err) : 0;
	if (r > 0)
		fprintf(stderr, "dream: production, stopped by an earlier run that was killed, is "
				"put back\n");
	if (r >= 0 || r == -EBUSY) /* that run lives: the trial will say so */
		return 0;
	return cli_failf(EXIT_FAILED, "what an earlier run left cannot be put right: %s", err.msg);
}

/* --- What was measured before ---------------------------------------------------------------- */

/* The newest values. */
typedef struct Recent {
	double values[RECENT];
	size_t n; /* ever added */
} Recent;

typedef struct Past {
	const Experiment *x;
	Recent trial_us, ready_us[SERVICES_MAX];
} Past;

static void recent_add(Recent *r, double v)
{
	r->values[r->n++ % RECENT] = v;
}

static size_t recent_n(const Recent *r)
{
	return r->n < RECENT ? r->n : RECENT;
}

static int64_t recent_mean(const Recent *r)
{
	double sum = 0;
	size_t n = recent_n(r);
	for (size_t i = 0; i < n; i++)
		sum += r->values[i] / (double)n;
	return (int64_t)sum;
}

static int on_trial(void *userdata, const StoreTrial *t)
{
	Past *p = userdata;
	const json_t *services = json_object_get(t->m.evidence, "services");
	const ServiceSpec *specs = p->x->services.items;
	if (t->stage < STAGE_ISOLATED)
		return 0;
	if (t->m.outcome == OUTCOME_OK)
		recent_add(&p->trial_us, (double)t->m.duration_us);
	for (size_t i = 0; i < p->x->services.n && i < SERVICES_MAX; i++) {
		const json_t *s = json_object_get(services, specs[i].name);
		double ms = js_num(s, "ready_ms", -1);
		if (ms >= 0)
			recent_add(&p->ready_us[i], ms * 1e3);
	}
	return 0;
}

/* --- Time ------------------------------------------------------------------------------------ */

static void start_text(const ServiceSpec *s, const Recent *ready, int64_t us, Str *out)
{
	char time[32];
	time_human(us, time);
	str_addf(out, "    %s is ready %s %s after its start (", s->name,
		 ready->n > 0 ? "about" : "at most", time);
	if (ready->n > 0)
		str_addf(out, "the mean of %zu start%s)\n", recent_n(ready),
			 recent_n(ready) == 1 ? "" : "s");
	else
		str_add(out, "never measured: its ready_timeout)\n");
}

/* How long the services take until all are ready, one after another. */
static int64_t starts(const Experiment *x, bool all, const Past *past, Str *out, json_t *list,
		      bool *failed)
{
	const ServiceSpec *specs = x->services.items;
	int64_t sum = 0;
	for (size_t i = 0; i < x->services.n && i < SERVICES_MAX; i++) {
		const ServiceSpec *s = &specs[i];
		const Recent *ready = &past->ready_us[i];
		if (!all && !service_is_tuned(s))
			continue;
		int64_t us = ready->n > 0 ? recent_mean(ready) : s->ready_timeout_us;
		start_text(s, ready, us, out);
		json_t *o = json_object();
		js_set(o, "service", js_text(s->name), failed);
		js_set(o, "ready_us", json_integer(us), failed);
		js_set(o, "measured", json_integer((json_int_t)recent_n(ready)), failed);
		*failed |= json_array_append_new(list, o) < 0;
		sum += us;
	}
	return sum;
}

/* What a trial takes; until one was measured, all it may take. */
static int64_t trial_time(const Experiment *x, const Past *past, int64_t starts_us, Str *out)
{
	char time[32], start[32];
	size_t n = recent_n(&past->trial_us);
	int64_t us = n > 0 ? recent_mean(&past->trial_us) : x->budget.trial_timeout_us;
	time_human(us, time);
	time_human(starts_us < us ? starts_us : us, start);
	if (n > 0)
		str_addf(out, "  a trial takes about %s (the mean of %zu trial%s)\n", time, n,
			 n == 1 ? "" : "s");
	else
		str_addf(out,
			 "  a trial takes at most %s (none was measured: its trial_timeout), of "
			 "which up to %s to start\n",
			 time, start);
	return us;
}

/* What trials find on the GPU, unless production makes room: they start beside it. */
static int say_room(const Experiment *x, Str *out, json_t *o, Err *err)
{
	_cleanup_(nvml_closep) Nvml *n = NULL;
	_cleanup_free_ GpuState *g = calloc(1, sizeof(*g));
	size_t i = 0;
	bool failed = false;
	if (!g)
		return err_oom(err);
	if (!x->budget.allow_gpu || nvml_open(NULL, &n, NULL) < 0 ||
	    (!x->gpu && nvml_count(n) != 1) || nvml_find(n, x->gpu ? x->gpu : "0", &i, NULL) < 0 ||
	    nvml_look(n, i, GPU_LOOK_MEMORY, g, NULL) < 0 || g->total_bytes < 0)
		return 0;
	str_addf(out, "  of the GPU's %.0f MiB %.0f are free now", (double)g->total_bytes / MIB,
		 (double)g->free_bytes / MIB);
	if (g->processes_known && g->n_processes > 0)
		str_addf(out, "; %zu process%s, which 'dream gpu' shows, hold%s the rest",
			 g->n_processes, g->n_processes == 1 ? "" : "es",
			 g->n_processes == 1 ? "s" : "");
	str_addc(out, '\n');
	json_t *gpu = json_object();
	js_set(gpu, "total_bytes", json_integer(g->total_bytes), &failed);
	js_set(gpu, "free_bytes", json_integer(g->free_bytes), &failed);
	js_set(gpu, "processes",
	       g->processes_known ? json_integer((json_int_t)g->n_processes) : json_null(),
	       &failed);
	js_set(o, "gpu", gpu, &failed);
	return failed ? err_oom(err) : 0;
}

/* --- Downtime -------------------------------------------------------------------------------- */

typedef struct Downtime {
	const QuiesceSpec *q;
	int64_t trial_us, restore_us, spent_us, at_us;
	uint64_t trials;
	bool asked; /* systemd answered */
	size_t n_active;
} Downtime;

static int look_at_unit(Systemd *s, const char *name, Downtime *d, Str *out, json_t *units,
			Err *err)
{
	UnitState u = {0};
	char time[32];
	bool failed = false;
	int r = unit_state(s, name, &u, err);
	if (r < 0)
		return r;
	bool active = strcmp(u.active, "active") == 0;
	time_human(u.started_in_us, time);
	if (active)
		str_addf(out, "    %s is active, and would be stopped; its last start took %s\n",
			 name, time);
	else
		str_addf(out, "    %s is %s, and would stay so\n", name,
			 strcmp(u.load, "loaded") == 0 ? u.active : u.load);
	json_t *o = json_object();
	js_set(o, "unit", js_text(name), &failed);
	js_set(o, "state", js_text(u.active), &failed);
	js_set(o, "stopped", json_boolean(active), &failed);
	failed |= json_array_append_new(units, o) < 0;
	d->n_active += active;
	d->restore_us += active ? u.started_in_us : 0;
	unit_state_done(&u);
	return failed ? err_oom(err) : 0;
}

static int look_at_units(Downtime *d, Str *out, json_t *units, Err *err)
{
	_cleanup_(systemd_closep) Systemd *s = NULL;
	sd_event *loop = NULL;
	Err why = ERR_INIT;
	if (sd_event_new(&loop) < 0)
		return err_oom(err);
	int r = systemd_open(loop, false, &s, &why);
	if (r < 0)
		str_addf(out, "    which of %zu units are active cannot be seen: %s\n",
			 d->q->units.n, why.msg);
	d->asked = r >= 0;
	r = 0;
	for (size_t i = 0; d->asked && r >= 0 && i < d->q->units.n; i++)
		r = look_at_unit(s, d->q->units.items[i], d, out, units, err);
	s = systemd_close(s);
	sd_event_unref(loop);
	return r;
}

static int64_t each_us(const Downtime *d)
{
	return d->trial_us + d->restore_us;
}

static int64_t left_us(const Downtime *d)
{
	return d->q->budget_us > d->spent_us ? d->q->budget_us - d->spent_us : 0;
}

static void say_budget(const Downtime *d, Str *out)
{
	char each[32], whole[32], left[32], budget[32];
	time_human(each_us(d), each);
	double all = (double)d->trials * (double)each_us(d);
	time_human(all < 9e18 ? (int64_t)all : INT64_MAX, whole);
	time_human(left_us(d), left);
	time_human(d->q->budget_us, budget);
	str_addf(out,
		 "    each trial costs production %s of downtime, %" PRIu64
		 " of them %s; of the %s in 24 h %s are left, enough for %" PRId64 " trial%s\n",
		 each, d->trials, whole, budget, left, left_us(d) / (each_us(d) + 1),
		 left_us(d) / (each_us(d) + 1) == 1 ? "" : "s");
}

static bool say_window(const Downtime *d, Str *out)
{
	const QuiesceSpec *q = d->q;
	char idle[32];
	time_t t = (time_t)(d->at_us / 1000000);
	struct tm tm;
	bool known = localtime_r(&t, &tm) != NULL;
	bool open = known && quiesce_in_window(q, d->at_us, (int)(tm.tm_gmtoff / 60));
	time_human(q->idle_us, idle);
	str_addf(out,
		 "    only within %s, local time (%s now), and after nobody asked anything for "
		 "%s\n",
		 q->window ? q->window : "no window: never", open ? "open" : "closed", idle);
	return open;
}

static int downtime(const Plan *plan, const Experiment *x, Downtime *d, Str *out, json_t *o,
		    Err *err)
{
	_cleanup_free_ char *dir = NULL;
	bool failed = false;
	json_auto_t *units = json_array();
	int r = worker_state_dir(&x->evaluator.allocation, plan->dir, &dir, err);
	if (r >= 0 && access(dir, F_OK) == 0)
		r = quiesce_spent(dir, &clock_system, &d->spent_us, err);
	if (r < 0)
		return r;
	str_add(out, "  production makes room for each trial:\n");
	r = look_at_units(d, out, units, err);
	if (r < 0)
		return r;
	bool open = say_window(d, out);
	if (d->n_active > 0 || !d->asked)
		say_budget(d, out);
	js_set(o, "units", json_incref(units), &failed);
	js_set(o, "each_us", json_integer(each_us(d)), &failed);
	js_set(o, "spent_us", json_integer(d->spent_us), &failed);
	js_set(o, "budget_us", json_integer(d->q->budget_us), &failed);
	js_set(o, "window", d->q->window ? js_text(d->q->window) : json_null(), &failed);
	js_set(o, "window_open", json_boolean(open), &failed);
	return failed ? err_oom(err) : 0;
}

/* --- Both ------------------------------------------------------------------------------------ */

static int read_past(const Experiment *x, Store *store, Past *ret, Err *err)
{
	TrialQuery q = {.experiment = x->name};
	*ret = (Past){.x = x};
	return store ? store_trials(store, &q, on_trial, ret, err) : 0;
}

int cli_cost(const Plan *plan, const RunPreview *p, Store *store, int all_services, Str *out,
	     json_t *o, Err *err)
{
	const Experiment *x = p->experiment;
	const AllocationSpec *a = allocation_of(x);
	bool failed = false, all = all_services < 0 ? x->search_all_services : all_services;
	Past past;
	if (!a || a->as == AS_OBSERVE)
		return 0;
	int r = read_past(x, store, &past, err);
	if (r < 0)
		return r;
	json_t *time = json_object(), *list = json_array();
	str_add(out, "  services are really started:\n");
	int64_t starts_us = starts(x, all, &past, out, list, &failed);
	int64_t trial_us = trial_time(x, &past, starts_us, out);
	js_set(time, "starts", list, &failed);
	js_set(time, "starts_us", json_integer(starts_us), &failed);
	js_set(time, "trial_us", json_integer(trial_us), &failed);
	js_set(time, "measured", json_integer((json_int_t)recent_n(&past.trial_us)), &failed);
	js_set(o, "time", time, &failed);
	if (failed)
		return err_oom(err);
	r = say_room(x, out, o, err);
	if (r < 0 || !a->quiesce)
		return r;
	Downtime d = {.q = a->quiesce,
		      .trial_us = trial_us,
		      .trials = p->trials_at_most,
		      .at_us = clock_now_us(&clock_system)};
	json_auto_t *cost = json_object();
	r = downtime(plan, x, &d, out, cost, err);
	js_set(o, "downtime", json_incref(cost), &failed);
	return r < 0 ? r : failed ? err_oom(err) : 0;
}
