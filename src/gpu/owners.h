#pragma once
/* Which processes belong to a service: by cgroup, or by descent from its leader. Never by name. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* A set of processes is told by where they are, and looked up afresh each time. */
typedef struct Owner {
	const char *name;   /* of the service; borrowed */
	const char *cgroup; /* everything at or below it ("/system.slice/judge.service"); NULL */
	pid_t leader;	    /* and everything that descends from it; 0: none */
} Owner;

/* Does the process belong to it now? A process that is gone does not. */
bool owner_has(const Owner *o, pid_t pid);
/* Its processes, sorted. New array of *ret_n; -ENOMEM. */
int owner_pids(const Owner *o, pid_t **ret, size_t *ret_n) _must_check_;
/* "/system.slice/judge.service", of the unified hierarchy or systemd's own; "" when it cannot be
 * read. New string. */
int process_cgroup(pid_t pid, char **ret) _must_check_;
/* "judge.service", "docker 3f2a...", "user session" or "": where the process runs, from its cgroup.
 * New string. */
int process_home(pid_t pid, char **ret) _must_check_;
/* Its command line for people, made safe and cut; arguments that may hold secrets are left out. New
 * string. */
int process_words(pid_t pid, char **ret) _must_check_;
/* Does the name of an option or variable, or a value by its looks, promise something secret? */
bool words_name_is_secret(const char *name, size_t len);
bool words_value_is_secret(const char *value);
