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
	READBACK_DRIFT_SIZE = 240,
};

/* The value of one target in a process; NULL: it is not set there. */
typedef struct ReadValue {
	const AdoptedTarget *target; /* borrowed */
	char *expected, *found;
	bool same;	   /* numbers by value: 0.5 is 0.50 */
	bool twice;	   /* it is said more than once, and not always the same; `found` counts */
	const char *where; /* static: "command line", "environment", "file" */
} ReadValue;

typedef struct Readback {
	pid_t pid;	       /* that was looked at; 0: the unit has no process */
	int64_t started_at_us; /* of the process, realtime; 0: unknown */
	int64_t flipped_at_us; /* of the link `current` */
	bool fresh;	       /* the process is newer than the flip */
	bool unseen;  /* a container's client was all that was found: nothing is the same */
	bool drifted; /* the unit was edited since it was adopted */
	char drift[READBACK_DRIFT_SIZE];
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
/* Was the unit edited since it was adopted, or is our drop-in not among its files any more? A
 * sentence in `ret`; "" when neither. Reads the files that are adopted in part. */
void readback_drift(const Adoption *a, const UnitFile *files, size_t n, char *ret, size_t size);
/* The real thing: `pid` is the unit's main process (0: it has none); where that is a shell or the
 * like, the program that it started is looked at, and where it is `docker run` the program inside.
 * `files` are the unit's now, for drift. -EACCES: not our process to look at. -EAGAIN: the program
 * has not been executed yet. */
int readback_process(const Adoption *a, const Generation *g, pid_t pid, const UnitFile *files,
		     size_t n_files, int64_t flipped_at_us, Readback *ret, Err *err) _must_check_;
/* {"pid", "started_at_us", "flipped_at_us", "fresh", "drift", "seen", "same", "words", "values":
 * [{"parameter", "target", "expected", "found" (null: not set), "where", "same"}]}. NULL: out of
 * memory. */
json_t *readback_json(const Readback *r);
