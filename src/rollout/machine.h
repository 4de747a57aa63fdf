#pragma once
/* The rollout as a state machine: what happened goes in, what to do next comes out. Pure, and a
 * plain value, so that it can be walked exhaustively, written down after every step, and read back
 * after a crash. docs/rollout.md has it drawn, from this code.
 *
 * Parameters are tried in the order given (most useful first), each on top of those that were kept,
 * each watched. One that hurts is dropped: at once where something broke, together with the next
 * one's start where it was only slower. What is left is confirmed from a cold start, watched as a
 * whole and committed. Nothing but a verdict "no worse" or "better" on exactly what runs, after the
 * cold start, while the approval holds and the baseline is where it was, leads to a commit.
 *
 * A parameter is dropped on evidence: the set with which it failed. The evidence stands for as long
 * as the whole of that set is there. Where another of the set is dropped later, the parameter gets
 * a second chance, so that in the end none could have been added.
 *
 * If the whole fails at the cold start although every step was good, it is built once more, one
 * parameter after another, each from a cold start.
 *
 * Restarts of one unit with k parameters on it, at most: k + 1 when all are good, the cold start
 * included; k + 2 when one is bad; k + 1 + (dropped) when nothing fails at the cold start and no
 * trial blamed one for another. With k parameters in all production is changed at most 7 k + 5
 * times, whatever happens, trials in between and every try of going back included. A restart of
 * ours in the middle of going back begins that once more, and is no try of it that failed. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
	ROLLOUT_PARAMS_MAX = 16,
	ROLLOUT_TRIES = 4, /* of an undo that fail, until it counts as stuck */
};

typedef uint32_t ParamMask; /* bit i: the i-th parameter has its new value */

typedef enum OnInconclusive {
	INCONCLUSIVE_WAIT, /* watch on, `waits` times at most, then ask */
	INCONCLUSIVE_ASK,
	INCONCLUSIVE_UNDO,
} OnInconclusive;

typedef struct MachineSpec {
	uint32_t n;		  /* parameters; 1 to ROLLOUT_PARAMS_MAX */
	bool isolated, colocated; /* these stages are still to be passed, as trials */
	bool cold_start;	  /* false: policy leaves it out */
	bool probation;
	OnInconclusive on_inconclusive;
	uint32_t waits;
} MachineSpec;

typedef enum MachinePhase {
	PHASE_READY,	 /* validated and approved; nothing was touched */
	PHASE_ISOLATED,	 /* a trial of one parameter with its own service alone */
	PHASE_COLOCATED, /* a trial of `target` with all services */
	PHASE_OBSERVE,	 /* production's figures as they are, for the comparison */
	PHASE_APPLY,	 /* production is being changed to `target`: flip, restart, read back */
	PHASE_WATCH,	 /* `target` is in effect and watched */
	PHASE_COLD,	 /* all managed units are started together */
	PHASE_COMMIT,	 /* the commit is being written */
	PHASE_PROBATION, /* committed; watched by a slower guard */
	PHASE_UNDO,	 /* going back */
	PHASE_ASKED,	 /* a person decides; what runs stays as it is */
	PHASE_STUCK,	 /* undo failed too: nothing more is touched */
	PHASE_ENDED,
	PHASE_MAX_,
} MachinePhase;

/* Every event may come in every phase. What is told about is what was asked for last. */
typedef enum MachineEvent {
	EVENT_START,
	EVENT_OK,     /* what was asked for is done, and verified */
	EVENT_BROKEN, /* a hard event: it did not start, it died, readback says otherwise */
	EVENT_WORSE,  /* a verdict; of a trial too */
	EVENT_NO_WORSE,
	EVENT_BETTER,
	EVENT_INCONCLUSIVE,
	EVENT_NO_DATA,
	EVENT_ERROR, /* we failed: it is not known how it went */
	/* We were restarted in this phase. Tell it only when production still is what it was: when
	 * a recovery at boot went back meanwhile, tell MOVED; when the commit turns out to be
	 * written, tell OK. */
	EVENT_RESTARTED,
	EVENT_EXPIRED, /* the approval */
	EVENT_MOVED,   /* the baseline is another one, or the unit was edited */
	/* No downtime left for the next restart, or the window closed. Never told of an undo, nor
	 * of `target` == `kept` in APPLY, which is one too. */
	EVENT_BUDGET,
	EVENT_CONTINUE, /* a person: go on (watch on) */
	EVENT_ABORT,	/* a person: take it back */
	EVENT_MAX_,
} MachineEvent;

