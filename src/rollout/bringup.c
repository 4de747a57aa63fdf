/* Units are brought up: restarted by the helper, one after another (two servers that start together
 * on one GPU size their caches by each other's moment) or all at once (as after a power cut), asked
 * until they really answer, and read back, since systemd's word proves nothing. */
#include "rollout/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "service/quiesce.h"

static void bring_up_next(Rollout *r);

static void finish(Rollout *r, MachineEvent e, const char *words)
{
	BroughtUp *done = r->up.done;
	if (e == EVENT_BROKEN)
		r->broken_at_us = clock_mono_us(r->w.clock);
	r->up = (BringUp){0};
	done(r, e, words);
}

static void finish_with(Rollout *r, MachineEvent e, const char *fmt, ...) _printf_(3, 4);
static void finish_with(Rollout *r, MachineEvent e, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	finish(r, e, text.failed || !text.s ? "out of memory" : text.s);
}

static RolloutUnit *unit_now(Rollout *r)
{
	return &r->units[r->up.at];
}

static void expect(Rollout *r, uint32_t set, bool expected)
{
	for (size_t i = 0; r->watch && i < r->n_units; i++)
		if (set & (1U << i) && r->units[i].service)
			watch_expect(r->watch, r->units[i].name, expected);
}

/* From the restart to the first answer nobody was served: one account for all that costs downtime.
 */
static void account(Rollout *r, RolloutUnit *u)
{
	int64_t now = clock_mono_us(r->w.clock), took = now - r->up.began_us;
	int64_t at = clock_now_us(r->w.clock);
	u->down_us += took;
	u->last_ready_us = took;
	r->up.counted |= 1U << (u - r->units);
	charge(r, at - took, at);
}

/* Who has not answered when it is given up has cost something, too. */
static void account_away(Rollout *r)
{
	uint32_t away = r->up.how == BRING_ONE_BY_ONE ? 1U << r->up.at : r->up.set;
	if (r->up.how == BRING_ASK || r->up.began_us == 0)
		return;
	for (size_t i = 0; i < r->n_units; i++)
		if (away & ~r->up.counted & (1U << i))
			account(r, &r->units[i]);
}

/* After every wait: what broke meanwhile ends it. */
static bool broke_meanwhile(Rollout *r)
{
	if (!r->up.broken[0])
		return false;
	account_away(r);
	finish_with(r, EVENT_BROKEN, "%s", r->up.broken);
	return true;
}

/* --- Readback -------------------------------------------------------------------------------- */

static void on_readback(Rollout *r, const json_t *reply, const Err *err)
{
	RolloutUnit *u = unit_now(r);
	const json_t *back = json_object_get(reply, "readback");
	if (broke_meanwhile(r))
		return;
	if (err) {
		finish_with(r, EVENT_ERROR, "%s cannot be read back: %s", u->name, err->msg);
		return;
	}
	const json_t *state = json_object_get(reply, "state");
	const char *invocation = js_str(state, "invocation", "");
	if (r->up.invocation[0] && strcmp(r->up.invocation, invocation) != 0) {
		finish_with(r, EVENT_BROKEN, "%s ended after its restart and was started again",
			    u->name);
		return;
	}
	if (js_int(state, "restarts", 0) > 0) {
		finish_with(r, EVENT_BROKEN,
			    "%s restarted by itself %" JSON_INTEGER_FORMAT " times since", u->name,
			    (json_int_t)js_int(state, "restarts", 0));
		return;
	}
	if (!js_bool(back, "same", false)) {
		finish_with(r, EVENT_BROKEN, "%s does not run what it was told: %s", u->name,
			    js_str(back, "words", "the helper does not say why"));
		return;
	}
	char took[32];
	time_human(u->last_ready_us, took);
	rollout_say(r, back, "%s answers after %s, and runs what it was told", u->name, took);
	r->down &= ~(1U << r->up.at);
	r->up.invocation[0] = '\0';
	r->up.at++;
	bring_up_next(r);
}

static void read_back(Rollout *r)
{
	asking(r, json_pack("{s:s, s:s}", "do", "readback", "unit", unit_now(r)->name),
	       HELPER_TIMEOUT_US, on_readback);
}

/* --- The first answer ------------------------------------------------------------------------ */

