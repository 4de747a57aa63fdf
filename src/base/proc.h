#pragma once
/* Child processes, without a shell: an argument vector, its own process group, pipes on the three
 * standard streams, no other descriptor but those asked for.
 *
 * Between us and the program stands a guard, a small process of ours that does nothing but wait:
 * whatever the program starts and abandons, in whatever group or session, becomes the guard's child
 * (PR_SET_CHILD_SUBREAPER). When the program ends, when we ask, or when we die (even by SIGKILL),
 * the guard kills all that is left and then ends the way the program ended. So a Proc that has been
 * reaped has left no process behind, and neither has a run that was killed. */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Whose rights the program gets. Only root may give others than its own. */
typedef struct ProcUser {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;
} ProcUser;

typedef struct ProcSpec {
	const char *const *argv; /* argv[0] is looked up in our PATH when it has no slash */
	const char *const *env;	 /* "NAME=value" is added to (or replaces in) our environment,
				    "NAME" alone is removed; may be NULL */
	bool whole_env;		 /* `env` is all of it, and nothing of ours is inherited */
	bool own_session;	 /* a session of its own, not only a process group */
	const ProcUser *user;	 /* NULL: ours */
	const char *cwd;	 /* NULL: ours; an argv[0] like "./x" is taken from here */
	const int *keep_fds;	 /* descriptors above 2 that the child inherits under the same
				    number; open until the last of its descendants is dead */
	size_t n_keep_fds;
	const char *stdin_path; /* NULL: a pipe; else opened for reading ("/dev/null") */
	int stdout_fd;		/* 0 or -1: a pipe; else duplicated */
	int stderr_fd;		/* -1: a pipe; else duplicated */
	/* Called in our process when the program has its pid and its group but has not been
	 * executed; a negative result calls it off. May be NULL. */
	int (*admit)(void *ctx, pid_t pid, Err *err);
	void *admit_ctx;
} ProcSpec;

typedef struct Proc {
	pid_t pid;   /* the program: leader of its own process group */
	pid_t guard; /* our child; 0 when reaped */
	int pidfd;   /* readable when the program has ended and everything it started is dead */
	int in, out, err; /* our ends, non-blocking, close-on-exec; -1 where there is no pipe */
} Proc;

#define PROC_INIT ((Proc){.pid = 0, .pidfd = -1, .in = -1, .out = -1, .err = -1})

/* The path of a program: `name` itself when it has a slash (existing or not), else where PATH has
 * it; only absolute entries count, since the child may run elsewhere. -ENOENT: nowhere. */
int proc_find_program(const char *name, char **ret, Err *err) _must_check_;
/* By its name, wherever it is. */
bool program_is_shell(const char *path);

/* A program that cannot be executed is an error here (-ENOENT, -EACCES, -ENOEXEC, ...), not an exit
 * status. */
int proc_spawn(const ProcSpec *spec, Proc *ret, Err *err) _must_check_;

/* SIGKILL to the program and to everything it started, wherever it moved; returns at once, never
 * fails. */
void proc_kill(const Proc *p);

/* Collects the status without blocking: 1 = *ret is filled, 0 = still running. -ECHILD: reaped
 * before. */
int proc_reap(Proc *p, siginfo_t *ret);

/* Writes to the program's standard input: bytes taken, 0 = the pipe is full, -EPIPE = it does not
 * read any more (no SIGPIPE), or another negative errno. */
ssize_t proc_write(const Proc *p, const void *data, size_t len);

/* Kills, waits, closes. Safe on PROC_INIT and twice. The wait is bounded (PROC_KILL_WAIT_US): what
 * hangs in a driver cannot be killed and must not hang us too; its guard stays with it. */
void proc_done(Proc *p);
/* The same without the wait, for one that was waited for in vain. */
void proc_leave(Proc *p);

enum {
	PROC_KILL_WAIT_US = 5000000
};

/* "exit status 3", "killed by SIGSEGV"; `ret` holds at least 48 bytes. */
void proc_describe(const siginfo_t *s, char *ret);

/* Runs to the end, for short helpers: waits at most timeout_us, keeps at most `max` bytes of
 * stdout (more is -EFBIG). 0 on exit status 0; -ETIMEDOUT; -EIO with the tail of stderr in the
 * message otherwise. *ret_out has a NUL after it (not counted). */
int proc_run(const ProcSpec *spec, const void *input, size_t input_len, size_t max,
	     int64_t timeout_us, char **ret_out, size_t *ret_len, Err *err) _must_check_;
