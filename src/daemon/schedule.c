/* Runs in their window, each a child process with a process group of its own: `dream run`. A run
 * can be ended at any moment, for it goes on where it stopped. */
#include "daemon/internal.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/json.h"

#define SCHEDULE_FILE "schedule.json"

enum {
	LOOK_AGAIN_US = 600000000, /* at the latest: the clock may be set, or summer begin */
	RETRY_US = 60000000,
	NAME_SHOWN = 60,
	REASON_SHOWN = 360,
};

/* --- When ------------------------------------------------------------------------------------- */

/* Realtime of the next beginning; -1: none. */
int64_t schedule_next_at_us(const Daemon *d)
{
	const Schedule *s = &d->schedule;
	int64_t now_us = clock_now_us(d->clock), at_us = now_us;
	if (!s->planned)
		return -1;
	if (s->ended_at_us > 0 && s->ended_at_us <= now_us &&
	    s->ended_at_us + d->plan->daemon.run_every_us > at_us)
		at_us = s->ended_at_us + d->plan->daemon.run_every_us;
	return at_us + window_opens_in_us(&s->window, at_us, utc_offset_min(at_us));
}

static bool may_begin(const Daemon *d)
{
	return !d->pause.on && !d->rolling.rollout && d->rolling.wish.kind == WISH_NONE && d->store;
}

/* --- What is kept ----------------------------------------------------------------------------- */

static void keep(Daemon *d)
{
	const Schedule *s = &d->schedule;
	Err err = ERR_INIT;
	bool failed = false;
	json_auto_t *o = json_object();
	js_set(o, "ended_at_us", json_integer(s->ended_at_us), &failed);
	js_set(o, "result", js_text(s->result), &failed);
	int r = failed ? err_oom(&err) : statefile_write(d->state_dir, SCHEDULE_FILE, o, &err);
	if (r < 0)
		daemon_say(d, LOG_WARN_, "daemon.state", "%s", err.msg);
}

static void recall(Daemon *d)
{
	Schedule *s = &d->schedule;
	json_auto_t *o = NULL;
	Err err = ERR_INIT;
	if (statefile_read(d->state_dir, SCHEDULE_FILE, &o, &err) < 0)
		daemon_say(d, LOG_WARN_, "daemon.state", "%s", err.msg);
	s->ended_at_us = js_int(o, "ended_at_us", 0);
	(void)snprintf(s->result, sizeof(s->result), "%s", js_str(o, "result", ""));
}

/* --- The child -------------------------------------------------------------------------------- */

typedef struct Verdicts {
	int64_t after_seq;
	bool any;	/* of this run */
	Str unmeasured; /* experiments whose baseline gave nothing to compare with, and why */
} Verdicts;

static int on_verdict(void *ctx, const Record *r, const json_t *body)
{
	Verdicts *v = ctx;
	if (r->seq <= v->after_seq)
		return 1;
	v->any = true;
	if (strcmp(js_str(body, "verdict", ""), "unmeasured") != 0)
		return 0;
	const char *name = js_str(body, "experiment", "?"), *reason = js_str(body, "reason", "?");
	str_add(&v->unmeasured, v->unmeasured.len ? "; " : "");
	str_add_safe(&v->unmeasured, name, strlen(name), NAME_SHOWN);
	str_add(&v->unmeasured, ": ");
	str_add_safe(&v->unmeasured, reason, strlen(reason), REASON_SHOWN);
	return 0;
}

/* Newest first: of a run that measured nothing the last trial says why. */
static int on_trial(void *ctx, const Record *r, const json_t *body)
{
	Verdicts *v = ctx;
	const json_t *m = json_object_get(body, "measurement");
	const char *outcome = js_str(m, "outcome", "?"), *reason = js_str(m, "reason", "");
	if (r->seq <= v->after_seq)
		return 1;
	if (strcmp(outcome, outcome_name(OUTCOME_OK)) == 0) {
		str_done(&v->unmeasured);
		return 1;
	}
	if (v->unmeasured.len > 0)
		return 0;
	str_addf(&v->unmeasured, "nothing could be measured: the last trial ended ");
	str_add_safe(&v->unmeasured, outcome, strlen(outcome), NAME_SHOWN);
	str_add(&v->unmeasured, *reason ? ": " : "");
	str_add_safe(&v->unmeasured, reason, strlen(reason), REASON_SHOWN);
	return 0;
}

