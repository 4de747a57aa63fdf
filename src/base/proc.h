#pragma once
/* Child processes, without a shell: an argument vector, its own process group, pipes on the three
 * standard streams, no other descriptor but those asked for. */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

typedef struct ProcSpec {
	const char *const *argv; /* argv[0] is looked up in PATH when it has no slash */
	const char *const
	    *env;	 /* "NAME=value" added to (or replacing in) our environment; may be NULL */
	const char *cwd; /* NULL: ours */
	const int *keep_fds; /* descriptors that the child inherits under the same number */
	size_t n_keep_fds;
	const char *stdin_path; /* NULL: a pipe; else opened for reading ("/dev/null") */
	int stderr_fd;		/* -1: a pipe; else duplicated */
} ProcSpec;

typedef struct Proc {
	pid_t pid; /* leader of its own process group; dies by SIGKILL when we die */
	int pidfd;
	int in, out, err; /* our ends, non-blocking, close-on-exec; -1 where there is no pipe */
} Proc;

#define PROC_INIT ((Proc){.pid = 0, .pidfd = -1, .in = -1, .out = -1, .err = -1})

/* A program that cannot be executed is an error here (-ENOENT, -EACCES, ...), not an exit status.
 */
int proc_spawn(const ProcSpec *spec, Proc *ret, Err *err) _must_check_;

/* SIGKILL to the whole group, and to what of it moved to another group but is still our descendant;
 * never fails. */
void proc_kill(const Proc *p);

/* Collects the status without blocking: 1 = *ret is filled, 0 = still running. */
int proc_reap(Proc *p, siginfo_t *ret);

/* Kills, waits, closes. Safe on PROC_INIT and twice. */
void proc_done(Proc *p);

/* "exit status 3", "killed by SIGSEGV"; `ret` holds at least 48 bytes. */
void proc_describe(const siginfo_t *s, char *ret);

/* Runs to the end, for short helpers: waits at most timeout_us, keeps at most `max` bytes of
 * stdout. 0 on exit status 0; -ETIMEDOUT; -EIO with the tail of stderr in the message otherwise. */
int proc_run(const ProcSpec *spec, const void *input, size_t input_len, size_t max,
	     int64_t timeout_us, char **ret_out, size_t *ret_len, Err *err) _must_check_;
