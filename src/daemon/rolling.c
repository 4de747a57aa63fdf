/* Rollouts: one at a time, begun by people or by policy, resumed after a restart. What is going on
 * when somebody asks for one is ended first, or waited for. */
#include "daemon/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "rollout/turn.h"

/* --- What it tells ------------------------------------------------------------------------------
 */

static void add_step(Rolling *g, const char *text)
{
	char *copy = str_fmt("%.400s", text);
	if (!copy)
		return;
	if (g->n_steps == STEPS_MAX) {
		free(g->steps[0]);
		memmove(g->steps, g->steps + 1, (STEPS_MAX - 1) * sizeof(*g->steps));
		g->n_steps--;
	}
	g->steps[g->n_steps++] = copy;
}

static void on_event(void *ctx, const RolloutEvent *e)
{
	Daemon *d = ctx;
	Rolling *g = &d->rolling;
	bool failed = false;
	add_step(g, e->text);
	if (e->machine && e->machine->phase != g->phase) {
		g->phase = e->machine->phase;
		g->since_us = clock_now_us(d->clock);
	}
	if (e->details) {
		json_decref(g->details);
		g->details = js_deep_copy(e->details);
	}
	json_t *o = json_object();
	js_set(o, "event", js_text("rollout.step"), &failed);
	js_set(o, "at_us", json_integer(clock_now_us(d->clock)), &failed);
	js_set(o, "text", js_text(e->text), &failed);
	js_set(o, "phase", js_text(machine_phase_name(g->phase)), &failed);
	js_set(o, "details", e->details ? js_deep_copy(e->details) : json_null(), &failed);
	if (failed || !d->control)
		json_decref(o);
	else
		control_tell(d->control, o);
	daemon_print(LOG_INFO_, e->text); /* the log has it from the rollout itself */
	notify_status(d);
}

static void forget(Daemon *d)
{
	Rolling *g = &d->rolling;
	g->rollout = rollout_free(g->rollout);
	daemon_store_rest(d);
	for (size_t i = 0; i < g->n_steps; i++)
		free(g->steps[i]);
	g->n_steps = 0;
	json_decref(g->details);
	g->details = NULL;
	g->turn_fd = turn_end(g->turn_fd);
}

static void on_done(void *ctx, const Machine *m, const Err *err)
{
	Daemon *d = ctx;
	Rolling *g = &d->rolling;
	const char *last = g->n_steps > 0 ? g->steps[g->n_steps - 1] : NULL;
	const char *otherwise = err ? err->msg : machine_result_name(m->result);
	_cleanup_free_ char *words = str_fmt("%s: %s", g->what, last ? last : otherwise);
	if (words) {
		daemon_say(d, err ? LOG_ERROR_ : LOG_INFO_, "rollout.done", "%s", words);
		daemon_told(d, rollout_alert_of(m->result), words);
	}
	forget(d);
	d->drift.generation[0] = '\0'; /* another one by now, perhaps */
	daemon_helper_rest(d);
	plan_turn(d);
	rolling_turn(d);
	looking_turn(d);
	schedule_turn(d);
	drift_soon(d);
}

/* --- Beginning ----------------------------------------------------------------------------------
 */

static void on_asked(void *ctx, const char *words)
{
	daemon_told(ctx, ALERT_ASKED, words);
}

static const RolloutHandler handler = {.event = on_event, .asked = on_asked, .done = on_done};

static int world(Daemon *d, RolloutWorld *ret, Err *err)
{
	int r = daemon_helper(d, err);
	if (r < 0)
		return r;
	if (!d->systemd)
		r = systemd_open(d->loop, d->o->user, &d->systemd, err);
	*ret = (RolloutWorld){
	    .loop = d->loop,
	    .clock = d->clock,
	    .systemd = d->systemd,
	    .http = d->http,
	    .helper = d->helper,
	    .store = d->store,
	    .key = d->key,
	    .plan = d->plan,
	    .places = &d->places,
	    .history = d->history,
	    .alerts = d->alerts,
	    .log = d->log,
	    .state_dir = d->state_dir,
	    .store_dir = d->state_dir,
	};
	return r;
}

void rolling_settle(Daemon *d, const json_t *status)
{
	const RolloutWorld w = {
	    .store = d->store, .key = d->key, .plan = d->plan, .store_dir = d->state_dir};
	_cleanup_(str_done) Str words = STR_INIT;
	Err err = ERR_INIT;
	int r = rollout_settle(&w, status, &words, &err);
	if (r < 0)
		daemon_say(d, LOG_WARN_, "production.baseline", "%s", err.msg);
	else if (r > 0)
		daemon_say(d, LOG_INFO_, "production.baseline", "%s",
			   words.s && !words.failed ? words.s : "");
}

