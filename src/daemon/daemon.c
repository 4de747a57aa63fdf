/* The daemon as a whole: begins its parts, turns the loop, ends them. */
#include "daemon/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"

/* --- For all parts ---------------------------------------------------------------------------- */

static void tell(Daemon *d, const char *event, const char *text)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "event", js_text(event), &failed);
	js_set(o, "at_us", json_integer(clock_now_us(d->clock)), &failed);
	js_set(o, "text", js_text(text), &failed);
	if (failed || !d->control)
		json_decref(o);
	else
		control_tell(d->control, o);
}

/* The journal reads the level from the front of a line (sd-daemon(3)). */
void daemon_print(LogLevel level, const char *text)
{
	static const int priorities[] = {
	    [LOG_DEBUG_] = 7,
	    [LOG_INFO_] = 6,
	    [LOG_WARN_] = 4,
	    [LOG_ERROR_] = 3,
	};
	_cleanup_(str_done) Str line = STR_INIT;
	if (getenv("JOURNAL_STREAM"))
		str_addf(&line, "<%d>", priorities[level]);
	str_add_safe(&line, text, strlen(text), 0);
	if (!line.failed)
		(void)fprintf(stderr, "%s\n", line.s ? line.s : "");
}

void daemon_say(Daemon *d, LogLevel level, const char *event, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	const char *said = text.s && !text.failed ? text.s : "out of memory";
	log_event(d->log, level, event, NULL, "%s", said);
	daemon_print(level, said);
	tell(d, event, said);
}

int daemon_timer(Daemon *d, sd_event_time_handler_t fn, sd_event_source **ret, Err *err)
{
	int r = sd_event_add_time_relative(d->loop, ret, CLOCK_MONOTONIC, 0, 0, fn, d);
	if (r >= 0)
		r = sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
	return r < 0 ? err_set(err, r, "cannot make a timer: %s", strerror(-r)) : 0;
}

void daemon_in(sd_event_source *timer, int64_t in_us)
{
	/* Neither can fail for a timer that exists. */
	(void)sd_event_source_set_time_relative(timer, in_us > 0 ? (uint64_t)in_us : 0);
	(void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void daemon_store_rest(Daemon *d)
{
	if (d->store)
		store_patience(d->store, STORE_WAIT_US);
}

void daemon_told(Daemon *d, AlertKind k, const char *words)
{
	Err err = ERR_INIT;
	if (recent_add(d->state_dir, clock_now_us(d->clock), alert_name(k), words, &err) < 0)
		daemon_say(d, LOG_WARN_, "daemon.state", "%s", err.msg);
}

const char *daemon_pinned(const Daemon *d)
{
	return d->plan->run.pinned_key ? d->plan->run.pinned_key : d->key_hex;
}

int daemon_helper(Daemon *d, Err *err)
{
	if (d->helper)
		return 0;
	HelperAddress a = {.socket = d->o->helper};
	if (d->o->user && !a.socket && !d->helper_program) {
		int r = helper_program(&d->helper_program, err);
		if (r < 0)
			return r;
	}
	if (!a.socket)
		a.program = d->helper_program;
	return helper_connect(d->loop, &a, &d->helper, err);
}

/* What a rollout borrows it keeps to its end. */
static int on_helper_end(sd_event_source *source, uint64_t at_us, void *userdata)
{
	Daemon *d = userdata;
	(void)source;
	(void)at_us;
	if (!d->rolling.rollout && !d->drift.checking)
		d->helper = helper_close(d->helper);
	return 0;
}

void daemon_helper_rest(Daemon *d)
{
	daemon_in(d->helper_end, 0);
}

/* --- Signals ---------------------------------------------------------------------------------- */

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	Daemon *d = userdata;
	(void)s;
	(void)si;
	notify_stopping();
	return sd_event_exit(d->loop, 0);
}

static int on_reload(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	Daemon *d = userdata;
	(void)s;
	(void)si;
	notify_reloading();
	plan_reload(d);
	notify_ready(d);
	return 0;
}

/* They are blocked before anything is opened, so that one which comes early is not lost. */
static int block_signals(Err *err)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set(err, -errno, "cannot block signals: %m");
	return 0;
}

static int take_signals(Daemon *d, Err *err)
{
	int r = sd_event_add_signal(d->loop, NULL, SIGTERM, on_stop, d);
	if (r >= 0)
		r = sd_event_add_signal(d->loop, NULL, SIGINT, on_stop, d);
	if (r >= 0)
		r = sd_event_add_signal(d->loop, NULL, SIGHUP, on_reload, d);
	return r < 0 ? err_set(err, r, "cannot wait for signals: %s", strerror(-r)) : 0;
}

/* --- The whole -------------------------------------------------------------------------------- */

static int open_control(Daemon *d, Err *err)
{
	_cleanup_free_ char *path = NULL;
	bool handed = !d->o->socket && getenv("LISTEN_PID");
	int r = 0;
	if (!d->o->socket && !handed)
		r = control_path(d->o->user, &path, err);
	if (r < 0)
		return r;
	const ControlSpec spec = {
	    .path = d->o->socket ? d->o->socket : path,
	    .approvers = d->plan->daemon.approvers,
	    .verbs = daemon_verbs,
	    .ctx = d,
	};
	return control_new(d->loop, &spec, &d->control, err);
}

/* The half-done first: before anybody may ask for more. */
static int begin(Daemon *d, Err *err)
{
	int r = take_signals(d, err);
	if (r == 0)
		r = daemon_timer(d, on_helper_end, &d->helper_end, err);
	if (r == 0)
		r = rolling_begin(d, err);
	if (r == 0)
		r = schedule_begin(d, err);
	if (r == 0)
		r = drift_begin(d, err);
	if (r == 0)
		r = policy_begin(d, err);
	if (r == 0)
		r = open_control(d, err);
	if (r == 0)
		r = notify_begin(d, err);
	return r;
}

int daemon_run(const DaemonOptions *o, Err *err)
{
	_cleanup_(daemon_done)
	    Daemon d = {.lock_fd = -1, .rolling.turn_fd = -1, .schedule.proc = PROC_INIT};
	int r = block_signals(err);
	if (r == 0)
		r = daemon_open(&d, o, err);
	if (r == 0)
		r = begin(&d, err);
	if (r < 0)
		return r;
	looking_turn(&d);
	schedule_turn(&d);
	notify_ready(&d);
	daemon_say(&d, LOG_INFO_, "daemon.ready", "ready: %s", d.config);
	r = sd_event_loop(d.loop);
	if (r < 0)
		return err_set(err, r, "the event loop failed: %s", strerror(-r));
	daemon_say(&d, LOG_INFO_, "daemon.stopped", "stopped");
	return 0;
}
