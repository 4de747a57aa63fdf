#pragma once
/* A process as /proc shows it, for readback.h. */
#include "production/readback.h"

typedef struct Sight {
	ProcessSight p; /* points into this struct */
	char *cmdline, *environ;
	char **files;
	size_t n;
} Sight;

/* Of the unit's main process, or of the program that it started where it is a shell or the like, or
 * of what runs in its container where it is `docker run` and that can be told from others.
 * -ESRCH: it ended meanwhile. -EACCES: not ours to look at. -EAGAIN: the manager's process has not
 * become the unit's program yet (a unit of Type=simple counts as started by then), or its container
 * is only being made. */
int sight_read(const Adoption *a, pid_t main_pid, Sight *ret, Err *err) _must_check_;
void sight_done(Sight *s);

/* Is it a program whose business is to start another one? */
bool is_wrapper(const char *argv0);

/* Strings with a NUL after each, as a list that points into a copy with a NUL behind it. */
int sight_split(const char *data, size_t len, char **ret_copy, char ***ret, Err *err) _must_check_;
