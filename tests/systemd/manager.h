#pragma once
/* Common to the tests that run under a systemd of their own (tests/sandbox): the loop, unit files,
 * waiting for what a manager does. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "systemd/bus.h"
#include "test.h"

typedef struct Bench {
	sd_event *loop;
	Systemd *s;
} Bench;

static inline void bench_done(Bench *b)
{
	systemd_close(b->s);
	sd_event_unref(b->loop);
}

static inline Bench bench_new(void)
{
	Bench b = {0};
	Err err = ERR_INIT;
	CHECK_OK(sd_event_new(&b.loop));
	int r = systemd_open(b.loop, false, &b.s, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	return b;
}

#define BENCH(b) __attribute__((cleanup(bench_done))) Bench b = bench_new()

/* Runs the loop until `*flag`, or fails the test after the seconds. */
static inline void wait_for(sd_event *loop, const bool *flag, int seconds)
{
	int64_t until = clock_mono_us(&clock_system) + seconds * 1000000LL;
	while (!*flag) {
		int64_t left = until - clock_mono_us(&clock_system);
		CHECK(left > 0);
		CHECK_OK(sd_event_run(loop, (uint64_t)left));
	}
}

typedef struct Ending {
	bool over;
	char result[40];
	int code;
	char msg[480];
} Ending;

static inline void on_end(void *ctx, const char *result, const Err *err)
{
	Ending *e = ctx;
	e->over = true;
	snprintf(e->result, sizeof(e->result), "%s", result ? result : "");
	e->code = err ? err->code : 0;
	snprintf(e->msg, sizeof(e->msg), "%s", err ? err->msg : "");
}

static inline void shell(const char *command)
{
	_cleanup_free_ char *out = NULL;
	size_t n;
	Err err = ERR_INIT;
	const ProcSpec spec = {.argv = (const char *const[]){"sh", "-ec", command, NULL},
			       .stdin_path = "/dev/null",
			       .stderr_fd = -1};
	int r = proc_run(&spec, NULL, 0, 1 << 20, 30000000, &out, &n, &err);
	if (r < 0)
		printf("# %s: %s\n", command, err.msg);
	CHECK_OK(r);
}

static inline void unit_file(const char *name, const char *text)
{
	char path[300];
	Err err = ERR_INIT;
	snprintf(path, sizeof(path), "/run/systemd/system/%s", name);
	CHECK_OK(file_write(path, 0644, text, strlen(text), &err));
}

static inline Ending start(const Bench *b, const char *unit)
{
	Ending e = {0};
	Err err = ERR_INIT;
	CHECK_OK(unit_start(b->s, unit, on_end, &e, NULL, &err));
	wait_for(b->loop, &e.over, 30);
	return e;
}

static inline Ending stop(const Bench *b, const char *unit)
{
	Ending e = {0};
	Err err = ERR_INIT;
	CHECK_OK(unit_stop(b->s, unit, on_end, &e, NULL, &err));
	wait_for(b->loop, &e.over, 30);
	return e;
}

static inline Ending run_transient(const Bench *b, const TransientSpec *spec)
{
	Ending e = {0};
	Err err = ERR_INIT;
	int r = unit_run_transient(b->s, spec, on_end, &e, NULL, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	wait_for(b->loop, &e.over, 30);
	if (e.code < 0)
		printf("# %s\n", e.msg);
	return e;
}

/* The state must be given to unit_state_done(). */
static inline UnitState state_of(const Bench *b, const char *unit)
{
	UnitState u = {0};
	Err err = ERR_INIT;
	CHECK_OK(unit_state(b->s, unit, &u, &err));
	return u;
}

typedef struct Until {
	const char *active;
	UnitState last;
	bool met;
} Until;

static inline void until_changed(void *ctx, const UnitState *u)
{
	Until *at = ctx;
	at->met = strcmp(u->active, at->active) == 0;
	char *none = at->last.cgroup;
	at->last = *u;
	at->last.cgroup = none;
}

/* Waits until the unit is in the state; returns it. */
static inline UnitState wait_state(const Bench *b, const char *unit, const char *active)
{
	Until at = {.active = active};
	UnitWatch *w = NULL;
	Err err = ERR_INIT;
	UnitState now = {0};
	CHECK_OK(unit_watch(b->s, unit, until_changed, &at, &w, &err));
	now = state_of(b, unit);
	if (strcmp(now.active, active) != 0)
		wait_for(b->loop, &at.met, 30);
	unit_state_done(&now);
	unitwatch_free(w);
	return state_of(b, unit);
}

static inline char *text_of(const char *path)
{
	char *text = NULL;
	size_t n;
	Err err = ERR_INIT;
	CHECK_OK(file_read(path, 1 << 20, &text, &n, &err));
	return text;
}

/* Runs `body` in a process of the user `dream` of the sandbox; its result is the exit status. */
static inline int as_dream(int (*body)(void))
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (setgid(900) < 0 || setuid(900) < 0)
			_exit(99);
		_exit(body());
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}
