#include "twin/tenant.h"

#include <math.h>

int neighbour_start(Neighbour *n, bool works)
{
	Sim *s = &n->host->sim;
	n->worker = -1;
	if (!ledger_take(&s->gpu, n->service->owner, n->tenant->bytes)) {
		service_says_oom(n->service, &s->gpu, n->tenant->bytes);
		return host_fail(
		    n->host, OUTCOME_OOM, "oom",
		    "the box's service %s found no room on the GPU: it holds %.2f GiB, "
		    "%.2f GiB are free",
		    n->service->name, gib(n->tenant->bytes), gib(ledger_free_bytes(&s->gpu)));
	}
	if (!works || n->tenant->burst_every_us <= 0)
		return 0;
	n->worker = sim_add_worker(s, NULL, n, n->tenant->busy);
	return n->worker < 0 ? n->worker : 0;
}

static int wait(Neighbour *n, int64_t mean_us)
{
	Sim *s = &n->host->sim;
	double us = (double)mean_us * rng_exponential(&n->rng);
	return sim_timer(s, n->timer, s->now_us + 1 + (int64_t)us, 0);
}

/* A burst that finds no memory is a failure of the box as a whole: in production it would happen to
 * that service. */
static int burst(Neighbour *n)
{
	Sim *s = &n->host->sim;
	if (!ledger_take(&s->gpu, n->service->owner, n->tenant->burst_bytes)) {
		service_says_oom(n->service, &s->gpu, n->tenant->burst_bytes);
		return host_fail(n->host, OUTCOME_OOM, "oom",
				 "the box's service %s ran out of GPU memory in a burst of %.2f "
				 "GiB, %.2f GiB free",
				 n->service->name, gib(n->tenant->burst_bytes),
				 gib(ledger_free_bytes(&s->gpu)));
	}
	n->bursting = true;
	sim_work(s, n->worker, (double)INFINITY);
	return wait(n, n->tenant->burst_us);
}

static int due(Sim *s, void *owner, uint32_t mark)
{
	(void)mark;
	Neighbour *n = owner;
	if (!n->bursting)
		return burst(n);
	n->bursting = false;
	ledger_give(&s->gpu, n->service->owner, n->tenant->burst_bytes);
	sim_rest(s, n->worker);
	return wait(n, n->tenant->burst_every_us);
}

int neighbour_begin(Neighbour *n)
{
	if (n->worker < 0)
		return 0;
	if (n->bursting)
		ledger_give(&n->host->sim.gpu, n->service->owner, n->tenant->burst_bytes);
	n->bursting = false;
	n->timer = sim_add_timer(&n->host->sim, due, n);
	return n->timer < 0 ? n->timer : wait(n, n->tenant->burst_every_us);
}
