#include "gpu/owners.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gpu/procid.h"
#include "gpu/proctext.h"

enum {
	CGROUP_MAX = 8192,
	DEPTH_MAX = 256, /* of a family of processes; more is a loop of numbers used again */
	PIDS_MAX = 65536,
};

/* --- Where a process is ---------------------------------------------------------------------- */

int process_cgroup(pid_t pid, char **ret)
{
	char path[64], text[CGROUP_MAX];
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (procfile_read(path, text, sizeof(text)) < 0)
		text[0] = '\0';
	char *cgroup = path_of_cgroups(text);
	if (!cgroup)
		return -ENOMEM;
	*ret = cgroup;
	return 0;
}

/* --- Whose it is ----------------------------------------------------------------------------- */

static bool is_below(const char *cgroup, const char *top)
{
	size_t n = strlen(top);
	while (n > 1 && top[n - 1] == '/')
		n--;
	/* The root is everybody's. */
	if (n <= 1)
		return false;
	return strncmp(cgroup, top, n) == 0 && (cgroup[n] == '/' || cgroup[n] == '\0');
}

static bool in_cgroup(const Owner *o, pid_t pid)
{
	_cleanup_free_ char *cgroup = NULL;
	return o->cgroup && *o->cgroup == '/' && process_cgroup(pid, &cgroup) == 0 &&
	       is_below(cgroup, o->cgroup);
}

/* The process that base/proc puts between us and a program: the program's parent and our child. It
 * adopts what the program abandons, and nothing else. 0: there is none (or the program is not
 * ours). */
static pid_t guard_of(pid_t leader)
{
	ProcStat st;
	pid_t us = getpid();
	if (procstat_read(leader, &st) < 0 || st.parent <= 1 || st.parent == us)
		return 0;
	pid_t guard = st.parent;
	return procstat_read(guard, &st) == 0 && st.parent == us ? guard : 0;
}

/* By parents, and where those are gone by the group or session that it was born into. */
static bool descends(pid_t leader, pid_t guard, pid_t pid)
{
	ProcStat st;
	if (leader <= 1)
		return false;
	for (int depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
		if (pid == leader)
			return true;
		if (procstat_read(pid, &st) < 0)
			return false;
		if (st.group == leader || st.session == leader || (guard > 0 && st.parent == guard))
			return true;
		pid = st.parent;
	}
	return false;
}

static bool has(const Owner *o, pid_t guard, pid_t pid)
{
	ProcStat st;
	if (procstat_read(pid, &st) < 0 || st.dead)
		return false;
	return in_cgroup(o, pid) || descends(o->leader, guard, pid);
}

bool owner_has(const Owner *o, pid_t pid)
{
	return has(o, o->leader > 1 ? guard_of(o->leader) : 0, pid);
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
	return (x > y) - (x < y);
}

static int add_pid(pid_t **list, size_t *n, size_t *cap, pid_t pid)
{
	if (*n == *cap) {
		size_t more = *cap ? 2 * *cap : 16;
		pid_t *grown = reallocarray(*list, more, sizeof(pid_t));
		if (!grown)
			return -ENOMEM;
		*list = grown;
		*cap = more;
	}
	(*list)[(*n)++] = pid;
	return 0;
}

static int collect(DIR *proc, const Owner *o, pid_t **list, size_t *n)
{
	pid_t guard = o->leader > 1 ? guard_of(o->leader) : 0;
	size_t cap = 0;
	for (struct dirent *e; (e = readdir(proc)) && *n < PIDS_MAX;) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		if (pid <= 0 || !has(o, guard, pid))
			continue;
		int r = add_pid(list, n, &cap, pid);
		if (r < 0)
			return r;
	}
	return 0;
}

int owner_pids(const Owner *o, pid_t **ret, size_t *ret_n)
{
	pid_t *list = NULL;
	size_t n = 0;
	DIR *proc = opendir("/proc");
	if (!proc)
		return -errno;
	int r = collect(proc, o, &list, &n);
	closedir(proc);
	if (r < 0) {
		free(list);
		return r;
	}
	if (n > 0)
		qsort(list, n, sizeof(*list), by_number);
	*ret = list;
	*ret_n = n;
	return 0;
}
