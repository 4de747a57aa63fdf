/* The phases of a rollout. See machine.h for the rules; each phase has one function that says what
 * every event means in it. */
#include "rollout/machine.h"

#include <string.h>

enum {
	NO_PARAM = -1,
};

static ParamMask bit(uint32_t i)
{
	return (ParamMask)1 << i;
}

static ParamMask all_params(const MachineSpec *spec)
{
	return bit(spec->n) - 1;
}

static int lowest(ParamMask set)
{
	return set ? __builtin_ctz(set) : NO_PARAM;
}

static bool contains(ParamMask set, ParamMask part)
{
	return (part & ~set) == 0;
}

void machine_init(Machine *m)
{
	memset(m, 0, sizeof(*m));
	m->running_known = true;
}

/* --- Entering a phase ------------------------------------------------------------------------- */

/* What each phase asks for. */
static const MachineDo asks_for[PHASE_MAX_] = {
    [PHASE_READY] = DO_NOTHING,	  [PHASE_ISOLATED] = DO_ISOLATED, [PHASE_COLOCATED] = DO_COLOCATED,
    [PHASE_OBSERVE] = DO_OBSERVE, [PHASE_APPLY] = DO_APPLY,	  [PHASE_WATCH] = DO_WATCH,
    [PHASE_COLD] = DO_COLD,	  [PHASE_COMMIT] = DO_COMMIT,	  [PHASE_PROBATION] = DO_PROBATION,
    [PHASE_UNDO] = DO_UNDO,	  [PHASE_ASKED] = DO_ASK,	  [PHASE_STUCK] = DO_ALERT,
    [PHASE_ENDED] = DO_END,
};

/* No verdict outlives the phase in which it was found. */
static MachineDo enter(Machine *m, MachinePhase phase, ParamMask target)
{
	m->phase = phase;
	m->target = target;
	m->waits = 0;
	m->undo_tries = 0;
	m->resume = false;
	m->asked_from = PHASE_READY;
	m->confirmed_any = false;
	m->cold_ok = false;
	m->confirmed = 0;
	return asks_for[phase];
}

static MachineDo end(Machine *m, MachineResult result)
{
	m->result = result;
	return enter(m, PHASE_ENDED, m->running);
}

static MachineDo trial(Machine *m, MachinePhase phase, ParamMask target)
{
	m->cold = false; /* a trial may stop production and start it again */
	return enter(m, phase, target);
}

static MachineDo apply(Machine *m, ParamMask target)
{
	m->touched = true;
	m->running_known = false;
	m->cold = false;
	return enter(m, PHASE_APPLY, target);
}

static MachineDo cold_start(Machine *m)
{
	m->cold = false;
	return enter(m, PHASE_COLD, m->running);
}

static MachineDo undo(Machine *m, bool resume)
{
	MachineDo d = enter(m, PHASE_UNDO, 0);
	m->result = RESULT_NONE;
	m->resume = resume;
	m->running_known = false;
	m->cold = false;
	return d;
}

static MachineDo ask(Machine *m, MachineEvent e)
{
	MachinePhase from = m->phase;
	MachineDo d = enter(m, PHASE_ASKED, m->target);
	m->asked_from = from;
	m->cause = e;
	return d;
}

/* Gives the whole of it up. */
static MachineDo fall_back(Machine *m, MachineEvent e)
{
	m->cause = e;
	return m->touched ? undo(m, false) : end(m, RESULT_REFUSED);
}

/* It is not known how it went. */
static MachineDo uncertain(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	uint32_t waits = m->waits;
	if (spec->on_inconclusive == INCONCLUSIVE_UNDO)
		return fall_back(m, e);
	if (spec->on_inconclusive == INCONCLUSIVE_ASK || waits >= spec->waits)
		return ask(m, e);
	MachineDo d = enter(m, m->phase, m->target);
	m->waits = waits + 1;
	m->cause = e;
	return d;
}

/* --- Evidence --------------------------------------------------------------------------------- */

static void note_bad(Machine *m, uint32_t i, ParamMask set)
{
	m->bad[i] = set;
	m->dropped |= bit(i);
	m->untried &= ~bit(i);
}

