/* What people may ask of the daemon through its socket. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/internal.h"
#include "daemon/status.h"
#include "rollout/feedback.h"

enum {
	VERSION_MAX = 1 << 30,
};

/* --- Reading a request
 * ---------------------------------------------------------------------------- */

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

int verb_take(const json_t *rq, const char *key, char *ret, size_t size, Err *err)
{
	const json_t *v = json_object_get(rq, key);
	const char *text = v ? json_string_value(v) : "";
	if (!text)
		return err_set(err, -EINVAL, "\"%s\" must be a text", key);
	if (strlen(text) >= size || !is_printable(text))
		return err_set(err, -EINVAL,
			       "\"%s\" must be one line of at most %zu bytes without control "
			       "characters",
			       key, size - 1);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int take_approver(const ControlPeer *peer, const json_t *rq, Approver *ret, Err *err)
{
	*ret = (Approver){.uid = peer->uid};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", peer->name);
	return verb_take(rq, "reason", ret->reason, sizeof(ret->reason), err);
}

int verb_take_promotion(const json_t *rq, char ret[PROMOTION_NAME_SIZE], Err *err)
{
	int r = verb_take(rq, "promotion", ret, PROMOTION_NAME_SIZE, err);
	return r == 0 && !*ret ? err_set(err, -EINVAL, "\"promotion\" must name one") : r;
}

static int answer_words(char *words, json_t **ret, Err *err)
{
	_cleanup_free_ char *owned = words;
	*ret = json_pack("{s:s}", "words", owned);
	return *ret ? 0 : err_oom(err);
}

/* --- Looking
 * -------------------------------------------------------------------------------------- */

static json_t *self_json(const Daemon *d, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "running", json_true(), failed);
	js_set(o, "pid", json_integer(getpid()), failed);
	js_set(o, "version", js_text(DREAM_VERSION), failed);
	js_set(o, "since_us", json_integer(d->began_at_us), failed);
	js_set(o, "configuration", js_text(d->config), failed);
	js_set(o, "configuration_error", *d->config_error ? js_text(d->config_error) : json_null(),
	       failed);
	js_set(o, "mode", js_text(d->o->user ? "user" : "system"), failed);
	return o;
}

static json_t *run_json(const Daemon *d, bool *failed)
{
	const Schedule *s = &d->schedule;
	int64_t next_us = schedule_next_at_us(d);
	json_t *o = json_object();
	js_set(o, "running", json_boolean(s->running), failed);
	js_set(o, "began_at_us", s->running ? json_integer(s->began_at_us) : json_null(), failed);
	js_set(o, "window",
	       d->plan->daemon.run_window ? js_text(d->plan->daemon.run_window) : json_null(),
	       failed);
	js_set(o, "next_at_us", next_us < 0 ? json_null() : json_integer(next_us), failed);
	js_set(o, "ended_at_us", s->ended_at_us ? json_integer(s->ended_at_us) : json_null(),
	       failed);
	js_set(o, "result", *s->result ? js_text(s->result) : json_null(), failed);
	return o;
}

static json_t *drift_json(const Daemon *d, bool *failed)
{
	const Drift *t = &d->drift;
	json_t *o = json_object();
	js_set(o, "checked_at_us", t->checked_at_us ? json_integer(t->checked_at_us) : json_null(),
	       failed);
	js_set(o, "lines", t->found ? js_deep_copy(t->found) : json_array(), failed);
	js_set(o, "failure", *t->failure ? js_text(t->failure) : json_null(), failed);
	return o;
}

static int do_status(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	bool failed = false;
	(void)peer;
	(void)rq;
	const StatusSource source = {
	    .plan = d->plan,
	    .store = d->store,
	    .state_dir = d->state_dir,
	    .pinned_key_hex = daemon_pinned(d),
	    .now_us = clock_now_us(d->clock),
	};
	json_t *o = status_json(&source);
	js_set(o, "daemon", self_json(d, &failed), &failed);
	js_set(o, "run", run_json(d, &failed), &failed);
	js_set(o, "drift", drift_json(d, &failed), &failed);
	js_set(o, "watch", looking_json(d), &failed);
	js_set(o, "rollout", rolling_json(d), &failed);
	js_set(json_object_get(o, "production"), "current", js_text(d->drift.generation), &failed);
	if (d->drift.change)
		js_set(json_object_get(o, "production"), "change", js_deep_copy(d->drift.change),
		       &failed);
	if (!o || failed) {
		json_decref(o);
		return err_oom(err);
	}
	*ret = o;
	return 0;
}

/* --- Deciding
 * ------------------------------------------------------------------------------------- */

static int decide(Daemon *d, const ControlPeer *peer, const json_t *rq, bool yes, json_t **ret,
		  Err *err)
{
	char id[PROMOTION_NAME_SIZE];
	Approver by;
	Approval a;
	int r = verb_take_promotion(rq, id, err);
	if (r == 0)
		r = take_approver(peer, rq, &by, err);
	if (r == 0)
		r = policy_approve(d, id, yes, &by, &a, err);
	if (r < 0)
		return r;
	daemon_say(d, LOG_INFO_, yes ? "promotion.approved" : "promotion.rejected",
		   "%s was %s by %s%s%s", id, yes ? "approved" : "rejected", by.name,
		   *by.reason ? ": " : "", by.reason);
	*ret = json_pack("{s:o?}", "approval", approval_json(&a));
	return *ret ? 0 : err_oom(err);
}

static int do_approve(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	return decide(ctx, peer, rq, true, ret, err);
}

static int do_reject(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	return decide(ctx, peer, rq, false, ret, err);
}

