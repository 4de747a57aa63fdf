/* The orchestrator: what happens goes to the state machine, what it wants is begun, every step is
 * written down and told. */
#include "rollout/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* --- The machine's turn ---------------------------------------------------------------------- */

static int on_end(sd_event_source *source, void *ctx)
{
	Rollout *r = ctx;
	(void)source;
	r->h.done(r->ctx, &r->m, r->err.code ? &r->err : NULL);
	return 0;
}

AlertKind rollout_alert_of(MachineResult result)
{
	switch (result) {
	case RESULT_COMMITTED:
	case RESULT_PARTIALLY_COMMITTED:
		return ALERT_COMMITTED;
	case RESULT_REFUSED:
		return ALERT_REFUSED;
	case RESULT_STUCK:
		return ALERT_STUCK;
	case RESULT_NONE:
	case RESULT_ROLLED_BACK:
		break;
	}
	return ALERT_ROLLED_BACK;
}

/* Last of all, and from the loop: whoever is told may free the rollout. */
static void end(Rollout *r, const char *words)
{
	_cleanup_(str_done) Str text = STR_INIT;
	if (r->over)
		return;
	r->over = true;
	allowed_end(r);
	bring_up_forget(r);
	guard_done(r);
	bool went_back = r->goal.version > 0 && r->m.result == RESULT_ROLLED_BACK;
	if (went_back && !r->back_there) {
		err_set(&r->err, -ECANCELED,
			"going back to version %" PRId64 " did not work, and production %s",
			r->goal.version,
			r->elsewhere ? "runs another configuration, which is known to start"
				     : "is as it was");
		str_add(&text, r->err.msg);
	} else if (went_back)
		str_addf(&text, "production is as version %" PRId64 " of the baseline says",
			 r->goal.version);
	else
		str_add(&text, machine_result_name(r->m.result));
	if (r->m.kept) {
		str_add(&text, ": ");
		rollout_mask_text(r, r->m.kept, &text);
	}
	if (r->m.dropped) {
		str_add(&text, "; dropped: ");
		rollout_mask_text(r, r->m.dropped, &text);
	}
	if (words && *words)
		str_addf(&text, " (%s)", words);
	const char *said = text.s && !text.failed ? text.s : "out of memory";
	rollout_say(r, NULL, "%s", said);
	rollout_alert(r, rollout_alert_of(r->m.result), said);
	unwritten_end(r);
	charge_end(r);
	(void)sd_event_source_set_enabled(r->end, SD_EVENT_ONESHOT);
}

int rollout_prepare_end(Rollout *r)
{
	int e = sd_event_add_defer(r->w.loop, &r->end, on_end, r);
	return e < 0 ? e : sd_event_source_set_enabled(r->end, SD_EVENT_OFF);
}

static void watch_for(Rollout *r, bool probation)
{
	guard_watch(r, probation ? r->x->rollout.probation_us : r->x->rollout.watch_us);
}

static void rest(Rollout *r, const char *words)
{
	guard_rest(r);
	rollout_say(r, NULL, "a person decides: %s", words);
	rollout_alert(r, ALERT_ASKED, words);
	if (r->h.asked)
		r->h.asked(r->ctx, words);
}

static void stuck(Rollout *r, const char *words)
{
	guard_rest(r);
	rollout_say(r, NULL, "going back failed, and nothing more is touched: %s", words);
	rollout_alert(r, ALERT_STUCK, words);
	end(r, words);
}

static void begin_doing(Rollout *r, MachineDo d, const char *words)
{
	switch (d) {
	case DO_NOTHING:
		break;
	case DO_ISOLATED:
		stage_trial(r, false);
		break;
	case DO_COLOCATED:
		stage_trial(r, true);
		break;
	case DO_OBSERVE:
		guard_observe(r);
		break;
	case DO_APPLY:
		guard_rest(r);
		apply_begin(r);
		break;
	case DO_WATCH:
		watch_for(r, false);
		break;
	case DO_PROBATION:
		watch_for(r, true);
		break;
	case DO_COLD:
		guard_rest(r);
		apply_cold(r);
		break;
	case DO_COMMIT:
		apply_commit(r);
		break;
	case DO_UNDO:
		guard_rest(r);
		apply_undo(r);
		break;
	case DO_ASK:
		rest(r, words);
		break;
	case DO_ALERT:
		stuck(r, words);
		break;
	case DO_END:
		end(r, words);
		break;
	}
}

/* Two never have production at once. What the machine wanted before is not wanted any more. */
static void carry_out(Rollout *r, MachineDo d, const char *words)
{
	if (d == DO_NOTHING)
		return;
	if (!stage_abandon(r)) {
		begin_doing(r, d, words);
		return;
	}
	guard_rest(r);
	r->put_off = (PutOff){.d = d, .hurry = r->hurry};
	snprintf(r->put_off.words, sizeof(r->put_off.words), "%s", words);
}