/* With `base` and this one a set that failed would be complete. */
static bool evidence_stands(const Machine *m, uint32_t i, ParamMask base)
{
	return m->bad[i] && contains(base | bit(i), m->bad[i]);
}

/* Is what would be tried already known to fail as a whole? Then the parameter is dropped without a
 * try. */
static bool known_bad(Machine *m, uint32_t i, ParamMask base)
{
	if (!m->whole_bad || !contains(base | bit(i), m->whole_bad))
		return false;
	note_bad(m, i, m->whole_bad);
	return true;
}

/* Which parameter is tried next on top of what is kept: those that were not tried, in order; then
 * those whose evidence does not stand any more. */
static int candidate(const MachineSpec *spec, Machine *m)
{
	int i;
	while ((i = lowest(m->untried)) != NO_PARAM)
		if (!known_bad(m, (uint32_t)i, m->kept))
			return i;
	for (uint32_t p = 0; p < spec->n; p++)
		if (!(m->kept & bit(p)) && !evidence_stands(m, p, m->kept) &&
		    !known_bad(m, p, m->kept))
			return (int)p;
	return NO_PARAM;
}

/* --- Trials, before production is touched ----------------------------------------------------- */

static MachineDo observe(const MachineSpec *spec, Machine *m)
{
	m->searching = false;
	m->whole_bad = 0;
	m->untried = all_params(spec) & ~m->dropped;
	return enter(m, PHASE_OBSERVE, 0);
}

static MachineDo next_colocated(const MachineSpec *spec, Machine *m)
{
	int i;
	while ((i = lowest(m->untried)) != NO_PARAM) {
		if (known_bad(m, (uint32_t)i, m->passed))
			continue;
		m->next = (uint32_t)i;
		return trial(m, PHASE_COLOCATED, m->passed | bit(m->next));
	}
	return m->passed ? observe(spec, m) : end(m, RESULT_REFUSED);
}

static MachineDo begin_colocated(const MachineSpec *spec, Machine *m)
{
	ParamMask left = all_params(spec) & ~m->dropped;
	if (!left)
		return end(m, RESULT_REFUSED);
	if (spec->colocated)
		return trial(m, PHASE_COLOCATED, left);
	m->passed = left;
	return observe(spec, m);
}

static MachineDo next_isolated(const MachineSpec *spec, Machine *m)
{
	if (m->next + 1 >= spec->n) {
		m->next = 0;
		return begin_colocated(spec, m);
	}
	m->next++;
	return trial(m, PHASE_ISOLATED, bit(m->next));
}

static MachineDo isolated_failed(const MachineSpec *spec, Machine *m)
{
	note_bad(m, m->next, m->target);
	return next_isolated(spec, m);
}

static MachineDo begin(const MachineSpec *spec, Machine *m)
{
	if (spec->n == 0 || spec->n > ROLLOUT_PARAMS_MAX)
		return end(m, RESULT_REFUSED);
	return spec->isolated ? trial(m, PHASE_ISOLATED, bit(0)) : begin_colocated(spec, m);
}

static MachineDo colocated_failed(const MachineSpec *spec, Machine *m)
{
	if (m->searching) {
		note_bad(m, m->next, m->target);
		return next_colocated(spec, m);
	}
	m->searching = true;
	m->whole_bad = m->untried = m->target;
	return next_colocated(spec, m);
}

static MachineDo colocated_passed(const MachineSpec *spec, Machine *m)
{
	m->passed = m->target;
	m->untried &= ~m->target;
	return m->searching ? next_colocated(spec, m) : observe(spec, m);
}

/* --- Production ------------------------------------------------------------------------------- */

static MachineDo restore(Machine *m)
{
	return m->kept ? apply(m, m->kept) : undo(m, true);
}

static MachineDo finish(const MachineSpec *spec, Machine *m)
{
	if (!m->kept)
		return end(m, RESULT_ROLLED_BACK);
	if (machine_may_commit(spec, m)) {
		/* Not enter(): the verdict is what the commit rests on. */
		m->phase = PHASE_COMMIT;
		m->target = m->kept;
		m->commit_asked = true;
		return DO_COMMIT;
	}
	return spec->cold_start ? cold_start(m) : enter(m, PHASE_WATCH, m->running);
}

