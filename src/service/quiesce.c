/* The course of events: wait until nobody uses production; note what is active; start the guard,
 * whose start stops production; say that the GPU is free; and, at any end, stop the guard, whose
 * end starts production, and see that it is all back. */
#include "service/quiesce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/str.h"
#include "service/guardunit.h"
#include "service/quiesce_internal.h"

#ifndef __clang__
/* gcc 12 loses what a struct owns, or what was returned through a pointer, once functions are
 * nested; the tests run under ASan, leaks included. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#pragma GCC diagnostic ignored "-Wanalyzer-null-dereference"
#endif

enum {
	TRIES = 3,
	SECOND_US = 1000000,
};

typedef enum Phase {
	WAITING,   /* until users are idle */
	STOPPING,  /* the intent is written, the guard starts */
	AWAY,	   /* production is stopped, or there was none */
	RESTORING, /* the guard ends; then unit after unit is looked at */
	DONE,
} Phase;

typedef struct Unit {
	Quiesce *q;
	UnitWatch *watch;
	bool down;
	int tries;
} Unit;

struct Quiesce {
	sd_event *loop;
	Systemd *s;
	const QuiesceSpec *spec;
	char *dir;
	int lock;
	Phase phase;
	IdleWatch *idle;
	QuiesceIntent intent;
	bool noted; /* the intent is on the disk */
	int64_t restore_us, limit_us;
	GuardUnit *guard;
	bool guard_up, guard_over, gave_up;
	Unit *units; /* as many as the intent has */
	size_t at;   /* which is looked at while restoring */
	UnitJob *job;
	Str missing; /* what did not come back */
	Err refused; /* of the last start */
	sd_event_source *limit, *inhibit, *later;
	QuiesceHandler h;
	void *ctx;
};

static void forget_units(Quiesce *q)
{
	for (size_t i = 0; q->units && i < q->intent.n; i++)
		unitwatch_free(q->units[i].watch);
	free(q->units);
	q->units = NULL;
}

Quiesce *quiesce_free(Quiesce *q)
{
	if (!q)
		return NULL;
	forget_units(q);
	unitjob_forget(q->job);
	idlewatch_free(q->idle);
	guardunit_free(q->guard);
	sd_event_source_disable_unref(q->limit);
	sd_event_source_disable_unref(q->inhibit);
	sd_event_source_disable_unref(q->later);
	quiesceintent_done(&q->intent);
	str_done(&q->missing);
	if (q->lock >= 0)
		close(q->lock);
	free(q->dir);
	free(q);
	return NULL;
}

DEFINE_CLEANUP(Quiesce *, quiesce_free)

const char *quiesce_guard(const Quiesce *q)
{
	return q->guard_up && !q->guard_over ? q->intent.guard : NULL;
}

int64_t quiesce_restore_us(const Quiesce *q)
{
	return q->restore_us;
}

static void give_up(Quiesce *q, const char *why)
{
	if (q->gave_up || q->phase >= RESTORING)
		return;
	q->gave_up = true;
	q->h.give_up(q->ctx, why);
}

static void later(Quiesce *q, sd_event_handler_t what)
{
	q->later = sd_event_source_disable_unref(q->later);
	(void)sd_event_add_defer(q->loop, &q->later, what, q);
}

/* --- What is there to stop, and may it be? --------------------------------------------------- */

static bool is_active(const UnitState *u)
{
	return strcmp(u->active, "active") == 0 || strcmp(u->active, "reloading") == 0;
}

static bool is_down(const UnitState *u)
{
	return strcmp(u->active, "inactive") == 0 || strcmp(u->active, "failed") == 0;
}

static bool is_masked(const UnitState *u)
{
	return strncmp(u->load, "masked", 6) == 0;
}

