#pragma once
/* Whole files: read bounded, written whole. */
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* The content and a NUL after it (not counted). -EFBIG above `max` bytes; only regular files, pipes
 * and character devices are read. Path "-" is standard input. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_len, Err *err) _must_check_;

/* A temporary file beside it, fsync, rename, fsync of the directory: after a power cut the file is
 * the old or the new one. On failure the temporary file is gone and the old one untouched. */
int file_write(const char *path, mode_t mode, const void *data, size_t len, Err *err) _must_check_;

/* The fsync of the folder that holds `path`, without which a new name may be lost. */
int dir_sync_of(const char *path, Err *err) _must_check_;
/* Everything, however often write() stops short. -errno. */
int write_all(int fd, const void *data, size_t len) _must_check_;

/* Appends whole `data` in one write to a file opened O_APPEND (created with mode 0644); a short
 * write is completed or reported. Not synced. */
int file_append(const char *path, const void *data, size_t len, Err *err) _must_check_;

/* What root makes in a folder of somebody else's belongs to that one, as if they had made it: after
 * a command of root the daemon can go on with its folders. `fd` is the file at `path`, which may be
 * new: one that has content, another name or is somebody's already is left as it is. dir_make() and
 * file_write() do it by themselves. */
void file_give(int fd, const char *path);
/* mkdir -p. */
int dir_make(const char *path, mode_t mode, Err *err) _must_check_;

/* "a/b", with one slash between; NULL when out of memory. An absolute `name` stands alone. */
char *path_join(const char *dir, const char *name);
/* The folder of a path: "/a/b" -> "/a", "b" -> "."; NULL when out of memory. */
char *path_dir(const char *path);
/* What is behind the last slash: "/usr/bin/x" -> "x", "x" -> "x", "a/" -> "". */
const char *path_base(const char *path);
