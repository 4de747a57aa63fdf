#pragma once
/* The core: workers that share one GPU, and a queue of what happens next. It has no clock of its
 * own: sim_step() is told how far time may go, so virtual and wall time drive it alike.
 *
 * A worker is one process with at most one piece of work at a time, measured in microseconds that
 * it would take alone. Processes share the GPU by time slices: the part of a worker's time that is
 * spent in kernels stretches by what the others keep busy, and each further active process adds the
 * cost of switching:
 *     stretch = (1 - busy) + busy * (1 + sum of the others' busy) * (1 + switch_cost * others)
 */
#include <stdbool.h>
#include <stdint.h>

#include "twin/events.h"
#include "twin/ledger.h"
#include "twin/noise.h"

typedef struct Sim Sim;

/* What a worker's owner does when its work is done; it may start the next piece. */
typedef int WorkDone(Sim *s, void *owner);
/* What an owner of timers does when one is due. */
typedef int TimerDue(Sim *s, void *owner, uint32_t mark);

enum {
	SIM_WORKERS_MAX = 64,
	SIM_TIMERS_MAX = 64,
};

typedef struct Worker {
	WorkDone *done;
	void *owner; /* borrowed */
	double busy; /* the share of its time that is spent in kernels; 0: never on the GPU */
	bool active;
	double left_us; /* of its time alone; infinite: until it is stopped */
	double stretch;
	int64_t since_us; /* when `left_us` was true */
	uint32_t mark;
	bool fresh; /* has work whose end is not in the queue yet */
} Worker;

typedef struct Timer {
	TimerDue *due;
	void *owner; /* borrowed */
} Timer;

struct Sim {
	int64_t now_us;
	Events events;
	Ledger gpu;
	Noise noise;
	double speed, switch_cost;
	/* Workers that are not here: those of other programs on a shared card. Whoever changes
	 * these sets shares_changed. */
	double outside_busy;
	int outside;
	Worker workers[SIM_WORKERS_MAX];
	uint32_t n_workers;
	Timer timers[SIM_TIMERS_MAX];
	uint32_t n_timers;
	bool shares_changed; /* somebody started or stopped: all ends must be found again */
	bool halted;	     /* by sim_halt() */
};

/* -E2BIG: too many. The index is the handle. */
int sim_add_worker(Sim *s, WorkDone *done, void *owner, double busy);
int sim_add_timer(Sim *s, TimerDue *due, void *owner);

void sim_work(Sim *s, int worker, double alone_us); /* starts, or goes on with, a piece of work */
void sim_rest(Sim *s, int worker);		    /* stops it, done or not */
/* How much of the current piece is left, and another amount instead. */
double sim_left_us(Sim *s, int worker);
void sim_set_left(Sim *s, int worker, double alone_us);

int sim_timer(Sim *s, int timer, int64_t at_us, uint32_t mark);
/* When the next event is due; INT64_MAX: nothing is queued. What was told since the last step has
 * been queued by then. Negative errno: out of memory. */
int sim_next(Sim *s, int64_t *ret_at_us);
/* What our own workers keep of the GPU now. */
double sim_busy(const Sim *s);
/* Starts the clock of the noise; once. */
int sim_begin(Sim *s);
/* 1: one event at or before `until_us` was handled; 0: there is none, and time stands at
 * `until_us`; negative errno: out of memory. */
int sim_step(Sim *s, int64_t until_us);
void sim_halt(Sim *s);
/* Forgets all work, timers and events; memory, noise and time go on. */
int sim_clear(Sim *s);
