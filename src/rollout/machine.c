/* The phases of a rollout: each has one function that says what every event means in it. See
 * machine.h for the rules; where it goes from there is machine_ways.c. */
#include "rollout/machine_ways.h"

typedef enum Kind {
	KIND_OTHER,	/* START, OK, CONTINUE */
	KIND_GOOD,	/* a verdict */
	KIND_HURTS,	/* BROKEN, WORSE */
	KIND_UNCERTAIN, /* how it went is not known */
	KIND_OVER,	/* ABORT, and what makes the approval void */
} Kind;

static Kind kind_of(MachineEvent e)
{
	static const Kind kinds[EVENT_MAX_] = {
	    [EVENT_NO_WORSE] = KIND_GOOD,
	    [EVENT_BETTER] = KIND_GOOD,
	    [EVENT_BROKEN] = KIND_HURTS,
	    [EVENT_WORSE] = KIND_HURTS,
	    [EVENT_INCONCLUSIVE] = KIND_UNCERTAIN,
	    [EVENT_NO_DATA] = KIND_UNCERTAIN,
	    [EVENT_ERROR] = KIND_UNCERTAIN,
	    [EVENT_RESTARTED] = KIND_UNCERTAIN,
	    [EVENT_EXPIRED] = KIND_OVER,
	    [EVENT_MOVED] = KIND_OVER,
	    [EVENT_BUDGET] = KIND_OVER,
	    [EVENT_ABORT] = KIND_OVER,
	};
	return kinds[e];
}

static MachineDo in_ready(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_START)
		return way_begin(spec, m);
	return kind_of(e) == KIND_OVER ? way_fall_back(m, e) : DO_NOTHING;
}

/* A second chance in the middle of a rollout. Production may have been stopped for it, so anything
 * but a clear answer takes all of it back. */
static MachineDo in_late_trial(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	Kind kind = kind_of(e);
	if (kind == KIND_HURTS) {
		m->cause = e;
		way_drop(m, m->next, m->target);
		return way_go_on(spec, m, false);
	}
	if (kind == KIND_UNCERTAIN || kind == KIND_OVER)
		return way_fall_back(m, e);
	if (kind == KIND_OTHER && e != EVENT_OK)
		return DO_NOTHING;
	m->passed = m->target;
	return way_apply(m, m->target);
}

static MachineDo in_trial(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool isolated = m->phase == PHASE_ISOLATED;
	if (m->touched)
		return in_late_trial(spec, m, e);
	switch (kind_of(e)) {
	case KIND_HURTS:
		m->cause = e;
		return isolated ? way_isolated_failed(spec, m) : way_colocated_failed(spec, m);
	case KIND_UNCERTAIN:
		return way_uncertain(spec, m, e);
	case KIND_OVER:
		return way_fall_back(m, e);
	case KIND_GOOD:
		break;
	case KIND_OTHER:
		if (e != EVENT_OK)
			return DO_NOTHING;
	}
	return isolated ? way_next_isolated(spec, m) : way_colocated_passed(spec, m);
}

static MachineDo in_observe(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_OK)
		return way_go_on(spec, m, false);
	if (kind_of(e) == KIND_UNCERTAIN)
		return way_uncertain(spec, m, e);
	/* Production that breaks by itself is none to change. */
	return kind_of(e) == KIND_OVER || e == EVENT_BROKEN ? way_fall_back(m, e) : DO_NOTHING;
}

static MachineDo applied(const MachineSpec *spec, Machine *m)
{
	m->running = m->target;
	m->running_known = true;
	if (m->target == m->kept)
		return way_go_on(spec, m, false);
	return m->searching ? way_cold_start(m) : way_enter(m, PHASE_WATCH, m->running);
}

/* Production is being changed, or started cold. */
static MachineDo in_change(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_BROKEN)
		return way_hurts(spec, m, e);
	if (kind_of(e) == KIND_UNCERTAIN || kind_of(e) == KIND_OVER)
		return way_fall_back(m, e);
	if (e != EVENT_OK)
		return DO_NOTHING;
	if (m->phase == PHASE_APPLY)
		return applied(spec, m);
	m->cold = true;
	return way_enter(m, PHASE_WATCH, m->running);
}

static MachineDo in_watch(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	switch (kind_of(e)) {
	case KIND_GOOD:
		return way_good_verdict(spec, m);
	case KIND_HURTS:
		return way_hurts(spec, m, e);
	case KIND_UNCERTAIN:
		return way_uncertain(spec, m, e);
	case KIND_OVER:
		return e == EVENT_BUDGET && way_ends_here(spec, m) ? DO_NOTHING
								   : way_fall_back(m, e);
	case KIND_OTHER:
		break;
	}
	return DO_NOTHING;
}