static int note_unit(Quiesce *q, const char *unit, const UnitState *u, Err *err)
{
	QuiesceIntent *i = &q->intent;

	if (is_masked(u) && is_down(u))
		return 0;
	if (strcmp(u->load, "loaded") != 0)
		return err_set(err, -ENOENT, "the unit %s, which may be stopped, is %s", unit,
			       u->load);
	if (is_down(u))
		return 0;
	if (!is_active(u))
		return err_set(err, -EBUSY, "production is not stopped: %s is %s", unit, u->active);
	char *name = strdup(unit);
	if (!name)
		return err_oom(err);
	i->units[i->n] = name;
	snprintf(i->invocations[i->n++], sizeof(*i->invocations), "%s", u->invocation);
	q->restore_us += u->started_in_us;
	return 0;
}

/* Fills the intent with the units that are active now. */
static int look_at_units(Quiesce *q, Err *err)
{
	const ConfStrings *units = &q->spec->units;
	QuiesceIntent *i = &q->intent;
	int r = 0;

	quiesceintent_done(i);
	q->restore_us = 0;
	i->units = calloc(units->n + 1, sizeof(*i->units));
	i->invocations = calloc(units->n + 1, sizeof(*i->invocations));
	if (!i->units || !i->invocations)
		return err_oom(err);
	for (size_t k = 0; k < units->n && r >= 0; k++) {
		UnitState u = {0};
		r = unit_state(q->s, units->items[k], &u, err);
		if (r >= 0)
			r = note_unit(q, units->items[k], &u, err);
		unit_state_done(&u);
	}
	return r;
}

static int check_inhibited(const Quiesce *q, Err *err)
{
	_cleanup_free_ char *path = quiesce_inhibit_path(q->dir);
	if (!path)
		return err_oom(err);
	if (access(path, F_OK) == 0)
		return err_set(err, -EBUSY, "production is not stopped: the file %s says so", path);
	return 0;
}

/* How long production may be down before it must be started again. */
static int find_limit(Quiesce *q, Err *err)
{
	int64_t now = clock_now_us(&clock_system), spent = 0;
	int offset = quiesce_utc_offset_min(now);
	now = quiesce_window_clock_us(q->spec, now);
	int r = quiesce_spent(q->dir, &clock_system, &spent, err);
	if (r >= 0)
		r = quiesce_may(q->spec, now, offset, spent, q->restore_us + SECOND_US, err);
	if (r < 0)
		return r;
	int64_t left = quiesce_window_left_us(q->spec, now, offset);
	if (left > q->spec->budget_us - spent)
		left = q->spec->budget_us - spent;
	q->limit_us = left - q->restore_us;
	return 0;
}

static int may_begin(Quiesce *q, Err *err)
{
	int r = check_inhibited(q, err);
	if (r >= 0)
		r = look_at_units(q, err);
	return r < 0 ? r : find_limit(q, err);
}

/* --- Stopping -------------------------------------------------------------------------------- */

static void check_stopped(Quiesce *q)
{
	if (q->phase != STOPPING || !q->guard_up || q->gave_up)
		return;
	for (size_t i = 0; i < q->intent.n; i++)
		if (!q->units[i].down)
			return;
	q->phase = AWAY;
	q->h.ready(q->ctx);
}

static void on_unit(void *ctx, const UnitState *u)
{
	Unit *unit = ctx;
	unit->down = is_down(u);
	check_stopped(unit->q);
}

static int watch_units(Quiesce *q, Err *err)
{
	int r = 0;
	q->units = calloc(q->intent.n, sizeof(*q->units));
	if (!q->units)
		return err_oom(err);
	for (size_t i = 0; i < q->intent.n && r >= 0; i++) {
		q->units[i].q = q;
		r = unit_watch(q->s, q->intent.units[i], on_unit, &q->units[i], &q->units[i].watch,
			       err);
	}
	return r;
}

static void on_guard_started(void *ctx, const Err *err)
{
	Quiesce *q = ctx;
	if (err) {
		give_up(q, err->msg);
		return;
	}
	q->guard_up = true;
	check_stopped(q);
}

