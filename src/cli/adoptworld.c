/* The machine as `dream adopt` sees it: the manager, what is adopted, what production has now. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/adopt.h"

void adoptworld_done(AdoptWorld *w)
{
	w->systemd = systemd_close(w->systemd);
	sd_event_unref(w->loop);
	adoption_free_all(w->adopted, w->n_adopted);
	json_decref(w->values);
	productionplaces_done(&w->places);
	*w = (AdoptWorld){0};
}

static int read_production(AdoptWorld *w, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	Generation g = {0};
	int r = production_open(&disk_system, w->places.state_dir, &p, err);
	if (r < 0)
		return r;
	snprintf(w->current, sizeof(w->current), "%s", production_current(p));
	if (w->current[0])
		r = production_read(p, w->current, &g, err);
	if (r < 0)
		return r;
	w->values = g.values ? json_incref(g.values) : json_object();
	generation_done(&g);
	return w->values ? 0 : err_oom(err);
}

int adoptworld_open(AdoptWorld *w, bool with_systemd, Err *err)
{
	int r = productionplaces_here(&w->places, err);
	if (r >= 0)
		r = adoption_load_all(&w->places, &w->adopted, &w->n_adopted, err);
	if (r >= 0)
		r = read_production(w, err);
	if (r >= 0 && sd_event_new(&w->loop) < 0)
		r = err_oom(err);
	if (r >= 0 && with_systemd)
		r = systemd_open(w->loop, w->places.user, &w->systemd, err);
	return r;
}

const Adoption *adoptworld_find(const AdoptWorld *w, const char *unit)
{
	for (size_t i = 0; i < w->n_adopted; i++)
		if (strcmp(w->adopted[i].unit, unit) == 0)
			return &w->adopted[i];
	return NULL;
}

int adoptworld_check_idle(const AdoptWorld *w, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	int r = production_open(&disk_system, w->places.state_dir, &p, err);
	if (r < 0)
		return r;
	if (!production_change(p)->open)
		return 0;
	return err_set(err, -EBUSY,
		       "the rollout %s is changing production; wait until it has ended, or end it "
		       "with 'dream rollback'",
		       production_change(p)->rollout);
}

int adoptworld_put(const AdoptWorld *w, const Adoption *units, size_t n, const json_t *values,
		   Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	GenerationFile *files = NULL;
	size_t n_files = 0;
	char id[GENERATION_ID_SIZE];
	int r = production_open(&disk_system, w->places.state_dir, &p, err);
	if (r >= 0)
		r = generation_render(units, n, values, adoption_read_file, NULL, id, &files,
				      &n_files, err);
	if (r >= 0)
		r = production_write(p, id, files, n_files, err);
	if (r >= 0)
		r = production_adopt(p, id, err);
	generationfiles_free(files, n_files);
	return r;
}

/* --- A unit ----------------------------------------------------------------------------------- */

void unittexts_done(UnitTexts *t)
{
	unitfiles_free(t->files, t->n);
	*t = (UnitTexts){0};
}

/* The paths without ours, in the same array. */
static bool leave_out(char **paths, const char *ours)
{
	size_t n = 0;
	bool found = false;
	for (char **p = paths; p && *p; p++) {
		if (strcmp(*p, ours) == 0) {
			free(*p);
			found = true;
		} else {
			paths[n++] = *p;
		}
	}
	if (paths)
		paths[n] = NULL;
	return found;
}

int unittexts_read(const AdoptWorld *w, const char *unit, const char *ours, UnitTexts *ret,
		   Err *err)
{
	UnitOrigin origin = {0};
	int r = unit_origin(w->systemd, unit, &origin, err);
	if (r < 0)
		return r;
	ret->has_ours = leave_out(origin.paths, ours);
	ret->transient = origin.paths && origin.paths[0] &&
			 strstr(origin.paths[0], "/systemd/transient/") != NULL;
	r = unitfiles_read(origin.paths, &ret->files, &ret->n, err);
	unit_origin_done(&origin);
	return r;
}

int adopt_reload(const AdoptWorld *w, const char *unit, const char *ours, bool with, Err *err)
{
	UnitTexts texts = {0};
	UnitState state = {0};
	int r = systemd_reload(w->systemd, err);
	if (r >= 0)
		r = unit_state(w->systemd, unit, &state, err);
	if (r < 0)
		return r;
	bool stale = state.needs_reload, there = strcmp(state.load, "not-found") != 0;
	unit_state_done(&state);
	r = there ? unittexts_read(w, unit, ours, &texts, err) : 0;
	bool same = there ? texts.has_ours == with : !with;
	unittexts_done(&texts);
	if (r >= 0 && (stale || !same))
		r = err_set(err, -EIO,
			    "systemd says that it read its files anew, but %s is not as its files "
			    "say now; see 'journalctl -b -p warning _PID=1', then 'systemctl "
			    "daemon-reload'",
			    unit);
	return r;
}
