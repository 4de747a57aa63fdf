#pragma once
/* The few things that a durable store asks of a disk, as a table, so that tests can put a simulated
 * disk, which loses power, under the very same object code. Every call returns what the system call
 * would, or a negative errno. Paths are absolute or relative to the working folder. */
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

typedef struct Disk {
	int (*open)(void *ctx, const char *path, int flags, mode_t mode);
	ssize_t (*read)(void *ctx, int fd, void *data, size_t len);
	ssize_t (*write)(void *ctx, int fd, const void *data, size_t len);
	int (*truncate)(void *ctx, int fd, off_t len);
	int (*sync)(void *ctx, int fd); /* of a file or a folder */
	/* Of a file or a folder, against other processes; kept until the descriptor is closed.
	 * Waits a few seconds for whoever holds it, then -EBUSY. */
	int (*lock)(void *ctx, int fd);
	int (*close)(void *ctx, int fd);
	int (*mkdir)(void *ctx, const char *path, mode_t mode);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*symlink)(void *ctx, const char *target, const char *path);
	ssize_t (*readlink)(void *ctx, const char *path, char *ret, size_t size); /* no NUL */
	int (*unlink)(void *ctx, const char *path);
	int (*rmdir)(void *ctx, const char *path);
	/* Every name in a folder but "." and ".."; a negative result of fn ends it. */
	int (*list)(void *ctx, const char *path, int (*fn)(void *arg, const char *name), void *arg);
	void *ctx;
} Disk;

/* Every descriptor is O_CLOEXEC; a call that a signal interrupts is made again; what is made with
 * O_EXCL, and folders, have the mode that was asked for, without the umask. */
extern const Disk disk_system;

/* A whole file, at most `max` bytes, with a NUL after it (not counted). -ENOENT, -EFBIG; -ELOOP: it
 * is a link, which is not followed. */
int disk_read_file(const Disk *d, const char *path, size_t max, char **ret, size_t *ret_len,
		   Err *err) _must_check_;
/* A new file, whole and synced (its folder is not); -EEXIST. A failure leaves no file of that name,
 * as far as the disk lets us. */
int disk_write_new(const Disk *d, const char *path, mode_t mode, const void *data, size_t len,
		   Err *err) _must_check_;
int disk_sync_dir(const Disk *d, const char *path, Err *err) _must_check_;
/* Everything, however often a write stops short. -errno, without a message. */
int disk_write_all(const Disk *d, int fd, const void *data, size_t len) _must_check_;
