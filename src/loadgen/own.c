/* What the load generator itself adds to what it measures, and when that is too much. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "loadgen/engine.h"

enum {
	SHARE_OVER_US = 500000,
	LATE_SHARE = 20,
	LATE_P99_MAX_US = 5000, /* beyond it, answers are counted that we asked for too late */
};

/* Above it there is no telling whether the server or we were the slow one. */
static const double cpu_share_max = 0.9;

static int64_t cpu_us(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void own_begin(Traffic *t)
{
	if (t->own.on || t->own.ended_us > 0)
		return;
	t->own = (OwnCost){.on = true, .began_us = traffic_now_us(), .cpu_began_us = cpu_us()};
}

void own_end(Traffic *t)
{
	if (!t->own.on)
		return;
	t->own.on = false;
	t->own.ended_us = traffic_now_us();
	t->own.cpu_ended_us = cpu_us();
}

void own_saw_lag(Traffic *t, int64_t lag_us)
{
	if (t->own.on && lag_us > t->own.lag_max_us)
		t->own.lag_max_us = lag_us;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Of all open-loop lanes together. */
static int judge_late(Traffic *t)
{
	size_t n = 0, at = 0;
	for (size_t i = 0; i < t->n_lanes; i++)
		n += t->lanes[i].n_lates;
	if (n == 0)
		return 0;
	_cleanup_free_ uint32_t *all = calloc(n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_lanes; i++)
		for (size_t k = 0; k < t->lanes[i].n_lates; k++)
			all[at++] = t->lanes[i].lates_us[k];
	qsort(all, n, sizeof(*all), by_value);
	t->result.late_p50_us = all[(n - 1) / 2];
	t->result.late_p99_us = all[(size_t)(0.99 * (double)(n - 1))];
	t->result.late_max_us = all[n - 1];
	return 0;
}

/* What is late counts in all times of an answer, so it matters by the shortest of them, that to its
 * first token: a twentieth of the usual one, and always so much that a busy machine's hiccups are
 * no verdict. */
static int allow_late(const Traffic *t, int64_t *ret_us)
{
	size_t n = 0, at = 0;
	for (size_t i = 0; i < t->result.n_streams; i++)
		n += t->result.streams[i].n;
	_cleanup_free_ uint32_t *all = calloc(n + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < t->result.n_streams; i++)
		for (size_t k = 0; k < t->result.streams[i].n; k++) {
			const Exchange *x = &t->result.streams[i].exchanges[k];
			int64_t took = (x->first_us > 0 ? x->first_us : x->end_us) - x->planned_us;
			if (x->measured && x->failed == EXCHANGE_OK && took > 0)
				all[at++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
		}
	qsort(all, at, sizeof(*all), by_value);
	int64_t share = at > 0 ? all[at / 2] / LATE_SHARE : 0;
	*ret_us = share > LATE_P99_MAX_US ? share : LATE_P99_MAX_US;
	return 0;
}

/* The server never heard of these, and what others took says nothing of a load without them. */
static size_t count_unasked(const Traffic *t, HttpFault why)
{
	size_t n = 0;
	for (size_t i = 0; i < t->result.n_streams; i++)
		for (size_t k = 0; k < t->result.streams[i].n; k++) {
			const Exchange *x = &t->result.streams[i].exchanges[k];
			n += x->failed == EXCHANGE_TRANSPORT && x->fault == why;
		}
	return n;
}

int own_judge(Traffic *t)
{
	TrafficResult *r = &t->result;
	int64_t wall = t->own.ended_us - t->own.began_us;
	r->loop_lag_max_us = t->own.lag_max_us;
	r->cpu_share =
	    wall > 0 ? (double)(t->own.cpu_ended_us - t->own.cpu_began_us) / (double)wall : 0;
	int e = judge_late(t);
	if (e < 0)
		return e;
	int64_t allowed_us = LATE_P99_MAX_US;
	e = allow_late(t, &allowed_us);
	if (e < 0)
		return e;
	/* In a moment, a share of it says nothing. */
	bool lasted = wall >= SHARE_OVER_US;
	size_t unasked = count_unasked(t, HTTP_BROKER), no_port = count_unasked(t, HTTP_NO_PORT);
	if (unasked > 0)
		(void)snprintf(r->limited_why, sizeof(r->limited_why),
			       "the load generator got no connection for %zu request%s: "
			       "systemctl status dream-connect.service",
			       unasked, unasked == 1 ? "" : "s");
	else if (no_port > 0)
		(void)snprintf(r->limited_why, sizeof(r->limited_why),
			       "the load generator was the bottleneck: %zu request%s found no "
			       "address or port of this machine left to connect from",
			       no_port, no_port == 1 ? "" : "s");
	else if (r->late_p99_us > allowed_us)
		(void)snprintf(r->limited_why, sizeof(r->limited_why),
			       "the load generator was the bottleneck: one request in a hundred "
			       "was sent %.1f ms after its planned time or later (%.0f ms are "
			       "allowed)",
			       (double)r->late_p99_us / 1e3, (double)allowed_us / 1e3);
	else if (lasted && r->cpu_share > cpu_share_max)
		(void)snprintf(r->limited_why, sizeof(r->limited_why),
			       "the load generator was the bottleneck: it used %.0f %% of a core "
			       "itself (%.0f %% are allowed)",
			       100 * r->cpu_share, 100 * cpu_share_max);
	r->limited_by_client = r->limited_why[0] != '\0';
	return 0;
}
