/* One run of the load generator, as a step of the trial. */
#include <math.h>

#include "worker/internal.h"

static void on_done(void *ctx, TrafficResult *r, const Err *err)
{
	Load *l = ctx;
	l->done = true;
	if (err)
		l->err = *err;
	l->result = *r;
	*r = (TrafficResult){0};
}

static void on_progress(void *ctx, const TrafficProgress *p)
{
	Load *l = ctx;
	double share = p->wanted > 0 ? (double)(p->answered + p->failed) / (double)p->wanted : 0;
	worker_progress(l->w, l->from + (l->to - l->from) * fmin(share, 1), "%s", l->what);
}

int load_run(Load *l, const TrafficStream *streams, size_t n, Err *err)
{
	static const TrafficHandler handler = {.done = on_done, .progress = on_progress};
	Traffic *t = NULL;
	worker_progress(l->w, l->from, "%s", l->what); /* one that is soon over is seen, too */
	int r = traffic_start(l->w->loop, streams, n, &handler, l, &t, err);
	if (r < 0)
		return r;
	(void)worker_wait(l->w, &l->done);
	(void)traffic_stop(t, false);
	return l->err.code < 0 ? err_set(err, l->err.code, "%s", l->err.msg) : 0;
}
