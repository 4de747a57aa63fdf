#include "base/proc.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/strings.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- What to execute ------------------------------------------------------------------------- */

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Looked up here, not by execvp(): that would hand a file without "#!" to a shell. */
int proc_find_program(const char *name, char **ret, Err *err)
{
	if (strchr(name, '/')) {
		*ret = strdup(name);
		return *ret ? 0 : err_oom(err);
	}
	const char *path = getenv("PATH");
	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t len = strcspn(p, ":");
		if (*p == '/') {
			_cleanup_free_ char *full = str_fmt("%.*s/%s", (int)len, p, name);
			if (!full)
				return err_oom(err);
			if (is_program(full)) {
				*ret = TAKE_PTR(full);
				return 0;
			}
		}
		p += len + (p[len] == ':');
	}
	return err_set(err, -ENOENT, "there is no program '%s' in PATH", name);
}

bool program_is_shell(const char *path)
{
	static const char *const shells[] = {"sh",  "bash", "dash", "zsh",  "ksh",
					     "ash", "fish", "csh",  "tcsh", NULL};
	return words_have(shells, path_base(path));
}

/* The names agree, where `b` may lack the '='. */
static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(b, "=");
	return strncmp(a, b, n) == 0 && a[n] == '=';
}

static bool is_overridden(const char *entry, const char *const *env)
{
	for (; env && *env; env++)
		if (same_name(entry, *env))
			return true;
	return false;
}

/* Ours without what `env` replaces or removes, then the additions. The strings are borrowed. */
static char **build_env(const char *const *env, bool whole)
{
	char **ours = whole ? NULL : environ;
	size_t n = 0;
	for (char **e = ours; e && *e; e++)
		n++;
	for (const char *const *e = env; e && *e; e++)
		n++;
	char **list = calloc(n + 1, sizeof(*list));
	if (!list)
		return NULL;
	n = 0;
	for (char **e = ours; e && *e; e++)
		if (!is_overridden(*e, env))
			list[n++] = *e;
	for (; env && *env; env++)
		if (strchr(*env, '='))
			memcpy(&list[n++], env, sizeof(*list));
	return list;
}

/* --- Spawning -------------------------------------------------------------------------------- */

/* All descriptors of one spawn, so that every way out closes the same ones. */
typedef struct Ends {
	int ours[3];   /* in, out, err */
	int theirs[3]; /* what the program gets as 0, 1, 2 */
	int report[2], gate[2];
} Ends;

#define ENDS_INIT \
	((Ends){.ours = {-1, -1, -1}, .theirs = {-1, -1, -1}, .report = {-1, -1}, .gate = {-1, -1}})

static void ends_close(Ends *e)
{
	for (int i = 0; i < 3; i++) {
		close_fd(&e->ours[i]);
		close_fd(&e->theirs[i]);
	}
	for (int i = 0; i < 2; i++) {
		close_fd(&e->report[i]);
		close_fd(&e->gate[i]);
	}
}

/* Above 2, so that making one standard stream cannot overwrite the source of another. */
static int lift(int *fd)
{
	if (*fd > 2)
		return 0;
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (high < 0)
		return -errno;
	close(*fd);
	*fd = high;
	return 0;
}

static int make_pipe(int *read_end, int *write_end)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*read_end = fds[0];
	*write_end = fds[1];
	int r = lift(read_end);
	return r < 0 ? r : lift(write_end);
}

static int dup_high(int fd, int *ret)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (high < 0)
		return -errno;
	*ret = high;
	return 0;
}