static void on_first_answer(void *ctx, int64_t ready_us, HardEvent e, const char *words)
{
	Rollout *r = ctx;
	RolloutUnit *u = unit_now(r);
	/* We are called from inside of it; the one before it is long out of its call. */
	(void)first_answer_free(r->spent);
	r->spent = TAKE_PTR(r->up.first);
	if (r->up.how != BRING_ASK)
		account(r, u);
	if (ready_us < 0) {
		finish_with(r, EVENT_BROKEN, "%s: %s (%s)", u->name, words, hard_event_name(e));
		return;
	}
	expect(r, 1U << r->up.at, false);
	if (r->up.how == BRING_ASK) {
		r->up.at++;
		bring_up_next(r);
		return;
	}
	read_back(r);
}

/* Of the time from its restart to its first answer. Those that were started together are asked one
 * after another, each for as long as one may take. */
static int64_t time_left(const Rollout *r)
{
	int64_t all = r->x->rollout.ready_us, gone = clock_mono_us(r->w.clock) - r->up.began_us;
	if (r->up.how != BRING_ONE_BY_ONE)
		return all;
	return gone < all ? all - gone : 1;
}

static void first_words(Rollout *r)
{
	RolloutUnit *u = unit_now(r);
	Err err = ERR_INIT;
	if (!u->service) {
		/* Nothing is known of it but the unit: that it runs what it was told must do. */
		account(r, u);
		read_back(r);
		return;
	}
	int e = first_answer(r->w.loop, r->w.systemd, r->w.http, &u->watched, r->gpu, time_left(r),
			     on_first_answer, r, &r->up.first, &err);
	if (e < 0)
		finish_with(r, EVENT_ERROR, "%s cannot be asked: %s", u->name, err.msg);
}

/* --- A job that does not end ------------------------------------------------------------------ */

/* How long a unit may take to start. */
static int64_t start_limit(const Rollout *r)
{
	return r->x ? r->x->rollout.ready_us : 10 * (int64_t)HELPER_TIMEOUT_US;
}

/* Some services say themselves when they are ready, and their units may give them for ever. The
 * answer to what is given up comes at once, and says so. */
static int on_late(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	r->up.limit = sd_event_source_disable_unref(r->up.limit);
	r->up.late = true;
	asking_cancel(r);
	return 0;
}

/* Without a timer the question's own limit, which is longer, ends it. */
static void wait_for_job(Rollout *r, json_t *request, Answered *then)
{
	r->up.waits = true;
	r->up.late = false;
	(void)sd_event_add_time_relative(r->w.loop, &r->up.limit, CLOCK_MONOTONIC,
					 (uint64_t)start_limit(r), 50000, on_late, r);
	asking(r, request, start_limit(r) + HELPER_TIMEOUT_US, then);
}

static void job_ended(Rollout *r)
{
	r->up.limit = sd_event_source_disable_unref(r->up.limit);
	r->up.waits = false;
}

/* Why it did not start: `one` is the helper's account of it. */
static void not_started(Rollout *r, const RolloutUnit *u, const char *when, const json_t *one)
{
	char limit[32];
	time_human(start_limit(r), limit);
	const char *result = js_str(one, "result", "no reason is known");
	account_away(r);
	if (r->up.late && strcmp(result, "canceled") == 0)
		finish_with(r, EVENT_BROKEN, "%s did not start%s within %s", u->name, when, limit);
	else
		finish_with(r, EVENT_BROKEN, "%s did not start%s: %s", u->name, when,
			    js_str(one, "words", result));
}

/* --- Restarts -------------------------------------------------------------------------------- */

static void on_restart(Rollout *r, const json_t *reply, const Err *err)
{
	RolloutUnit *u = unit_now(r);
	job_ended(r);
	if (broke_meanwhile(r))
		return;
	if (err) {
		finish_with(r, EVENT_ERROR, "%s could not be restarted: %s", u->name, err->msg);
		return;
	}
	if (strcmp(js_str(reply, "result", ""), "done") != 0) {
		not_started(r, u, "", reply);
		return;
	}
	snprintf(r->up.invocation, sizeof(r->up.invocation), "%s",
		 js_str(json_object_get(reply, "state"), "invocation", ""));
	first_words(r);
}

static void restart_now(Rollout *r)
{
	RolloutUnit *u = unit_now(r);
	r->up.began_us = clock_mono_us(r->w.clock);
	u->restarts++;
	rollout_say(r, NULL, "restarting %s", u->name);
	wait_for_job(r, json_pack("{s:s, s:s}", "do", "restart", "unit", u->name), on_restart);
}

static void restart(Rollout *r)
{
	r->up.began_us = 0;
	drain_unit(r, unit_now(r), restart_now);
}

