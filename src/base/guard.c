/* The guard process. It may be a copy of a big program that holds any lock, so it keeps away from
 * everything but system calls and /proc, and leaves by _exit(). */
#include "base/guard.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void report(const GuardSpec *g, GuardStep step, pid_t pid, int error)
{
	GuardReport r = {.pid = pid, .error = error, .step = step};
	ssize_t n = write(g->report, &r, sizeof(r));
	(void)n; /* a creator that is gone needs no report */
}

static void reset_signals(void)
{
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
}

/* --- The program, before it is executed ------------------------------------------------------ */

static int inherit_only(const GuardSpec *g)
{
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	for (size_t i = 0; i < g->n_keep_fds; i++)
		if (fcntl(g->keep_fds[i], F_SETFD, 0) < 0)
			return -errno;
	return 0;
}

/* A change of user takes the parent-death signal away. */
static int become(const ProcUser *u)
{
	if (!u)
		return 0;
	if (setgroups(u->n_groups, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0)
		return -errno;
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

_Noreturn static void worker_main(const GuardSpec *g, pid_t guard)
{
	sigset_t none;
	char go;

	if (g->own_session)
		setsid();
	else
		setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != guard)
		_exit(127);
	reset_signals();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	if (read(g->gate[0], &go, 1) != 1)
		_exit(127);
	for (int i = 0; i < 3; i++)
		if (dup2(g->stdio[i], i) < 0) {
			report(g, GUARD_STDIO, 0, errno);
			_exit(127);
		}
	int r = inherit_only(g);
	if (r < 0) {
		report(g, GUARD_STDIO, 0, -r);
		_exit(127);
	}
	r = become(g->user);
	if (r < 0) {
		report(g, GUARD_USER, 0, -r);
		_exit(127);
	}
	if (g->cwd && chdir(g->cwd) < 0) {
		report(g, GUARD_CWD, 0, errno);
		_exit(127);
	}
	execve(g->path, g->argv, g->envp);
	report(g, GUARD_EXEC, 0, errno);
	_exit(127);
}

/* --- The guard ------------------------------------------------------------------------------- */

static bool is_kept(const GuardSpec *g, int fd)
{
	for (size_t i = 0; i < g->n_keep_fds; i++)
		if (g->keep_fds[i] == fd)
			return true;
	return false;
}

/* The guard holds what the program was given to keep (a lock lives as long as its last process) and
 * nothing else: an open end of a pipe here would hide the end of the program's output. */
static void close_others(const GuardSpec *g)
{
	int from = 0, top = 0;
	for (size_t i = 0; i < g->n_keep_fds; i++)
		if (g->keep_fds[i] > top)
			top = g->keep_fds[i];
	for (int fd = 0; fd <= top; fd++)
		if (is_kept(g, fd)) {
			if (fd > from)
				close_range((unsigned)from, (unsigned)fd - 1, 0);
			from = fd + 1;
		}
	close_range((unsigned)from, ~0U, 0);
}

static pid_t parent_of(const char *pid_text)
{
	char path[64], buf[512];

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid_text);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	const char *after = strrchr(buf, ')'); /* the name may hold anything */
	int parent = 0;
	if (!after || sscanf(after, ") %*c %d", &parent) != 1)
		return 0;
	return parent;
}

/* Only our own children, which nobody but us can reap: their numbers cannot mean another process.
 * As they die, theirs become ours. */
static void kill_children(void)
{
	pid_t me = getpid();
	DIR *d = opendir("/proc");
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (isdigit((unsigned char)e->d_name[0]) && parent_of(e->d_name) == me)
			kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
	closedir(d);
}

/* Reaps what is dead. False: no child is left. Remembers how the program itself ended. */
static bool reap(pid_t program, siginfo_t *end)
{
	for (;;) {
		siginfo_t si = {0};
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (si.si_pid == 0)
			return true;
		if (si.si_pid == program)
			*end = si;
	}
}

static void kill_all(pid_t program, siginfo_t *end)
{
	const struct timespec soon = {.tv_nsec = 5000000};
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (end->si_pid == 0)
		kill(-program, SIGKILL);
	while (reap(program, end)) {
		kill_children();
		sigtimedwait(&chld, NULL, &soon);
	}
}

/* Ends the way the program ended, so that our creator sees its status. */
_Noreturn static void end_like(const siginfo_t *end)
{
	if (end->si_code == CLD_EXITED)
		_exit(end->si_status);
	sigset_t all;
	sigfillset(&all);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	raise(end->si_status);
	_exit(128 + end->si_status);
}

_Noreturn void guard_main(const GuardSpec *g)
{
	siginfo_t end = {0};
	sigset_t wake;

	reset_signals();
	setpgid(0, 0); /* a Ctrl-C in the terminal is our creator's business */
	prctl(PR_SET_NAME, "dream-guard");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != g->creator) /* it died before the line above */
		_exit(127);

	close(g->gate[1]);
	pid_t me = getpid(), program = fork();
	if (program < 0) {
		report(g, GUARD_FORK, 0, errno);
		_exit(127);
	}
	if (program == 0)
		worker_main(g, me);
	if (!g->own_session) /* a leader of a group could not begin a session */
		setpgid(program, program);
	report(g, GUARD_STARTED, program, 0);
	close_others(g);

	sigemptyset(&wake);
	sigaddset(&wake, SIGCHLD);
	sigaddset(&wake, SIGTERM);
	while (reap(program, &end) && end.si_pid == 0) {
		if (sigwaitinfo(&wake, NULL) == SIGTERM)
			break;
	}
	kill_all(program, &end);
	end_like(&end);
}