static int make_ends(const ProcSpec *spec, Ends *e, Err *err)
{
	int r = make_pipe(&e->report[0], &e->report[1]);
	if (r >= 0)
		r = make_pipe(&e->gate[0], &e->gate[1]);
	if (r >= 0)
		r = spec->stdout_fd > 0 ? dup_high(spec->stdout_fd, &e->theirs[1])
					: make_pipe(&e->ours[1], &e->theirs[1]);
	if (r >= 0)
		r = spec->stderr_fd >= 0 ? dup_high(spec->stderr_fd, &e->theirs[2])
					 : make_pipe(&e->ours[2], &e->theirs[2]);
	if (r >= 0 && !spec->stdin_path)
		r = make_pipe(&e->theirs[0], &e->ours[0]);
	if (r < 0)
		return err_set(err, r, "cannot make pipes for '%s': %s", spec->argv[0],
			       strerror(-r));
	if (spec->stdin_path) {
		e->theirs[0] = open(spec->stdin_path, O_RDONLY | O_CLOEXEC);
		r = e->theirs[0] < 0 ? -errno : lift(&e->theirs[0]);
		if (r < 0)
			return err_set(err, r, "cannot open %s as the input of '%s': %s",
				       spec->stdin_path, spec->argv[0], strerror(-r));
	}
	for (int i = 0; i < 3; i++)
		if (e->ours[i] >= 0)
			fcntl(e->ours[i], F_SETFL, fcntl(e->ours[i], F_GETFL) | O_NONBLOCK);
	return 0;
}

static bool read_report(int fd, GuardReport *ret)
{
	ssize_t n;
	do
		n = read(fd, ret, sizeof(*ret));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*ret);
}

static const char *exec_hint(int error)
{
	if (error == ENOEXEC)
		return " (a script needs a first line like #!/bin/sh)";
	if (error == ENOENT)
		return " (it, or the interpreter that its first line names)";
	return "";
}

static int spawn_failed(const ProcSpec *spec, const GuardReport *rep, Err *err)
{
	const char *why = strerror(rep->error);
	switch ((GuardStep)rep->step) {
	case GUARD_CWD:
		return err_set(err, -rep->error, "cannot run '%s' in the folder %s: %s",
			       spec->argv[0], spec->cwd, why);
	case GUARD_FORK:
		return err_set(err, -rep->error, "cannot start a process for '%s': %s",
			       spec->argv[0], why);
	case GUARD_STDIO:
		return err_set(err, -rep->error, "cannot pass descriptors to '%s': %s",
			       spec->argv[0], why);
	case GUARD_USER:
		return err_set(err, -rep->error, "cannot run '%s' as another user: %s",
			       spec->argv[0], why);
	case GUARD_STARTED:
	case GUARD_EXEC:
		break;
	}
	return err_set(err, -rep->error, "cannot execute '%s': %s%s", spec->argv[0], why,
		       exec_hint(rep->error));
}

/* From the fork of the guard to the execution of the program. */
static int admit(const ProcSpec *spec, Ends *e, Proc *p, Err *err)
{
	GuardReport rep;

	if (!read_report(e->report[0], &rep))
		return err_set(err, -EIO, "the guard process of '%s' died at its start",
			       spec->argv[0]);
	if (rep.error)
		return spawn_failed(spec, &rep, err);
	p->pid = rep.pid;
	if (spec->admit) {
		int r = spec->admit(spec->admit_ctx, p->pid, err);
		if (r < 0)
			return r;
	}
	if (write(e->gate[1], "", 1) != 1)
		return err_set(err, -errno, "cannot start '%s': %s", spec->argv[0],
			       strerror(errno));
	if (read_report(e->report[0], &rep))
		return spawn_failed(spec, &rep, err);
	return 0;
}

static pid_t fork_guard(const GuardSpec *g)
{
	sigset_t all, old;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0)
		guard_main(g);
	int e = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = e;
	return pid;
}

static int spawn_with(const ProcSpec *spec, Ends *e, Proc *p, Err *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char **envp = NULL;

	int r = proc_find_program(spec->argv[0], &path, err);
	if (r < 0)
		return r;
	envp = build_env(spec->env, spec->whole_env);
	if (!envp)
		return err_oom(err);
	r = make_ends(spec, e, err);
	if (r < 0)
		return r;

	GuardSpec g = {
	    .path = path,
	    .envp = envp,
	    .cwd = spec->cwd,
	    .keep_fds = spec->keep_fds,
	    .n_keep_fds = spec->n_keep_fds,
	    .own_session = spec->own_session,
	    .user = spec->user,
	    .stdio = {e->theirs[0], e->theirs[1], e->theirs[2]},
	    .report = e->report[1],
	    .gate = {e->gate[0], e->gate[1]},
	    .creator = getpid(),
	};
	memcpy(&g.argv, &spec->argv, sizeof(g.argv)); /* execve() changes none of it */
	p->guard = fork_guard(&g);
	if (p->guard < 0) {
		p->guard = 0;
		return err_set(err, -errno, "cannot start a process for '%s': %s", spec->argv[0],
			       strerror(errno));
	}
	close_fd(&e->report[1]);
	close_fd(&e->gate[0]);
	p->pidfd = (int)syscall(SYS_pidfd_open, p->guard, 0);
	if (p->pidfd < 0)
		return err_set(err, -errno, "cannot watch '%s': %s", spec->argv[0],
			       strerror(errno));
	return admit(spec, e, p, err);
}

