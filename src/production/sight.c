/* What /proc shows of a process: which one is meant, its words, and files under the names that it
 * has for them. */
#include "production/sight.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/strings.h"
#include "production/containerline.h"
#include "production/internal.h"
#include "production/unittext.h"

enum {
	WRAPPERS_MAX = 8, /* one inside the other */
	STAT_MAX = 4096,
	STATUS_MAX = 16384,
	ARGS_MAX = 8192,
	CONTAINER_MAKING_US = 3000000, /* from its client's start */
};

void sight_done(Sight *s)
{
	for (size_t i = 0; s->files && i < s->n; i++)
		free(s->files[i]);
	free(s->files);
	free(s->cmdline);
	free(s->environ);
	*s = (Sight){0};
}

/* --- /proc/PID -------------------------------------------------------------------------------- */

static int proc_read(pid_t pid, const char *name, size_t max, char **ret, size_t *ret_len, Err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int r = file_read(path, max, ret, ret_len, err);
	return r == -ENOENT ? err_set(err, -ESRCH, "process %d has ended", (int)pid) : r;
}

typedef struct Stat {
	pid_t parent;
	uint64_t start_ticks;
} Stat;

/* The name in brackets may contain anything, so the fields are counted behind the last bracket. */
static int stat_parse(const char *text, Stat *ret)
{
	const char *at = strrchr(text, ')');
	int parent;
	unsigned long long start;
	if (!at ||
	    sscanf(at + 1,
		   " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
		   "%llu",
		   &parent, &start) != 2)
		return -EBADMSG;
	*ret = (Stat){.parent = parent, .start_ticks = start};
	return 0;
}

