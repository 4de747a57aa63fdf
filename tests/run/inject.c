/* A library to preload: makes the k-th call of one kind fail, so that a test can walk through every
 * k. INJECT=KIND:K:ERRNO   KIND is write, sync, open, fork or malloc; K counts from 1; 0 only
 * counts INJECT_COUNT=FILE     at exit the number of calls of that kind is written there malloc
 * counts only requests of 4 KiB and more: those whose size follows from input. Only files below
 * INJECT_UNDER are counted for write, sync and open, so that the loader's and the C library's own
 * are left alone. */
#undef _FILE_OFFSET_BITS /* both names of each call are ours */
#undef _FORTIFY_SOURCE	 /* and none of them an inline function of the headers */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum {
	BIG = 4096
};

static char kind[16];
static long fail_at, count;
static int fail_errno;
static const char *under;
static bool inside; /* our own calls are not counted */

__attribute__((constructor)) static void begin(void)
{
	const char *spec = getenv("INJECT");
	under = getenv("INJECT_UNDER");
	if (spec && sscanf(spec, "%15[^:]:%ld:%d", kind, &fail_at, &fail_errno) != 3)
		kind[0] = '\0';
}

__attribute__((destructor)) static void finish(void)
{
	const char *path = getenv("INJECT_COUNT");
	if (!path)
		return;
	char text[32];
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			      0644);
	int n = snprintf(text, sizeof(text), "%ld\n", count);
	if (fd >= 0) {
		(void)!syscall(SYS_write, fd, text, n);
		(void)syscall(SYS_close, fd);
	}
}

/* Is this the call that fails? */
static bool due(const char *what)
{
	if (inside || strcmp(kind, what) != 0)
		return false;
	if (++count != fail_at)
		return false;
	errno = fail_errno;
	return true;
}

static bool path_counts(const char *path)
{
	return under && path && strncmp(path, under, strlen(under)) == 0;
}

static bool fd_counts(int fd)
{
	char link[64], path[4096];
	if (!under || inside)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return path_counts(path);
}

static void *real(const char *name)
{
	inside = true;
	void *f = dlsym(RTLD_NEXT, name);
	inside = false;
	return f;
}

ssize_t write(int fd, const void *data, size_t n)
{
	if (kind[0] && fd_counts(fd) && due("write"))
		return -1;
	return syscall(SYS_write, fd, data, n);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
	if (kind[0] && fd_counts(fd) && due("write"))
		return -1;
	return syscall(SYS_pwrite64, fd, data, n, at);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
	return pwrite64(fd, data, n, at);
}

int fsync(int fd)
{
	if (kind[0] && fd_counts(fd) && due("sync"))
		return -1;
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	if (kind[0] && fd_counts(fd) && due("sync"))
		return -1;
	return (int)syscall(SYS_fdatasync, fd);
}

static int open_it(int dir, const char *path, int flags, mode_t mode)
{
	if (kind[0] && path_counts(path) && due("open"))
		return -1;
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

#define MODE_OF(flags, mode)                    \
	mode_t mode = 0;                        \
	if ((flags) & (O_CREAT | O_TMPFILE)) {  \
		va_list ap;                     \
		va_start(ap, flags);            \
		mode = (mode_t)va_arg(ap, int); \
		va_end(ap);                     \
	}

int open(const char *path, int flags, ...)
{
	MODE_OF(flags, mode)
	return open_it(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE_OF(flags, mode)
	return open_it(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags, mode)
	return open_it(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags, mode)
	return open_it(dir, path, flags, mode);
}

pid_t fork(void)
{
	if (kind[0] && due("fork"))
		return -1;
	pid_t (*f)(void) = real("fork");
	return f();
}

void *malloc(size_t n)
{
	static void *(*next)(size_t);
	if (kind[0] && n >= BIG && due("malloc"))
		return NULL;
	if (!next)
		next = real("malloc");
	return next(n);
}

void *calloc(size_t n, size_t size)
{
	static void *(*next)(size_t, size_t);
	/* dlsym() itself may ask for memory before we know where to get it. */
	static char first[4096];
	static size_t used;
	if (inside && !next) {
		void *p = first + used;
		used += (n * size + 15) & ~(size_t)15;
		return used <= sizeof(first) ? p : NULL;
	}
	if (kind[0] && size && n >= BIG / size && n * size >= BIG && due("malloc"))
		return NULL;
	if (!next)
		next = real("calloc");
	return next(n, size);
}

void *realloc(void *p, size_t n)
{
	static void *(*next)(void *, size_t);
	if (kind[0] && n >= BIG && due("malloc"))
		return NULL;
	if (!next)
		next = real("realloc");
	return next(p, n);
}
