/* What a daemon costs that has nothing to do: memory and processor time, and how fast it answers.
 *   bench-daemon DREAM SOURCE SECONDS
 * In user mode, with a configuration of two services that it probes every minute. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "row.h"

extern char **environ;

enum {
	ASKS = 2000,
	START_MS = 10000,
};

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "bench-daemon: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void rest_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static void configure(const char *dir, const char *source)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/dream.yaml", dir);
	FILE *f = fopen(path, "we");
	if (!f)
		fail(path);
	fprintf(f,
		"version: 1\n"
		"run: {store: %s/dream.db, artifact_root: %s/a, logdir: %s/l}\n"
		"daemon: {probe_every: 1 min, run_window: \"04:00-04:01\"}\n"
		"experiments:\n"
		"  - name: idle\n"
		"    search_space: {vllm_memory_util: {values: [0.5, 0.6]}}\n"
		"    evaluator: {kind: twin, box: %s/boxes/rtx3060.yaml}\n"
		"    services:\n"
		"      judge: {kind: vllm, unit: judge.service, url: \"http://127.0.0.1:9\", "
		"version: 0.11.0,\n"
		"        settings: {model: Qwen2.5-7B-Instruct-AWQ, max_model_len: 2048, "
		"enforce_eager: true},\n"
		"        params: {vllm_memory_util: gpu_memory_utilization}}\n",
		dir, dir, dir, source);
	(void)fclose(f);
}

static pid_t start(const char *dream, const char *dir)
{
	char config[256], socket_path[256];
	pid_t pid;
	posix_spawn_file_actions_t files;
	snprintf(config, sizeof(config), "%s/dream.yaml", dir);
	snprintf(socket_path, sizeof(socket_path), "%s/sock", dir);
	const char *const argv[] = {dream,  "daemon",	"--user",    "--config",
				    config, "--socket", socket_path, NULL};
	(void)setenv("XDG_RUNTIME_DIR", dir, 1);
	if (posix_spawn_file_actions_init(&files) != 0 ||
	    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0) != 0)
		fail("cannot prepare a child");
	errno = posix_spawn(&pid, dream, &files, NULL, (char *const *)(uintptr_t)argv, environ);
	if (errno)
		fail(dream);
	(void)posix_spawn_file_actions_destroy(&files);
	return pid;
}

static int dial(const char *dir)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock", dir);
	for (double until = now_ms() + START_MS; now_ms() < until; rest_ms(10)) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			fail("socket");
		if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		(void)close(fd);
	}
	fail("the daemon does not listen");
}

/* One status, in microseconds. */
static double ask(int fd)
{
	static const char rq[] = "{\"do\": \"status\"}\n";
	static char buf[65536];
	double began = now_ms();
	size_t n = 0;
	if (send(fd, rq, sizeof(rq) - 1, MSG_NOSIGNAL) != sizeof(rq) - 1)
		fail("send");
	while (n == 0 || buf[n - 1] != '\n') {
		ssize_t got = recv(fd, buf + n, sizeof(buf) - n, 0);
		if (got <= 0)
			fail("recv");
		n += (size_t)got;
	}
	return (now_ms() - began) * 1e3;
}

/* CPU time of the process so far, in ms. */
static double cpu_ms(pid_t pid)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		fail("cannot read the process' time");
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double rss_mb(pid_t pid)
{
	char path[64], line[256];
	long kb = -1;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmRSS:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	if (!f || kb < 0)
		fail(path);
	(void)fclose(f);
	return (double)kb / 1024;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/dream-bench-XXXXXX";
	static double took[ASKS];
	int status;
	if (argc != 4 || !mkdtemp(dir))
		fail("bench-daemon DREAM SOURCE SECONDS");
	long seconds = strtol(argv[3], NULL, 10);
	configure(dir, argv[2]);
	double began = now_ms();
	pid_t pid = start(argv[1], dir);
	int fd = dial(dir);
	row("from its start until it answers", now_ms() - began, "ms", ROW_AT_MOST, 1000);
	for (int i = 0; i < ASKS; i++)
		took[i] = ask(fd);
	(void)close(fd);
	qsort(took, ASKS, sizeof(*took), by_value);
	row("a status through the socket, median", took[ASKS / 2], "us", ROW_NO_GOAL, 0);
	rest_ms(1000);
	double before = cpu_ms(pid);
	rest_ms(seconds * 1000);
	row("idle: processor", (cpu_ms(pid) - before) / (double)seconds / 10, "%", ROW_AT_MOST,
	    0.1);
	row("idle: memory (RSS)", rss_mb(pid), "MB", ROW_AT_MOST, 16);
	began = now_ms();
	if (kill(pid, SIGTERM) < 0 || waitpid(pid, &status, 0) < 0)
		fail("cannot end the daemon");
	row("from SIGTERM to its end", now_ms() - began, "ms", ROW_AT_MOST, 2000);
	const char *const rm[] = {"/bin/rm", "-rf", dir, NULL};
	errno = posix_spawn(&pid, rm[0], NULL, NULL, (char *const *)(uintptr_t)rm, environ);
	return errno || waitpid(pid, &status, 0) < 0 || status != 0;
}
