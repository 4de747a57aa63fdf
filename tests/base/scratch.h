#pragma once
/* A folder of its own for a test, removed with what is in it at the end of the block; in memory,
 * for those that write durably a thousand times would wait for the disk. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"

static inline int scratch_remove(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path);
}

static inline void scratch_done(char **dir)
{
	if (*dir)
		(void)nftw(*dir, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(*dir);
}

static inline char *scratch_new(void)
{
	const char *tmp = getenv("TMPDIR"),
		   *fast = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char *dir = NULL;
	CHECK(asprintf(&dir, "%s/dream-test-XXXXXX", tmp ? tmp : fast) > 0);
	CHECK(mkdtemp(dir));
	return dir;
}

#define SCRATCH(dir) __attribute__((cleanup(scratch_done))) char *dir = scratch_new()
