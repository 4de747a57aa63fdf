#pragma once
/* systemd over its D-Bus interface: units, their properties, jobs. Asynchronous on the caller's
 * loop where it may take long; a property read is one short call. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct Systemd Systemd; /* a connection to one manager */

/* -ENOENT or -ECONNREFUSED: no systemd manager is to be reached here. `user`: the user's own
 * manager. */
int systemd_open(sd_event *loop, bool user, Systemd **ret, Err *err) _must_check_;
Systemd *systemd_close(Systemd *s); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Systemd *, systemd_close)
bool systemd_is_user(const Systemd *s);
sd_event *systemd_loop(const Systemd *s);

typedef struct UnitState {
	char load[24], active[24], sub[24]; /* "loaded", "active", "running" */
	char result[24];		    /* "success", "oom-kill", "exit-code", ... */
	char invocation[40];
	pid_t main_pid;
	int exit_code, exit_status; /* ExecMainCode (CLD_*), ExecMainStatus */
	int64_t restarts;
	int64_t active_since_us; /* monotonic; 0: not */
	int64_t started_in_us;	 /* what its last start took until it was active; 0: unknown */
	bool needs_reload;
	char *cgroup; /* "/system.slice/x.service"; "" */
} UnitState;

/* A unit that does not exist is no error: its `load` is "not-found". */
int unit_state(Systemd *s, const char *unit, UnitState *ret, Err *err) _must_check_;
void unit_state_done(UnitState *u);

/* What a unit runs, as the manager has it: specifiers are resolved, variables in the command line
 * are not. */
typedef struct UnitExec {
	char *unit, *fragment; /* the unit's file; may be "" */
	char **argv;	       /* argv[0] is the path that is executed */
	size_t n_commands;     /* of ExecStart=; more than one is a oneshot's */
	char **env;	       /* Environment= */
	char **env_files;      /* EnvironmentFile=; a leading "-": may be missing */
	char *user, *group, *cwd, *root_dir;
	char *type; /* "notify", ... */
	json_t *
	    limits; /* the Limit*, CPUQuota.., MemoryMax, TasksMax that are set, by property name */
	json_t *sandbox; /* ProtectSystem, PrivateTmp, ... that are set and change what the program
			    sees */
} UnitExec;

int unit_exec(Systemd *s, const char *unit, UnitExec *ret, Err *err) _must_check_;
void unit_exec_done(UnitExec *u);

/* Where a unit comes from, and what it is ordered after. Both end with NULL. */
typedef struct UnitOrigin {
	char **paths; /* its own file, then its drop-ins as the manager reads them */
	char **after; /* After=, of all files and what is implied */
} UnitOrigin;

int unit_origin(Systemd *s, const char *unit, UnitOrigin *ret, Err *err) _must_check_;
/* The same and its state, of one moment and for the price of one call. */
int unit_origin_state(Systemd *s, const char *unit, UnitOrigin *ret, UnitState *ret_state,
		      Err *err) _must_check_;
void unit_origin_done(UnitOrigin *u);

/* Jobs. done() gets systemd's result word ("done", "failed", "timeout", "dependency", ...) or an
 * error (then `result` is NULL): -ENOENT no such unit, -EACCES not allowed (the message says which
 * right is missing), -ENOTCONN the manager is gone. Called once, from the loop, never from inside
 * the call that made the job. The signal is subscribed to before the call is made. */
typedef void JobDone(void *ctx, const char *result, const Err *err);
typedef struct Job_ UnitJob;
int unit_start(Systemd *s, const char *unit, JobDone *done, void *ctx, UnitJob **ret,
	       Err *err) _must_check_;
int unit_stop(Systemd *s, const char *unit, JobDone *done, void *ctx, UnitJob **ret,
	      Err *err) _must_check_;
/* Stops and starts it; starts it when it did not run. */
int unit_restart(Systemd *s, const char *unit, JobDone *done, void *ctx, UnitJob **ret,
		 Err *err) _must_check_;
/* done() is not called any more; the job goes on. Accepts NULL, returns NULL; not after done(). */
UnitJob *unitjob_forget(UnitJob *j);
/* What a job's or a unit's result word means and what to do about it; a clause for a message. */
const char *unit_result_words(const char *result);

/* A transient service. Properties by systemd's names, in the order given. */
typedef struct TransientSpec {
	const char *unit; /* "dream-trial-....service" */
	const char *description;
	char *const *argv;
	char *const *env;     /* every local user can read it over D-Bus: no secrets */
	const char *env_file; /* read by the manager when it starts; NULL */
	const char *cwd, *user, *group;
	const char *slice;
	int64_t memory_max, tasks_max; /* 0: none */
	double cpu_quota;	       /* 1.5: one and a half cores; 0: none */
	int64_t runtime_max_us;	       /* 0: none */
	int64_t nofile;		       /* 0: default */
	const char *const *conflicts;  /* NULL-terminated; NULL */
	const char *const *stop_post;  /* one command, NULL-terminated; NULL */
	int log_fd;		       /* standard output and error; -1: the journal */
	int input_fd;		  /* standard input; 0 or less: none. Of a pipe, the manager and the
				     process hold the reading end and nothing else */
	int64_t stop_timeout_us;  /* from SIGTERM to SIGKILL, and for stop_post; 0: default */
	int64_t start_timeout_us; /* 0: default */
	const char *type;	  /* "exec" when NULL: the start is done when the program runs */
	bool collect;		  /* not kept when it failed */
	const char *binds_to;	  /* ends when this unit ends; NULL */
} TransientSpec;
/* argv and stop_post are executed as they are: nothing in them is expanded. */
int unit_run_transient(Systemd *s, const TransientSpec *spec, JobDone *done, void *ctx,
		       UnitJob **ret, Err *err) _must_check_;
/* Forgets a failed unit ("systemctl reset-failed"). */
int unit_reset_failed(Systemd *s, const char *unit, Err *err) _must_check_;

/* The manager reads its unit files anew ("systemctl daemon-reload"), and returns when it has. It
 * may say that it did where it could not: look at the unit's needs_reload. */
int systemd_reload(Systemd *s, Err *err) _must_check_;
/* The name that is the unit's own, where `unit` is an alias. New string. */
int unit_own_name(Systemd *s, const char *unit, char **ret, Err *err) _must_check_;

/* Called from the loop when the unit is in another state than when the watch began, and at every
 * change after that, until forgotten. Several changes in a row may come as one. When the manager is
 * gone, `active` is "". */
typedef struct UnitWatch UnitWatch;
int unit_watch(Systemd *s, const char *unit, void (*changed)(void *ctx, const UnitState *u),
	       void *ctx, UnitWatch **ret, Err *err) _must_check_;
UnitWatch *unitwatch_free(UnitWatch *w); /* accepts NULL, returns NULL */

/* The unit that a process belongs to, from its cgroup; "" for none. Inside a user's manager it is
 * that manager's unit, where it has one. New string. */
int unit_of_pid(pid_t pid, char **ret, Err *err) _must_check_;
/* The same from the text of /proc/PID/cgroup. *ret_user (may be NULL): it is a unit of a user's
 * manager. */
int unit_of_cgroup(const char *text, char **ret, bool *ret_user) _must_check_;

typedef struct UnitName {
	char *name, *active, *description;
} UnitName;
/* The loaded service units. New array. */
int unit_list(Systemd *s, UnitName **ret, size_t *ret_n, Err *err) _must_check_;
void unit_list_free(UnitName *list, size_t n);
