#pragma once
/* What a unit's state says beside what was known of it: whether something happened that nobody of
 * us did. Pure. */
#include <stddef.h>
#include <stdint.h>

#include "systemd/bus.h"
#include "watch/watch.h"

typedef enum UnitPhase {
	UNIT_UP,
	UNIT_STARTING,
	UNIT_WAITING, /* for systemd to start it again; its end was told */
	UNIT_DOWN,    /* its end was told */
} UnitPhase;

typedef struct UnitSeen {
	UnitPhase phase;
	char invocation[40];
	pid_t main_pid;
	int64_t restarts;
	int64_t oom_kills; /* of its control group; -1: unknown */
} UnitSeen;

/* From here on is counted. A unit that does not run now is taken for one that just ended: the first
 * look tells it. */
void unitseen_take(UnitSeen *s, const UnitState *u, int64_t oom_kills);
/* What happened since, with a sentence in `words`; what is seen counts from now on. Each occurrence
 * is one event: an end that systemd answers with a restart is not told again when that restart is
 * counted. */
HardEvent unitseen_look(UnitSeen *s, const char *unit, const UnitState *now, int64_t oom_kills,
			char *words, size_t size);
/* "exit status 1", "killed by SIGKILL", "" for a process that still runs. `ret`: 48 bytes. */
void unit_exit_words(const UnitState *u, char *ret);
