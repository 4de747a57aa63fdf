/* Time and memory of the whole program: the median of several runs.
 *   bench-program DREAM EXAMPLES
 * Small itself, for a child's peak memory counts from the fork on. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "row.h"

extern char **environ;

enum {
	RUNS_MAX = 50,
};

typedef struct Cost {
	double ms, mb;
} Cost;

/* exec() takes what it does not change as if it would. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static double now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "bench-program: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void run(char *const *argv, int out)
{
	posix_spawn_file_actions_t files;
	pid_t pid;
	if (posix_spawn_file_actions_init(&files) != 0 ||
	    posix_spawn_file_actions_adddup2(&files, out, 1) != 0 ||
	    posix_spawn_file_actions_adddup2(&files, out, 2) != 0)
		fail("cannot prepare a child");
	errno = posix_spawn(&pid, argv[0], &files, NULL, argv, environ);
	if (errno)
		fail(argv[0]);
	(void)posix_spawn_file_actions_destroy(&files);
	int status;
	if (waitpid(pid, &status, 0) < 0)
		fail("cannot wait");
	/* 3: measured, and nothing better than the baseline was found. */
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3)) {
		fprintf(stderr, "bench-program: %s %s failed\n", argv[0], argv[1]);
		exit(1);
	}
}

/* In a child of its own, so that its peak memory is nobody else's, and in an empty folder. */
static Cost measure(char *const *argv)
{
	char dir[] = "/tmp/dream-bench-XXXXXX";
	int out = open("/dev/null", O_RDWR | O_CLOEXEC), ends[2];
	if (out < 0 || !mkdtemp(dir) || pipe(ends) < 0)
		fail("cannot prepare a run");
	pid_t pid = fork();
	if (pid < 0)
		fail("cannot fork");
	if (pid == 0) {
		if (chdir(dir) < 0 || setenv("XDG_STATE_HOME", dir, 1) < 0)
			fail(dir);
		double began = now_ms();
		run(argv, out);
		Cost c = {.ms = now_ms() - began};
		struct rusage u;
		(void)getrusage(RUSAGE_CHILDREN, &u);
		c.mb = (double)u.ru_maxrss * 1024 / 1e6;
		_exit(write(ends[1], &c, sizeof(c)) == sizeof(c) ? 0 : 1);
	}
	Cost c = {0};
	int status = 1;
	(void)close(ends[1]);
	if (waitpid(pid, &status, 0) < 0 || status != 0 ||
	    read(ends[0], &c, sizeof(c)) != sizeof(c))
		exit(1);
	(void)close(ends[0]);
	(void)close(out);
	char *const rm[] = {text("/bin/rm"), text("-rf"), dir, NULL};
	run(rm, STDERR_FILENO);
	return c;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static Cost median(char *const *argv, size_t runs)
{
	double ms[RUNS_MAX], mb[RUNS_MAX];
	for (size_t i = 0; i < runs; i++) {
		Cost c = measure(argv);
		ms[i] = c.ms;
		mb[i] = c.mb;
	}
	qsort(ms, runs, sizeof(*ms), by_size);
	qsort(mb, runs, sizeof(*mb), by_size);
	return (Cost){.ms = ms[runs / 2], .mb = mb[runs / 2]};
}

static void example(char *dream, const char *folder, const char *name, bool promised)
{
	char path[4096], what[128];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	char *const argv[] = {dream, text("run"), text("--config"), path, NULL};
	Cost c = median(argv, 5);
	(void)snprintf(what, sizeof(what), "dream run examples/%s", name);
	row(what, c.ms / 1e3, "s", promised ? ROW_AT_MOST : ROW_NO_GOAL, 5);
	row("  its memory", c.mb, "MB", promised ? ROW_AT_MOST : ROW_NO_GOAL, 20);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s DREAM EXAMPLES\n", argv[0]);
		return 2;
	}
	char *dream = realpath(argv[1], NULL), *folder = realpath(argv[2], NULL);
	if (!dream || !folder)
		fail("cannot find what to run");
	char *const version[] = {dream, text("--version"), NULL};
	Cost c = median(version, RUNS_MAX);
	row("dream --version", c.ms, "ms", ROW_AT_MOST, 5);
	example(dream, folder, "rtx3060.yaml", true);
	example(dream, folder, "rtx4090.yaml", false);
	free(dream);
	free(folder);
	return 0;
}
