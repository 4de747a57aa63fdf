#pragma once
/* The command of a trial that runs as an instance of the static template dream-trial@.service, for
 * a daemon that may start units of that name and nothing else (polkit cannot tell transient units
 * apart).
 *
 * The daemon writes the command to a file named after the instance; the unit's program, already as
 * the user that trials run as, reads it and executes it. So nobody with more rights than a trial
 * ever reads what the daemon wrote, and the unit's own sandbox and limits, which root wrote, hold
 * whatever the file says. */
#include "base/err.h"

#define TRIALFILE_DIR "/run/dream/trials"

/* Replaces the file whole; readable by the folder's group (2750 dream:dream-trial), since the
 * environment may hold secrets. `cwd` may be NULL. -EINVAL: no name of an instance, or no absolute
 * program. */
int trialfile_write(const char *dir, const char *instance, char *const *argv, char *const *env,
		    const char *cwd, Err *err) _must_check_;
int trialfile_remove(const char *dir, const char *instance, Err *err) _must_check_;
/* Becomes the command. Returns only on failure: -EPERM as root, or when somebody other than root
 * and the folder's owner could have written the file. */
int trialfile_run(const char *path, Err *err) _must_check_;