int proc_spawn(const ProcSpec *spec, Proc *ret, Err *err)
{
	Ends e = ENDS_INIT;
	Proc p = PROC_INIT;

	int r = spawn_with(spec, &e, &p, err);
	if (r >= 0) {
		p.in = e.ours[0];
		p.out = e.ours[1];
		p.err = e.ours[2];
		e.ours[0] = e.ours[1] = e.ours[2] = -1;
		*ret = p;
		r = 0;
	} else {
		ends_close(&e); /* first: the program waits at the gate, and this calls it off */
		proc_done(&p);
	}
	ends_close(&e);
	return r;
}

/* --- The end --------------------------------------------------------------------------------- */

void proc_kill(const Proc *p)
{
	if (p->guard <= 0)
		return;
	kill(p->guard, SIGTERM);
	kill(p->guard, SIGCONT); /* somebody may have stopped it */
}

int proc_reap(Proc *p, siginfo_t *ret)
{
	siginfo_t si = {0};
	int r;

	if (p->guard <= 0)
		return -ECHILD;
	do
		r = waitid(P_PID, (id_t)p->guard, &si, WEXITED | WNOHANG);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (si.si_pid == 0)
		return 0;
	p->guard = 0;
	*ret = si;
	return 1;
}

static ssize_t write_quietly(int fd, const void *data, size_t len)
{
	const struct timespec now = {0};
	sigset_t pipe_set, old, pending;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	sigprocmask(SIG_BLOCK, &pipe_set, &old);
	ssize_t n = write(fd, data, len);
	int e = n < 0 ? errno : 0;
	if (e == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe_set, NULL, &now);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return n < 0 ? -e : n;
}

ssize_t proc_write(const Proc *p, const void *data, size_t len)
{
	if (p->in < 0)
		return -EPIPE;
	ssize_t n = write_quietly(p->in, data, len);
	return n == -EAGAIN || n == -EINTR ? 0 : n;
}

void proc_leave(Proc *p)
{
	if (p->guard > 0)
		proc_kill(p);
	p->guard = 0;
	proc_done(p);
}

void proc_done(Proc *p)
{
	siginfo_t si;

	close_fd(&p->in);
	close_fd(&p->out);
	close_fd(&p->err);
	if (p->guard > 0) {
		proc_kill(p);
		struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
		int64_t until = clock_mono_us(&clock_system) + PROC_KILL_WAIT_US, now;
		while (proc_reap(p, &si) == 0 && (now = clock_mono_us(&clock_system)) < until) {
			/* Without a pidfd the wait is in small steps. */
			int left_ms = (int)((until - now) / 1000) + 1;
			poll(&pfd, 1, p->pidfd < 0 ? 1 : left_ms);
		}
	}
	close_fd(&p->pidfd);
	*p = PROC_INIT;
}

void proc_describe(const siginfo_t *s, char *ret)
{
	if (s->si_code == CLD_EXITED) {
		snprintf(ret, 48, "exit status %d", s->si_status);
		return;
	}
	const char *name = sigabbrev_np(s->si_status);
	if (name)
		snprintf(ret, 48, "killed by SIG%s", name);
	else
		snprintf(ret, 48, "killed by signal %d", s->si_status);
}

/* --- Running to the end ---------------------------------------------------------------------- */

enum {
	STDERR_TAIL = 300
};

typedef struct RunIo {
	Proc p;
	const char *input;
	size_t input_len;
	size_t max;
	Str out, err;
} RunIo;

static void feed(RunIo *io)
{
	ssize_t n = proc_write(&io->p, io->input, io->input_len);
	if (n > 0) {
		io->input += n;
		io->input_len -= (size_t)n;
	}
	if (n < 0 || io->input_len == 0)
		close_fd(&io->p.in);
}

