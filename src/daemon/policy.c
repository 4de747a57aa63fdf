/* Decisions about promotions: those that people make through the socket, and those that the
 * configuration lets the daemon make by itself. */
#include "daemon/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/status.h"
#include "record/decision.h"
#include "rollout/fate.h"

/* --- A decision
 * ----------------------------------------------------------------------------------- */

static int take_text(const char *from, char *to, size_t size, const char *what, Err *err)
{
	if (strlen(from) >= size)
		return err_set(err, -EINVAL, "the promotion's %s is too long", what);
	memcpy(to, from, strlen(from) + 1);
	return 0;
}

static int already(const Approval *was, Err *err)
{
	char at[32];
	time_rfc3339(was->at_us, at);
	return err_set(err, -EALREADY, "%s was %s by %s at %.19sZ%s%s", was->promotion,
		       was->approved ? "approved" : "rejected", was->by.name, at,
		       *was->by.reason ? ": " : "", was->by.reason);
}

/* Bound to what the promotion says and to what production runs now. */
int policy_approve(Daemon *d, const char *id, bool yes, const Approver *by, Approval *ret, Err *err)
{
	json_auto_t *body = NULL;
	_cleanup_(baseline_done) Baseline b = {0};
	Approval a = {.approved = yes, .by = *by};
	if (!d->store)
		return err_set(err, -ENODATA, "the store cannot be opened");
	int r = promotion_find(d->store, id, &body, err);
	if (r == 0)
		r = baseline_current(d->store, daemon_pinned(d), &b, err);
	if (r < 0)
		return r;
	const Experiment *x = config_experiment(d->plan, js_str(body, "experiment", ""));
	if (!x)
		return err_set(err, -ENOENT, "the configuration has no experiment '%s'",
			       js_str(body, "experiment", ""));
	r = take_text(id, a.promotion, sizeof(a.promotion), "name", err);
	if (r == 0)
		r = decision_digest(body, a.digest, err);
	if (r < 0)
		return r;
	a.baseline_version = b.version;
	a.lasts_us = x->rollout.approval_expires_us;
	r = approval_append(d->store, d->key, &a, ret, err);
	return r == -EALREADY ? already(ret, err) : r;
}

#define POLICY "policy"

static bool is_automatic(const Experiment *x)
{
	return x && strcmp(x->rollout.approval, "auto") == 0;
}

/* --- By policy
 * ------------------------------------------------------------------------------------ */

/* 0: approved, now or before; -EAGAIN: not, or not yet. */
static int approve(Daemon *d, const Experiment *x, const char *id, const Approver *by, Err *err)
{
	json_auto_t *body = NULL;
	Approval made;
	int64_t since_us = 0, now_us = clock_now_us(d->clock);
	int r = promotion_find(d->store, id, &body, err);
	if (r == 0)
		r = approval_staged_since(d->store, id, &since_us, err);
	if (r == 0)
		r = approval_by_policy(&x->rollout, body, since_us, now_us, utc_offset_min(now_us),
				       err);
	if (r < 0)
		return r == -EPERM || r == -ESTALE ? -EAGAIN : r;
	r = policy_approve(d, id, true, by, &made, err);
	if (r == 0)
		daemon_say(d, LOG_INFO_, "promotion.approved", "%s was approved by policy", id);
	return r;
}

/* 1: its rollout begins; 0: nothing is to be done. */
static int try_one(Daemon *d, const json_t *waiting, Err *err)
{
	Wish w = {.kind = WISH_ROLLOUT, .by = {.uid = geteuid(), .name = POLICY}};
	const char *id = js_str(waiting, "id", "");
	const char *decided = js_str(json_object_get(waiting, "decision"), "by", NULL);
	const Experiment *x = config_experiment(d->plan, js_str(waiting, "experiment", ""));
	char *words = NULL;
	if (!is_automatic(x) || strlen(id) >= sizeof(w.promotion))
		return 0;
	/* What a person approved, a person begins. */
	if (decided && strcmp(decided, POLICY) != 0)
		return 0;
	memcpy(w.promotion, id, strlen(id) + 1);
	(void)snprintf(w.by.reason, sizeof(w.by.reason), "rollout.approval: auto in %.180s",
		       d->plan->path);
	int r = decided ? 0 : approve(d, x, id, &w.by, err);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	r = rolling_start(d, &w, &words, err);
	free(words);
	return r < 0 ? r : 1;
}

static bool any_automatic(const Plan *p)
{
	for (size_t i = 0; i < p->n_experiments; i++)
		if (is_automatic(&p->experiments[i]))
			return true;
	return false;
}

static int look(Daemon *d, Err *err)
{
	json_auto_t *waiting = NULL;
	size_t i;
	json_t *one;
	int r = promotions_waiting(d->store, d->plan, daemon_pinned(d), clock_now_us(d->clock),
				   &waiting, err);
	json_array_foreach (waiting, i, one) {
		if (r != 0)
			break;
		r = try_one(d, one, err);
	}
	return r;
}

/* The same trouble is said once, however often it is met. */
void policy_turn(Daemon *d)
{
	Err err = ERR_INIT;
	if (d->pause.on || d->rolling.rollout || d->rolling.wish.kind != WISH_NONE || !d->store ||
	    !any_automatic(d->plan))
		return;
	if (look(d, &err) >= 0) {
		d->rolling.policy_trouble[0] = '\0';
		return;
	}
	if (strcmp(err.msg, d->rolling.policy_trouble) != 0)
		daemon_say(d, LOG_WARN_, "daemon.policy", "nothing is rolled out by policy: %s",
			   err.msg);
	memcpy(d->rolling.policy_trouble, err.msg, sizeof(err.msg));
}

static int on_timer(sd_event_source *s, uint64_t at_us, void *userdata)
{
	Daemon *d = userdata;
	(void)at_us;
	policy_turn(d);
	daemon_in(s, POLICY_EVERY_US);
	return 0;
}

int policy_begin(Daemon *d, Err *err)
{
	int r = daemon_timer(d, on_timer, &d->rolling.policy, err);
	if (r == 0)
		daemon_in(d->rolling.policy, 0);
	return r;
}