void rollout_go_on(Rollout *r)
{
	PutOff p = r->put_off;
	r->put_off = (PutOff){0};
	if (p.d == DO_NOTHING)
		return;
	r->hurry |= p.hurry;
	begin_doing(r, p.d, p.words);
}

void rollout_event(Rollout *r, MachineEvent e, const char *words)
{
	if (r->over)
		return;
	if (words && *words && e != EVENT_ABORT)
		rollout_say(r, NULL, "%s: %s", machine_event_name(e), words);
	else if (words && *words)
		rollout_say(r, NULL, "%s", words);
	r->hurry = e == EVENT_BROKEN;
	MachineDo d = machine_step(&r->spec, &r->m, e);
	if (d != DO_NOTHING)
		rollout_record(r, e, d, words);
	carry_out(r, d, words ? words : "");
}

static int on_later(sd_event_source *source, void *ctx)
{
	Rollout *r = ctx;
	(void)source;
	r->later = sd_event_source_unref(r->later);
	_cleanup_free_ char *words = str_fmt("%s", r->pending_words);
	rollout_event(r, r->pending, words);
	return 0;
}

/* Of several in one turn the first counts: what came later was seen under the same step. */
void rollout_later(Rollout *r, MachineEvent e, const char *fmt, ...)
{
	va_list ap;
	if (r->later || r->over)
		return;
	va_start(ap, fmt);
	vsnprintf(r->pending_words, sizeof(r->pending_words), fmt, ap);
	va_end(ap);
	r->pending = e;
	if (sd_event_add_defer(r->w.loop, &r->later, on_later, r) < 0)
		r->err = (Err){.code = -ENOMEM};
}

/* A person who is asked may say so at any time; an end in the middle of it is the same decision. */
void rollout_take_back(Rollout *r, const char *words)
{
	guard_rest(r);
	bring_up_stop(r);
	(void)stage_abandon(r);
	machine_init(&r->m);
	r->m.phase = PHASE_ASKED;
	r->m.touched = true;
	r->m.running_known = false;
	rollout_later(r, EVENT_ABORT, "%s", words);
}

/* --- Decisions, the end ----------------------------------------------------------------------- */

/* Going back to a version is no change that could be undone by going back: whoever calls that off
 * wants what ran before it. */
static void call_off_going_back(Rollout *r, const Approver *by)
{
	_cleanup_free_ char *words =
	    str_fmt("%s calls it off%s%s", by->name, by->reason[0] ? ": " : "", by->reason);
	apply_no_more_back(r);
	rollout_take_back(r, words ? words : "");
}

/* Somebody left it half done, or its approval is void: nobody has to say it a second time. */
static bool is_about_to_go_back(const Rollout *r)
{
	return r->goal.version == 0 && r->later &&
	       (r->pending == EVENT_ABORT || r->pending == EVENT_MOVED ||
		r->pending == EVENT_EXPIRED);
}

int rollout_decide(Rollout *r, bool go_on, const Approver *by, Err *err)
{
	if (r->over || (go_on && r->m.phase != PHASE_ASKED))
		return err_set(err, -EINVAL,
			       "there is nothing to decide: the rollout is in the phase %s",
			       machine_phase_name(r->m.phase));
	/* Right after a restart of ours the person who took it up decides instead of policy. */
	if (r->later && r->pending == EVENT_RESTARTED)
		r->later = sd_event_source_disable_unref(r->later);
	if (is_about_to_go_back(r))
		return go_on ? err_set(err, -EINVAL, "it is being taken back already: %s",
				       r->pending_words)
			     : 0;
	if (r->later)
		return err_set(err, -EAGAIN, "the rollout is just taking a step; say it once more");
	bool back = !r->promotion && r->goal.version > 0;
	if (!go_on && back && r->m.phase == PHASE_UNDO && r->change_open) {
		call_off_going_back(r, by);
		return 0;
	}
	rollout_later(r, go_on ? EVENT_CONTINUE : EVENT_ABORT, "%s %s%s%s", by->name,
		      go_on ? "lets it go on" : "takes it back", by->reason[0] ? ": " : "",
		      by->reason);
	return 0;
}

int64_t rollout_down_us(const Rollout *r, size_t i, const char **ret_unit)
{
	if (i >= r->n_units)
		return -1;
	*ret_unit = r->units[i].name;
	return r->units[i].down_us;
}

const char *rollout_id(const Rollout *r)
{
	return r->id;
}

const Machine *rollout_machine(const Rollout *r)
{
	return &r->m;
}

Rollout *rollout_free(Rollout *r)
{
	if (!r)
		return NULL;
	allowed_end(r);
	bring_up_forget(r);
	first_answer_free(r->spent);
	stage_stop(r);
	guard_done(r);
	sd_event_source_disable_unref(r->later);
	sd_event_source_disable_unref(r->end);
	unwritten_done(r);
	if (r->impatient)
		store_patience(r->w.store, 0);
	rollout_plan_done(r);
	baseline_done(&r->baseline);
	baseline_done(&r->goal);
	json_decref(r->promotion);
	ab_free(r->ab);
	free(r->gpu);
	free(r);
	return NULL;
}
