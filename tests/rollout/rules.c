#include "rules.h"

#include <string.h>

void trace_init(Trace *t)
{
	memset(t, 0, sizeof(*t));
	t->runs_known = true;
}

static bool is_good(MachineEvent e)
{
	return e == EVENT_NO_WORSE || e == EVENT_BETTER;
}

static bool is_uncertain(MachineEvent e)
{
	return e == EVENT_INCONCLUSIVE || e == EVENT_NO_DATA || e == EVENT_ERROR ||
	       e == EVENT_RESTARTED;
}

static bool subset(ParamMask part, ParamMask of)
{
	return (part & ~of) == 0;
}

/* --- What an event says about the world ------------------------------------------------------- */

static void done(const MachineSpec *spec, Trace *t)
{
	switch ((int)t->asked) {
	case DO_ISOLATED:
		t->isolated_ok |= t->asked_of;
		break;
	case DO_COLOCATED:
		if (spec->n <= 5)
			t->colocated_ok |= 1U << t->asked_of;
		break;
	case DO_APPLY:
		t->runs = t->asked_of;
		t->runs_known = true;
		break;
	case DO_UNDO:
		t->runs = 0;
		t->runs_known = true;
		t->taken_back = t->committed || t->commit_asked;
		break;
	case DO_COLD:
		t->cold = t->runs_known;
		break;
	case DO_COMMIT:
		t->committed = true;
		t->committed_set = t->runs;
		break;
	default:
		break;
	}
}

static void see(const MachineSpec *spec, Trace *t, MachineEvent e)
{
	bool trial = t->asked == DO_ISOLATED || t->asked == DO_COLOCATED;
	if (e == EVENT_OK || (is_good(e) && trial))
		done(spec, t);
	if (is_good(e) && t->asked == DO_WATCH && t->runs_known) {
		t->good = t->runs;
		t->fresh = true;
		t->fresh_cold = t->cold;
		return;
	}
	if (is_uncertain(e) || e == EVENT_BROKEN || e == EVENT_WORSE || e == EVENT_EXPIRED ||
	    e == EVENT_MOVED || e == EVENT_ABORT)
		t->fresh = false;
	if (!t->committed && (e == EVENT_EXPIRED || e == EVENT_MOVED || e == EVENT_ABORT))
		t->over = true;
}

/* --- What may be asked for -------------------------------------------------------------------- */

static const char *may_commit(const MachineSpec *spec, const Trace *t, ParamMask target)
{
	if (t->commit_asked)
		return "there are two commits";
	if (!t->fresh)
		return "a commit without a fresh good verdict";
	if (!t->runs_known || t->runs != target || t->good != target || !target)
		return "a commit of something else than what runs and was found good";
	if (spec->cold_start && !t->fresh_cold)
		return "a commit of what was not watched after a cold start";
	return NULL;
}

static const char *may_apply(const MachineSpec *spec, const Trace *t, MachineEvent e,
			     ParamMask target)
{
	if (!target || target >> spec->n)
		return "a change to nothing, or of a parameter that does not exist";
	if (__builtin_popcount(target & ~t->good) > 1)
		return "two parameters that were never watched are changed at once";
	if (spec->isolated && !subset(target, t->isolated_ok))
		return "a parameter reaches production without its isolated trial";
	ParamMask before = t->runs_known ? t->runs : t->asked_of;
	if (e == EVENT_BROKEN && t->asked != DO_COLOCATED &&
	    (!subset(target, before) || target == before || !subset(target, t->good)))
		return "after a hard event production is not led back to what was good";
	if (before && target != before && subset(before, target) && !subset(before, t->good))
		return "a parameter is tried on top of what was not found good";
	if (!spec->colocated || spec->n > 5)
		return NULL;
	for (ParamMask s = 0; s < 1U << spec->n; s++)
		if ((t->colocated_ok >> s & 1) && subset(target, s))
			return NULL;
	return "a set reaches production without a colocated trial";
}

static const char *may_alert(const Trace *t, MachineEvent e)
{
	if (t->stuck)
		return e == EVENT_RESTARTED ? NULL : "stuck is told without a reason";
	return t->undo_failures < 2 ? "stuck before an undo was tried again" : NULL;
}

static const char *may_end(const MachineSpec *spec, const Trace *t, MachineEvent e,
			   MachineResult result)
{
	if (t->ended)
		return e == EVENT_RESTARTED && result == t->result ? NULL : "it ends twice";
	if (!t->touched)
		return result == RESULT_REFUSED ? NULL : "untouched production, and not refused";
	if (!t->runs_known)
		return "it ends while nobody knows what production runs";
	if (t->runs == 0)
		return result == RESULT_ROLLED_BACK ? NULL : "all was taken back, and not said so";
	if (!t->committed || t->taken_back || t->committed_set != t->runs)
		return "production runs what was never committed";
	bool all = t->runs == (1U << spec->n) - 1;
	return result == (all ? RESULT_COMMITTED : RESULT_PARTIALLY_COMMITTED)
		   ? NULL
		   : "the result does not say what was committed";
}

