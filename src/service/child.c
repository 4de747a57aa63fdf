/* A service as a child process: under the guard of base/proc.h, in a session of its own. */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "service/derive.h"
#include "service/internal.h"
#include "service/strings.h"

enum {
	GROUPS_MAX = 256,
	GIVE_UP_US = 10000000, /* after SIGKILL: it hangs in the kernel */
	STOP_DEFAULT_US = 20000000,
	CONTAINER_US = 15000000,
	CONTAINER_OUT_MAX = 4096,
};

/* --- Whose rights ---------------------------------------------------------------------------- */

typedef struct Account {
	char *name, *home, *shell; /* owned */
	ProcUser user;
	gid_t groups[GROUPS_MAX];
	bool other; /* than ours */
} Account;

static void account_done(Account *a)
{
	free(a->name);
	free(a->home);
	free(a->shell);
}

static const struct passwd *passwd_of(const char *user)
{
	uint64_t uid = 0;
	bool number = user && *user && strspn(user, "0123456789") == strlen(user);
	for (const char *p = user; number && *p && uid <= UINT32_MAX; p++)
		uid = uid * 10 + (uint64_t)(*p - '0');
	return !user ? getpwuid(geteuid()) : number ? getpwuid((uid_t)uid) : getpwnam(user);
}

static int find_group(const char *name, gid_t *ret, Err *err)
{
	const struct group *g = getgrnam(name);
	if (!g)
		return err_set(err, -ESRCH, "there is no group '%s' here", name);
	*ret = g->gr_gid;
	return 0;
}

static int find_account(const ServerCommand *c, Account *ret, Err *err)
{
	const struct passwd *pw = passwd_of(c->user);
	int n = GROUPS_MAX;

	if (!pw && c->user)
		return err_set(err, -ESRCH, "there is no user '%s' here", c->user);
	if (!pw)
		return 0; /* an account that is a number only */
	ret->user.uid = pw->pw_uid;
	ret->user.gid = pw->pw_gid;
	ret->name = strdup(pw->pw_name);
	ret->home = strdup(pw->pw_dir);
	ret->shell = strdup(pw->pw_shell);
	if (!ret->name || !ret->home || !ret->shell)
		return err_oom(err);
	int r = c->group ? find_group(c->group, &ret->user.gid, err) : 0;
	if (r < 0)
		return r;
	ret->other = ret->user.uid != geteuid();
	if (!ret->other)
		return 0;
	if (geteuid() != 0)
		return err_set(err, -EPERM,
			       "it runs as %s in production, and only root may start it so; use "
			       "'as: units', or run as that user",
			       c->user);
	if (getgrouplist(ret->name, ret->user.gid, ret->groups, &n) < 0)
		n = GROUPS_MAX;
	ret->user.groups = ret->groups;
	ret->user.n_groups = (size_t)n;
	return 0;
}

/* --- Limits ---------------------------------------------------------------------------------- */

static const struct {
	const char *name; /* systemd's */
	int resource;
} rlimits[] = {
    {"LimitNOFILE", RLIMIT_NOFILE}, {"LimitMEMLOCK", RLIMIT_MEMLOCK},
    {"LimitSTACK", RLIMIT_STACK},   {"LimitCORE", RLIMIT_CORE},
    {"LimitAS", RLIMIT_AS},	    {"LimitDATA", RLIMIT_DATA},
    {"LimitFSIZE", RLIMIT_FSIZE},   {"LimitNPROC", RLIMIT_NPROC},
    {"LimitCPU", RLIMIT_CPU},	    {"LimitRSS", RLIMIT_RSS},
    {"LimitNICE", RLIMIT_NICE},	    {"LimitRTPRIO", RLIMIT_RTPRIO},
};

/* A number, or "infinity" as text or as the greatest one. */
static bool limit_of(const json_t *limits, const char *name, rlim_t *ret)
{
	const json_t *v = json_object_get(limits, name);
	if (json_is_string(v) && strcmp(json_string_value(v), "infinity") == 0) {
		*ret = RLIM_INFINITY;
		return true;
	}
	if (!json_is_integer(v))
		return false;
	*ret = (rlim_t)json_integer_value(v);
	return true;
}

