#pragma once
/* What is really in effect: adopted keys as the running process has them, and nothing else of its
 * environment, which holds tokens. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "production/adoption.h"
#include "production/generation.h"

enum {
	READBACK_BYTES_MAX = 4 << 20, /* of a command line or an environment */
};

/* The value of one target in a process; NULL: it is not set there. */
typedef struct ReadValue {
	const AdoptedTarget *target; /* borrowed */
	char *expected, *found;
	bool same; /* numbers by value: 0.5 is 0.50 */
} ReadValue;

typedef struct Readback {
	pid_t pid;	       /* 0: the unit has no process */
	int64_t started_at_us; /* of the process, realtime; 0: unknown */
	int64_t flipped_at_us; /* of the link `current` */
	bool fresh;	       /* the process is newer than the flip */
	bool drifted;	       /* the unit was edited since it was adopted */
	char drift[240];
	ReadValue *values;
	size_t n;
	bool same;	 /* every value is, and the process is fresh, and nothing drifted */
	char words[480]; /* what is not so, in one sentence; "" */
} Readback;

void readback_done(Readback *r);

/* Pure: the texts of /proc/PID/cmdline and /proc/PID/environ, and the files that the process has
 * under the targets' paths (its own mount namespace). `config` of a target with a file: its text as
 * the process sees it; NULL: not readable. */
typedef struct ProcessSight {
	pid_t pid;
	int64_t started_at_us;
	const char *cmdline, *environ;
	size_t cmdline_len, environ_len;
	char **files; /* one a target; NULL where there is none */
} ProcessSight;

int readback_judge(const Adoption *a, const Generation *g, const ProcessSight *sight,
		   int64_t flipped_at_us, Readback *ret, Err *err) _must_check_;
/* The real thing. `files` are the unit's now, for drift. -EACCES: not our process to look at. */
int readback_process(const Adoption *a, const Generation *g, pid_t pid, const UnitFile *files,
		     size_t n_files, int64_t flipped_at_us, Readback *ret, Err *err) _must_check_;
/* As an object without the environment: parameter, target, expected, found. NULL: out of memory. */
json_t *readback_json(const Readback *r);
