#pragma once
/* A process of the run before that was not ended with its unit (KillMode=process, a shell that left
 * its child) and still listens where the new one should: then whoever asks may be answered by what
 * ran before, with the old values. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Is there one in this control group, older than the unit's main process? Says who in `words`.
 * False also where that cannot be seen. */
bool survivor_listens(uint16_t port, const char *cgroup, pid_t main_pid, char *words, size_t size);