static void on_guard_ending(void *ctx)
{
	give_up(ctx, "production is being started again: somebody started one of its units, or the "
		     "guard was ended");
}

static int on_verify(sd_event_source *source, void *ctx);

static void on_guard_ended(void *ctx)
{
	Quiesce *q = ctx;
	q->guard_over = true;
	if (q->phase == RESTORING)
		later(q, on_verify);
	else
		on_guard_ending(q);
}

static const GuardHandler guard_handler = {
    .started = on_guard_started,
    .ended = on_guard_ended,
    .ending = on_guard_ending,
};

static int on_limit(sd_event_source *source, uint64_t at, void *ctx)
{
	(void)source;
	(void)at;
	give_up(ctx, "the downtime that is allowed, or the window, is used up");
	return 0;
}

/* We give up a little before the manager would end the guard. */
static int set_limit(Quiesce *q, Err *err)
{
	int64_t margin = q->limit_us / 10;
	if (margin > 10LL * SECOND_US)
		margin = 10LL * SECOND_US;
	/* The window and the users go on while the machine sleeps. */
	int r = sd_event_add_time_relative(q->loop, &q->limit, CLOCK_BOOTTIME,
					   (uint64_t)(q->limit_us - margin), 1000, on_limit, q);
	return r < 0 ? err_set(err, r, "cannot set a timer: %s", strerror(-r)) : 0;
}

static int stop_production(Quiesce *q, Err *err)
{
	int r = may_begin(q, err); /* it was a while ago */
	if (r < 0 || q->intent.n == 0)
		return r;
	q->intent.began_at_us = clock_now_us(&clock_system);
	q->intent.user = systemd_is_user(q->s);
	snprintf(q->intent.guard, sizeof(q->intent.guard), "dream-guard-%llx.service",
		 (unsigned long long)q->intent.began_at_us);
	r = watch_units(q, err);
	if (r >= 0)
		r = set_limit(q, err);
	if (r >= 0)
		r = quiesceintent_write(q->dir, &q->intent, err);
	if (r < 0)
		return r;
	q->noted = true;
	return guardunit_start(q->s, q->intent.guard, q->intent.units, q->intent.n, q->limit_us,
			       &guard_handler, q, &q->guard, err);
}

static void on_idle(void *ctx, const char *why)
{
	Quiesce *q = ctx;
	Err err = ERR_INIT;

	if (q->phase != WAITING || q->gave_up)
		return;
	if (why) {
		err_set(&err, -EBUSY, "production is used: %s", why);
		give_up(q, err.msg);
		return;
	}
	q->phase = STOPPING;
	if (stop_production(q, &err) < 0) {
		give_up(q, err.msg);
	} else if (q->intent.n == 0) { /* it ended by itself meanwhile */
		q->phase = AWAY;
		q->h.ready(q->ctx);
	}
}

/* --- Beginning ------------------------------------------------------------------------------- */

static int on_nothing_to_stop(sd_event_source *source, void *ctx)
{
	Quiesce *q = ctx;
	(void)source;
	if (q->phase == WAITING && !q->gave_up) {
		q->phase = AWAY;
		q->h.ready(q->ctx);
	}
	return 0;
}

static int on_file(sd_event_source *source, const struct inotify_event *e, void *ctx)
{
	(void)source;
	if (e->len > 0 && strcmp(e->name, "inhibit") == 0)
		give_up(ctx, "the file 'inhibit' says that production must run");
	return 0;
}

static int quiesce_new(sd_event *loop, Systemd *s, const char *dir, const QuiesceHandler *h,
		       void *ctx, Quiesce **ret, Err *err)
{
	_cleanup_(quiesce_freep) Quiesce *q = calloc(1, sizeof(*q));
	if (!q)
		return err_oom(err);
	*q = (Quiesce){.loop = loop, .s = s, .h = *h, .ctx = ctx, .lock = -1};
	q->dir = strdup(dir);
	if (!q->dir)
		return err_oom(err);
	q->lock = quiesce_lock(dir, err);
	if (q->lock < 0)
		return err_wrap(err, q->lock, "production is already being stopped or restored");
	*ret = TAKE_PTR(q);
	return 0;
}

