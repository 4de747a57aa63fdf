#pragma once
/* Looks at this machine: NVML, /proc, systemd, listening ports, the journal, the servers' health
 * pages. Changes nothing, and whatever cannot be seen is said in the result, not an error. */
#include "discover/machine.h"

typedef struct LookOptions {
	bool ask; /* also the servers' health pages, 2 s each at most */
} LookOptions;

int machine_look(const LookOptions *o, Machine *ret, Err *err) _must_check_;
