#pragma once
/* A folder of its own for a test, removed with what is in it at the end of the block; in memory
 * where there is enough: those that write durably a thousand times would wait for the disk. */
#include <dirent.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "test.h"

static inline int scratch_remove(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path);
}

/* The folder and all that is in it; links are not followed. 0, or -1 where something stays. */
static inline int scratch_clear(const char *dir)
{
	return nftw(dir, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void scratch_done(char **dir)
{
	if (*dir)
		(void)scratch_clear(*dir);
	free(*dir);
}

/* Where such folders are made. */
static inline const char *scratch_root(void)
{
	struct statvfs v;
	bool room = statvfs("/dev/shm", &v) == 0 && v.f_bavail > (256 << 20) / v.f_frsize;
	return room && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static inline char *scratch_new(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = NULL;
	CHECK(asprintf(&dir, "%s/dream-test-XXXXXX", tmp ? tmp : scratch_root()) > 0);
	CHECK(mkdtemp(dir));
	return dir;
}

#define SCRATCH(dir) __attribute__((cleanup(scratch_done))) char *dir = scratch_new()

/* How many entries a folder has; of "/proc/self/fd": one more than there are open descriptors, for
 * it is one itself while it is read. */
static inline int scratch_count(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;
	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* "." and ".." */
}