/* The next parameter, or the end. `hurt`: what runs is broken and must go at once. */
static MachineDo go_on(const MachineSpec *spec, Machine *m, bool hurt)
{
	int i = candidate(spec, m);
	ParamMask wanted = i == NO_PARAM ? m->kept : m->kept | bit((uint32_t)i);
	bool untested = spec->colocated && !contains(m->passed, wanted);
	bool in_place = !hurt && m->running_known && m->running == m->kept;
	if (!in_place && (hurt || i == NO_PARAM || untested))
		return restore(m);
	if (i == NO_PARAM)
		return finish(spec, m);
	m->next = (uint32_t)i;
	return untested ? trial(m, PHASE_COLOCATED, wanted) : apply(m, wanted);
}

/* Every step was good, and the whole is not: from the beginning, each from a cold start. */
static MachineDo search_cold(const MachineSpec *spec, Machine *m, bool hurt)
{
	m->searching = true;
	m->whole_bad = m->untried = m->kept;
	m->kept = 0;
	return go_on(spec, m, hurt);
}

/* What runs (or was to run) hurts: as a hard event, or as the judge says. */
static MachineDo hurts(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool hard = e == EVENT_BROKEN;
	m->cause = e;
	if (m->target != m->kept) {
		note_bad(m, m->next, m->target);
		return go_on(spec, m, hard);
	}
	bool at_cold_start = m->phase == PHASE_COLD || m->cold;
	if (at_cold_start && !m->searching)
		return search_cold(spec, m, hard);
	return undo(m, false); /* what was good before is not any more */
}

static MachineDo good_verdict(const MachineSpec *spec, Machine *m)
{
	m->confirmed = m->running;
	m->confirmed_any = true;
	m->cold_ok = m->cold;
	m->kept = m->running;
	m->untried &= ~m->kept;
	m->dropped &= ~m->kept;
	for (uint32_t i = 0; i < spec->n; i++)
		if (m->kept & bit(i))
			m->bad[i] = 0; /* it has been disproved */
	return go_on(spec, m, false);
}

bool machine_may_commit(const MachineSpec *spec, const Machine *m)
{
	return (m->phase == PHASE_WATCH || m->phase == PHASE_COMMIT) && m->confirmed_any &&
	       m->kept && m->running_known && m->confirmed == m->kept && m->running == m->kept &&
	       (m->cold_ok || !spec->cold_start);
}

/* Would a good verdict end it? Then no restart is needed any more, and no budget. */
static bool is_last_watch(const MachineSpec *spec, const Machine *m)
{
	Machine then = *m;
	return good_verdict(spec, &then) == DO_COMMIT;
}

/* --- The phases ------------------------------------------------------------------------------- */

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
		return begin(spec, m);
	return kind_of(e) == KIND_OVER ? fall_back(m, e) : DO_NOTHING;
}

/* A second chance in the middle of a rollout. Production may have been stopped for it, so anything
 * but a clear answer takes all of it back. */
static MachineDo in_late_trial(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	Kind kind = kind_of(e);
	if (kind == KIND_HURTS) {
		m->cause = e;
		note_bad(m, m->next, m->target);
		return go_on(spec, m, false);
	}
	if (kind == KIND_UNCERTAIN || kind == KIND_OVER)
		return fall_back(m, e);
	if (kind == KIND_OTHER && e != EVENT_OK)
		return DO_NOTHING;
	m->passed = m->target;
	return apply(m, m->target);
}

static MachineDo in_trial(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool isolated = m->phase == PHASE_ISOLATED;
	if (m->touched)
		return in_late_trial(spec, m, e);
	switch (kind_of(e)) {
	case KIND_HURTS:
		m->cause = e;
		return isolated ? isolated_failed(spec, m) : colocated_failed(spec, m);
	case KIND_UNCERTAIN:
		return uncertain(spec, m, e);
	case KIND_OVER:
		return fall_back(m, e);
	case KIND_GOOD:
		break;
	case KIND_OTHER:
		if (e != EVENT_OK)
			return DO_NOTHING;
	}
	return isolated ? next_isolated(spec, m) : colocated_passed(spec, m);
}

