#pragma once
/* The core driven by wall time, on an event loop: simulated time is CLOCK_MONOTONIC since the start
 * times `speed`. What is due happens at its own simulated time however late the loop wakes, so
 * lateness never adds up. Whoever computes on a shared card is seen by us, and we by them. */
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "twin/shared.h"
#include "twin/sim.h"

typedef struct Wall {
	Sim *sim;	   /* borrowed, as the next three */
	SharedGpu *shared; /* NULL: alone */
	sd_event *loop;
	const Clock *clock;
	double speed;
	int64_t zero_us; /* the clock when simulated time was 0 */
	/* From the loop, once the simulation halted; or something is wrong (r < 0: errno). */
	void (*halted)(void *ctx, int r);
	/* Something happened to the card. May be NULL. */
	void (*lost)(void *ctx);
	void *ctx;
	sd_event_source *timer, *news; /* owned */
	bool halt_told;
	double told_busy;
	int64_t told_until_us, looked_us;
	/* How late events were handled, in wall time. */
	int64_t events, late_us, latest_us;
} Wall;

/* The rest of *w is the caller's: sim, shared, clock, speed, halted, lost, ctx. */
int wall_init(Wall *w, sd_event *loop);
void wall_done(Wall *w);

/* Handles all that is due. To be called before the simulation is told anything ... */
int wall_catch_up(Wall *w);
/* ... and this after: the timer follows what is due next. */
int wall_go_on(Wall *w);

/* Simulated microseconds in wall time. */
int64_t wall_us(const Wall *w, int64_t sim_us);