/* The exit status is the same whether nothing was better or nothing could be compared. What the run
 * wrote into the store tells. */
static void name_verdict(Daemon *d, int status)
{
	Schedule *s = &d->schedule;
	Verdicts v = {.after_seq = s->began_seq, .unmeasured = STR_INIT};
	Err err = ERR_INIT;
	const char *words = status == 0 ? "something better was found and proposed"
					: "nothing better than the baseline was found";
	int r = d->store ? store_records(d->store, "verdict", true, 0, on_verdict, &v, &err) : 0;
	if (r >= 0 && d->store && status != 0 && !v.any)
		r = store_records(d->store, "trial", true, 0, on_trial, &v, &err);
	if (r < 0)
		daemon_say(d, LOG_WARN_, "daemon.run", "what came of the run cannot be read: %s",
			   err.msg);
	bool some = r >= 0 && v.unmeasured.len > 0 && !v.unmeasured.failed;
	if (r >= 0 && d->store && status != 0 && !v.any)
		words = "it ended without a verdict; what is left is for the next";
	if (some && status != 0)
		(void)snprintf(s->result, sizeof(s->result), "%s", v.unmeasured.s);
	else
		(void)snprintf(s->result, sizeof(s->result), "%s%s%s", words, some ? "; " : "",
			       some ? v.unmeasured.s : "");
	str_done(&v.unmeasured);
}

static void name_result(Daemon *d, const siginfo_t *si)
{
	Schedule *s = &d->schedule;
	char how[48];
	int status = si->si_code == CLD_EXITED ? si->si_status : -1;
	proc_describe(si, how);
	if (status == 0 || status == 3)
		name_verdict(d, status);
	else if (status == 4)
		(void)snprintf(s->result, sizeof(s->result), "interrupted; it will go on");
	else
		(void)snprintf(s->result, sizeof(s->result), "it failed: %s", how);
}

static void forget_child(Schedule *s)
{
	s->child = sd_event_source_disable_unref(s->child);
	proc_done(&s->proc);
	s->proc = PROC_INIT;
	s->running = s->stopping = false;
}

static int on_child(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	Daemon *d = userdata;
	Schedule *s = &d->schedule;
	siginfo_t si = {0};
	(void)source;
	(void)fd;
	(void)events;
	int r = proc_reap(&s->proc, &si);
	if (r == 0)
		return 0;
	bool asked = s->stopping;
	if (r > 0)
		name_result(d, &si);
	else
		(void)snprintf(s->result, sizeof(s->result), "it failed: %s", strerror(-r));
	(void)sd_event_source_set_enabled(s->kill, SD_EVENT_OFF);
	forget_child(s);
	/* One that we ended has not had its turn yet. */
	if (!asked) {
		s->ended_at_us = clock_now_us(d->clock);
		keep(d);
	}
	daemon_say(d, LOG_INFO_, "daemon.run", "the scheduled run ended: %s", s->result);
	rolling_turn(d);
	looking_turn(d);
	schedule_turn(d);
	policy_turn(d);
	return 0;
}

static int on_kill(sd_event_source *source, uint64_t at_us, void *userdata)
{
	Daemon *d = userdata;
	(void)source;
	(void)at_us;
	if (d->schedule.running)
		proc_kill(&d->schedule.proc);
	return 0;
}

void schedule_stop(Daemon *d, int64_t grace_us, const char *why)
{
	Schedule *s = &d->schedule;
	if (!s->running)
		return;
	if (!s->stopping) {
		daemon_say(d, LOG_INFO_, "daemon.run", "the scheduled run is asked to end: %s",
			   why);
		(void)kill(s->proc.pid, SIGTERM);
	}
	s->stopping = true;
	daemon_in(s->kill, grace_us);
}