typedef enum MachineDo {
	DO_NOTHING,
	DO_ISOLATED, /* trial of `target`, one parameter */
	/* Trial of `target`. Also with a change open in production (`touched`): production then is
	 * back at `kept` when it ends. */
	DO_COLOCATED,
	DO_OBSERVE,
	DO_APPLY, /* make `target` run */
	/* After a change from the beginning: what was seen before does not count. After a watch
	 * that found nothing out it goes on. */
	DO_WATCH,
	DO_COLD, /* of `target`, which runs */
	DO_COMMIT,
	DO_PROBATION,
	/* Back to what ran before the rollout. With `resume` more is tried afterwards, in a new
	 * change. With `commit_asked` the commit may have been written: then the way back is a new
	 * version of the baseline. */
	DO_UNDO,
	DO_ASK,
	DO_ALERT, /* stuck */
	DO_END,
} MachineDo;

typedef enum MachineResult {
	RESULT_NONE,
	RESULT_COMMITTED,
	RESULT_PARTIALLY_COMMITTED,
	RESULT_ROLLED_BACK,
	RESULT_REFUSED, /* ended before production was touched */
	RESULT_STUCK,
} MachineResult;

typedef struct Machine {
	MachinePhase phase;
	ParamMask target;  /* what should run, or is tried */
	ParamMask running; /* what production was last known to run */
	ParamMask kept, dropped;
	ParamMask confirmed; /* what the last good verdict was about, while it counts */
	uint32_t next;	     /* parameter that is tried, where `target` is not `kept` */
	uint32_t waits, undo_tries;
	MachineResult result;
	MachineEvent last;  /* that made a difference */
	MachineEvent cause; /* of the last drop, question, refusal or undo */
	MachinePhase asked_from;
	ParamMask untried;   /* still to be tried */
	ParamMask passed;    /* the newest set that passed a colocated trial */
	ParamMask whole_bad; /* failed as a whole; is searched for what is good in it */
	ParamMask bad[ROLLOUT_PARAMS_MAX]; /* evidence: the set with which a parameter failed */
	bool confirmed_any, cold_ok; /* cold_ok: `confirmed` came after a cold start of the same */
	bool running_known, cold;    /* cold: what runs was started cold */
	bool touched;		     /* production was changed */
	bool searching;		     /* one after another, since the whole failed */
	bool resume;		     /* the undo is not the end */
	bool commit_asked;	     /* DO_COMMIT was given: it may have been written */
} Machine;

void machine_init(Machine *m);
/* An event that does not fit the phase changes nothing and gives DO_NOTHING. Whoever was restarted
 * tells RESTARTED and is told what to do once more. */
MachineDo machine_step(const MachineSpec *spec, Machine *m, MachineEvent e);
/* May a commit be asked for now? What DO_COMMIT rests on, and what whoever writes the commit checks
 * once more. */
bool machine_may_commit(const MachineSpec *spec, const Machine *m);

const char *machine_phase_name(MachinePhase p);
const char *machine_event_name(MachineEvent e);
const char *machine_do_name(MachineDo d);
const char *machine_result_name(MachineResult r); /* "partially_committed" */
json_t *machine_json(const Machine *m);		  /* NULL: out of memory */
int machine_from_json(const json_t *o, Machine *ret, Err *err) _must_check_;