/* A verdict that is none: by policy, so many times. */
static const char *policy(const MachineSpec *spec, const Trace *t, MachineDo d)
{
	switch (spec->on_inconclusive) {
	case INCONCLUSIVE_UNDO:
		return d == DO_UNDO ? NULL : "policy says undo";
	case INCONCLUSIVE_ASK:
		return d == DO_ASK ? NULL : "policy says ask";
	case INCONCLUSIVE_WAIT:
		break;
	}
	if (t->waits < spec->waits)
		return d == DO_WATCH ? NULL : "policy says wait";
	return d == DO_ASK ? NULL : "policy says ask after so many waits";
}

/* What an event demands, whatever else. */
static const char *demanded(const MachineSpec *spec, const Trace *t, MachineEvent e, MachineDo d)
{
	bool changing = t->asked == DO_APPLY || t->asked == DO_COLD || t->asked == DO_COMMIT;
	bool running =
	    t->asked == DO_WATCH || t->asked == DO_PROBATION || (t->asked == DO_ASK && t->touched);
	if (e == EVENT_BROKEN && (changing || running) && d != DO_UNDO && d != DO_APPLY)
		return "a hard event is not undone at once";
	if (e == EVENT_WORSE && running && d != DO_UNDO && d != DO_APPLY)
		return "what is worse stays";
	if (e == EVENT_RESTARTED && t->asked == DO_UNDO && d != DO_UNDO)
		return "an undo is not begun again after a restart of ours";
	if (is_uncertain(e) && changing && d != DO_UNDO)
		return "nobody knows what production runs, and it is not taken back";
	if (is_uncertain(e) && t->asked == DO_WATCH)
		return policy(spec, t, d);
	if (e == EVENT_ABORT && (changing || running) && d != DO_UNDO)
		return "a person's word is not heard";
	if (t->asked == DO_ASK && is_good(e) && d != DO_NOTHING)
		return "a late verdict answers for a person";
	return NULL;
}

static bool goes_on(MachineDo d)
{
	return d == DO_ISOLATED || d == DO_COLOCATED || d == DO_OBSERVE || d == DO_APPLY ||
	       d == DO_WATCH || d == DO_COLD || d == DO_COMMIT || d == DO_ASK;
}

static const char *forbidden(const Trace *t, MachineEvent e, MachineDo d)
{
	if (t->ended && d != DO_NOTHING && d != DO_END)
		return "something is done after the end";
	if (t->stuck && d != DO_NOTHING && d != DO_ALERT && !(e == EVENT_ABORT && d == DO_UNDO))
		return "something is touched though it is stuck";
	if (t->over && goes_on(d))
		return "it goes on though it was called off";
	if (t->committed && goes_on(d))
		return "it goes on after the commit";
	if (t->commit_asked && !t->committed && goes_on(d))
		return "it goes on while the commit may be written";
	if (!t->touched && d == DO_UNDO)
		return "something is undone that was never done";
	return NULL;
}

static const char *judge(const MachineSpec *spec, const Trace *t, MachineEvent e, MachineDo d,
			 ParamMask target, MachineResult result)
{
	const char *broken = forbidden(t, e, d);
	if (!broken)
		broken = demanded(spec, t, e, d);
	if (broken)
		return broken;
	switch ((int)d) {
	case DO_COMMIT:
		return may_commit(spec, t, target);
	case DO_APPLY:
		return may_apply(spec, t, e, target);
	case DO_COLD:
	case DO_WATCH:
		return t->runs_known && t->runs == target
			   ? NULL
			   : "something is watched that does not run";
	case DO_ALERT:
		return may_alert(t, e);
	case DO_END:
		return may_end(spec, t, e, result);
	default:
		return NULL;
	}
}

/* --- What was asked for, as it changes the world ---------------------------------------------- */

static void asked_for(Trace *t, MachineEvent e, MachineDo d, ParamMask target, MachineResult result)
{
	bool failed = e == EVENT_BROKEN || (is_uncertain(e) && e != EVENT_RESTARTED);
	if (t->stuck && e == EVENT_ABORT)
		t->undo_failures = 2; /* a person's try may be the only one */
	else if (t->asked != DO_UNDO)
		t->undo_failures = 0;
	else if (failed)
		t->undo_failures++;
	t->waits = t->asked == DO_WATCH && d == DO_WATCH && is_uncertain(e) ? t->waits + 1 : 0;
	if (d == DO_APPLY || d == DO_UNDO) {
		t->runs_known = false;
		t->touched = true;
	}
	if (d == DO_APPLY || d == DO_UNDO || d == DO_COLD || d == DO_COLOCATED)
		t->cold = t->fresh = false;
	if (d == DO_COMMIT)
		t->commit_asked = true;
	t->stuck = d == DO_ALERT;
	if (d == DO_END) {
		t->ended = true;
		t->result = result;
	}
	t->asked = d;
	t->asked_of = target;
}

const char *trace_step(const MachineSpec *spec, Trace *t, MachineEvent e, MachineDo d,
		       ParamMask target, MachineResult result)
{
	/* What comes after the end, or while it is stuck, says nothing about what was asked for. */
	if (!t->ended && !t->stuck)
		see(spec, t, e);
	const char *broken = judge(spec, t, e, d, target, result);
	if (d != DO_NOTHING)
		asked_for(t, e, d, target, result);
	return broken;
}
