#include "gpu/procid.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t procfile_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t len = 0;
	ssize_t n;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			close(fd);
			return n;
		}
		len += (size_t)n;
	}
	close(fd);
	buf[len] = '\0';
	return (ssize_t)len;
}

int procstat_read(pid_t pid, ProcStat *ret)
{
	char path[64], buf[1024], state;
	int parent, group, session;
	uint64_t start;

	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	ssize_t n = procfile_read(path, buf, sizeof(buf));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	const char *after = strrchr(buf, ')'); /* the name before it may hold anything */
	/* Fields 3 state, 4 parent, 5 group, 6 session, 22 start time: proc(5). */
	if (!after || sscanf(after,
			     ") %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			     "%*d %*d %" SCNu64,
			     &state, &parent, &group, &session, &start) != 5)
		return -ESRCH;
	*ret = (ProcStat){
	    .id = {pid, start},
	    .parent = parent,
	    .group = group,
	    .session = session,
	    .dead = state == 'Z' || state == 'X',
	};
	return 0;
}

bool procid_runs(const ProcId *id)
{
	ProcStat st;
	return procstat_read(id->pid, &st) == 0 && st.id.start == id->start && !st.dead;
}

int boot_id_read(char ret[BOOT_ID_SIZE])
{
	ssize_t n = procfile_read("/proc/sys/kernel/random/boot_id", ret, BOOT_ID_SIZE);
	if (n < 0)
		return (int)n;
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

/* A line like "lock:\t1: FLOCK  ADVISORY  WRITE 25013 fe:00:10952787 0 EOF" is there only for
 * descriptors of the very open file that the lock belongs to. */
static bool fdinfo_has_lock(const char *text, ino_t inode, pid_t locker)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		int pid;
		uint64_t ino;
		line += *line == '\n';
		if (sscanf(line, "lock: %*d: FLOCK %*s %*s %d %*x:%*x:%" SCNu64, &pid, &ino) == 2 &&
		    pid == locker && ino == inode)
			return true;
	}
	return false;
}

bool process_holds_flock(pid_t pid, ino_t inode, pid_t locker)
{
	char path[96], buf[4096];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	DIR *d = opendir(path);
	if (!d)
		return false;
	for (struct dirent *e; !found && (e = readdir(d));) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.20s", (int)pid, e->d_name);
		found = procfile_read(path, buf, sizeof(buf)) > 0 &&
			fdinfo_has_lock(buf, inode, locker);
	}
	closedir(d);
	return found;
}

static bool still_wanted(ProcWanted *wanted, void *ctx, pid_t pid)
{
	ProcStat st;
	return procstat_read(pid, &st) == 0 && !st.dead && wanted(ctx, &st);
}

unsigned kill_where(ProcWanted *wanted, void *ctx)
{
	pid_t me = getpid();
	unsigned killed = 0;
	DIR *d = opendir("/proc");
	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		if (pid <= 0 || pid == me || !still_wanted(wanted, ctx, pid))
			continue;
		int fd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (fd < 0)
			continue;
		if (still_wanted(wanted, ctx, pid) &&
		    syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
			killed++;
		close(fd);
	}
	closedir(d);
	return killed;
}
