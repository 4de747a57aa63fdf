#include "service/guardunit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct GuardUnit {
	Systemd *s;
	char *name;
	int pipe; /* our end; -1 */
	bool user, running, asked, said_ending, said_ended;
	UnitJob *start, *stop;
	UnitWatch *watch;
	sd_event_source *later;
	GuardHandler h;
	void *ctx;
};

static const int64_t stop_timeout_us = 3600LL * 1000000;

/* What its end runs: first what is bound to the guard, the trial's units, has to be gone, since
 * they hold what production needs. A unit that is not back is tried again, after a pause in which a
 * trial of processes that still held the GPU has ended; one that was masked meanwhile is meant to
 * stay down. When the machine goes down nothing is to be started. The manager's PATH may lack what
 * a distribution puts elsewhere. */
static char restore_script[] =
    "PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin\n"
    "export PATH\n"
    "scope=$1 guard=$2; shift 2\n"
    "bound=$(systemctl $scope show --property=BoundBy --value \"$guard\")\n"
    "[ -z \"$bound\" ] || systemctl $scope stop $bound\n"
    "for pause in 1 2 4 8 0; do\n"
    "  missing=\n"
    "  for unit; do\n"
    "    systemctl $scope is-active --quiet \"$unit\" && continue\n"
    "    case $(systemctl $scope show --property=LoadState --value \"$unit\") in\n"
    "      masked*) continue;;\n"
    "    esac\n"
    "    systemctl $scope start \"$unit\" || missing=yes\n"
    "  done\n"
    "  [ -z \"$missing\" ] && exit 0\n"
    "  [ \"$(systemctl $scope is-system-running)\" = stopping ] && exit 1\n"
    "  [ $pause = 0 ] && exit 1\n"
    "  sleep $pause\n"
    "  systemctl $scope reset-failed \"$@\"\n"
    "done\n";

GuardUnit *guardunit_free(GuardUnit *g)
{
	if (!g)
		return NULL;
	unitjob_forget(g->start);
	unitjob_forget(g->stop);
	unitwatch_free(g->watch);
	sd_event_source_disable_unref(g->later);
	if (g->pipe >= 0)
		close(g->pipe);
	free(g->name);
	free(g);
	return NULL;
}

/* --- What it does ---------------------------------------------------------------------------- */

static bool is_over(const UnitState *u)
{
	return strcmp(u->active, "inactive") == 0 || strcmp(u->active, "failed") == 0 ||
	       !u->active[0]; /* the manager is gone: nothing more will be heard of it */
}

static void say_ended(GuardUnit *g)
{
	if (g->said_ended)
		return;
	g->said_ended = true;
	g->h.ended(g->ctx);
}

static void on_changed(void *ctx, const UnitState *u)
{
	GuardUnit *g = ctx;

	if (!g->running || strcmp(u->active, "active") == 0)
		return;
	if (is_over(u)) {
		say_ended(g);
		return;
	}
	if (!g->asked && !g->said_ending) {
		g->said_ending = true;
		if (g->h.ending)
			g->h.ending(g->ctx);
	}
}

static void on_started(void *ctx, const char *result, const Err *err)
{
	GuardUnit *g = ctx;
	Err why = ERR_INIT;

	g->start = NULL;
	if (result && strcmp(result, "done") == 0) {
		g->running = true;
		g->h.started(g->ctx, NULL);
		return;
	}
	if (err)
		err_set(&why, err->code, "cannot start the guard: %s", err->msg);
	else
		err_set(&why, -EIO, "cannot start the guard %s (%s): %s", g->name, result,
			unit_result_words(result));
	g->h.started(g->ctx, &why);
}

static void on_stopped(void *ctx, const char *result, const Err *err)
{
	GuardUnit *g = ctx;

	(void)result;
	(void)err; /* not there any more, or the manager is gone: production is looked at anyway */
	g->stop = NULL;
	say_ended(g);
}

/* --- Starting -------------------------------------------------------------------------------- */

static GuardUnit *guard_new(Systemd *s, const char *name, const GuardHandler *h, void *ctx)
{
	GuardUnit *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	*g = (GuardUnit){.s = s, .pipe = -1, .h = *h, .ctx = ctx, .name = strdup(name)};
	return g->name ? g : guardunit_free(g);
}

static int run(GuardUnit *g, char *const *units, size_t n, int64_t max_us, int input, Err *err)
{
	static const char *const head[] = {"/bin/sh", "-c", restore_script, "dream-guard"};
	static char cat[] = "cat";
	char *const argv[] = {cat, NULL};
	_cleanup_free_ const char **post = calloc(n + 7, sizeof(*post));
	_cleanup_free_ const char **conflicts = calloc(n + 1, sizeof(*conflicts));
	if (!post || !conflicts)
		return err_oom(err);
	memcpy(post, head, sizeof(head));
	post[4] = systemd_is_user(g->s) ? "--user" : "--system";
	post[5] = g->name;
	for (size_t i = 0; i < n; i++)
		conflicts[i] = post[6 + i] = units[i];
	return unit_run_transient(g->s,
				  &(TransientSpec){.unit = g->name,
						   .description =
						       "D-REAM: production is stopped for "
						       "a trial, and started again when "
						       "this ends",
						   .argv = argv,
						   .runtime_max_us = max_us,
						   .conflicts = conflicts,
						   .stop_post = post,
						   .collect = true,
						   .log_fd = -1,
						   .input_fd = input,
						   .stop_timeout_us = stop_timeout_us},
				  on_started, g, &g->start, err);
}

int guardunit_start(Systemd *s, const char *name, char *const *units, size_t n, int64_t max_us,
		    const GuardHandler *h, void *ctx, GuardUnit **ret, Err *err)
{
	int fds[2];
	_cleanup_(guardunit_freep) GuardUnit *g = guard_new(s, name, h, ctx);
	if (!g)
		return err_oom(err);
	int r = unit_watch(s, name, on_changed, g, &g->watch, err);
	if (r < 0)
		return r;
	/* Nobody but us may hold the other end, or our death would not be seen. */
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	g->pipe = fds[1];
	r = run(g, units, n, max_us, fds[0], err);
	close(fds[0]);
	if (r >= 0)
		*ret = TAKE_PTR(g);
	return r;
}

int guardunit_adopt(Systemd *s, const char *name, const GuardHandler *h, void *ctx, GuardUnit **ret,
		    Err *err)
{
	_cleanup_(guardunit_freep) GuardUnit *g = guard_new(s, name, h, ctx);
	if (!g)
		return err_oom(err);
	g->running = true;
	*ret = TAKE_PTR(g);
	return 0;
}

/* --- Ending ---------------------------------------------------------------------------------- */

int guardunit_stop(GuardUnit *g, Err *err)
{
	g->asked = true;
	if (g->stop || g->said_ended)
		return 0;
	/* One that is still starting ends, too. The stop job is done when the last command is. */
	g->start = unitjob_forget(g->start);
	g->running = true;
	return unit_stop(g->s, g->name, on_stopped, g, &g->stop, err);
}
