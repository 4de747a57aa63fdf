#pragma once
/* Which process is meant, beyond its number: numbers are used again, so a process is known by its
 * number, when it started, and in which boot. All of it is read from /proc. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ProcId {
	pid_t pid;
	uint64_t start; /* clock ticks since boot */
} ProcId;

typedef struct ProcStat {
	ProcId id;
	pid_t parent, group, session;
	bool dead; /* a zombie: ended, not yet reaped */
} ProcStat;

enum {
	BOOT_ID_SIZE = 40
};

/* The beginning of a file of /proc, which has no size before it is read, with a NUL after it: its
 * length, or -errno. */
ssize_t procfile_read(const char *path, char *buf, size_t size);

/* -ESRCH: there is no such process. */
int procstat_read(pid_t pid, ProcStat *ret);
/* Exactly this process, and not a zombie. */
bool procid_runs(const ProcId *id);
int boot_id_read(char ret[BOOT_ID_SIZE]);

/* Does the process have a descriptor of the open file that holds the flock which `locker` took on
 * this inode? (Not just any descriptor of the same file: a waiter has one too.) False also where we
 * may not look. */
bool process_holds_flock(pid_t pid, ino_t inode, pid_t locker);

/* SIGKILL through a pidfd to each process for which `wanted` is true, asked again once the pidfd
 * has pinned the process. Never us. The number of processes that were killed. */
typedef bool ProcWanted(void *ctx, const ProcStat *st);
unsigned kill_where(ProcWanted *wanted, void *ctx);