static void name_it(Rolling *g, const Wish *w)
{
	if (w->kind == WISH_ROLLOUT)
		(void)snprintf(g->what, sizeof(g->what), "promotion %s", w->promotion);
	else if (w->version > 0)
		(void)snprintf(g->what, sizeof(g->what), "back to version %" PRId64, w->version);
	else
		(void)snprintf(g->what, sizeof(g->what), "back to the version before");
}

/* Nothing is in the way. */
static int begin(Daemon *d, const Wish *w, Err *err)
{
	Rolling *g = &d->rolling;
	RolloutWorld with;
	int r = world(d, &with, err);
	if (r == 0)
		r = turn_take(d->state_dir, &g->turn_fd, err);
	if (r < 0)
		return r;
	looking_stop(d);
	name_it(g, w);
	g->phase = PHASE_READY;
	g->began_at_us = g->since_us = clock_now_us(d->clock);
	if (w->kind == WISH_ROLLOUT)
		r = rollout_start(&with, w->promotion, &handler, d, &g->rollout, err);
	else
		r = rollout_back(&with, w->version, &w->by, &handler, d, &g->rollout, err);
	if (r < 0) {
		g->rollout = NULL;
		daemon_store_rest(d);
		g->turn_fd = turn_end(g->turn_fd);
		looking_turn(d);
		daemon_helper_rest(d);
		return r;
	}
	daemon_say(d, LOG_INFO_, "rollout.begin", "%s begins, asked for by %s", g->what,
		   w->by.name);
	schedule_turn(d);
	return 0;
}

static int wait_for_run(Daemon *d, const Wish *w, char **ret_words, Err *err)
{
	bool hurry = w->kind == WISH_BACK;
	schedule_stop(d, hurry ? RUN_HURRY_US : RUN_GRACE_US, "production is about to be changed");
	d->rolling.wish = *w;
	*ret_words = str_fmt("it begins when the scheduled run has ended, which was asked to");
	return *ret_words ? 0 : err_oom(err);
}

/* Going back in the middle of a rollout is taking that back first. */
static int abort_for(Daemon *d, const Wish *w, char **ret_words, Err *err)
{
	Rolling *g = &d->rolling;
	int r = rollout_decide(g->rollout, false, &w->by, err);
	if (r < 0)
		return r;
	if (w->version == 0) {
		*ret_words = str_fmt("%s is taken back", g->what);
	} else {
		g->wish = *w;
		*ret_words = str_fmt("%s is taken back, then production goes to version %" PRId64,
				     g->what, w->version);
	}
	return *ret_words ? 0 : err_oom(err);
}

static int check_pause(const Daemon *d, const Wish *w, Err *err)
{
	if (!d->pause.on || w->kind != WISH_ROLLOUT)
		return 0;
	return err_set(err, -EBUSY, "the daemon is paused by %s%s%s; 'dream resume' lets it go on",
		       d->pause.by, *d->pause.why ? ": " : "", d->pause.why);
}

static void drop_wish(Daemon *d, const Approver *by)
{
	Rolling *g = &d->rolling;
	if (g->wish.kind == WISH_NONE)
		return;
	name_it(g, &g->wish);
	g->wish = (Wish){0};
	daemon_say(d, LOG_INFO_, "rollout.dropped", "%s had not begun, and is called off by %s",
		   g->what, by->name);
}

int rolling_start(Daemon *d, const Wish *w, char **ret_words, Err *err)
{
	Rolling *g = &d->rolling;
	if (g->rollout && w->kind == WISH_BACK)
		return abort_for(d, w, ret_words, err);
	if (g->rollout)
		return err_set(err, -EBUSY, "%s is going on", g->what);
	/* Who goes back does not wait behind what has not begun. */
	if (g->wish.kind == WISH_BACK || (g->wish.kind != WISH_NONE && w->kind != WISH_BACK))
		return err_set(err, -EBUSY, "another change of production waits to begin already");
	drop_wish(d, &w->by);
	int r = check_pause(d, w, err);
	if (r < 0)
		return r;
	if (d->schedule.running)
		return wait_for_run(d, w, ret_words, err);
	r = begin(d, w, err);
	if (r < 0)
		return r;
	*ret_words = str_fmt("%s begins", g->what);
	return *ret_words ? 0 : err_oom(err);
}

