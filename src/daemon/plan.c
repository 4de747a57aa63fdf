/* dream.yaml, read when the daemon begins and again on SIGHUP. A file with mistakes changes
 * nothing: the plan that is in effect stays, and everybody who looks is told. */
#include "daemon/internal.h"

#include <stdio.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The first mistake, and how many there are. */
static int mistakes(const Plan *none, Diags *d, const char *path, Err *err)
{
	(void)none;
	diags_sort(d);
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].level == DIAG_ERROR)
			return err_set(err, -EBADMSG,
				       "%s:%zu: %s (%zu mistake%s; 'dream check' shows all)", path,
				       (size_t)d->items[i].line, d->items[i].what, d->errors,
				       d->errors == 1 ? "" : "s");
	return err->code ? err->code : err_set(err, -EBADMSG, "%s cannot be understood", path);
}

static int check_windows(const Plan *p, Err *err)
{
	Window w;
	int r = p->daemon.run_window ? window_parse(p->daemon.run_window, &w, err) : 0;
	return r < 0 ? err_wrap(err, -EBADMSG, "%s: daemon.run_window", p->path) : 0;
}

int plan_read(Daemon *d, Plan **ret, Err *err)
{
	_cleanup_(diags_done) Diags diags = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = NULL;
	int r = config_load(d->config, DIAG_WARNING, &p, &diags, err);
	if (r < 0 && err_is_shortage(r))
		return r;
	if (r < 0)
		return mistakes(p, &diags, d->config, err);
	r = check_windows(p, err);
	if (r == 0)
		*ret = TAKE_PTR(p);
	return r;
}

/* What was opened at the beginning stays open under its old name. */
static void say_what_waits(Daemon *d, const Plan *p)
{
	const RunConfig *a = &d->plan->run, *b = &p->run;
	if (!same(a->store, b->store) || !same(a->key, b->key) || !same(a->logdir, b->logdir))
		daemon_say(d, LOG_WARN_, "daemon.reload",
			   "run.store, run.key and run.logdir take effect when the daemon is "
			   "started anew");
}

static void renew_alerts(Daemon *d)
{
	Alerts *fresh = NULL;
	Err err = ERR_INIT;
	const ConfStrings *hook = &d->plan->daemon.hook;
	if (alerts_new(d->loop, hook->n ? (const char *const *)hook->items : NULL, d->clock, &fresh,
		       &err) < 0) {
		daemon_say(d, LOG_WARN_, "daemon.reload", "%s", err.msg);
		return;
	}
	(void)alerts_free(d->alerts);
	d->alerts = fresh;
}

/* Nothing that borrows from the old plan may be there. */
static void use(Daemon *d, Plan *p)
{
	Err err = ERR_INIT;
	say_what_waits(d, p);
	looking_stop(d);
	(void)config_free(d->plan);
	d->plan = p;
	renew_alerts(d);
	if (control_approvers(d->control, p->daemon.approvers, &err) < 0)
		daemon_say(d, LOG_WARN_, "daemon.reload", "%s", err.msg);
	looking_turn(d);
	schedule_turn(d);
	daemon_say(d, LOG_INFO_, "daemon.reload", "%s was read again and is in effect", p->path);
	policy_turn(d);
}

void plan_turn(Daemon *d)
{
	if (d->next && !d->rolling.rollout)
		use(d, TAKE_PTR(d->next));
}

void plan_reload(Daemon *d)
{
	Plan *p = NULL;
	Err err = ERR_INIT;
	if (plan_read(d, &p, &err) < 0) {
		(void)snprintf(d->config_error, sizeof(d->config_error), "%s", err.msg);
		daemon_say(d, LOG_ERROR_, "daemon.reload",
			   "the configuration was not taken over, the one from before stays in "
			   "effect: %s",
			   err.msg);
		return;
	}
	d->config_error[0] = '\0';
	(void)config_free(d->next);
	d->next = p;
	if (d->rolling.rollout)
		daemon_say(d, LOG_INFO_, "daemon.reload",
			   "the configuration was read again; it takes effect when the rollout has "
			   "ended");
	plan_turn(d);
}