/* --- Started by somebody else ----------------------------------------------------------------- */

enum {
	LOOK_EVERY_US = 100000,
};

static void ask_when_active(Rollout *r);

static int on_look(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	r->up.limit = sd_event_source_disable_unref(r->up.limit);
	if (!broke_meanwhile(r))
		ask_when_active(r);
	return 0;
}

static bool is_active(const Rollout *r, const RolloutUnit *u)
{
	UnitState s = {0};
	Err unheard = ERR_INIT;
	if (unit_state(r->w.systemd, u->name, &s, &unheard) < 0)
		return true; /* whoever asks it will say why */
	bool active = strcmp(s.active, "active") == 0 || strcmp(s.active, "reloading") == 0;
	unit_state_done(&s);
	return active;
}

/* After a trial that was killed production is only about to be started. */
static void ask_when_active(Rollout *r)
{
	int64_t gone = clock_mono_us(r->w.clock) - r->up.began_us;
	if (is_active(r, unit_now(r)) || gone >= start_limit(r) ||
	    sd_event_add_time_relative(r->w.loop, &r->up.limit, CLOCK_MONOTONIC, LOOK_EVERY_US, 0,
				       on_look, r) < 0)
		first_words(r);
}

static void bring_up_next(Rollout *r)
{
	while (r->up.at < r->n_units && !(r->up.set & (1U << r->up.at)))
		r->up.at++;
	if (r->up.at == r->n_units)
		finish(r, EVENT_OK, NULL);
	else if (r->up.how == BRING_ONE_BY_ONE)
		restart(r);
	else if (r->up.how == BRING_ASK)
		ask_when_active(r);
	else
		first_words(r);
}

/* --- All at once ----------------------------------------------------------------------------- */

static void on_cold(Rollout *r, const json_t *reply, const Err *err)
{
	const json_t *results = json_object_get(reply, "results");
	job_ended(r);
	if (broke_meanwhile(r))
		return;
	if (err) {
		finish_with(r, EVENT_ERROR, "the cold start could not be made: %s", err->msg);
		return;
	}
	for (size_t i = 0; i < r->n_units; i++) {
		const json_t *one = json_object_get(results, r->units[i].name);
		if (!(r->up.set & (1U << i)) || strcmp(js_str(one, "result", ""), "done") == 0)
			continue;
		not_started(r, &r->units[i], " when all were started together", one);
		return;
	}
	bring_up_next(r);
}

static void start_together(Rollout *r)
{
	json_t *units = json_array();
	r->up.began_us = clock_mono_us(r->w.clock);
	for (size_t i = 0; i < r->n_units; i++) {
		if (!(r->up.set & (1U << i)))
			continue;
		r->units[i].restarts++;
		json_array_append_new(units, json_string(r->units[i].name));
	}
	wait_for_job(r, json_pack("{s:s, s:o}", "do", "cold", "units", units), on_cold);
}

/* `done` is called from the loop. */
void bring_up(Rollout *r, uint32_t set, BringUpHow how, BroughtUp *done)
{
	r->up = (BringUp){.set = set, .how = how, .done = done};
	/* Of what is to be restarted nothing is news, however it runs until then; and our own
	 * requests pause, so that they are not what is waited for. */
	if (how == BRING_ASK)
		r->up.began_us = clock_mono_us(r->w.clock);
	if (how != BRING_ASK) {
		r->down |= set;
		expect(r, set, true);
	}
	if (how == BRING_TOGETHER && set)
		start_together(r);
	else
		bring_up_next(r);
}

bool bring_up_goes_on(const Rollout *r)
{
	return r->up.done;
}

void bring_up_break(Rollout *r, const char *words)
{
	snprintf(r->up.broken, sizeof(r->up.broken), "%s", words);
	if (r->up.waits)
		asking_cancel(r);
	if (!r->up.first && !r->up.drain)
		return; /* the helper's answer is waited for */
	r->up.first = first_answer_free(r->up.first);
	r->up.drain = drain_free(r->up.drain);
	broke_meanwhile(r);
}

void bring_up_forget(Rollout *r)
{
	asking_stop(r);
	job_ended(r);
	r->up.first = first_answer_free(r->up.first);
	r->up.drain = drain_free(r->up.drain);
	r->up = (BringUp){0};
}

void bring_up_stop(Rollout *r)
{
	bool waits = r->up.waits;
	account_away(r);
	bring_up_forget(r);
	if (waits)
		asking_cancel(r);
}