void rolling_turn(Daemon *d)
{
	Rolling *g = &d->rolling;
	Wish w = g->wish;
	Err err = ERR_INIT;
	if (w.kind == WISH_NONE || g->rollout || d->schedule.running)
		return;
	g->wish = (Wish){0};
	if (check_pause(d, &w, &err) == 0 && begin(d, &w, &err) == 0)
		return;
	name_it(g, &w);
	daemon_say(d, LOG_ERROR_, "rollout.refused", "%s did not begin: %s", g->what, err.msg);
	daemon_told(d, ALERT_REFUSED, err.msg);
}

int rolling_decide(Daemon *d, bool go_on, const Approver *by, char **ret_words, Err *err)
{
	Rolling *g = &d->rolling;
	*ret_words = NULL;
	if (!g->rollout && !go_on && g->wish.kind != WISH_NONE) {
		drop_wish(d, by);
		schedule_turn(d);
		*ret_words = str_fmt("%s had not begun, and is called off", g->what);
		return *ret_words ? 0 : err_oom(err);
	}
	if (!g->rollout)
		return err_set(err, -EINVAL, "no rollout is going on");
	return rollout_decide(g->rollout, go_on, by, err);
}

/* What a restart of ours finds. A helper that is not there is no reason not to begin: without one
 * there is nothing adopted, or boot has resolved it. */
int rolling_begin(Daemon *d, Err *err)
{
	Rolling *g = &d->rolling;
	RolloutWorld with;
	Err why = ERR_INIT;
	if (!d->store)
		return bare_undo(d, err);
	if (world(d, &with, &why) < 0) {
		daemon_say(d, LOG_WARN_, "daemon.helper",
			   "what was half done, if anything was, is not known: %s", why.msg);
		return 0;
	}
	if (turn_take(d->state_dir, &g->turn_fd, &why) < 0) {
		daemon_say(d, LOG_INFO_, "rollout.elsewhere", "%s", why.msg);
		return 0;
	}
	g->began_at_us = g->since_us = clock_now_us(d->clock);
	(void)snprintf(g->what, sizeof(g->what), "%s",
		       d->drift.orphan ? "what somebody left in the middle"
				       : "what was going on before the restart");
	if (rollout_resume(&with, &handler, d, &g->rollout, &why) < 0) {
		g->rollout = NULL;
		daemon_say(d, LOG_ERROR_, "rollout.resume", "%s", why.msg);
		daemon_told(d, ALERT_ASKED, why.msg);
	}
	if (g->rollout) {
		g->phase = rollout_machine(g->rollout)->phase;
		return 0;
	}
	daemon_store_rest(d);
	g->turn_fd = turn_end(g->turn_fd);
	daemon_helper_rest(d);
	return 0;
}

void rolling_done(Daemon *d)
{
	forget(d);
	d->rolling.policy = sd_event_source_disable_unref(d->rolling.policy);
}

/* --- For status
 * ----------------------------------------------------------------------------------- */

static json_t *steps_json(const Rolling *g, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; i < g->n_steps; i++)
		*failed |= json_array_append_new(list, js_text(g->steps[i])) < 0;
	return list;
}

static json_t *downtime_json(const Rollout *r, bool *failed)
{
	json_t *list = json_array();
	const char *unit;
	int64_t us;
	for (size_t i = 0; (us = rollout_down_us(r, i, &unit)) >= 0; i++) {
		json_t *o = json_object();
		js_set(o, "unit", js_text(unit), failed);
		js_set(o, "us", json_integer(us), failed);
		*failed |= json_array_append_new(list, o) < 0;
	}
	return list;
}

json_t *rolling_json(const Daemon *d)
{
	const Rolling *g = &d->rolling;
	bool failed = false;
	if (!g->rollout)
		return json_null();
	json_t *o = json_object();
	const Machine *m = rollout_machine(g->rollout);
	js_set(o, "what", js_text(g->what), &failed);
	js_set(o, "phase", js_text(machine_phase_name(m->phase)), &failed);
	js_set(o, "began_at_us", json_integer(g->began_at_us), &failed);
	js_set(o, "since_us", json_integer(g->since_us), &failed);
	js_set(o, "steps", steps_json(g, &failed), &failed);
	js_set(o, "details", g->details ? js_deep_copy(g->details) : json_null(), &failed);
	js_set(o, "downtime", downtime_json(g->rollout, &failed), &failed);
	js_set(o, "machine", machine_json(m), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}