static void keep_tail(Str *s, size_t max)
{
	if (s->len <= max)
		return;
	memmove(s->s, s->s + s->len - max, max + 1);
	s->len = max;
}

/* -EFBIG: more than was wanted. */
static int drain(int *fd, Str *into, size_t max, bool tail)
{
	char buf[16384];
	for (;;) {
		ssize_t n = read(*fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			close_fd(fd);
			return 0;
		}
		if (!tail && into->len + (size_t)n > max)
			return -EFBIG;
		str_addn(into, buf, (size_t)n);
		if (tail)
			keep_tail(into, max);
	}
}

/* Until all its output is read and it has ended. */
static int run_io(RunIo *io, int64_t until_us, siginfo_t *ret)
{
	for (;;) {
		if (io->p.in >= 0)
			feed(io);
		if (io->p.out < 0 && io->p.err < 0) {
			int r = proc_reap(&io->p, ret);
			if (r != 0)
				return r < 0 ? r : 0;
		}
		int64_t left = until_us - clock_mono_us(&clock_system);
		if (left <= 0)
			return -ETIMEDOUT;
		/* A pidfd is watched only when the pipes are done, since it stays readable. */
		bool piped = io->p.out >= 0 || io->p.err >= 0;
		struct pollfd pfd[4] = {
		    {.fd = io->p.in, .events = POLLOUT},
		    {.fd = io->p.out, .events = POLLIN},
		    {.fd = io->p.err, .events = POLLIN},
		    {.fd = piped ? -1 : io->p.pidfd, .events = POLLIN},
		};
		int64_t ms = (left + 999) / 1000;
		if (poll(pfd, 4, ms > INT_MAX ? INT_MAX : (int)ms) < 0 && errno != EINTR)
			return -errno;
		int r = pfd[1].revents ? drain(&io->p.out, &io->out, io->max, false) : 0;
		if (r >= 0 && pfd[2].revents)
			r = drain(&io->p.err, &io->err, STDERR_TAIL, true);
		if (r < 0)
			return r;
	}
}

/* The last words of stderr on one line. */
static const char *last_words(Str *s)
{
	while (s->len > 0 && (unsigned char)s->s[s->len - 1] <= ' ')
		s->s[--s->len] = '\0';
	for (size_t i = 0; i < s->len; i++)
		if ((unsigned char)s->s[i] < ' ' || s->s[i] == 0x7f)
			s->s[i] = ' ';
	return s->len ? s->s : "it said nothing on stderr";
}

static int run_verdict(const char *name, int r, const siginfo_t *si, RunIo *io, int64_t timeout_us,
		       Err *err)
{
	char how[48], limit[32];

	if (r == -ETIMEDOUT) {
		time_human(timeout_us, limit);
		return err_set(err, r, "'%s' did not end within %s", name, limit);
	}
	if (r == -EFBIG)
		return err_set(err, r, "'%s' wrote more than %zu bytes", name, io->max);
	if (r < 0)
		return err_set(err, r, "cannot follow '%s': %s", name, strerror(-r));
	if (si->si_code == CLD_EXITED && si->si_status == 0)
		return 0;
	proc_describe(si, how);
	return err_set(err, -EIO, "'%s' failed (%s): %s", name, how, last_words(&io->err));
}

int proc_run(const ProcSpec *spec, const void *input, size_t input_len, size_t max,
	     int64_t timeout_us, char **ret_out, size_t *ret_len, Err *err)
{
	RunIo io = {.p = PROC_INIT, .input = input, .input_len = input_len, .max = max};
	siginfo_t si = {0};
	int64_t until_us = clock_mono_us(&clock_system) + timeout_us;

	int r = proc_spawn(spec, &io.p, err);
	if (r < 0)
		return r;
	r = run_verdict(spec->argv[0], run_io(&io, until_us, &si), &si, &io, timeout_us, err);
	proc_done(&io.p);
	size_t len = io.out.len;
	char *out = NULL;
	if (r >= 0 && str_take(&io.out, &out) < 0)
		r = err_oom(err);
	if (r >= 0) {
		*ret_out = out;
		if (ret_len)
			*ret_len = len;
	}
	str_done(&io.out);
	str_done(&io.err);
	return r;
}