/* One that we may not give is held as far as ours reaches. */
static void set_rlimits(Instance *i, pid_t pid)
{
	const json_t *limits = i->spec->command->limits;
	for (size_t k = 0; k < sizeof(rlimits) / sizeof(*rlimits); k++) {
		struct rlimit want, have;
		char soft[24];
		(void)snprintf(soft, sizeof(soft), "%sSoft", rlimits[k].name);
		if (!limit_of(limits, rlimits[k].name, &want.rlim_max))
			continue;
		if (!limit_of(limits, soft, &want.rlim_cur) || want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
		__typeof__(RLIMIT_AS) which = (__typeof__(RLIMIT_AS))rlimits[k].resource;
		if (prlimit(pid, which, &want, NULL) == 0)
			continue;
		instance_cannot_hold(i, rlimits[k].name);
		if (prlimit(pid, which, NULL, &have) < 0)
			continue;
		want.rlim_max = have.rlim_max;
		if (want.rlim_cur > have.rlim_max)
			want.rlim_cur = have.rlim_max;
		(void)prlimit(pid, which, &want, NULL);
	}
}

/* --- The end --------------------------------------------------------------------------------- */

static void remove_container(Instance *i)
{
	if (!i->container)
		return;
	const char *const argv[] = {i->container_program, "rm", "-f", i->container, NULL};
	ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	char *out = NULL;
	/* One that removed itself is no fault; what stays is found by instance_left(). */
	int r = proc_run(&spec, NULL, 0, CONTAINER_OUT_MAX, CONTAINER_US, &out, NULL, NULL);
	(void)r;
	free(out);
}

static int on_dead(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	Instance *i = ctx;
	siginfo_t si = {0};
	(void)s;
	(void)fd;
	(void)events;
	if (proc_reap(&i->proc, &si) == 0)
		return 0;
	i->end.status = si;
	remove_container(i);
	instance_over(i);
	return 0;
}

static int on_give_up(sd_event_source *s, uint64_t at, void *ctx)
{
	Instance *i = ctx;
	(void)s;
	(void)at;
	(void)snprintf(i->end.words, sizeof(i->end.words),
		       "it does not end by SIGKILL: it hangs in the kernel or a driver");
	instance_over(i);
	return 0;
}

static int on_patience_over(sd_event_source *s, uint64_t at, void *ctx)
{
	Instance *i = ctx;
	(void)s;
	(void)at;
	proc_kill(&i->proc);
	source_drop(&i->give_up);
	return timer_set(i, &i->give_up, now_us() + GIVE_UP_US, on_give_up, NULL);
}

void child_stop(Instance *i)
{
	int64_t patience =
	    i->spec->stop_timeout_us > 0 ? i->spec->stop_timeout_us : STOP_DEFAULT_US;

	(void)syscall(SYS_pidfd_send_signal, i->leader, SIGTERM, NULL, 0);
	/* One that somebody stopped could not even end. */
	(void)syscall(SYS_pidfd_send_signal, i->leader, SIGCONT, NULL, 0);
	if (timer_set(i, &i->give_up, now_us() + patience, on_patience_over, NULL) < 0)
		proc_kill(&i->proc);
}

void child_free(Instance *i)
{
	bool ran = i->proc.guard > 0;
	proc_done(&i->proc);
	if (ran)
		remove_container(i);
	if (i->leader >= 0)
		close(i->leader);
	free(TAKE_PTR(i->container));
	free(TAKE_PTR(i->container_program));
}

int child_left(const Instance *i, Err *err)
{
	if (i->proc.guard > 0)
		return err_set(err, -EBUSY,
			       "the guard of %s still waits for a process that does not "
			       "end",
			       i->spec->name);
	if (!i->container)
		return 0;
	const char *const argv[] = {i->container_program, "ps", "-aq", "--filter", NULL, NULL};
	_cleanup_free_ char *filter = str_fmt("name=^%s$", i->container), *out = NULL;
	const char *all[6];
	memcpy(all, argv, sizeof(argv));
	all[4] = filter;
	ProcSpec spec = {.argv = all, .stdin_path = "/dev/null", .stderr_fd = -1};
	if (!filter)
		return err_oom(err);
	int r = proc_run(&spec, NULL, 0, CONTAINER_OUT_MAX, CONTAINER_US, &out, NULL, err);
	if (r < 0)
		return err_wrap(err, r, "cannot see whether the container of %s is gone",
				i->spec->name);
	return *out ? err_set(err, -EBUSY, "the container %s is still there", i->container) : 0;
}

/* --- The start ------------------------------------------------------------------------------- */

/* Its number is noted and its limits are set before it does anything. */
static int on_admit(void *ctx, pid_t pid, Err *err)
{
	Instance *i = ctx;

	i->leader = (int)syscall(SYS_pidfd_open, pid, 0);
	if (i->leader < 0)
		return err_set(err, -errno, "cannot watch process %d: %s", (int)pid,
			       strerror(errno));
	set_rlimits(i, pid);
	return i->spec->lease ? lease_note_child(i->spec->lease, pid, err) : 0;
}

static bool is_the_programs_fault(int r)
{
	return r == -ENOENT || r == -EACCES || r == -ENOEXEC || r == -EISDIR || r == -ELOOP ||
	       r == -ENOTDIR || r == -ETXTBSY || r == -EPERM || r == -ESRCH || r == -E2BIG ||
	       r == -ELIBBAD;
}

static int note_container(Instance *i)
{
	char *const *argv = i->spec->command->argv;
	size_t image = 0;

	if (container_split(argv, &image, NULL) < 0)
		return 0;
	for (size_t k = 1; k < image; k++)
		if (strncmp(argv[k], "--name=", 7) == 0)
			i->container = strdup(argv[k] + 7);
	i->container_program = strdup(argv[0]);
	return i->container_program ? 0 : -ENOMEM;
}

static int spawn(Instance *i, const Account *a, char *const *env, Err *err)
{
	const ServerCommand *c = i->spec->command;
	_cleanup_free_ char *program = NULL;
	const int fds[] = {i->spec->lease ? lease_fd(i->spec->lease) : -1};

	int r = env_find_program(env, c->argv[0], &program);
	if (r < 0)
		return err_set(err, r, "there is no program '%s' in its PATH", c->argv[0]);
	_cleanup_(strings_freep) char **argv = strings_copy(c->argv);
	if (!argv)
		return err_oom(err);
	free(argv[0]);
	argv[0] = TAKE_PTR(program);
	ProcSpec spec = {
	    .argv = (const char *const *)argv,
	    .env = (const char *const *)env,
	    .whole_env = true,
	    .own_session = true,
	    .user = a->other ? &a->user : NULL,
	    .cwd = c->cwd && strcmp(c->cwd, "~") == 0 ? a->home : c->cwd,
	    .keep_fds = fds,
	    .n_keep_fds = i->spec->lease ? 1 : 0,
	    .stdin_path = "/dev/null",
	    .stdout_fd = i->output.fd,
	    .stderr_fd = i->output.fd,
	    .admit = on_admit,
	    .admit_ctx = i,
	};
	return proc_spawn(&spec, &i->proc, err);
}

int child_start(Instance *i, Err *err)
{
	_cleanup_(account_done) Account a = {0};
	_cleanup_(strings_freep) char **env = NULL;
	Err why = ERR_INIT;

	instance_cannot_limit(i);
	int r = note_container(i);
	if (r < 0)
		return err_oom(err);
	r = find_account(i->spec->command, &a, &why);
	if (r == -EPERM) /* what we may not do says nothing about the candidate */
		return err_set(err, r, "%s", why.msg);
	if (r >= 0 && instance_env(i->spec, a.home, a.name, a.shell, &env) < 0)
		return err_oom(err);
	if (r >= 0)
		r = spawn(i, &a, env, &why);
	if (r < 0 && is_the_programs_fault(r)) {
		i->end.not_executed = true;
		(void)snprintf(i->end.words, sizeof(i->end.words), "%.230s", why.msg);
		return 0;
	}
	if (r < 0)
		return err_set(err, r, "%s", why.msg);
	r = sd_event_add_io(i->loop, &i->dead, i->proc.pidfd, EPOLLIN, on_dead, i);
	return r < 0 ? err_set(err, r, "cannot watch a process: %s", strerror(-r)) : 0;
}
