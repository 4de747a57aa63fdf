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

/* What it wrote before it ended says why; then both are one event. */
static HardEvent with_reason(Watched *d, HardEvent e, const char *invocation, char *words,
			     size_t size)
{
	Reason why = {0};
	size_t n = strlen(words);
	if (!d->watch->spec.journal)
		return e;
	reason_read(d->spec->service->kind, invocation, &why);
	/* Of a process that is gone the journal may not know the run any more, only the unit. */
	const char *line = words_last_oom(d);
	if (*line && !why.oom)
		(void)snprintf(why.line, sizeof(why.line), "%s", line);
	why.oom |= *line != '\0';
	if (*why.line)
		(void)snprintf(words + n, size - n, "; it wrote: %s", why.line);
	/* A start that failed for memory is a start that failed; and what was told is told. */
	bool told = words_told_oom(d);
	if (why.oom)
		d->oom_us = clock_mono_us(&clock_system);
	return why.oom && !told && e != HARD_START_FAILED ? HARD_OOM : e;
}

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
		samples_excuse(d);
		e = with_reason(d, e, invocation, words, sizeof(words));
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
