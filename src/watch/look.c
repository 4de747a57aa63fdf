/* Units: what their signals and their control groups say. A signal only says when to look; what is
 * judged is read whole, so that none that is late can mislead. */
#include <stdlib.h>
#include <string.h>

#include "service/cgroup.h"
#include "watch/internal.h"
#include "watch/reason.h"

static bool is_end(HardEvent e)
{
	return e == HARD_DIED || e == HARD_RESTARTED || e == HARD_START_FAILED;
}

/* --- Looking --------------------------------------------------------------------------------- */

static void judge(Watched *d, const UnitState *now)
{
	char words[400], invocation[40];
	(void)snprintf(invocation, sizeof(invocation), "%s", d->seen.invocation);
	HardEvent e = unitseen_look(&d->seen, d->spec->service->unit, now,
				    cgroup_oom_kills(now->cgroup), words, sizeof(words));
	if (e == HARD_NONE || d->expected || d->changed)
		return;
	placement_forget(d);
	if (is_end(e)) {
		Reason why = {0};
		if (d->watch->spec.journal)
			reason_read(d->spec->service->kind, invocation, &why);
		size_t n = strlen(words);
		if (*why.line)
			(void)snprintf(words + n, sizeof(words) - n, "; it wrote: %s", why.line);
		/* A start that failed for memory is a start that failed. */
		if (why.oom && e != HARD_START_FAILED)
			e = HARD_OOM;
		if (why.oom)
			d->oom_us = clock_mono_us(&clock_system);
	}
	watched_tell(d, e, words);
}

static void look(Watched *d)
{
	UnitState now = {0};
	if (unit_state(d->watch->systemd, d->spec->service->unit, &now, NULL) < 0)
		return;
	judge(d, &now);
	free(d->cgroup);
	d->cgroup = TAKE_PTR(now.cgroup);
	unit_state_done(&now);
}

static void on_unit(void *ctx, const UnitState *u)
{
	Watched *d = ctx;
	/* The manager is being executed anew, or is gone: nothing is known of the unit. */
	if (u->active[0] && !d->expected && !d->changed)
		look(d);
}

static int on_look(sd_event_source *s, void *ctx)
{
	(void)s;
	look(ctx);
	return 0;
}

/* A process of it may be killed for memory while the others go on; no signal tells that. */
void look_tick(Watched *d)
{
	if (!d->unit || d->expected || d->changed || d->seen.phase != UNIT_UP)
		return;
	int64_t kills = cgroup_oom_kills(d->cgroup);
	if (kills >= 0 && kills != d->seen.oom_kills)
		look(d);
}

static int take(Watched *d, Err *err)
{
	UnitState now = {0};
	int r = unit_state(d->watch->systemd, d->spec->service->unit, &now, err);
	if (r < 0)
		return r;
	unitseen_take(&d->seen, &now, cgroup_oom_kills(now.cgroup));
	free(d->cgroup);
	d->cgroup = TAKE_PTR(now.cgroup);
	unit_state_done(&now);
	/* One that is down is told from the loop. */
	return sd_event_source_set_enabled(d->look, SD_EVENT_ONESHOT);
}

void look_anew(Watched *d)
{
	if (d->unit)
		(void)take(d, NULL);
}

int look_open(Watched *d, Err *err)
{
	Watch *w = d->watch;
	if (!d->spec->service->unit || !w->systemd)
		return 0;
	int r = unit_watch(w->systemd, d->spec->service->unit, on_unit, d, &d->unit, err);
	if (r < 0)
		return r;
	r = sd_event_add_defer(w->loop, &d->look, on_look, d);
	return r < 0 ? err_set(err, r, "cannot watch %s: %s", d->spec->service->unit, strerror(-r))
		     : take(d, err);
}

void look_close(Watched *d)
{
	d->unit = unitwatch_free(d->unit);
	d->look = sd_event_source_disable_unref(d->look);
	free(TAKE_PTR(d->cgroup));
}
