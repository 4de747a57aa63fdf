#pragma once
/* What must hold of a rollout, as rules on what happened and what was asked for, one step after
 * another. Written from the rules alone: of the machine it sees the events it was told, what it
 * asked for, and of what; nothing that it thinks. */
#include "rollout/machine.h"

typedef struct Trace {
	MachineDo asked; /* last, and of what */
	ParamMask asked_of;
	ParamMask runs; /* production, where runs_known */
	ParamMask good; /* what the last good verdict in production was about */
	ParamMask isolated_ok;
	uint32_t colocated_ok; /* bit s: the set s passed a trial; for at most five parameters */
	ParamMask committed_set;
	MachineResult result;
	uint8_t waits, undo_failures;
	bool runs_known, cold;
	bool fresh, fresh_cold; /* a good verdict on what runs, and nothing since */
	bool touched, over;	/* over: aborted, or the approval is void */
	bool commit_asked, committed, taken_back;
	bool stuck, ended;
	uint8_t no_hole[3]; /* compared as bytes */
} Trace;

void trace_init(Trace *t);
/* The machine was told `e` and asked for `d` of `target`; `result` counts where it ends. NULL, or
 * the rule that was broken. */
const char *trace_step(const MachineSpec *spec, Trace *t, MachineEvent e, MachineDo d,
		       ParamMask target, MachineResult result);
