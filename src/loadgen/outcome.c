/* What a stream leaves behind. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "loadgen/engine.h"
#include "stats/stats.h"

static const char *const failure_names[] = {
    [EXCHANGE_OK] = "ok",
    [EXCHANGE_TRANSPORT] = "transport",
    [EXCHANGE_REFUSED] = "refused",
    [EXCHANGE_STATUS] = "status",
    [EXCHANGE_SAYS_ERROR] = "says_error",
    [EXCHANGE_GARBAGE] = "garbage",
    [EXCHANGE_HALF] = "half",
    [EXCHANGE_EMPTY] = "empty",
    [EXCHANGE_UNFINISHED] = "unfinished",
};

const char *exchange_failure_name(ExchangeFailure f)
{
	return (unsigned)f < EXCHANGE_FAILURE_MAX_ ? failure_names[f] : "unknown";
}

/* The median latency from the planned time; one that was never answered took longer than any. What
 * failed says nothing about waiting. NAN: there is none. */
static double median_latency(const Exchange *e, size_t n, double *scratch)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		if (!e[i].measured)
			continue;
		if (e[i].failed == EXCHANGE_OK)
			scratch[k++] = (double)(e[i].end_us - e[i].planned_us);
		else if (e[i].failed == EXCHANGE_UNFINISHED)
			scratch[k++] = 1e18;
	}
	stats_sort(scratch, k);
	return k > 0 ? stats_median(scratch, k) : (double)NAN;
}

/* A queue that grows makes each request wait longer than the one before. So the last fifth is
 * compared with the first half: at a load that the server carries they wait alike; under a load
 * that it does not, the last fifth waits several times as long. Closed loops cannot pile up. */
static int judge_backlog(const Lane *l, bool *ret)
{
	static const double usual = 1.5;
	static const double noise_us = 2000;
	*ret = true;
	if (schedule_is_closed(&l->schedule) || l->n == 0)
		return 0;
	size_t first = 0, end = l->n;
	while (first < end && !l->exchanges[first].measured)
		first++;
	while (end > first && !l->exchanges[end - 1].measured)
		end--;
	size_t n = end - first, tail = n / 5 > 0 ? n / 5 : 1;
	if (n < 2)
		return 0;
	_cleanup_free_ double *scratch = calloc(n, sizeof(*scratch));
	if (!scratch)
		return -ENOMEM;
	double before = median_latency(l->exchanges + first, n / 2, scratch);
	double last = median_latency(l->exchanges + end - tail, tail, scratch);
	*ret = !(last > usual * before + noise_us);
	return 0;
}

int lane_result(Lane *l, StreamResult *ret)
{
	*ret = (StreamResult){
	    .load = *l->spec.load, .protocol = l->spec.protocol, .stopped_early = l->stopped_early};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", l->spec.name ? l->spec.name : "");
	(void)snprintf(ret->first_error, sizeof(ret->first_error), "%s", l->first_error);
	ret->load.trace = NULL;
	int r = judge_backlog(l, &ret->backlog_drained);
	if (r < 0)
		return r;
	ret->exchanges = TAKE_PTR(l->exchanges);
	ret->n = l->n;
	ret->gaps_us = TAKE_PTR(l->gaps_us);
	ret->n_gaps = l->n_gaps;
	l->n = l->n_gaps = 0;
	return 0;
}

void traffic_result_done(TrafficResult *r)
{
	for (size_t i = 0; i < r->n_streams; i++) {
		StreamResult *s = &r->streams[i];
		for (size_t k = 0; k < s->n; k++)
			free(s->exchanges[k].text);
		free(s->exchanges);
		free(s->gaps_us);
	}
	free(r->streams);
	*r = (TrafficResult){0};
}
