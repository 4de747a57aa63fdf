#include "base/file.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* --- Reading --------------------------------------------------------------------------------- */

static const char *why_unreadable(mode_t mode)
{
	if (S_ISDIR(mode))
		return "it is a directory";
	if (S_ISBLK(mode))
		return "it is a block device";
	if (S_ISSOCK(mode))
		return "it is a socket";
	return NULL;
}

static int too_long(const char *name, size_t max, Err *err)
{
	return err_set(err, -EFBIG, "cannot read %s: it is longer than %zu bytes", name, max);
}

/* To the end, or one byte past `max`, which tells that there is more. */
static int read_all(int fd, const char *name, size_t max, Str *b, Err *err)
{
	char buf[16384];
	for (;;) {
		size_t want = max + 1 - b->len < sizeof(buf) ? max + 1 - b->len : sizeof(buf);
		ssize_t n = read(fd, buf, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "cannot read %s: %m", name);
		if (n == 0)
			return b->failed ? err_oom(err) : 0;
		str_addn(b, buf, (size_t)n);
		if (b->failed)
			return err_oom(err);
		if (b->len > max)
			return too_long(name, max, err);
	}
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_len, Err *err)
{
	bool standard = strcmp(path, "-") == 0;
	_cleanup_free_ char *name = standard ? strdup("standard input") : str_fmt("'%s'", path);
	if (!name)
		return err_oom(err);

	_cleanup_(close_fd) int opened = -1;
	int fd = STDIN_FILENO;
	if (!standard) {
		fd = opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return err_set(err, -errno, "cannot read %s: %m", name);
	}
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot read %s: %m", name);
	const char *why = why_unreadable(st.st_mode);
	if (why)
		return err_set(err, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL, "cannot read %s: %s",
			       name, why);
	if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max)
		return too_long(name, max, err);

	_cleanup_(str_done) Str b = STR_INIT;
	int r = read_all(fd, name, max, &b, err);
	if (r < 0)
		return r;
	size_t len = b.len;
	r = str_take(&b, ret);
	if (r < 0)
		return err_oom(err);
	*ret_len = len;
	return 0;
}

/* --- Writing --------------------------------------------------------------------------------- */

int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;
	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool is_new(const struct stat *st)
{
	if (st->st_uid != 0)
		return false;
	return S_ISDIR(st->st_mode) ||
	       (S_ISREG(st->st_mode) && st->st_size == 0 && st->st_nlink == 1);
}

void file_give(int fd, const char *path)
{
	struct stat st, there, folder;
	_cleanup_free_ char *dir = geteuid() == 0 ? path_dir(path) : NULL;
	if (!dir || stat(dir, &folder) < 0 || folder.st_uid == 0)
		return;
	/* Not what a link of the folder's owner leads to. */
	if (fstat(fd, &st) < 0 || lstat(path, &there) < 0 || !is_new(&st) ||
	    st.st_dev != there.st_dev || st.st_ino != there.st_ino)
		return;
	(void)!fchown(fd, folder.st_uid, folder.st_gid);
}

/* A new file beside `path`. The name carries our pid; O_EXCL steps over what a dead process with
 * the same pid left behind. */
static int open_temporary(const char *path, mode_t mode, char **ret_name, Err *err)
{
	_cleanup_free_ char *dir = path_dir(path);
	if (!dir)
		return err_oom(err);
	for (int n = 0; n < 1000; n++) {
		_cleanup_free_ char *base =
		    str_fmt(".%.200s.%ld-%d~", path_base(path), (long)getpid(), n);
		_cleanup_free_ char *name = base ? path_join(dir, base) : NULL;
		if (!name)
			return err_oom(err);
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd >= 0) {
			file_give(fd, name);
			*ret_name = TAKE_PTR(name);
			return fd;
		}
		if (errno != EEXIST)
			return err_set(err, -errno, "cannot write '%s': %m", path);
	}
	return err_set(err, -EEXIST, "cannot write '%s': its folder is full of temporary files",
		       path);
}

int dir_sync_of(const char *path, Err *err)
{
	_cleanup_free_ char *dir = path_dir(path);
	if (!dir)
		return err_oom(err);
	_cleanup_(close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_set(err, -errno, "cannot make '%s' durable in its folder: %m", path);
	return 0;
}

int file_write(const char *path, mode_t mode, const void *data, size_t len, Err *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_(close_fd) int fd = open_temporary(path, mode, &temporary, err);
	if (fd < 0)
		return fd;

	int r = write_all(fd, data, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		return err_set(err, r, "cannot write '%s': %s", path, strerror(-r));
	}
	return dir_sync_of(path, err);
}

int file_append(const char *path, const void *data, size_t len, Err *err)
{
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set(err, -errno, "cannot append to '%s': %m", path);
	file_give(fd, path);
	int r = write_all(fd, data, len);
	if (r < 0)
		return err_set(err, r, "cannot append to '%s': %s", path, strerror(-r));
	return 0;
}

/* --- Folders and paths ----------------------------------------------------------------------- */

/* One level; that it is there already is success. */
static int make_one(const char *path, mode_t mode, Err *err)
{
	if (mkdir(path, mode) == 0) {
		_cleanup_(close_fd) int fd =
		    geteuid() == 0 ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				   : -1;
		if (fd >= 0)
			file_give(fd, path);
		return 0;
	}
	int why = errno;
	struct stat st;
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		why = ENOTDIR;
	}
	return err_set(err, -why, "cannot make the folder '%s': %s", path,
		       why == ENOTDIR ? "something else has that name, or a part of its path is "
					"not a folder"
				      : strerror(why));
}

int dir_make(const char *path, mode_t mode, Err *err)
{
	_cleanup_free_ char *part = strdup(path);
	if (!part)
		return err_oom(err);
	for (char *p = part + 1; path[0] && *p; p++) {
		if (*p != '/' || p[-1] == '/')
			continue;
		*p = '\0';
		/* We must be able to go on below a folder that we make. */
		int r = make_one(part, mode | S_IWUSR | S_IXUSR, err);
		if (r < 0)
			return r;
		*p = '/';
	}
	return make_one(path, mode, err);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

char *path_join(const char *dir, const char *name)
{
	if (name[0] == '/' || dir[0] == '\0')
		return strdup(name);
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	bool root = len == 1 && dir[0] == '/';
	return str_fmt("%.*s%s%s", (int)len, dir, root ? "" : "/", name);
}

char *path_dir(const char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len == 0 ? strdup(".") : strndup(path, len);
}