/* It is committed: only what hurts, or a person, takes it back. */
static MachineDo in_probation(Machine *m, MachineEvent e)
{
	switch ((int)e) {
	case EVENT_BROKEN:
	case EVENT_WORSE:
	case EVENT_ABORT:
		return way_fall_back(m, e);
	case EVENT_ERROR:
		if (++m->waits >= ROLLOUT_TRIES)
			return way_end(m, m->result);
		return DO_PROBATION;
	case EVENT_RESTARTED:
		return DO_PROBATION;
	case EVENT_OK:
	case EVENT_NO_WORSE:
	case EVENT_BETTER:
	case EVENT_INCONCLUSIVE:
	case EVENT_NO_DATA:
	case EVENT_MOVED: /* what was on probation is not there any more */
		return way_end(m, m->result);
	default:
		return DO_NOTHING;
	}
}

static MachineDo in_commit(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_OK) {
		way_enter(m, PHASE_PROBATION, m->target);
		m->result =
		    m->kept == way_all_params(spec) ? RESULT_COMMITTED : RESULT_PARTIALLY_COMMITTED;
		return spec->probation ? DO_PROBATION : in_probation(m, EVENT_OK);
	}
	Kind kind = kind_of(e);
	bool over = kind == KIND_OVER && e != EVENT_BUDGET;
	return over || kind == KIND_HURTS || kind == KIND_UNCERTAIN ? way_fall_back(m, e)
								    : DO_NOTHING;
}

static MachineDo undone(const MachineSpec *spec, Machine *m)
{
	m->running = 0;
	m->running_known = true;
	if (m->resume)
		return way_go_on(spec, m, false);
	m->kept = 0;
	return way_end(m, RESULT_ROLLED_BACK);
}

static MachineDo undo_failed(Machine *m)
{
	m->resume = false;
	if (++m->undo_tries < ROLLOUT_TRIES)
		return DO_UNDO;
	m->result = RESULT_STUCK;
	return way_enter(m, PHASE_STUCK, 0);
}

/* That we died in it says nothing of whether it works: it is no failed try, however often. */
static MachineDo begun_again(Machine *m)
{
	m->resume = false;
	return DO_UNDO;
}

static MachineDo in_undo(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_OK)
		return undone(spec, m);
	if (e == EVENT_RESTARTED)
		return begun_again(m);
	if (e == EVENT_BROKEN || kind_of(e) == KIND_UNCERTAIN)
		return undo_failed(m);
	if (kind_of(e) == KIND_OVER && m->resume) {
		m->resume = false;
		m->cause = e;
	}
	return DO_NOTHING;
}

static MachineDo in_asked(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_CONTINUE)
		return way_enter(m, m->asked_from, m->target);
	if (e == EVENT_RESTARTED)
		return DO_ASK;
	if (kind_of(e) == KIND_HURTS && m->touched)
		return way_hurts(spec, m, e);
	if (e == EVENT_BROKEN)
		return way_fall_back(m, e);
	/* What runs may stay for as long as it takes to decide: that costs no downtime. */
	if (e == EVENT_BUDGET && m->touched)
		return DO_NOTHING;
	return kind_of(e) == KIND_OVER ? way_fall_back(m, e) : DO_NOTHING;
}

static MachineDo in_stuck(Machine *m, MachineEvent e)
{
	if (e == EVENT_RESTARTED)
		return DO_ALERT;
	if (e != EVENT_ABORT)
		return DO_NOTHING;
	way_undo(m, false);
	m->undo_tries = ROLLOUT_TRIES - 1; /* a person's word is good for one try */
	return DO_UNDO;
}

static MachineDo step(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	switch (m->phase) {
	case PHASE_READY:
		return in_ready(spec, m, e);
	case PHASE_ISOLATED:
	case PHASE_COLOCATED:
		return in_trial(spec, m, e);
	case PHASE_OBSERVE:
		return in_observe(spec, m, e);
	case PHASE_APPLY:
	case PHASE_COLD:
		return in_change(spec, m, e);
	case PHASE_WATCH:
		return in_watch(spec, m, e);
	case PHASE_COMMIT:
		return in_commit(spec, m, e);
	case PHASE_PROBATION:
		return in_probation(m, e);
	case PHASE_UNDO:
		return in_undo(spec, m, e);
	case PHASE_ASKED:
		return in_asked(spec, m, e);
	case PHASE_STUCK:
		return in_stuck(m, e);
	case PHASE_ENDED:
		return e == EVENT_RESTARTED ? DO_END : DO_NOTHING;
	case PHASE_MAX_:
		break;
	}
	return DO_NOTHING;
}

MachineDo machine_step(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if ((unsigned int)e >= EVENT_MAX_)
		return DO_NOTHING;
	MachineDo d = step(spec, m, e);
	if (d != DO_NOTHING)
		m->last = e;
	return d;
}
