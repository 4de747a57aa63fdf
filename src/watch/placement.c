/* The GPU: whether each service that wants it is on it, and what the card reports of itself. */
#include <stdlib.h>
#include <string.h>

#include "gpu/placement.h"
#include "watch/internal.h"

enum {
	RELOOK_US = 300000,
	XIDS_MAX = 16,
};

void placement_open(Watch *w)
{
	Err err = ERR_INIT;
	if (!w->spec.gpu_uuid)
		return;
	w->state = calloc(1, sizeof(*w->state));
	int r = w->state ? nvml_open(NULL, &w->nvml, &err) : err_oom(&err);
	if (r >= 0)
		r = nvml_find(w->nvml, w->spec.gpu_uuid, &w->gpu, &err);
	if (r >= 0)
		return;
	watch_is_blind(w, "the GPU", &err);
	w->nvml = nvml_close(w->nvml);
}

void placement_close(Watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		w->services[i].relook = sd_event_source_disable_unref(w->services[i].relook);
	w->nvml = nvml_close(w->nvml);
	free(TAKE_PTR(w->state));
}

void placement_forget(Watched *d)
{
	d->relook = sd_event_source_disable_unref(d->relook);
	d->off_gpu = 0;
	d->told_cpu = false;
}

/* --- Where it runs --------------------------------------------------------------------------- */

static int on_relook(sd_event_source *s, uint64_t at, void *ctx)
{
	Watched *d = ctx;
	(void)s, (void)at;
	d->relook = sd_event_source_disable_unref(d->relook);
	placement_look(d);
	return 0;
}

/* Once more, before it is said: a list may be read while a process changes. */
static void found_off(Watched *d, const PlacementProof *p)
{
	if (++d->off_gpu < 2) {
		if (!d->relook)
			(void)sd_event_add_time_relative(d->watch->loop, &d->relook,
							 CLOCK_MONOTONIC, RELOOK_US, 10000,
							 on_relook, d);
		return;
	}
	if (d->told_cpu)
		return;
	d->told_cpu = true;
	watched_tell(d, HARD_CPU, p->reason);
}

static bool may_look(const Watched *d)
{
	return d->watch->nvml && d->spec->wants_gpu && !d->asker.contained && d->answers &&
	       !d->expected && !d->changed && d->cgroup && *d->cgroup && d->seen.phase == UNIT_UP;
}

/* -errno: it cannot be seen just now. */
static int prove(const Watched *d, PlacementProof *ret)
{
	Watch *w = d->watch;
	const Owner o = {.name = d->spec->service->name, .cgroup = d->cgroup};
	pid_t *pids = NULL;
	size_t n = 0;
	int r = owner_pids(&o, &pids, &n);
	if (r >= 0)
		r = nvml_look(w->nvml, w->gpu, GPU_LOOK_MEMORY, w->state, NULL);
	if (r >= 0)
		*ret = placement_prove(w->state, o.name, pids, n, d->spec->gpu_bytes);
	free(pids);
	return r;
}

/* A service that answers has loaded what it needs; before that nothing can be said. */
void placement_look(Watched *d)
{
	PlacementProof p;
	if (!may_look(d) || prove(d, &p) < 0)
		return;
	if (p.placement == PLACED_NOT || p.placement == PLACED_LITTLE)
		found_off(d, &p);
	else
		d->off_gpu = 0;
}

/* --- What the card says ---------------------------------------------------------------------- */

/* It says which card, not which service: the first that wants it hears it. */
static Watched *first_on_gpu(Watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->services[i].spec->wants_gpu)
			return &w->services[i];
	return NULL;
}

void placement_tick(Watch *w)
{
	uint64_t xids[XIDS_MAX];
	char words[160];
	Watched *d = w->nvml ? first_on_gpu(w) : NULL;
	if (!d || !nvml_has_xid(w->nvml))
		return;
	int n = nvml_xids(w->nvml, w->gpu, xids, XIDS_MAX);
	for (int i = 0; i < n; i++) {
		(void)snprintf(words, sizeof(words), "the GPU reported Xid %llu (%s)",
			       (unsigned long long)xids[i],
			       xid_is_hardware(xids[i]) ? "its hardware or driver"
							: "a program on it");
		/* Whatever is being restarted: no restart of ours makes one. */
		w->handler.hard(w->ctx, HARD_XID, d->spec->service->name, words);
	}
}
