/* A unit is watched by the signal that one of its properties changed; what it says is then read
 * whole, so that nothing depends on what a signal happens to carry. */
#include <stdlib.h>
#include <string.h>

#include "systemd/internal.h"

struct UnitWatch {
	Systemd *s;
	UnitWatch *next;
	char *unit, *path;
	sd_bus_slot *signal, *call;
	UnitState last;
	bool again; /* something changed while an answer was on its way */
	void (*changed)(void *ctx, const UnitState *u);
	void *ctx;
};

UnitWatch *unitwatch_free(UnitWatch *w)
{
	if (!w)
		return NULL;
	for (UnitWatch **at = &w->s->watches; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	sd_bus_slot_unref(w->signal);
	sd_bus_slot_unref(w->call);
	unit_state_done(&w->last);
	free(w->unit);
	free(w->path);
	free(w);
	return NULL;
}

DEFINE_CLEANUP(UnitWatch *, unitwatch_free)

static bool differs(const UnitState *a, const UnitState *b)
{
	return strcmp(a->load, b->load) != 0 || strcmp(a->active, b->active) != 0 ||
	       strcmp(a->sub, b->sub) != 0 || strcmp(a->result, b->result) != 0 ||
	       strcmp(a->invocation, b->invocation) != 0 || a->main_pid != b->main_pid ||
	       a->exit_code != b->exit_code || a->exit_status != b->exit_status ||
	       a->restarts != b->restarts;
}

/* The watch may be freed by whom it tells. */
static void tell(UnitWatch *w, UnitState *now)
{
	UnitState last = w->last;
	w->last = *now;
	*now = (UnitState){0};
	if (differs(&last, &w->last))
		w->changed(w->ctx, &w->last);
	unit_state_done(&last);
}

static void look(UnitWatch *w);

static int on_properties(sd_bus_message *m, void *ctx, sd_bus_error *e)
{
	UnitWatch *w = ctx;
	UnitState now = {0};

	(void)e;
	w->call = sd_bus_slot_unref(w->call);
	if (w->again) {
		w->again = false;
		look(w);
	}
	if (!sd_bus_message_is_method_error(m, NULL) && unit_state_read(m, &now) >= 0)
		tell(w, &now);
	return 0;
}

static void look(UnitWatch *w)
{
	if (w->call) {
		w->again = true;
		return;
	}
	(void)sd_bus_call_method_async(w->s->bus, &w->call, MANAGER, w->path, PROPERTIES, "GetAll",
				       on_properties, w, "s", "");
}

static int on_signal(sd_bus_message *m, void *ctx, sd_bus_error *e)
{
	(void)m;
	(void)e;
	look(ctx);
	return 0;
}

void watches_resume(Systemd *s)
{
	for (UnitWatch *w = s->watches; w; w = w->next)
		look(w);
}

/* Each is told once; whoever is told may free any of them. */
void watches_lost(Systemd *s)
{
	UnitWatch *w = s->watches;

	while (w) {
		UnitState none = {.cgroup = strdup("")};
		if (!w->last.active[0] || !none.cgroup) {
			unit_state_done(&none);
			w = w->next;
			continue;
		}
		tell(w, &none);
		w = s->watches;
	}
}

int unit_watch(Systemd *s, const char *unit, void (*changed)(void *ctx, const UnitState *u),
	       void *ctx, UnitWatch **ret, Err *err)
{
	_cleanup_(unitwatch_freep) UnitWatch *w = calloc(1, sizeof(*w));
	if (!w)
		return err_oom(err);
	*w = (UnitWatch){.s = s, .next = s->watches, .changed = changed, .ctx = ctx};
	s->watches = w;
	int r = unit_path(unit, &w->path, err);
	if (r < 0)
		return r;
	w->unit = strdup(unit);
	if (!w->unit)
		return err_oom(err);
	/* First the signal, then the state: a change in between is told, not lost. */
	r = sd_bus_match_signal(s->bus, &w->signal, MANAGER, w->path, PROPERTIES,
				"PropertiesChanged", on_signal, w);
	if (r < 0)
		return bus_error(s, r, NULL, "watch", unit, err);
	r = unit_state(s, unit, &w->last, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(w);
	return 0;
}
