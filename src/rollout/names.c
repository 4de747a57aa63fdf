/* What is called how, in records and to people. */
#include "rollout/alert.h"
#include "rollout/machine.h"

static const char *const phase_names[] = {
    [PHASE_READY] = "ready",	 [PHASE_ISOLATED] = "isolated", [PHASE_COLOCATED] = "colocated",
    [PHASE_OBSERVE] = "observe", [PHASE_APPLY] = "apply",	[PHASE_WATCH] = "watch",
    [PHASE_COLD] = "cold_start", [PHASE_COMMIT] = "commit",	[PHASE_PROBATION] = "probation",
    [PHASE_UNDO] = "undo",	 [PHASE_ASKED] = "asked",	[PHASE_STUCK] = "stuck",
    [PHASE_ENDED] = "ended",
};

static const char *const event_names[] = {
    [EVENT_START] = "start",
    [EVENT_OK] = "ok",
    [EVENT_BROKEN] = "broken",
    [EVENT_WORSE] = "worse",
    [EVENT_NO_WORSE] = "no_worse",
    [EVENT_BETTER] = "better",
    [EVENT_INCONCLUSIVE] = "inconclusive",
    [EVENT_NO_DATA] = "no_data",
    [EVENT_ERROR] = "error",
    [EVENT_RESTARTED] = "restarted",
    [EVENT_EXPIRED] = "expired",
    [EVENT_MOVED] = "moved",
    [EVENT_BUDGET] = "budget",
    [EVENT_CONTINUE] = "continue",
    [EVENT_ABORT] = "abort",
};

static const char *const do_names[] = {
    [DO_NOTHING] = "nothing", [DO_ISOLATED] = "isolated", [DO_COLOCATED] = "colocated",
    [DO_OBSERVE] = "observe", [DO_APPLY] = "apply",	  [DO_WATCH] = "watch",
    [DO_COLD] = "cold_start", [DO_COMMIT] = "commit",	  [DO_PROBATION] = "probation",
    [DO_UNDO] = "undo",	      [DO_ASK] = "ask",		  [DO_ALERT] = "alert",
    [DO_END] = "end",
};

static const char *const result_names[] = {
    [RESULT_NONE] = "none",
    [RESULT_COMMITTED] = "committed",
    [RESULT_PARTIALLY_COMMITTED] = "partially_committed",
    [RESULT_ROLLED_BACK] = "rolled_back",
    [RESULT_REFUSED] = "refused",
    [RESULT_STUCK] = "stuck",
};

static const char *const alert_names[] = {
    [ALERT_ROLLOUT_STARTED] = "rollout_started",
    [ALERT_ROLLED_BACK] = "rolled_back",
    [ALERT_COMMITTED] = "committed",
    [ALERT_ASKED] = "asked",
    [ALERT_STUCK] = "stuck",
    [ALERT_DRIFT] = "drift",
    [ALERT_RECOVERED] = "recovered",
    [ALERT_REFUSED] = "refused",
};

const char *machine_phase_name(MachinePhase p)
{
	return phase_names[p];
}

const char *machine_event_name(MachineEvent e)
{
	return event_names[e];
}

const char *machine_do_name(MachineDo d)
{
	return do_names[d];
}

const char *machine_result_name(MachineResult r)
{
	return result_names[r];
}

const char *alert_name(AlertKind k)
{
	return alert_names[k];
}