/* An earlier one that was not finished comes first. */
static int check_unfinished(const Quiesce *q, Err *err)
{
	QuiesceIntent old = {0};
	int r = quiesceintent_read(q->dir, &old, err);
	quiesceintent_done(&old);
	if (r > 0)
		return err_set(err, -EBUSY,
			       "production was stopped before and is not all back; that must be "
			       "recovered first");
	return r;
}

int quiesce_begin(sd_event *loop, Systemd *s, HttpLoop *http, const QuiesceSpec *spec,
		  const char *state_dir, const QuiesceHandler *h, void *ctx, Quiesce **ret,
		  Err *err)
{
	_cleanup_(quiesce_freep) Quiesce *q = NULL;
	int r = quiesce_new(loop, s, state_dir, h, ctx, &q, err);
	if (r < 0 || !q)
		return r;
	q->spec = spec;
	r = check_unfinished(q, err);
	if (r >= 0)
		r = may_begin(q, err);
	if (r < 0)
		return r;
	r = sd_event_add_inotify(loop, &q->inhibit, state_dir, IN_CREATE | IN_MOVED_TO, on_file, q);
	if (r < 0)
		return err_set(err, r, "cannot watch %s: %s", state_dir, strerror(-r));
	if (q->intent.n == 0)
		r = sd_event_add_defer(loop, &q->later, on_nothing_to_stop, q);
	else
		r = idle_watch(loop, http, spec, q->intent.units, q->intent.n, on_idle, q, &q->idle,
			       err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(q);
	return 0;
}

/* --- Restoring ------------------------------------------------------------------------------- */

/* When the last unit was active again; *ret 0: none was ever stopped. */
static int find_end(const Quiesce *q, int64_t *ret, Err *err)
{
	int64_t to_real = clock_now_us(&clock_system) - clock_mono_us(&clock_system), last = 0;

	for (size_t i = 0; i < q->intent.n; i++) {
		UnitState u = {0};
		int r = unit_state(q->s, q->intent.units[i], &u, err);
		if (r < 0)
			return r;
		bool same = strcmp(u.invocation, q->intent.invocations[i]) == 0;
		if (!same && u.active_since_us + to_real > last)
			last = u.active_since_us + to_real;
		unit_state_done(&u);
	}
	*ret = last;
	return 0;
}

static int close_account(Quiesce *q, Err *err)
{
	int64_t ended = 0;
	if (!q->noted)
		return 0;
	if (q->missing.len > 0)
		return err_set(err, -EIO, "production is not as it was: %s", q->missing.s);
	int r = find_end(q, &ended, err);
	if (r >= 0 && ended > 0)
		r = downtime_add(q->dir, q->intent.began_at_us, ended, "quiesce", err);
	return r < 0 ? r : quiesceintent_remove(q->dir, err);
}

static void finish(Quiesce *q)
{
	Err err = ERR_INIT;
	int r = close_account(q, &err);
	q->phase = DONE;
	q->h.restored(q->ctx, r < 0 ? &err : NULL);
}

static void on_restarted(void *ctx, const char *result, const Err *err)
{
	Quiesce *q = ctx;
	q->job = NULL;
	q->refused = err ? *err : ERR_INIT;
	(void)result; /* the unit itself is looked at */
	later(q, on_verify);
}

static void say_missing(Quiesce *q, const char *unit, const UnitState *u)
{
	str_addf(&q->missing, "%s%s is %s (", q->missing.len > 0 ? ", " : "", unit, u->active);
	if (q->refused.code < 0)
		str_addf(&q->missing, "%s)", q->refused.msg);
	else
		str_addf(&q->missing, "%s: %s)", u->result, unit_result_words(u->result));
}

/* True: this unit is settled, back or given up. */
static bool settle_unit(Quiesce *q, const char *unit, Unit *at)
{
	UnitState u = {0};
	Err err = ERR_INIT;
	bool settled = true;

	if (unit_state(q->s, unit, &u, &err) < 0) {
		str_addf(&q->missing, "%s%s", q->missing.len > 0 ? ", " : "", err.msg);
	} else if (!is_active(&u) && !is_masked(&u)) { /* who masked it wants it down */
		settled = at->tries >= TRIES;
		if (settled)
			say_missing(q, unit, &u);
		else if (at->tries++ > 0 && unit_reset_failed(q->s, unit, &err) < 0)
			err = ERR_INIT; /* only a start limit would have needed it */
	}
	unit_state_done(&u);
	if (!settled && unit_start(q->s, unit, on_restarted, q, &q->job, &err) < 0) {
		str_addf(&q->missing, "%s%s", q->missing.len > 0 ? ", " : "", err.msg);
		settled = true;
	}
	return settled;
}

/* The guard has done what it does; normally all is back. Unit after unit, in order, each ready
 * before the next. */
static int on_verify(sd_event_source *source, void *ctx)
{
	Quiesce *q = ctx;
	(void)source;
	for (; q->at < q->intent.n; q->at++)
		if (!settle_unit(q, q->intent.units[q->at], &q->units[q->at]))
			return 0;
	finish(q);
	return 0;
}

static int on_nothing_to_restore(sd_event_source *source, void *ctx)
{
	(void)source;
	finish(ctx);
	return 0;
}

void quiesce_restore(Quiesce *q)
{
	Err err = ERR_INIT;

	if (q->phase >= RESTORING)
		return;
	q->phase = RESTORING;
	q->limit = sd_event_source_disable_unref(q->limit);
	q->inhibit = sd_event_source_disable_unref(q->inhibit);
	if (!q->noted)
		later(q, on_nothing_to_restore);
	else if (!q->guard || q->guard_over || guardunit_stop(q->guard, &err) < 0)
		later(q, on_verify);
}

/* --- After a crash --------------------------------------------------------------------------- */

typedef struct Recovery {
	bool over;
	int result;
	Err *err;
} Recovery;

static void on_recovered(void *ctx, const Err *err)
{
	Recovery *rec = ctx;
	rec->over = true;
	rec->result = err ? err_set(rec->err, err->code, "%s", err->msg) : 1;
}

static int recover(Quiesce *q, Err *err)
{
	int r = quiesceintent_read(q->dir, &q->intent, err);
	if (r <= 0)
		return r;
	if (q->intent.user != systemd_is_user(q->s))
		return err_set(err, -EINVAL, "what was stopped belongs to the %s's systemd",
			       q->intent.user ? "user" : "system");
	q->noted = true;
	q->units = calloc(q->intent.n, sizeof(*q->units));
	if (!q->units)
		return err_oom(err);
	r = guardunit_adopt(q->s, q->intent.guard, &guard_handler, q, &q->guard, err);
	if (r < 0)
		return r;
	quiesce_restore(q);
	return 1;
}

int quiesce_recover(sd_event *loop, Systemd *s, const char *state_dir, Err *err)
{
	static const QuiesceHandler handler = {.restored = on_recovered};
	_cleanup_(quiesce_freep) Quiesce *q = NULL;
	Recovery rec = {.err = err};

	int r = quiesce_new(loop, s, state_dir, &handler, &rec, &q, err);
	if (r >= 0 && q)
		r = recover(q, err);
	if (r <= 0)
		return r;
	while (!rec.over) {
		r = sd_event_run(loop, UINT64_MAX);
		if (r < 0)
			return err_set(err, r, "cannot wait for production: %s", strerror(-r));
	}
	return rec.result;
}
