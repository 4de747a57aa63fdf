#include "base/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

enum {
	LOCK_TRIES = 500,
	LOCK_PAUSE_MS = 10,
	READ_BYTES = 64 << 10,
};

/* --- The real one ----------------------------------------------------------------------------- */

/* The value of `call`, made again as long as signals interrupt it; -errno. */
#define RETRY(call)                                                  \
	({                                                           \
		__typeof__(call) retry_r;                            \
		do                                                   \
			retry_r = (call);                            \
		while (retry_r < 0 && errno == EINTR);               \
		retry_r < 0 ? (__typeof__(retry_r))-errno : retry_r; \
	})

/* What is made new gets the mode that was asked for: others must be able to read it, whatever the
 * umask of whoever runs us. Where that cannot be, they read less. */
static int system_open(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)ctx;
	int fd = RETRY(open(path, flags | O_CLOEXEC | O_NOCTTY, mode));
	if (fd >= 0 && (flags & O_CREAT) && (flags & O_EXCL))
		(void)!fchmod(fd, mode);
	return fd;
}

static ssize_t system_read(void *ctx, int fd, void *data, size_t len)
{
	(void)ctx;
	return RETRY(read(fd, data, len));
}

static ssize_t system_write(void *ctx, int fd, const void *data, size_t len)
{
	(void)ctx;
	return RETRY(write(fd, data, len));
}

static int system_truncate(void *ctx, int fd, off_t len)
{
	(void)ctx;
	return RETRY(ftruncate(fd, len));
}

static int system_sync(void *ctx, int fd)
{
	(void)ctx;
	return RETRY(fsync(fd));
}

/* Those who hold it hold it for milliseconds; one that was stopped in the middle must not stop us.
 */
static int system_lock(void *ctx, int fd)
{
	(void)ctx;
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		(void)poll(NULL, 0, LOCK_PAUSE_MS);
	}
	return -EBUSY;
}

static int system_close(void *ctx, int fd)
{
	(void)ctx;
	return close(fd) < 0 && errno != EINTR ? -errno : 0; /* interrupted, it is closed too */
}

static int system_mkdir(void *ctx, const char *path, mode_t mode)
{
	(void)ctx;
	int r = RETRY(mkdir(path, mode));
	if (r == 0)
		(void)!chmod(path, mode);
	return r;
}

static int system_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return RETRY(rename(from, to));
}

static int system_symlink(void *ctx, const char *target, const char *path)
{
	(void)ctx;
	return RETRY(symlink(target, path));
}

static ssize_t system_readlink(void *ctx, const char *path, char *ret, size_t size)
{
	(void)ctx;
	return RETRY(readlink(path, ret, size));
}

static int system_unlink(void *ctx, const char *path)
{
	(void)ctx;
	return RETRY(unlink(path));
}

static int system_rmdir(void *ctx, const char *path)
{
	(void)ctx;
	return RETRY(rmdir(path));
}

static int read_names(DIR *dir, int (*fn)(void *arg, const char *name), void *arg)
{
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(dir);
		if (!e)
			return -errno;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int r = fn(arg, e->d_name);
		if (r < 0)
			return r;
	}
}

static int system_list(void *ctx, const char *path, int (*fn)(void *arg, const char *name),
		       void *arg)
{
	int fd = system_open(ctx, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	int r = read_names(dir, fn, arg);
	(void)closedir(dir);
	return r;
}

const Disk disk_system = {
    .open = system_open,
    .read = system_read,
    .write = system_write,
    .truncate = system_truncate,
    .sync = system_sync,
    .lock = system_lock,
    .close = system_close,
    .mkdir = system_mkdir,
    .rename = system_rename,
    .symlink = system_symlink,
    .readlink = system_readlink,
    .unlink = system_unlink,
    .rmdir = system_rmdir,
    .list = system_list,
};

/* --- On any of them --------------------------------------------------------------------------- */

static int read_to_end(const Disk *d, int fd, size_t max, Str *out)
{
	_cleanup_free_ char *buf = malloc(READ_BYTES);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = d->read(d->ctx, fd, buf, READ_BYTES);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return 0;
		if ((size_t)n > max - out->len)
			return -EFBIG;
		str_addn(out, buf, (size_t)n);
	}
}

/* O_NONBLOCK: a pipe in its place must not stop us. */
int disk_read_file(const Disk *d, const char *path, size_t max, char **ret, size_t *ret_len,
		   Err *err)
{
	int fd = d->open(d->ctx, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, fd, "cannot read %s: %s", path, strerror(-fd));
	_cleanup_(str_done) Str b = STR_INIT;
	int r = read_to_end(d, fd, max, &b);
	(void)d->close(d->ctx, fd);
	if (r == -EFBIG)
		return err_set(err, r, "cannot read %s: it is longer than %zu bytes", path, max);
	if (r < 0)
		return err_set(err, r, "cannot read %s: %s", path, strerror(-r));
	size_t len = b.len;
	r = str_take(&b, ret);
	if (r < 0)
		return err_oom(err);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int disk_write_all(const Disk *d, int fd, const void *data, size_t len)
{
	const char *at = data;
	while (len > 0) {
		ssize_t n = d->write(d->ctx, fd, at, len);
		if (n < 0)
			return (int)n;
		if (n == 0 || (size_t)n > len)
			return -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int disk_write_new(const Disk *d, const char *path, mode_t mode, const void *data, size_t len,
		   Err *err)
{
	int fd = d->open(d->ctx, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_set(err, fd, "cannot write %s: %s", path, strerror(-fd));
	int r = disk_write_all(d, fd, data, len);
	if (r == 0)
		r = d->sync(d->ctx, fd);
	int closed = d->close(d->ctx, fd);
	if (r == 0)
		r = closed;
	if (r < 0) {
		(void)d->unlink(d->ctx, path);
		return err_set(err, r, "cannot write %s: %s", path, strerror(-r));
	}
	return 0;
}

int disk_sync_dir(const Disk *d, const char *path, Err *err)
{
	int fd = d->open(d->ctx, path, O_RDONLY | O_DIRECTORY, 0);
	int r = fd;
	if (fd >= 0) {
		r = d->sync(d->ctx, fd);
		(void)d->close(d->ctx, fd);
	}
	if (r < 0)
		return err_set(err, r, "cannot make the folder %s durable: %s", path, strerror(-r));
	return 0;
}
