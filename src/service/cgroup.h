#pragma once
/* What a control group says about memory. */
#include <stddef.h>
#include <stdint.h>

/* "oom_kill N" of memory.events (cgroup v2) or memory.oom_control (v1); -1: it does not say. Pure.
 */
int64_t cgroup_oom_kills_of(const char *text, size_t len);
/* Of this group now ("/system.slice/x.service"); -1: unknown. */
int64_t cgroup_oom_kills(const char *cgroup);
