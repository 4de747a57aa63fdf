/* A library to preload: makes the k-th call of one kind fail, so that a test can walk through every
 * k.
 *
 * INJECT=KIND:K:ERRNO: KIND is write, sync, open, fd, fork or malloc; K counts from 1, 0 only
 * counts.
 *
 * INJECT_UNDER=DIR: write, sync: only of files below it.
 *
 * INJECT_BIG=N: malloc: only requests of N bytes and more (4096: what grows with the input).
 *
 * INJECT_COUNT=FILE: at exit the number of calls of that kind is written there.
 *
 * Only the process that is started with it, and its forks, are meant: the variables are removed, so
 * that the programs that it executes run undisturbed. What the loader and the C library do before
 * main, and what it does for itself without going through these names, is not counted. */
#undef _FILE_OFFSET_BITS /* both names of each call are ours */
#undef _FORTIFY_SOURCE	 /* and none of them an inline function of the headers */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The functions of this library are only called by others; these have no header here. */
int epoll_create1(int flags);
int timerfd_create(int clock, int flags);
int signalfd(int fd, const sigset_t *mask, int flags);
int eventfd(unsigned value, int flags);

static char kind[16];
static long fail_at, count;
static int fail_errno;
static size_t big = 4096;
static char *under, *count_file;
static bool inside; /* our own calls are not counted */

static char *take_variable(const char *name)
{
	const char *value = getenv(name);
	char *copy = value ? strdup(value) : NULL;
	(void)unsetenv(name);
	return copy;
}

__attribute__((constructor)) static void begin(void)
{
	char *spec = take_variable("INJECT"), *least = take_variable("INJECT_BIG");
	under = take_variable("INJECT_UNDER");
	count_file = take_variable("INJECT_COUNT");
	if (least)
		big = strtoul(least, NULL, 10);
	if (spec && sscanf(spec, "%15[^:]:%ld:%d", kind, &fail_at, &fail_errno) != 3)
		kind[0] = '\0';
	count = 0;
	free(least);
	free(spec);
}

__attribute__((destructor)) static void finish(void)
{
	char text[32];
	if (count_file) {
		int fd = (int)syscall(SYS_openat, AT_FDCWD, count_file,
				      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		int n = snprintf(text, sizeof(text), "%ld\n", count);
		if (fd >= 0) {
			(void)!syscall(SYS_write, fd, text, n);
			(void)syscall(SYS_close, fd);
		}
	}
	kind[0] = '\0';
	free(count_file);
	free(under);
	count_file = under = NULL;
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
	return strncmp(path, under, strlen(under)) == 0;
}

static void *real(const char *name)
{
	inside = true;
	void *f = dlsym(RTLD_NEXT, name);
	inside = false;
	return f;
}

/* --- Writing --------------------------------------------------------------------------------- */

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

/* --- Opening --------------------------------------------------------------------------------- */

static int open_it(int dir, const char *path, int flags, mode_t mode)
{
	if (kind[0] && due("open"))
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

FILE *fopen(const char *path, const char *mode)
{
	if (kind[0] && due("open"))
		return NULL;
	FILE *(*next)(const char *, const char *) = real("fopen");
	return next(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return fopen(path, mode);
}

DIR *opendir(const char *path)
{
	if (kind[0] && due("open"))
		return NULL;
	DIR *(*next)(const char *) = real("opendir");
	return next(path);
}

/* --- Other descriptors ----------------------------------------------------------------------- */

int pipe2(int fds[2], int flags)
{
	if (kind[0] && due("fd"))
		return -1;
	return (int)syscall(SYS_pipe2, fds, flags);
}

int epoll_create1(int flags)
{
	if (kind[0] && due("fd"))
		return -1;
	return (int)syscall(SYS_epoll_create1, flags);
}

int timerfd_create(int clock, int flags)
{
	if (kind[0] && due("fd"))
		return -1;
	return (int)syscall(SYS_timerfd_create, clock, flags);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
	if (kind[0] && fd < 0 && due("fd"))
		return -1;
	return (int)syscall(SYS_signalfd4, fd, mask, _NSIG / 8, flags);
}

int eventfd(unsigned value, int flags)
{
	if (kind[0] && due("fd"))
		return -1;
	return (int)syscall(SYS_eventfd2, value, flags);
}

/* --- Processes and memory -------------------------------------------------------------------- */

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
	if (kind[0] && n >= big && due("malloc"))
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
	if (kind[0] && size && n >= (big + size - 1) / size && due("malloc"))
		return NULL;
	if (!next)
		next = real("calloc");
	return next(n, size);
}

void *realloc(void *p, size_t n)
{
	static void *(*next)(void *, size_t);
	if (kind[0] && n >= big && due("malloc"))
		return NULL;
	if (!next)
		next = real("realloc");
	return next(p, n);
}
