#pragma once
/* The two processes that proc_spawn() makes (see proc.h): the guard, and under it the program. Both
 * entry points run after fork() and never return. */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/proc.h"

typedef struct GuardSpec {
	const char *path; /* resolved program */
	char *const *argv;
	char *const *envp;
	const char *cwd;
	const int *keep_fds;
	size_t n_keep_fds;
	bool own_session;
	const ProcUser *user; /* NULL: the creator's */
	int stdio[3];	      /* what becomes 0, 1, 2; each above 2 */
	int report;    /* GuardReport messages go here; it closes when the program is executed */
	int gate[2];   /* the program waits here for one byte; end of file calls it off */
	pid_t creator; /* the process whose death ends everything */
} GuardSpec;

/* What comes through the report pipe, whole (below PIPE_BUF). */
typedef struct GuardReport {
	int32_t pid;   /* of the program, > 0; or 0 */
	int32_t error; /* errno > 0 of what could not be done; or 0 */
	int32_t step;  /* GuardStep */
} GuardReport;

typedef enum GuardStep {
	GUARD_STARTED,
	GUARD_FORK,
	GUARD_STDIO,
	GUARD_USER,
	GUARD_CWD,
	GUARD_EXEC,
} GuardStep;

/* All signals are blocked when this is called. */
_Noreturn void guard_main(const GuardSpec *g);
