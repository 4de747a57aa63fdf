/* All streams of a load together, on the caller's loop: one timer for what is planned, one beat for
 * progress, and the end. */
#include "loadgen/traffic.h"

#include <errno.h>
#include <time.h>

#include "loadgen/engine.h"

enum {
	BEAT_US = 100000,
	PROGRESS_US = 1000000,
	/* Between traffic_start() and the first planned time: the caller may still have to do. */
	LEAD_US = 2000,
};

int64_t traffic_now_us(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* --- The end --------------------------------------------------------------------------------- */

/* Nothing is sent any more. The rest happens from the loop, since this may be called by a
 * connection's handler, where others of its calls cannot be cancelled. */
void traffic_over(Traffic *t, const Err *err)
{
	if (t->over)
		return;
	t->over = true;
	own_end(t);
	t->result.ended_us = traffic_now_us();
	if (err)
		t->err = *err;
	(void)sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(t->beat, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(t->finish, SD_EVENT_ONESHOT);
}

static int take_results(Traffic *t)
{
	t->result.streams = calloc(t->n_lanes, sizeof(*t->result.streams));
	if (!t->result.streams)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_lanes; i++) {
		int r = lane_result(&t->lanes[i], &t->result.streams[i]);
		if (r < 0)
			return r;
		t->result.n_streams++;
	}
	return own_judge(t);
}

/* Once. The handler may free `t`. */
static void tell(Traffic *t)
{
	t->told = true;
	(void)sd_event_source_set_enabled(t->finish, SD_EVENT_OFF);
	for (size_t i = 0; i < t->n_lanes; i++)
		lane_cancel(&t->lanes[i]);
	t->result.began_us = t->began_us;
	int r = take_results(t);
	if (r < 0 && t->err.code == 0)
		err_oom(&t->err);
	t->handler.done(t->ctx, &t->result, t->err.code < 0 ? &t->err : NULL);
}

static int on_finish(sd_event_source *s, void *userdata)
{
	(void)s;
	tell(userdata);
	return 0;
}

/* --- Time ------------------------------------------------------------------------------------ */

void traffic_arm(Traffic *t)
{
	int64_t due = INT64_MAX;
	for (size_t i = 0; i < t->n_lanes; i++) {
		int64_t at = lane_due_us(&t->lanes[i]);
		due = at < due ? at : due;
	}
	if (t->over || due == t->armed_us)
		return;
	t->armed_us = due;
	int r = 0;
	if (due < INT64_MAX)
		r = sd_event_source_set_time(t->timer, due > 0 ? (uint64_t)due : 0);
	if (r >= 0)
		r = sd_event_source_set_enabled(t->timer,
						due < INT64_MAX ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (r < 0) {
		Err err = ERR_INIT;
		err_set(&err, r, "cannot set the timer of the load generator");
		traffic_over(t, &err);
	}
}

static int on_timer(sd_event_source *s, uint64_t due_us, void *userdata)
{
	Traffic *t = userdata;
	(void)s;
	(void)due_us;
	t->armed_us = INT64_MAX;
	for (size_t i = 0; i < t->n_lanes && !t->over; i++)
		if (lane_send_due(&t->lanes[i], traffic_now_us()) < 0)
			return 0; /* it is over, and why is kept */
	traffic_arm(t);
	return 0;
}

static void add_progress(const Lane *l, TrafficProgress *p)
{
	if (l->spec.background)
		return;
	p->sent += l->sent;
	p->answered += l->answered;
	p->failed += l->failed;
	p->in_flight += (int64_t)l->n_active;
	p->wanted += lane_wanted(l);
}

/* Sees how late the loop is, and what hangs. */
static int on_beat(sd_event_source *s, uint64_t due_us, void *userdata)
{
	Traffic *t = userdata;
	int64_t now = traffic_now_us();
	own_saw_lag(t, now - (int64_t)due_us);
	for (size_t i = 0; i < t->n_lanes; i++)
		lane_look(&t->lanes[i], now);
	if (t->over)
		return 0;
	t->beat_us += BEAT_US;
	if (t->beat_us < now)
		t->beat_us = now;
	(void)sd_event_source_set_time(s, (uint64_t)t->beat_us);
	(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	if (now < t->progress_us || !t->handler.progress)
		return 0;
	t->progress_us += PROGRESS_US;
	TrafficProgress p = {.elapsed_us = now - t->began_us};
	for (size_t i = 0; i < t->n_lanes; i++)
		add_progress(&t->lanes[i], &p);
	t->handler.progress(t->ctx, &p); /* last: it may free us */
	return 0;
}

/* --- Begin ----------------------------------------------------------------------------------- */

static int add_sources(Traffic *t)
{
	int r = sd_event_add_time(t->loop, &t->timer, CLOCK_MONOTONIC, 0, 1, on_timer, t);
	if (r >= 0)
		r = sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(t->loop, &t->beat, CLOCK_MONOTONIC, (uint64_t)t->beat_us, 1,
				      on_beat, t);
	if (r >= 0)
		r = sd_event_add_defer(t->loop, &t->finish, on_finish, t);
	if (r >= 0)
		r = sd_event_source_set_enabled(t->finish, SD_EVENT_OFF);
	return r;
}

static Traffic *traffic_free(Traffic *t)
{
	if (!t)
		return NULL;
	t->over = true;
	for (size_t i = 0; i < t->n_lanes; i++) {
		lane_cancel(&t->lanes[i]);
		lane_done(&t->lanes[i]);
	}
	free(t->lanes);
	sd_event_source_disable_unref(t->timer);
	sd_event_source_disable_unref(t->beat);
	sd_event_source_disable_unref(t->finish);
	sd_event_unref(t->loop);
	str_done(&t->body);
	traffic_result_done(&t->result);
	free(t);
	return NULL;
}

DEFINE_CLEANUP(Traffic *, traffic_free)

static int add_lanes(Traffic *t, const TrafficStream *streams, size_t n, Err *err)
{
	t->lanes = calloc(n, sizeof(*t->lanes));
	if (!t->lanes)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		t->n_lanes++;
		int r = lane_init(&t->lanes[i], t, &streams[i], err);
		if (r < 0)
			return r;
		t->unfinished += !streams[i].background;
	}
	if (t->unfinished == 0)
		return err_set(err, -EINVAL, "there is no stream that anybody waits for");
	return 0;
}

int traffic_start(sd_event *loop, const TrafficStream *streams, size_t n, const TrafficHandler *h,
		  void *ctx, Traffic **ret, Err *err)
{
	_cleanup_(traffic_freep) Traffic *t = calloc(1, sizeof(*t));
	if (!t)
		return err_oom(err);
	*t =
	    (Traffic){.loop = sd_event_ref(loop), .handler = *h, .ctx = ctx, .armed_us = INT64_MAX};
	int r = add_lanes(t, streams, n, err);
	if (r < 0)
		return r;
	t->began_us = traffic_now_us() + LEAD_US;
	t->beat_us = t->began_us + BEAT_US;
	t->progress_us = t->began_us + PROGRESS_US;
	r = add_sources(t);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = lane_begin(&t->lanes[i], t->began_us);
	if (r < 0)
		return err_set(err, r, "cannot set up the load generator");
	traffic_arm(t);
	*ret = TAKE_PTR(t);
	return 0;
}

Traffic *traffic_stop(Traffic *t, bool partial)
{
	if (!t)
		return NULL;
	if (partial && !t->told) {
		traffic_over(t, NULL);
		tell(t);
	}
	return traffic_free(t);
}
