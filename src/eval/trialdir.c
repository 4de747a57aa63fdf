/* A trial's folder of temporary files. Its maker holds a lock on it, so that whoever comes next can
 * tell one that is in use from one whose maker was killed. */
#include "eval/trialdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

enum {
	DEPTH_MAX = 4, /* ours are two deep */
	TRIES = 20,
};

#define NAME "dream-trial-"

static const char *temporary(void)
{
	const char *tmp = getenv("TMPDIR");
	return tmp && *tmp == '/' ? tmp : "/tmp";
}

static int open_folder(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* --- Removing -------------------------------------------------------------------------------- */

/* Takes the descriptor over. */
static void empty(int fd, int depth)
{
	DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    unlinkat(dirfd(d), e->d_name, 0) == 0 || depth == 0)
			continue;
		int sub = open_folder(dirfd(d), e->d_name);
		if (sub < 0)
			continue;
		empty(sub, depth - 1);
		(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
	(void)closedir(d);
}

void trialdir_remove(TrialDir *t)
{
	if (!t->path)
		return;
	int fd = open_folder(AT_FDCWD, t->path);
	if (fd >= 0)
		empty(fd, DEPTH_MAX);
	(void)rmdir(t->path);
	close(t->lock);
	free(t->path);
	*t = TRIALDIR_NONE;
}

static void remove_one(int tmp, const char *name)
{
	struct stat st;
	int fd = open_folder(tmp, name);
	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return;
	}
	int again = open_folder(tmp, name);
	if (again >= 0)
		empty(again, DEPTH_MAX);
	(void)unlinkat(tmp, name, AT_REMOVEDIR);
	close(fd); /* and with it the lock */
}

void trialdir_sweep(void)
{
	DIR *d = opendir(temporary());
	if (!d)
		return;
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		if (strncmp(e->d_name, NAME, strlen(NAME)) == 0)
			remove_one(dirfd(d), e->d_name);
	(void)closedir(d);
}

/* --- Making ---------------------------------------------------------------------------------- */

/* Somebody who swept may have seen it before it was locked: then it is not there any more. 1: ours.
 */
static int lock_it(TrialDir *t)
{
	struct stat st;
	t->lock = open_folder(AT_FDCWD, t->path);
	if (t->lock < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(t->lock, LOCK_EX) == 0 && fstat(t->lock, &st) == 0 && st.st_nlink > 0)
		return 1;
	close(t->lock);
	return 0;
}

static int make_one(TrialDir *t)
{
	t->path = str_fmt("%s/" NAME "XXXXXX", temporary());
	if (!t->path)
		return -ENOMEM;
	int r = mkdtemp(t->path) ? lock_it(t) : -errno;
	if (r > 0)
		return r;
	free(t->path);
	*t = TRIALDIR_NONE;
	return r;
}

int trialdir_make(TrialDir *ret, Err *err)
{
	TrialDir t = TRIALDIR_NONE;
	int r = 0;
	trialdir_sweep();
	for (int i = 0; i < TRIES && r == 0; i++)
		r = make_one(&t);
	if (r <= 0)
		return err_set(err, r < 0 ? r : -EBUSY,
			       "cannot make a folder for the trial in %s: %s", temporary(),
			       strerror(r < 0 ? -r : EBUSY));
	*ret = t;
	return 0;
}