static int stat_read(pid_t pid, Stat *ret, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = proc_read(pid, "stat", STAT_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = stat_parse(text, ret);
	return r < 0 ? err_set(err, r, "cannot understand /proc/%d/stat", (int)pid) : 0;
}

static int64_t now_us(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static int64_t started_at_us(const Stat *st)
{
	int64_t since_boot = (int64_t)(st->start_ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	return now_us(CLOCK_REALTIME) - now_us(CLOCK_BOOTTIME) + since_boot;
}

int sight_split(const char *data, size_t len, char **ret_copy, char ***ret, Err *err)
{
	size_t n = 0;
	if (len > READBACK_BYTES_MAX)
		return err_set(err, -EFBIG, "the process has more than %d bytes of arguments",
			       READBACK_BYTES_MAX);
	_cleanup_free_ char *copy = calloc(1, len + 1);
	_cleanup_free_ char **list = calloc(ARGS_MAX + 1, sizeof(*list));
	if (!copy || !list)
		return err_oom(err);
	if (len > 0)
		memcpy(copy, data, len);
	for (size_t at = 0; at < len; at += strlen(copy + at) + 1) {
		if (n == ARGS_MAX)
			return err_set(err, -EFBIG, "the process has more than %d arguments",
				       ARGS_MAX);
		list[n++] = copy + at;
	}
	*ret_copy = TAKE_PTR(copy);
	*ret = TAKE_PTR(list);
	return 0;
}

/* --- Which process ---------------------------------------------------------------------------- */

bool is_wrapper(const char *argv0)
{
	static const char *const names[] = {
	    "sh",	 "bash",  "dash",      "ash",	  "zsh",     "ksh",	    "mksh",
	    "busybox",	 "su",	  "runuser",   "sudo",	  "doas",    "timeout",	    "tini",
	    "dumb-init", "flock", "catatonit", "unshare", "nsenter", "docker-init", NULL};
	const char *name = path_base(argv0);
	if (*name == '-')
		name++;
	return words_have(names, name);
}

static bool names_a_flag(const Adoption *a, const char *cmdline, size_t len)
{
	for (const char *arg = cmdline; arg < cmdline + len; arg += strlen(arg) + 1)
		for (size_t i = 0; i < a->n; i++) {
			const char *name = a->targets[i].name;
			size_t n = strlen(name);
			if (a->targets[i].kind == TARGET_FLAG && strncmp(arg, name, n) == 0 &&
			    (!arg[n] || arg[n] == '='))
				return true;
		}
	return false;
}

typedef struct Choice {
	pid_t pid; /* 0: none */
	bool flagged;
	uint64_t start_ticks;
} Choice;

static void consider(const Adoption *a, pid_t pid, const Stat *st, Choice *best)
{
	_cleanup_free_ char *cmdline = NULL;
	size_t len;
	Err unheard = ERR_INIT;
	if (proc_read(pid, "cmdline", READBACK_BYTES_MAX, &cmdline, &len, &unheard) < 0 || len == 0)
		return;
	Choice c = {
	    .pid = pid, .flagged = names_a_flag(a, cmdline, len), .start_ticks = st->start_ticks};
	if (best->pid == 0 || (c.flagged && !best->flagged) ||
	    (c.flagged == best->flagged && c.start_ticks < best->start_ticks))
		*best = c;
}

/* Of several children the one that has an adopted flag, else the oldest. 0: it has none. */
static pid_t child_of(const Adoption *a, pid_t parent)
{
	Choice best = {0};
	Err unheard = ERR_INIT;
	DIR *dir = opendir("/proc");
	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		char *end;
		Stat st;
		long pid = strtol(e->d_name, &end, 10);
		if (*end || pid <= 0 || stat_read((pid_t)pid, &st, &unheard) < 0)
			continue;
		if (st.parent == parent)
			consider(a, (pid_t)pid, &st, &best);
	}
	closedir(dir);
	return best.pid;
}

static pid_t behind_wrappers(const Adoption *a, pid_t pid)
{
	for (int i = 0; i < WRAPPERS_MAX; i++) {
		_cleanup_free_ char *cmdline = NULL;
		size_t len;
		Err unheard = ERR_INIT;
		if (proc_read(pid, "cmdline", READBACK_BYTES_MAX, &cmdline, &len, &unheard) < 0 ||
		    len == 0 || !is_wrapper(cmdline))
			break;
		pid_t child = child_of(a, pid);
		if (child == 0)
			break;
		pid = child;
	}
	return pid;
}

/* --- Containers ------------------------------------------------------------------------------- */

/* Is it number 1 of a namespace of its own? That is what an engine starts. */
static bool begins_a_namespace(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	Err unheard = ERR_INIT;
	if (proc_read(pid, "status", STATUS_MAX, &text, &len, &unheard) < 0)
		return false;
	const char *at = strstr(text, "\nNSpid:");
	size_t n = 0;
	long last = 0;
	for (at = at ? at + 7 : ""; *at && *at != '\n'; n++) {
		char *end;
		last = strtol(at, &end, 10);
		if (end == at)
			break;
		at = end;
	}
	return n > 1 && last == 1;
}

/* Are these words there, one behind the other? */
static bool has_in_a_row(char *const *argv, char *const *words)
{
	for (; *argv; argv++) {
		size_t i = 0;
		while (words[i] && argv[i] && strcmp(words[i], argv[i]) == 0)
			i++;
		if (!words[i])
			return true;
	}
	return !*words;
}

static bool was_started_with(pid_t pid, char *const *words)
{
	_cleanup_free_ char *cmdline = NULL;
	_cleanup_free_ char *copy = NULL;
	_cleanup_free_ char **argv = NULL;
	size_t len;
	Err unheard = ERR_INIT;
	return proc_read(pid, "cmdline", READBACK_BYTES_MAX, &cmdline, &len, &unheard) >= 0 &&
	       sight_split(cmdline, len, &copy, &argv, &unheard) >= 0 && has_in_a_row(argv, words);
}

/* The engine starts it, so it is nobody's child here, and its name is the engine's. But it is
 * younger than the client that asked for it, and was given the words behind the image. 0: none is,
 * or more than one. */
static pid_t container_of(char *const *words, uint64_t since_ticks)
{
	pid_t found = 0;
	size_t n = 0;
	Err unheard = ERR_INIT;
	DIR *dir = opendir("/proc");
	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		char *end;
		Stat st;
		pid_t pid = (pid_t)strtol(e->d_name, &end, 10);
		if (*end || pid <= 0 || stat_read(pid, &st, &unheard) < 0 ||
		    st.start_ticks < since_ticks || !begins_a_namespace(pid) ||
		    !was_started_with(pid, words))
			continue;
		found = pid;
		n++;
	}
	closedir(dir);
	return n == 1 ? found : 0;
}

/* A container's client is not what is meant. Where what it started is not found it stays, and says
 * so by its words. */
static int behind_client(const Adoption *a, pid_t *pid, Err *err)
{
	_cleanup_free_ char *cmdline = NULL;
	_cleanup_free_ char *copy = NULL;
	_cleanup_free_ char **argv = NULL;
	size_t len, options, words;
	Stat st;
	int r = proc_read(*pid, "cmdline", READBACK_BYTES_MAX, &cmdline, &len, err);
	if (r >= 0)
		r = sight_split(cmdline, len, &copy, &argv, err);
	if (r < 0 || !container_line(argv, &options, &words))
		return r;
	r = stat_read(*pid, &st, err);
	if (r < 0)
		return r;
	pid_t inside = container_of(argv + words, st.start_ticks);
	if (inside > 0)
		*pid = behind_wrappers(a, inside);
	else if (now_us(CLOCK_REALTIME) - started_at_us(&st) < CONTAINER_MAKING_US)
		return err_set(err, -EAGAIN, "the container of process %d is not there yet",
			       (int)*pid);
	return 0;
}

/* --- Its files -------------------------------------------------------------------------------- */

/* The process' own name for a file: from its root, links resolved inside of that and never out of
 * it, since the service's user may have written them. NULL: not readable. */
static char *file_of(pid_t pid, const char *path)
{
	char root[64];
	_cleanup_free_ char *text = NULL, *same = NULL;
	struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	struct stat st;
	size_t len;
	Err unheard = ERR_INIT;

	snprintf(root, sizeof(root), "/proc/%d/root", (int)pid);
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return NULL;
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	close(dir);
	if (fd < 0)
		return NULL;
	same = str_fmt("/proc/self/fd/%d", fd);
	if (same && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		(void)!file_read(same, UNIT_TEXT_MAX, &text, &len, &unheard);
	close(fd);
	return TAKE_PTR(text);
}

/* What the command line says of its --config; NULL: nothing. */
static const char *config_of(const Sight *s)
{
	const char *said = NULL, *end = s->cmdline + s->p.cmdline_len;
	for (const char *arg = s->cmdline; arg < end; arg += strlen(arg) + 1) {
		const char *next = arg + strlen(arg) + 1;
		if (strncmp(arg, "--config=", 9) == 0)
			said = arg + 9;
		else if (strcmp(arg, "--config") == 0 && next < end)
			said = next;
	}
	return said;
}

static char *file_of_target(const Sight *s, const Adoption *a, const AdoptedTarget *t)
{
	_cleanup_free_ char *path = NULL;
	Err unheard = ERR_INIT;
	if (t->kind == TARGET_CONFIG) {
		const char *said = config_of(s);
		return said && *said == '/' ? file_of(s->p.pid, said) : NULL;
	}
	if (t->kind != TARGET_KEY ||
	    specifiers_resolve(t->path, a->unit, NULL, &path, &unheard) < 0)
		return NULL;
	return file_of(s->p.pid, *path == '-' ? path + 1 : path);
}

static int read_files(const Adoption *a, Sight *s, Err *err)
{
	s->files = calloc(a->n + 1, sizeof(*s->files));
	if (!s->files)
		return err_oom(err);
	s->n = a->n;
	for (size_t i = 0; i < a->n; i++)
		s->files[i] = file_of_target(s, a, &a->targets[i]);
	s->p.files = s->files;
	return 0;
}

/* --- All of it -------------------------------------------------------------------------------- */

static int read_words(Sight *s, Err *err)
{
	int r =
	    proc_read(s->p.pid, "cmdline", READBACK_BYTES_MAX, &s->cmdline, &s->p.cmdline_len, err);
	if (r >= 0)
		r = proc_read(s->p.pid, "environ", READBACK_BYTES_MAX, &s->environ,
			      &s->p.environ_len, err);
	s->p.cmdline = s->cmdline;
	s->p.environ = s->environ;
	return r;
}

static bool exe_of(pid_t pid, char ret[PATH_MAX])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	ssize_t n = readlink(path, ret, PATH_MAX - 1);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* Between fork and exec it is still the manager, or the manager's helper. */
static int check_executed(pid_t pid, Err *err)
{
	char exe[PATH_MAX], parent[PATH_MAX];
	Stat st;
	int r = stat_read(pid, &st, err);
	if (r < 0)
		return r;
	if (!exe_of(pid, exe))
		return 0;
	const char *name = strrchr(exe, '/');
	if ((exe_of(st.parent, parent) && strcmp(exe, parent) == 0) ||
	    (name && strcmp(name, "/systemd-executor") == 0))
		return err_set(err, -EAGAIN, "process %d has not become its program yet", (int)pid);
	return 0;
}

int sight_read(const Adoption *a, pid_t main_pid, Sight *ret, Err *err)
{
	_cleanup_(sight_done) Sight s = {0};
	Stat before, after;
	int r = check_executed(main_pid, err);
	if (r < 0)
		return r;
	s.p.pid = behind_wrappers(a, main_pid);
	r = behind_client(a, &s.p.pid, err);
	if (r >= 0)
		r = stat_read(s.p.pid, &before, err);
	if (r >= 0)
		r = read_words(&s, err);
	if (r >= 0)
		r = read_files(a, &s, err);
	if (r >= 0)
		r = stat_read(s.p.pid, &after, err);
	if (r < 0)
		return r;
	/* Its number may have gone to another process meanwhile. */
	if (before.start_ticks != after.start_ticks)
		return err_set(err, -ESRCH, "process %d has ended", (int)s.p.pid);
	s.p.started_at_us = started_at_us(&before);
	*ret = s;
	s = (Sight){0};
	return 0;
}
