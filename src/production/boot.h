#pragma once
/* Whether production was taken care of in this boot. Recovery undoes what a power cut left open,
 * and must do it once: a managed unit that is restarted pulls dream-recover.service in again, in
 * the middle of the very change that it is restarted for. */
#include <stdbool.h>

#include "base/err.h"

/* False also where it cannot be found out. */
bool boot_settled(const char *state_dir);
/* From now on, and until the next boot, recovery has nothing to do here. */
int boot_settle(const char *state_dir, Err *err) _must_check_;
