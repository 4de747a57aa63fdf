/* What systemd is told: that we are ready, what we do, and that we live. */
#include "daemon/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum {
	MIN_WATCHDOG_US = 100000,
};

/* A read that must come back. While production is being changed the store may be gone: taking back
 * needs none, and being killed in the middle would only delay it. */
static bool alive(Daemon *d)
{
	int64_t seq;
	Hash h;
	Err err = ERR_INIT;
	if (d->rolling.rollout)
		return true;
	if (d->store && store_head(d->store, &seq, &h, &err) == 0)
		return true;
	daemon_say(d, LOG_ERROR_, "daemon.store", "the store does not answer: %s",
		   d->store ? err.msg : d->store_err.msg);
	return false;
}

static int on_watchdog(sd_event_source *s, uint64_t at_us, void *userdata)
{
	Daemon *d = userdata;
	(void)at_us;
	if (alive(d))
		(void)sd_notify(0, "WATCHDOG=1");
	daemon_in(s, (int64_t)d->watchdog_us / 3);
	return 0;
}

int notify_begin(Daemon *d, Err *err)
{
	int on = sd_watchdog_enabled(0, &d->watchdog_us);
	if (on <= 0 || d->watchdog_us < MIN_WATCHDOG_US)
		return 0;
	int r = daemon_timer(d, on_watchdog, &d->watchdog, err);
	if (r == 0)
		daemon_in(d->watchdog, 0);
	return r;
}

void notify_ready(Daemon *d)
{
	(void)sd_notify(0, "READY=1");
	d->status[0] = '\0';
	notify_status(d);
}

void notify_patience(int64_t us)
{
	(void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRId64, us);
}

void notify_reloading(void)
{
	int64_t now_us = clock_mono_us(&clock_system);
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, now_us);
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void notify_status(Daemon *d)
{
	char text[sizeof(d->status)];
	if (d->rolling.rollout)
		(void)snprintf(text, sizeof(text), "%s: %s%s", d->rolling.what,
			       machine_phase_name(d->rolling.phase),
			       d->pause.on ? " (paused)" : "");
	else if (d->schedule.running)
		(void)snprintf(text, sizeof(text), "a scheduled run is going on");
	else if (d->pause.on)
		(void)snprintf(text, sizeof(text), "paused by %s", d->pause.by);
	else
		(void)snprintf(text, sizeof(text), "production is %s",
			       d->looking.watch ? "watched" : "not watched");
	if (strcmp(text, d->status) == 0)
		return;
	memcpy(d->status, text, sizeof(text));
	(void)sd_notifyf(0, "STATUS=%s%s", text,
			 *d->config_error ? "; the configuration has mistakes" : "");
}
