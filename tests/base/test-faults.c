/* file_write() with its k-th system call failing, for every k: the file is the old or the new one,
 * the failure is told, and nothing is left beside it. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "scratch.h"

static long until_failure = -1; /* -1: never */
static int fails_with = EIO;

static bool fails(void)
{
	if (until_failure < 0 || until_failure-- > 0)
		return false;
	errno = fails_with;
	return true;
}

/* The linker sends the calls of our own code here. Meson asks for 64-bit offsets, so open() is
 * open64(). */
int __real_open64(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t len);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails() ? -1 : __real_open64(path, flags, mode);
}

/* One byte at a time, so that every short write is taken up again. */
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	return fails() ? -1 : __real_write(fd, data, len > 0);
}

int __wrap_fsync(int fd)
{
	return fails() ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
	return fails() ? -1 : __real_rename(from, to);
}

/* Returns false when the write needed fewer than k + 1 calls. */
static bool fail_once(long k, int with)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "a"), *text = NULL;
	size_t len = 0;
	Err err = ERR_INIT;
	CHECK_OK(file_write(path, 0644, "old", 3, NULL));
	fails_with = with;
	until_failure = k;
	int r = file_write(path, 0644, "newer", 5, &err);
	bool reached = until_failure < 0;
	until_failure = -1;

	CHECK_OK(file_read(path, 100, &text, &len, NULL));
	CHECK_INT(scratch_count(dir), 1);
	bool is_new = strcmp(text, "newer") == 0;
	CHECK(is_new || strcmp(text, "old") == 0);
	CHECK(r == 0 ? is_new : r == -with && strstr(err.msg, path));
	CHECK(r < 0 || !reached);
	return reached;
}

static long fail_each(int with)
{
	long k = 0;
	while (fail_once(k, with))
		k++;
	return k;
}

TEST(a_write_that_fails_anywhere_leaves_the_old_or_the_new_file)
{
	/* Open, five writes, fsync, rename, open and fsync of the folder. */
	CHECK_INT(fail_each(EIO), 10);
	CHECK_INT(fail_each(ENOSPC), 10);
	CHECK_INT(fail_each(EACCES), 10);
}

TEST(an_interrupted_write_is_taken_up_again)
{
	for (long k = 1; k <= 5; k++) {
		SCRATCH(dir);
		_cleanup_free_ char *path = path_join(dir, "a"), *text = NULL;
		size_t len = 0;
		fails_with = EINTR;
		until_failure = k;
		CHECK_OK(file_write(path, 0644, "12345", 5, NULL));
		CHECK_INT(until_failure, -1);
		CHECK_OK(file_read(path, 100, &text, &len, NULL));
		CHECK_STR(text, "12345");
	}
}
