/* Decisions about promotions: those that people make through the socket, and those that the
 * configuration lets the daemon make by itself. */
#include "daemon/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "daemon/status.h"

/* --- A decision
 * ----------------------------------------------------------------------------------- */

typedef struct Found {
	const char *id;
	json_t *body;
} Found;

static int find_one(void *userdata, const Record *r, const json_t *body)
{
	Found *f = userdata;
	(void)r;
	if (strcmp(js_str(body, "id", ""), f->id) != 0)
		return 0;
	f->body = js_deep_copy(body);
	return f->body ? 1 : -ENOMEM;
}

static int find_promotion(Daemon *d, const char *id, json_t **ret, Err *err)
{
	Found f = {.id = id};
	int r = store_records(d->store, "promotion", true, 0, find_one, &f, err);
	if (r < 0)
		return r;
	if (!f.body)
		return err_set(err, -ENOENT,
			       "there is no promotion '%s'; 'dream promotions' lists them", id);
	*ret = f.body;
	return 0;
}

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
	int r = find_promotion(d, id, &body, err);
	if (r == 0)
		r = baseline_current(d->store, daemon_pinned(d), &b, err);
	if (r < 0)
		return r;
	const Experiment *x = config_experiment(d->plan, js_str(body, "experiment", ""));
	const char *digest = js_str(json_object_get(body, "signature"), "digest", "");
	if (!x)
		return err_set(err, -ENOENT, "the configuration has no experiment '%s'",
			       js_str(body, "experiment", ""));
	r = take_text(id, a.promotion, sizeof(a.promotion), "name", err);
	if (r == 0)
		r = take_text(digest, a.digest, sizeof(a.digest), "digest", err);
	if (r < 0)
		return r;
	a.baseline_version = b.version;
	a.lasts_us = x->rollout.approval_expires_us;
	r = approval_append(d->store, d->key, &a, ret, err);
	return r == -EALREADY ? already(ret, err) : r;
}

/* --- By policy
 * ------------------------------------------------------------------------------------ */

/* What the next automatic rollout would be of. */
static int try_one(Daemon *d, const json_t *waiting, Err *err)
{
	const char *id = js_str(waiting, "id", "");
	const Experiment *x = config_experiment(d->plan, js_str(waiting, "experiment", ""));
	json_auto_t *body = NULL;
	Approver by = {.name = "policy"};
	Approval made;
	char *words = NULL;
	Wish w = {.kind = WISH_ROLLOUT};
	int64_t since_us = 0, now_us = clock_now_us(d->clock);
	if (!x || strcmp(x->rollout.approval, "auto") != 0 || strlen(id) >= sizeof(w.promotion))
		return 0;
	int r = find_promotion(d, id, &body, err);
	if (r == 0)
		r = approval_staged_since(d->store, id, &since_us, err);
	if (r == 0)
		r = approval_by_policy(&x->rollout, body, since_us, now_us, utc_offset_min(now_us),
				       err);
	if (r < 0)
		return r == -EAGAIN || r == -EPERM || r == -ESTALE ? 0 : r;
	by.uid = geteuid();
	(void)snprintf(by.reason, sizeof(by.reason), "policy of %s", d->plan->path);
	r = policy_approve(d, id, true, &by, &made, err);
	if (r < 0)
		return r;
	daemon_say(d, LOG_INFO_, "promotion.approved", "%s was approved by policy", id);
	memcpy(w.promotion, id, strlen(id) + 1);
	w.by = by;
	r = rolling_start(d, &w, &words, err);
	free(words);
	return r < 0 ? r : 1;
}

static void look(Daemon *d)
{
	json_auto_t *waiting = NULL;
	Err err = ERR_INIT;
	size_t i;
	json_t *one;
	if (d->pause.on || d->rolling.rollout || d->rolling.wish.kind != WISH_NONE || !d->store)
		return;
	int r = promotions_waiting(d->store, d->plan, daemon_pinned(d), clock_now_us(d->clock),
				   &waiting, &err);
	json_array_foreach (waiting, i, one) {
		if (r != 0)
			break;
		if (json_is_null(json_object_get(one, "decision")))
			r = try_one(d, one, &err);
	}
	if (r < 0)
		daemon_say(d, LOG_WARN_, "daemon.policy", "%s", err.msg);
}

static int on_timer(sd_event_source *s, uint64_t at_us, void *userdata)
{
	Daemon *d = userdata;
	(void)at_us;
	look(d);
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