static int do_rollout(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Wish w = {.kind = WISH_ROLLOUT};
	char *words = NULL;
	int r = verb_take_promotion(rq, w.promotion, err);
	if (r == 0)
		r = take_approver(peer, rq, &w.by, err);
	if (r == 0)
		r = rolling_start(ctx, &w, &words, err);
	return r < 0 ? r : answer_words(words, ret, err);
}

static int do_rollback(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Wish w = {.kind = WISH_BACK};
	char *words = NULL;
	const json_t *version = json_object_get(rq, "version");
	if (version && (!json_is_integer(version) || json_integer_value(version) < 0 ||
			json_integer_value(version) > VERSION_MAX))
		return err_set(err, -EINVAL, "\"version\" must be the number of a version");
	w.version = json_integer_value(version);
	int r = take_approver(peer, rq, &w.by, err);
	if (r == 0)
		r = rolling_start(ctx, &w, &words, err);
	return r < 0 ? r : answer_words(words, ret, err);
}

static int go(Daemon *d, const ControlPeer *peer, const json_t *rq, bool on, json_t **ret, Err *err)
{
	Approver by;
	char *words = NULL;
	int r = take_approver(peer, rq, &by, err);
	if (r == 0)
		r = rolling_decide(d, on, &by, &words, err);
	if (r == 0 && words)
		return answer_words(words, ret, err);
	if (r == 0)
		daemon_say(d, LOG_INFO_, "rollout.decided", "%s says: %s%s%s", by.name,
			   on ? "go on" : "take it back", *by.reason ? ", for " : "", by.reason);
	return r;
}

static int do_continue(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	return go(ctx, peer, rq, true, ret, err);
}

static int do_abort(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	return go(ctx, peer, rq, false, ret, err);
}

static int do_feedback(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	_cleanup_(baseline_done) Baseline b = {0};
	Feedback f = {.by.uid = peer->uid};
	const char *verdict = js_str(rq, "verdict", "");
	f.good = strcmp(verdict, "good") == 0;
	if (!f.good && strcmp(verdict, "bad") != 0)
		return err_set(err, -EINVAL, "\"verdict\" must be \"good\" or \"bad\"");
	(void)snprintf(f.by.name, sizeof(f.by.name), "%s", peer->name);
	int r = verb_take(rq, "words", f.words, sizeof(f.words), err);
	if (r == 0 && !d->store)
		r = err_set(err, -ENODATA, "the store cannot be opened: %s", d->store_err.msg);
	if (r == 0)
		r = baseline_current(d->store, daemon_pinned(d), &b, err);
	if (r == 0 && b.version == 0)
		r = err_set(err, -ENODATA, "there is no baseline yet: nothing is adopted");
	if (r < 0)
		return r;
	f.baseline_version = b.version;
	if (d->rolling.rollout)
		(void)snprintf(f.rollout, sizeof(f.rollout), "%s", rollout_id(d->rolling.rollout));
	r = feedback_append(d->store, d->key, &f, err);
	if (r < 0)
		return r;
	daemon_say(d, LOG_INFO_, "production.feedback", "%s says that production is %s: %s",
		   f.by.name, verdict, f.words);
	*ret = json_pack("{s:I, s:s}", "version", (json_int_t)b.version, "rollout", f.rollout);
	return *ret ? 0 : err_oom(err);
}

/* --- Pausing
 * -------------------------------------------------------------------------------------- */

static int do_pause(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	Approver by;
	int r = take_approver(peer, rq, &by, err);
	if (r < 0)
		return r;
	if (d->pause.on)
		return err_set(err, -EALREADY, "it is paused already, by %s%s%s", d->pause.by,
			       *d->pause.why ? ": " : "", d->pause.why);
	Pause p = {.on = true, .uid = by.uid, .at_us = clock_now_us(d->clock)};
	memcpy(p.by, by.name, sizeof(p.by));
	memcpy(p.why, by.reason, sizeof(p.why));
	r = pause_write(d->state_dir, &p, err);
	if (r < 0)
		return r;
	d->pause = p;
	daemon_say(d, LOG_INFO_, "daemon.paused", "paused by %s%s%s", p.by, *p.why ? ": " : "",
		   p.why);
	notify_status(d);
	*ret = json_pack("{s:o?}", "paused", pause_json(&p));
	return *ret ? 0 : err_oom(err);
}

static int do_resume(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	Approver by;
	const Pause none = {0};
	(void)ret;
	int r = take_approver(peer, rq, &by, err);
	if (r == 0 && !d->pause.on)
		r = err_set(err, -EALREADY, "it is not paused");
	if (r == 0)
		r = pause_write(d->state_dir, &none, err);
	if (r < 0)
		return r;
	d->pause = none;
	daemon_say(d, LOG_INFO_, "daemon.resumed", "resumed by %s%s%s", by.name,
		   *by.reason ? ": " : "", by.reason);
	schedule_turn(d);
	notify_status(d);
	return 0;
}

const ControlVerb daemon_verbs[] = {
    {"status", false, do_status},
    {"promotions", false, show_promotions},
    {"promotion", false, show_promotion},
    {"baseline_log", false, show_baseline_log},
    {"baseline_diff", false, show_baseline_diff},
    {"preview", false, show_preview},
    {"approve", true, do_approve},
    {"reject", true, do_reject},
    {"rollout", true, do_rollout},
    {"rollback", true, do_rollback},
    {"continue", true, do_continue},
    {"abort", true, do_abort},
    {"pause", true, do_pause},
    {"resume", true, do_resume},
    {"feedback", true, do_feedback},
    {NULL, false, NULL},
};
