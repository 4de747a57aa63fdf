#pragma once
/* Walks through everything that a rollout can be: from the beginning, every event in every state,
 * until nothing new is found. A state is the machine together with what the rules (rules.h)
 * remember of how it got there, so that each is looked at once, however many orders of events lead
 * to it. */
#include <stddef.h>

#include "rules.h"

typedef MachineDo StepFn(const MachineSpec *spec, Machine *m, MachineEvent e);

typedef struct Walk {
	size_t states, steps; /* steps: that changed something */
	double orders;	      /* of twelve such events, or fewer where it ended */
	int depth;	      /* of the farthest state */
	int restarts;	    /* changes of production on the worst way from the beginning to the end,
			       where no person tries a stuck undo again, and no undo is begun again
			       because we were restarted in it */
	const char *broken; /* NULL, or the rule */
	char story[1024];   /* the shortest events that break it */
} Walk;

/* `step` is machine_step, or one with a fault. */
Walk walk(const MachineSpec *spec, StepFn *step);

/* The same, and every event in every state is shown: what was, what happened, what came of it. */
typedef void SeenFn(void *ctx, const Machine *was, MachineEvent e, MachineDo d, const Machine *now);
Walk walk_showing(const MachineSpec *spec, StepFn *step, SeenFn *seen, void *ctx);
