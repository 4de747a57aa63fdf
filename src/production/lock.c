/* The lock of a production folder: flock() on a file that only its owner can open, since whoever
 * can open a file can also hold its lock for ever. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "production/lock.h"

enum {
	BOOT_ID_CHARS = 36,
};

/* --- The folder ------------------------------------------------------------------------------ */

static int check_folder(int dir, const char *path, Err *err)
{
	struct stat st;
	if (fstat(dir, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(err, -EPERM,
			       "%s is not safe: it must belong to user %u, and nobody else may "
			       "write in it",
			       path, (unsigned)geteuid());
	return 0;
}

static int open_file(const char *state_dir, int *ret, Err *err)
{
	int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, -errno, "cannot open %s: %s", state_dir, strerror(errno));
	int r = check_folder(dir, state_dir, err);
	int fd = -1;
	if (r >= 0) {
		fd = openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			r = err_set(err, -errno, "cannot open %s/lock: %s", state_dir,
				    strerror(errno));
	}
	close(dir);
	*ret = fd;
	return r;
}

/* --- Taking it ------------------------------------------------------------------------------- */

/* Whoever holds the lock gives it back by closing the file, which is what is waited for here. */
static int wait_closed(int watch, int64_t until_us)
{
	char events[sizeof(struct inotify_event) + 256];
	int64_t left = until_us - clock_mono_us(&clock_system);
	if (left <= 0)
		return -EBUSY;
	struct pollfd p = {.fd = watch, .events = POLLIN};
	int n = poll(&p, 1, (int)(left / 1000) + 1);
	if (n > 0)
		(void)!read(watch, events, sizeof(events));
	return n < 0 && errno != EINTR ? -errno : 0;
}

static int take(int fd, const char *path, int64_t timeout_us)
{
	int64_t until_us = clock_mono_us(&clock_system) + timeout_us;
	int r, watch;

	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch < 0)
		return -errno;
	r = inotify_add_watch(watch, path, IN_CLOSE) < 0 ? -errno : 0;
	while (r >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK || errno == EINTR ? wait_closed(watch, until_us) : -errno;
	close(watch);
	return r;
}

/* --- The boot -------------------------------------------------------------------------------- */

static int boot_id(char ret[BOOT_ID_CHARS + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, BOOT_ID_CHARS);
	if (fd >= 0)
		close(fd);
	ret[BOOT_ID_CHARS] = '\0';
	return n == BOOT_ID_CHARS ? 0 : -ENODATA;
}

static bool is_settled(int fd)
{
	char now[BOOT_ID_CHARS + 1], then[BOOT_ID_CHARS + 1] = {0};
	return boot_id(now) >= 0 && pread(fd, then, BOOT_ID_CHARS, 0) == BOOT_ID_CHARS &&
	       strcmp(now, then) == 0;
}

/* Not synced: what a power cut loses here belongs to a boot that is over then. */
int production_settle(ProductionLock *l, Err *err)
{
	char now[BOOT_ID_CHARS + 1];
	if (l->settled)
		return 0;
	int r = boot_id(now);
	if (r >= 0 && pwrite(l->fd, now, BOOT_ID_CHARS, 0) != BOOT_ID_CHARS)
		r = -EIO;
	if (r < 0)
		return err_set(err, r, "cannot note in which boot production is changed: %s",
			       strerror(-r));
	l->settled = true;
	return 0;
}

int production_lock(const char *state_dir, int64_t timeout_us, ProductionLock *ret, Err *err)
{
	_cleanup_free_ char *path = str_fmt("%s/lock", state_dir);
	int fd;
	if (!path)
		return err_oom(err);
	int r = open_file(state_dir, &fd, err);
	if (r < 0)
		return r;
	r = take(fd, path, timeout_us);
	if (r < 0) {
		close(fd);
		return err_set(err, r, "cannot lock %s: %s", path,
			       r == -EBUSY ? "another program is changing production at this moment"
					   : strerror(-r));
	}
	*ret = (ProductionLock){.fd = fd, .settled = is_settled(fd)};
	return 0;
}

void production_unlock(ProductionLock *l)
{
	if (l->fd >= 0)
		close(l->fd);
	*l = PRODUCTION_LOCK_NONE;
}
