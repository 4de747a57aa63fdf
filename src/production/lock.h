#pragma once
/* Who changes production holds this lock while the intent log is open: opening the log cuts off
 * what looks torn, which must not be what another process is just writing. The file also says in
 * which boot production was last taken care of, so that recovery, which undoes what is open, runs
 * once after a power cut and never in the middle of a change of this boot (a managed unit that is
 * restarted pulls it in again). */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct ProductionLock {
	int fd; /* -1: none */
	bool settled;
} ProductionLock;

#define PRODUCTION_LOCK_NONE ((ProductionLock){.fd = -1})

/* Waits at most timeout_us for another holder. -ENOENT: there is no such folder; -EPERM: somebody
 * else could write in it; -EBUSY. `settled`: it was said in this boot. */
int production_lock(const char *state_dir, int64_t timeout_us, ProductionLock *ret,
		    Err *err) _must_check_;
void production_unlock(ProductionLock *l); /* safe on PRODUCTION_LOCK_NONE, and twice */
/* From now on, and until the next boot, recovery has nothing to do here. */
int production_settle(ProductionLock *l, Err *err) _must_check_;