static int spawn(Daemon *d, Err *err)
{
	Schedule *s = &d->schedule;
	const char *const argv[] = {d->program, "run", "--config", d->config,
				    "--cycles", "1",   NULL};
	/* The socket that tells systemd how we are is not the child's. */
	const char *const env[] = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", NULL};
	const ProcSpec spec = {
	    .argv = argv,
	    .env = env,
	    .stdin_path = "/dev/null",
	    .stdout_fd = 2,
	    .stderr_fd = 2,
	};
	Hash unused;
	int r = store_head(d->store, &s->began_seq, &unused, err);
	if (r == 0)
		r = proc_spawn(&spec, &s->proc, err);
	if (r < 0)
		return r;
	r = sd_event_add_io(d->loop, &s->child, s->proc.pidfd, EPOLLIN, on_child, d);
	if (r < 0) {
		forget_child(s);
		return err_set(err, r, "cannot wait for a run: %s", strerror(-r));
	}
	s->running = true;
	s->began_at_us = clock_now_us(d->clock);
	return 0;
}

static void begin_run(Daemon *d)
{
	Err err = ERR_INIT;
	looking_stop(d);
	if (spawn(d, &err) == 0) {
		daemon_say(d, LOG_INFO_, "daemon.run", "a scheduled run begins");
		return;
	}
	daemon_say(d, LOG_ERROR_, "daemon.run", "a scheduled run cannot begin: %s", err.msg);
	looking_turn(d);
}

/* --- Turns ------------------------------------------------------------------------------------ */

static int64_t in_us(const Daemon *d)
{
	int64_t next_us = schedule_next_at_us(d) - clock_now_us(d->clock);
	return next_us < 0 ? 0 : next_us > LOOK_AGAIN_US ? LOOK_AGAIN_US : next_us;
}

void schedule_turn(Daemon *d)
{
	Schedule *s = &d->schedule;
	Err err = ERR_INIT;
	int64_t now_us = clock_now_us(d->clock);
	const char *window = d->plan->daemon.run_window;
	s->planned = window && window_parse(window, &s->window, &err) == 0;
	bool open = s->planned && window_is_open(&s->window, now_us, utc_offset_min(now_us));
	if (s->running && !open)
		schedule_stop(d, RUN_GRACE_US, "its window is over");
	else if (!s->running && open && may_begin(d) && in_us(d) == 0)
		begin_run(d);
	notify_status(d);
	int64_t wait_us = in_us(d);
	if (s->running && open) {
		int64_t left_us = window_closes_in_us(&s->window, now_us, utc_offset_min(now_us));
		wait_us = left_us < LOOK_AGAIN_US ? left_us : LOOK_AGAIN_US;
	} else if (wait_us == 0) {
		wait_us = RETRY_US; /* something is in the way, and will say when it is not */
	}
	if (s->planned || s->running)
		daemon_in(s->timer, wait_us);
}

static int on_timer(sd_event_source *source, uint64_t at_us, void *userdata)
{
	(void)source;
	(void)at_us;
	schedule_turn(userdata);
	return 0;
}

int schedule_begin(Daemon *d, Err *err)
{
	recall(d);
	int r = daemon_timer(d, on_timer, &d->schedule.timer, err);
	return r < 0 ? r : daemon_timer(d, on_kill, &d->schedule.kill, err);
}

/* The end of the daemon: a moment for what it measures to be put away, then it is killed. */
void schedule_done(Schedule *s)
{
	if (s->running) {
		struct pollfd p = {.fd = s->proc.pidfd, .events = POLLIN};
		(void)kill(s->proc.pid, SIGTERM);
		(void)poll(&p, 1, RUN_LAST_US / 1000);
	}
	forget_child(s);
	s->timer = sd_event_source_disable_unref(s->timer);
	s->kill = sd_event_source_disable_unref(s->kill);
}
