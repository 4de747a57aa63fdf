/* What the daemon works with, opened one after another and closed in the opposite order. */
#include "daemon/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"

static int set_text(char **at, const char *text, Err *err)
{
	*at = str_fmt("%s", text);
	return *at ? 0 : err_oom(err);
}

/* The children of the daemon run elsewhere: every path is absolute. */
static int find_paths(Daemon *d, Err *err)
{
	char self[4096];
	_cleanup_free_ char *real = realpath(d->o->config, NULL);
	if (!real)
		return err_set(err, -errno, "cannot read %s: %m", d->o->config);
	int r = set_text(&d->config, real, err);
	if (r < 0)
		return r;
	if (d->o->program)
		return set_text(&d->program, d->o->program, err);
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_set(err, -errno, "cannot tell which program this is: %m");
	self[n] = '\0';
	return set_text(&d->program, self, err);
}

static int find_state(Daemon *d, Err *err)
{
	_cleanup_free_ char *dir = NULL;
	int r = 0;
	if (d->plan->run.store) {
		r = set_text(&d->store_path, d->plan->run.store, err);
	} else {
		r = config_state_dir(&dir, err);
		d->store_path = r == 0 ? path_join(dir, "dream.db") : NULL;
		if (r == 0 && !d->store_path)
			r = err_oom(err);
	}
	if (r < 0)
		return r;
	d->state_dir = path_dir(d->store_path);
	return d->state_dir ? dir_make(d->state_dir, 0700, err) : err_oom(err);
}

/* The kernel's lock ends with us, however that is. */
static int take_lock(Daemon *d, Err *err)
{
	char text[32];
	_cleanup_free_ char *path = path_join(d->state_dir, "daemon.lock");
	if (!path)
		return err_oom(err);
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0644);
	if (d->lock_fd < 0)
		return err_set(err, -errno, "cannot open %s: %m", path);
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return err_set(err, -EALREADY, "another daemon runs with the store in %s",
				       d->state_dir);
		return err_set(err, -errno, "cannot lock %s: %m", path);
	}
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(d->lock_fd, 0) < 0 || pwrite(d->lock_fd, text, (size_t)n, 0) != n)
		return err_set(err, -errno, "cannot write %s: %m", path);
	return 0;
}

static int open_log(Daemon *d, Err *err)
{
	_cleanup_free_ char *path = path_join(d->plan->run.logdir, "daemon.log");
	if (!path)
		return err_oom(err);
	int r = dir_make(d->plan->run.logdir, 0755, err);
	const LogSpec spec = {.path = path, .clock = d->clock};
	return r < 0 ? r : log_open(&spec, &d->log, err);
}

static int open_key(Daemon *d, Err *err)
{
	_cleanup_free_ char *beside = path_join(d->state_dir, "dream.key");
	if (!beside)
		return err_oom(err);
	int r = sign_key_load(d->plan->run.key ? d->plan->run.key : beside, &d->key, err);
	if (r == 0)
		sign_public_hex(d->key, d->key_hex);
	return r;
}

/* Without the store nothing new begins, but what is half done is still taken back. */
static void open_store(Daemon *d)
{
	int r = store_open(d->store_path, STORE_WRITE, d->clock, &d->store, &d->store_err);
	if (r < 0)
		daemon_say(d, LOG_ERROR_, "daemon.store", "%s", d->store_err.msg);
	daemon_store_rest(d);
}

static int open_history(Daemon *d, Err *err)
{
	_cleanup_free_ char *path = path_join(d->state_dir, "history.bin");
	return path ? history_open(path, d->clock, &d->history, err) : err_oom(err);
}

static int open_alerts(Daemon *d, Err *err)
{
	const ConfStrings *hook = &d->plan->daemon.hook;
	return alerts_new(d->loop, hook->n ? (const char *const *)hook->items : NULL, d->clock,
			  &d->alerts, err);
}

/* A machine without a manager to ask still has a daemon that can say so. */
static void open_systemd(Daemon *d)
{
	Err err = ERR_INIT;
	if (systemd_open(d->loop, d->o->user, &d->systemd, &err) < 0)
		daemon_say(d, LOG_WARN_, "daemon.systemd", "%s", err.msg);
}

static int find_production(Daemon *d, Err *err)
{
	if (getenv("DREAM_PRODUCTION_ROOT"))
		return productionplaces_here(&d->places, err);
	return d->o->user ? productionplaces_user(&d->places, err)
			  : productionplaces_system(&d->places, err);
}

int daemon_open(Daemon *d, const DaemonOptions *o, Err *err)
{
	d->o = o;
	d->clock = &clock_system;
	d->began_at_us = clock_now_us(d->clock);
	int r = sd_event_new(&d->loop);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop: %s", strerror(-r));
	r = find_paths(d, err);
	if (r == 0)
		r = plan_read(d, &d->plan, err);
	if (r == 0)
		r = find_state(d, err);
	if (r == 0)
		r = take_lock(d, err);
	if (r == 0)
		r = open_log(d, err);
	if (r == 0)
		r = open_key(d, err);
	if (r == 0)
		r = find_production(d, err);
	if (r == 0)
		r = httploop_new(d->loop, &d->http, err);
	if (r == 0)
		r = open_alerts(d, err);
	if (r == 0)
		r = open_history(d, err);
	if (r < 0)
		return r;
	open_store(d);
	open_systemd(d);
	pause_read(d->state_dir, &d->pause);
	return 0;
}

void daemon_done(Daemon *d)
{
	d->control = control_free(d->control);
	rolling_done(d);
	looking_stop(d);
	drift_done(&d->drift);
	schedule_done(&d->schedule);
	sd_event_source_disable_unref(d->watchdog);
	sd_event_source_disable_unref(d->helper_end);
	d->helper = helper_close(d->helper);
	d->alerts = alerts_free(d->alerts);
	d->history = history_close(d->history);
	d->http = httploop_free(d->http);
	d->systemd = systemd_close(d->systemd);
	d->store = store_close(d->store);
	d->key = sign_key_free(d->key);
	d->log = log_close(d->log);
	productionplaces_done(&d->places);
	d->next = config_free(d->next);
	d->plan = config_free(d->plan);
	if (d->lock_fd >= 0)
		(void)close(d->lock_fd);
	sd_event_unref(d->loop);
	free(d->store_path);
	free(d->state_dir);
	free(d->config);
	free(d->program);
	free(d->helper_program);
}
