#include "twin/wall.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum {
	TIMER_ACCURACY_US = 1,
	/* What we say about our computing holds so long; it is said again in time. */
	TOLD_FOR_US = 4000000,
	/* While others compute we look so often whether they still live. */
	LOOK_EVERY_US = 100000,
};

static int64_t sim_now(const Wall *w)
{
	double us = (double)(clock_mono_us(w->clock) - w->zero_us) * w->speed;
	return (int64_t)us;
}

int64_t wall_us(const Wall *w, int64_t sim_us)
{
	return (int64_t)((double)sim_us / w->speed);
}

/* When in the clock's time a simulated moment is over. */
static int64_t due_us(const Wall *w, int64_t sim_us)
{
	return w->zero_us + (int64_t)ceil((double)sim_us / w->speed);
}

static void note_lateness(Wall *w)
{
	int64_t late = clock_mono_us(w->clock) - due_us(w, w->sim->now_us);
	if (late < 0)
		late = 0;
	w->events++;
	w->late_us += late;
	w->latest_us = late > w->latest_us ? late : w->latest_us;
}

int wall_catch_up(Wall *w)
{
	int64_t until = sim_now(w);
	int r;
	while ((r = sim_step(w->sim, until)) > 0)
		note_lateness(w);
	return r;
}

static void see_others(Wall *w)
{
	double busy;
	int64_t now = clock_mono_us(w->clock);
	if (w->sim->outside > 0 && now - w->looked_us > LOOK_EVERY_US) {
		w->looked_us = now;
		(void)shared_used_bytes(w->shared); /* forgets the dead */
	}
	int n = shared_others(w->shared, &busy);
	if (n == w->sim->outside && fabs(busy - w->sim->outside_busy) < 1e-12)
		return;
	w->sim->outside = n;
	w->sim->outside_busy = busy;
	w->sim->shares_changed = true;
}

static void be_seen(Wall *w)
{
	double busy = fmin(sim_busy(w->sim), 1);
	int64_t now = clock_mono_us(w->clock);
	bool same = fabs(busy - w->told_busy) < 1e-12;
	if (same && (busy <= 0 || now < w->told_until_us - TOLD_FOR_US / 2))
		return;
	w->told_busy = busy;
	w->told_until_us = now + TOLD_FOR_US;
	shared_busy(w->shared, busy, w->told_until_us);
}

int wall_go_on(Wall *w)
{
	int64_t next = INT64_MAX;
	if (w->shared) {
		be_seen(w);
		see_others(w);
	}
	int r = w->sim->halted ? 0 : sim_next(w->sim, &next);
	if (r < 0)
		return r;
	if (w->sim->halted && !w->halt_told)
		next = 0; /* told from the loop, not from within whatever brought it about */
	if (next == INT64_MAX)
		return sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
	r = sd_event_source_set_time(w->timer, (uint64_t)due_us(w, next));
	return r < 0 ? r : sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static int turn(Wall *w)
{
	int r = wall_catch_up(w);
	if (r >= 0)
		r = wall_go_on(w);
	if (r < 0 || (w->sim->halted && !w->halt_told)) {
		w->halt_told = true;
		w->halted(w->ctx, r < 0 ? r : 0);
	}
	return 0;
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	return turn(userdata);
}

static int on_news(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void)s;
	(void)fd;
	(void)revents;
	Wall *w = userdata;
	shared_calm(w->shared);
	if (!w->shared->present && w->lost) {
		w->lost(w->ctx);
		return 0;
	}
	return turn(w);
}

static int watch_others(Wall *w)
{
	int fd = shared_watch(w->shared);
	if (fd < 0)
		return fd;
	int r = sd_event_add_io(w->loop, &w->news, fd, EPOLLIN, on_news, w);
	/* Before the timer that is due at the same time: what others do counts from when they did
	 * it. */
	return r < 0 ? r : sd_event_source_set_priority(w->news, SD_EVENT_PRIORITY_IMPORTANT);
}

int wall_init(Wall *w, sd_event *loop)
{
	w->loop = loop;
	w->zero_us = clock_mono_us(w->clock);
	int r =
	    sd_event_add_time(loop, &w->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_US, on_time, w);
	if (r >= 0)
		r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
	if (r >= 0 && w->shared)
		r = watch_others(w);
	return r < 0 ? r : 0;
}

void wall_done(Wall *w)
{
	if (w->shared && w->told_busy > 0)
		shared_busy(w->shared, 0, 0);
	w->told_busy = 0;
	w->timer = sd_event_source_disable_unref(w->timer);
	w->news = sd_event_source_disable_unref(w->news);
}
