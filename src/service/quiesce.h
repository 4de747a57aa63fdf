#pragma once
/* Makes room for a trial on a GPU that production holds: drains and stops the production units that
 * were active, and puts them back, whatever happens. A durable intent is written first, and a guard
 * unit restores production even if D-REAM never runs again. Only inside a window, within a budget
 * of downtime, and only while users are idle. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"
#include "http/client.h"
#include "systemd/bus.h"

/* `quiesce:` of an experiment. */
typedef struct QuiesceSpec {
	ConfStrings units; /* which may be stopped, in the order in which they are put back */
	char *window;	   /* "03:00-07:00", local time; NULL: never */
	int64_t budget_us; /* of downtime in 24 h, for everything that costs any */
	int64_t idle_us;   /* nobody may have asked for this long */
	char *idle_url; /* a metrics page that tells: requests running or waiting; NULL: established
			   connections */
	int64_t drain_us; /* how long to wait for requests in flight */
} QuiesceSpec;

extern const ConfTable quiesce_table;

/* Pure decisions. */
bool quiesce_window_parse(const char *text, int *ret_from_min, int *ret_to_min);
bool quiesce_in_window(const QuiesceSpec *q, int64_t now_us, int utc_offset_min);
/* May downtime of this length begin? 0, or -EBUSY with the sentence why not (window, budget).
 * `spent_us`: in the last 24 h. */
int quiesce_may(const QuiesceSpec *q, int64_t now_us, int utc_offset_min, int64_t spent_us,
		int64_t wanted_us, Err *err);

typedef struct Quiesce Quiesce;
typedef struct QuiesceHandler {
	void (*ready)(void *ctx); /* the GPU is free of production */
	/* Users came back, the window or the budget ended, or it could not be done: stop at once,
	 * then call quiesce_restore(). */
	void (*give_up)(void *ctx, const char *why);
	void (*restored)(void *ctx, const Err *err); /* err: what is not as it was */
} QuiesceHandler;

/* `state_dir` holds the intent, the account of downtime and, if somebody made it, the file
 * `inhibit`, which keeps production running. The whole may take budget_us less what was spent, and
 * must end with the window; of that the time that the units' last start took is kept for starting
 * them again. -EBUSY: not now (window, budget, inhibited, another one is going on, an earlier one
 * must be recovered first); the message says which. All else comes to the handler; give_up() once
 * at most. Units that were not active stay as they are. */
int quiesce_begin(sd_event *loop, Systemd *s, HttpLoop *http, const QuiesceSpec *q,
		  const char *state_dir, const QuiesceHandler *h, void *ctx, Quiesce **ret,
		  Err *err) _must_check_;
/* How long the units took to start the last time; 0 until it is known which are stopped. */
int64_t quiesce_restore_us(const Quiesce *q);
/* At any time after begin, also after give_up(); restored() follows. What does not come back is
 * tried three times, then told; the intent stays, and quiesce_recover() tries again. */
void quiesce_restore(Quiesce *q);
/* Accepts NULL, returns NULL. Before restored() the guard unit restores. Not from inside a handler
 * of ready() or give_up(). */
Quiesce *quiesce_free(Quiesce *q);
/* The unit that production waits for (to bind a trial's units to: TransientSpec.binds_to); NULL
 * while there is none. */
const char *quiesce_guard(const Quiesce *q);
/* After a crash: what an intent says was stopped is put back. 0: nothing to do; 1: restored.
 * -EBUSY: the process that stopped it lives. Runs the loop until it is done: not from inside a
 * handler. */
int quiesce_recover(sd_event *loop, Systemd *s, const char *state_dir, Err *err) _must_check_;
/* Downtime of the last 24 h, what is going on now included. */
int quiesce_spent(const char *state_dir, const Clock *clock, int64_t *ret_us,
		  Err *err) _must_check_;
/* Whoever costs production any downtime says so here (a rollout's restart): one account for all.
 * Other processes may do so at the same time. */
int downtime_add(const char *state_dir, int64_t began_at_us, int64_t ended_at_us, const char *why,
		 Err *err) _must_check_;
