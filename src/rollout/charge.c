/* What production's absence costs is on one account, which every trial and every restart adds to. A
 * trial puts its own part there, until systemd has started the units again; what they need from
 * there until they answer nobody else sees. And one that was killed, because its time was over or
 * something else came first, has put nothing there. */
#include "rollout/internal.h"

#include "base/file.h"
#include "worker/worker.h"

/* The account is the trials'. */
static int account_dir(const Rollout *r, char **ret, Err *err)
{
	const AllocationSpec *a = r->x ? &r->x->evaluator.allocation : NULL;
	if (a && a->state)
		return worker_state_dir(a, r->w.plan->dir, ret, err);
	*ret = str_fmt("%s", r->w.state_dir);
	return *ret ? 0 : err_oom(err);
}

void charge(Rollout *r, int64_t from_us, int64_t to_us)
{
	_cleanup_free_ char *dir = NULL;
	Err err = ERR_INIT;
	int e = account_dir(r, &dir, &err);
	if (e >= 0)
		e = dir_make(dir, 0700, &err);
	if (e >= 0)
		e = downtime_add(dir, from_us, to_us, "rollout", &err);
	if (e < 0)
		log_event(r->w.log, LOG_WARN_, "rollout.downtime", NULL, "%s", err.msg);
}

/* Monotonic; 0: it does not run, or cannot be seen. */
static int64_t active_since_us(const Rollout *r, size_t unit)
{
	UnitState u = {0};
	Err unheard = ERR_INIT;
	if (unit_state(r->w.systemd, r->units[unit].name, &u, &unheard) < 0)
		return 0;
	int64_t since = u.active_since_us;
	unit_state_done(&u);
	return since;
}

void charge_trial_begins(Rollout *r)
{
	for (size_t i = 0; i < r->n_units; i++)
		r->units[i].active_us = active_since_us(r, i);
}

/* A trial's part, where it could not put it there itself. Production runs again, so there is
 * nothing to wait for. */
static void charge_cut(Rollout *r)
{
	Err err = ERR_INIT;
	if (worker_recover(&r->x->evaluator.allocation, r->w.plan->dir, &err) < 0)
		log_event(r->w.log, LOG_WARN_, "rollout.downtime", NULL,
			  "what a trial has cost is not on the account: %s", err.msg);
}

void charge_trial_ends(Rollout *r)
{
	int64_t last = 0;
	charge_cut(r);
	for (size_t i = 0; i < r->n_units; i++) {
		int64_t since = active_since_us(r, i);
		if (since != r->units[i].active_us && since > last)
			last = since;
	}
	if (last == 0)
		return; /* it was not away */
	int64_t now = clock_now_us(r->w.clock);
	charge(r, now - (clock_mono_us(r->w.clock) - last), now);
}

void charge_end(Rollout *r)
{
	if (r->trial_cut && r->m.result != RESULT_STUCK)
		charge_cut(r);
	r->trial_cut = false;
}
