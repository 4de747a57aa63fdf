#pragma once
/* The guard: a transient unit that holds production down, and whose end, whatever the reason, puts
 * it up again.
 *
 * It conflicts with the production units, so its start stops them, in one transaction: there is no
 * moment in which production is stopped and no guard is there. Its process reads from a pipe of
 * which we hold the only other end, so it ends when we do; RuntimeMaxSec= bounds it even if we
 * hang. Whatever ends it (we, our death, its own by kill -9, the time, or somebody who starts a
 * production unit by hand, with which it conflicts), the manager then runs its ExecStopPost=, which
 * starts the production units again, one after another in the order given, and tries several times.
 * There is no order (After=) between it and production: those starts happen while it is still
 * ending. */
#include "systemd/bus.h"

typedef struct GuardUnit GuardUnit;

typedef struct GuardHandler {
	/* It runs (err NULL): production is being stopped. Or it could not be started. */
	void (*started)(void *ctx, const Err *err);
	/* It runs no more, and its last command is done. After guardunit_stop(), or by itself. */
	void (*ended)(void *ctx);
	/* It is ending, and nobody here asked it to. May be NULL. */
	void (*ending)(void *ctx);
} GuardHandler;

/* `name`: "dream-guard-....service". `units` in the order in which they are started again. */
int guardunit_start(Systemd *s, const char *name, char *const *units, size_t n, int64_t max_us,
		    const GuardHandler *h, void *ctx, GuardUnit **ret, Err *err) _must_check_;
/* One that an earlier process started: only to be stopped and waited for. */
int guardunit_adopt(Systemd *s, const char *name, const GuardHandler *h, void *ctx, GuardUnit **ret,
		    Err *err) _must_check_;
/* ended() follows, at once from the loop when it is not there any more. */
int guardunit_stop(GuardUnit *g, Err *err) _must_check_;
/* Lets go of it: it ends by itself and does its work. Accepts NULL, returns NULL. */
GuardUnit *guardunit_free(GuardUnit *g);
DEFINE_CLEANUP(GuardUnit *, guardunit_free)
