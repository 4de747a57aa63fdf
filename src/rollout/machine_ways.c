/* Which parameter, on which set, and what for: the choices of a rollout. See machine.h for the
 * rules. */
#include "rollout/machine_ways.h"

#include <string.h>

enum {
	NO_PARAM = -1,
};

static ParamMask bit(uint32_t i)
{
	return (ParamMask)1 << i;
}

ParamMask way_all_params(const MachineSpec *spec)
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
MachineDo way_enter(Machine *m, MachinePhase phase, ParamMask target)
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

MachineDo way_end(Machine *m, MachineResult result)
{
	m->result = result;
	return way_enter(m, PHASE_ENDED, m->running);
}

static MachineDo trial(Machine *m, MachinePhase phase, ParamMask target)
{
	m->cold = false; /* a trial may stop production and start it again */
	return way_enter(m, phase, target);
}

MachineDo way_apply(Machine *m, ParamMask target)
{
	m->touched = true;
	m->running_known = false;
	m->cold = false;
	return way_enter(m, PHASE_APPLY, target);
}

MachineDo way_cold_start(Machine *m)
{
	m->cold = false;
	return way_enter(m, PHASE_COLD, m->running);
}

MachineDo way_undo(Machine *m, bool resume)
{
	MachineDo d = way_enter(m, PHASE_UNDO, 0);
	m->result = RESULT_NONE;
	m->resume = resume;
	m->running_known = false;
	m->cold = false;
	return d;
}

static MachineDo ask(Machine *m, MachineEvent e)
{
	MachinePhase from = m->phase;
	MachineDo d = way_enter(m, PHASE_ASKED, m->target);
	m->asked_from = from;
	m->cause = e;
	return d;
}

/* Gives the whole of it up. */
MachineDo way_fall_back(Machine *m, MachineEvent e)
{
	m->cause = e;
	return m->touched ? way_undo(m, false) : way_end(m, RESULT_REFUSED);
}

/* It is not known how it went. */
MachineDo way_uncertain(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	uint32_t waits = m->waits;
	if (spec->on_inconclusive == INCONCLUSIVE_UNDO)
		return way_fall_back(m, e);
	if (spec->on_inconclusive == INCONCLUSIVE_ASK || waits >= spec->waits)
		return ask(m, e);
	MachineDo d = way_enter(m, m->phase, m->target);
	m->waits = waits + 1;
	m->cause = e;
	return d;
}

/* --- Evidence --------------------------------------------------------------------------------- */

void way_drop(Machine *m, uint32_t i, ParamMask set)
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
	way_drop(m, i, m->whole_bad);
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
	m->untried = way_all_params(spec) & ~m->dropped;
	return way_enter(m, PHASE_OBSERVE, 0);
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
	return m->passed ? observe(spec, m) : way_end(m, RESULT_REFUSED);
}

static MachineDo begin_colocated(const MachineSpec *spec, Machine *m)
{
	ParamMask left = way_all_params(spec) & ~m->dropped;
	if (!left)
		return way_end(m, RESULT_REFUSED);
	if (spec->colocated)
		return trial(m, PHASE_COLOCATED, left);
	m->passed = left;
	return observe(spec, m);
}

MachineDo way_next_isolated(const MachineSpec *spec, Machine *m)
{
	if (m->next + 1 >= spec->n) {
		m->next = 0;
		return begin_colocated(spec, m);
	}
	m->next++;
	return trial(m, PHASE_ISOLATED, bit(m->next));
}

MachineDo way_isolated_failed(const MachineSpec *spec, Machine *m)
{
	way_drop(m, m->next, m->target);
	return way_next_isolated(spec, m);
}

MachineDo way_begin(const MachineSpec *spec, Machine *m)
{
	if (spec->n == 0 || spec->n > ROLLOUT_PARAMS_MAX)
		return way_end(m, RESULT_REFUSED);
	return spec->isolated ? trial(m, PHASE_ISOLATED, bit(0)) : begin_colocated(spec, m);
}

MachineDo way_colocated_failed(const MachineSpec *spec, Machine *m)
{
	if (m->searching) {
		way_drop(m, m->next, m->target);
		return next_colocated(spec, m);
	}
	m->searching = true;
	m->whole_bad = m->untried = m->target;
	return next_colocated(spec, m);
}

MachineDo way_colocated_passed(const MachineSpec *spec, Machine *m)
{
	m->passed = m->target;
	m->untried &= ~m->target;
	return m->searching ? next_colocated(spec, m) : observe(spec, m);
}

/* --- Production ------------------------------------------------------------------------------- */

static MachineDo restore(Machine *m)
{
	return m->kept ? way_apply(m, m->kept) : way_undo(m, true);
}

static MachineDo finish(const MachineSpec *spec, Machine *m)
{
	if (!m->kept)
		return way_end(m, RESULT_ROLLED_BACK);
	if (machine_may_commit(spec, m)) {
		/* Not way_enter(): the verdict is what the commit rests on. */
		m->phase = PHASE_COMMIT;
		m->target = m->kept;
		m->commit_asked = true;
		return DO_COMMIT;
	}
	return spec->cold_start ? way_cold_start(m) : way_enter(m, PHASE_WATCH, m->running);
}

/* The next parameter, or the end. `hurt`: what runs is broken and must go at once. */
MachineDo way_go_on(const MachineSpec *spec, Machine *m, bool hurt)
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
	return untested ? trial(m, PHASE_COLOCATED, wanted) : way_apply(m, wanted);
}

/* Every step was good, and the whole is not: from the beginning, each from a cold start. */
static MachineDo search_cold(const MachineSpec *spec, Machine *m, bool hurt)
{
	m->searching = true;
	m->whole_bad = m->untried = m->kept;
	m->kept = 0;
	return way_go_on(spec, m, hurt);
}

/* What runs (or was to run) hurts: as a hard event, or as the judge says. */
MachineDo way_hurts(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool hard = e == EVENT_BROKEN;
	m->cause = e;
	if (m->target != m->kept) {
		way_drop(m, m->next, m->target);
		return way_go_on(spec, m, hard);
	}
	bool at_cold_start = m->phase == PHASE_COLD || m->cold;
	if (at_cold_start && !m->searching)
		return search_cold(spec, m, hard);
	return way_undo(m, false); /* what was good before is not any more */
}

MachineDo way_good_verdict(const MachineSpec *spec, Machine *m)
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
	return way_go_on(spec, m, false);
}

bool machine_may_commit(const MachineSpec *spec, const Machine *m)
{
	return (m->phase == PHASE_WATCH || m->phase == PHASE_COMMIT) && m->confirmed_any &&
	       m->kept && m->running_known && m->confirmed == m->kept && m->running == m->kept &&
	       (m->cold_ok || !spec->cold_start);
}

/* Would a good verdict end it? Then no restart is needed any more, and no budget. */
bool way_ends_here(const MachineSpec *spec, const Machine *m)
{
	Machine then = *m;
	return way_good_verdict(spec, &then) == DO_COMMIT;
}