static MachineDo in_observe(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_OK)
		return go_on(spec, m, false);
	if (kind_of(e) == KIND_UNCERTAIN)
		return uncertain(spec, m, e);
	/* Production that breaks by itself is none to change. */
	return kind_of(e) == KIND_OVER || e == EVENT_BROKEN ? fall_back(m, e) : DO_NOTHING;
}

static MachineDo applied(const MachineSpec *spec, Machine *m)
{
	m->running = m->target;
	m->running_known = true;
	if (m->target == m->kept)
		return go_on(spec, m, false);
	return m->searching ? cold_start(m) : enter(m, PHASE_WATCH, m->running);
}

/* Production is being changed, or started cold. */
static MachineDo in_change(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_BROKEN)
		return hurts(spec, m, e);
	if (kind_of(e) == KIND_UNCERTAIN || kind_of(e) == KIND_OVER)
		return fall_back(m, e);
	if (e != EVENT_OK)
		return DO_NOTHING;
	if (m->phase == PHASE_APPLY)
		return applied(spec, m);
	m->cold = true;
	return enter(m, PHASE_WATCH, m->running);
}

static MachineDo in_watch(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	switch (kind_of(e)) {
	case KIND_GOOD:
		return good_verdict(spec, m);
	case KIND_HURTS:
		return hurts(spec, m, e);
	case KIND_UNCERTAIN:
		return uncertain(spec, m, e);
	case KIND_OVER:
		return e == EVENT_BUDGET && is_last_watch(spec, m) ? DO_NOTHING : fall_back(m, e);
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
		return fall_back(m, e);
	case EVENT_ERROR:
		if (++m->waits >= ROLLOUT_TRIES)
			return end(m, m->result);
		return DO_PROBATION;
	case EVENT_RESTARTED:
		return DO_PROBATION;
	case EVENT_OK:
	case EVENT_NO_WORSE:
	case EVENT_BETTER:
	case EVENT_INCONCLUSIVE:
	case EVENT_NO_DATA:
	case EVENT_MOVED: /* what was on probation is not there any more */
		return end(m, m->result);
	default:
		return DO_NOTHING;
	}
}

static MachineDo in_commit(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_OK) {
		enter(m, PHASE_PROBATION, m->target);
		m->result =
		    m->kept == all_params(spec) ? RESULT_COMMITTED : RESULT_PARTIALLY_COMMITTED;
		return spec->probation ? DO_PROBATION : in_probation(m, EVENT_OK);
	}
	Kind kind = kind_of(e);
	bool over = kind == KIND_OVER && e != EVENT_BUDGET;
	return over || kind == KIND_HURTS || kind == KIND_UNCERTAIN ? fall_back(m, e) : DO_NOTHING;
}

static MachineDo undone(const MachineSpec *spec, Machine *m)
{
	m->running = 0;
	m->running_known = true;
	if (m->resume)
		return go_on(spec, m, false);
	m->kept = 0;
	return end(m, RESULT_ROLLED_BACK);
}

static MachineDo undo_failed(Machine *m)
{
	m->resume = false;
	if (++m->undo_tries < ROLLOUT_TRIES)
		return DO_UNDO;
	m->result = RESULT_STUCK;
	return enter(m, PHASE_STUCK, 0);
}

static MachineDo in_undo(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (e == EVENT_OK)
		return undone(spec, m);
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
		return enter(m, m->asked_from, m->target);
	if (e == EVENT_RESTARTED)
		return DO_ASK;
	if (kind_of(e) == KIND_HURTS && m->touched)
		return hurts(spec, m, e);
	if (e == EVENT_BROKEN)
		return fall_back(m, e);
	/* What runs may stay for as long as it takes to decide: that costs no downtime. */
	if (e == EVENT_BUDGET && m->touched)
		return DO_NOTHING;
	return kind_of(e) == KIND_OVER ? fall_back(m, e) : DO_NOTHING;
}

static MachineDo in_stuck(Machine *m, MachineEvent e)
{
	if (e == EVENT_RESTARTED)
		return DO_ALERT;
	if (e != EVENT_ABORT)
		return DO_NOTHING;
	undo(m, false);
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
