#pragma once
/* One at a time changes production: a rollout, a way back or an A/B, in the daemon or in the
 * foreground. The kernel ends the turn of whoever dies. */
#include "base/err.h"

/* In the folder of the store. 0: ours; -EBUSY: somebody else is in the middle of it. */
int turn_take(const char *dir, int *ret_fd, Err *err) _must_check_;
/* Accepts -1; returns -1. */
int turn_end(int fd);
