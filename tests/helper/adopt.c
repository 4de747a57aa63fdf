/* adopt UNIT PARAMETER=TARGET[ ALLOWED]...: adopts a unit as it is, for tests that are not about
 * adopting. The manager must be told afterwards (daemon-reload). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "production/generation.h"
#include "systemd/bus.h"

enum {
	WISHES_MAX = 8
};

typedef struct Work {
	ProductionPlaces places;
	const char *unit;
	AdoptWish wishes[WISHES_MAX];
	size_t n;
	UnitFile *files;
	size_t n_files;
	Adoption adoption;
	char *dropin;
	json_t *values; /* of this unit */
	Err err;
} Work;

static int read_wishes(Work *w, char **texts)
{
	for (; *texts && w->n < WISHES_MAX; texts++, w->n++) {
		char *allowed = strchr(*texts, ' ');
		if (allowed)
			*allowed++ = '\0';
		int r = adoptwish_parse(*texts, &w->wishes[w->n], &w->err);
		if (r >= 0 && allowed)
			r = allowed_parse(allowed, &w->wishes[w->n].allowed, &w->err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_unit(Work *w)
{
	sd_event *loop = NULL;
	Systemd *s = NULL;
	UnitOrigin from = {0};
	int r = sd_event_new(&loop);
	if (r >= 0)
		r = systemd_open(loop, w->places.user, &s, &w->err);
	if (r >= 0)
		r = unit_origin(s, w->unit, &from, &w->err);
	if (r >= 0)
		r = unitfiles_read(from.paths, &w->files, &w->n_files, &w->err);
	unit_origin_done(&from);
	systemd_close(s);
	sd_event_unref(loop);
	return r;
}

static int plan(Work *w)
{
	_cleanup_free_ char *dropin = adoption_dropin_path(&w->places, w->unit);
	const AdoptInput in = {.unit = w->unit,
			       .files = w->files,
			       .n_files = w->n_files,
			       .state_dir = w->places.state_dir,
			       .dropin = dropin,
			       .user = w->places.user,
			       .home = "/root",
			       .read_file = adoption_read_file,
			       .wishes = w->wishes,
			       .n = w->n,
			       .after = (char *[]){NULL}};
	return adoption_plan(&in, &w->adoption, &w->dropin, &w->values, &w->err);
}

/* The values of all units: those that there are, and this one's. */
static int all_values(Work *w, Production *p, json_t **ret)
{
	Generation g = {0};
	int r = *production_current(p) ? production_read(p, production_current(p), &g, &w->err) : 0;
	if (r < 0)
		return r;
	*ret = g.values ? g.values : json_object();
	return json_object_set(*ret, w->unit, w->values) < 0 ? -ENOMEM : 0;
}

static int write_generation(Work *w)
{
	_cleanup_(production_closep) Production *p = NULL;
	char id[GENERATION_ID_SIZE];
	GenerationFile *files = NULL;
	Adoption *all = NULL;
	json_t *values = NULL;
	size_t n = 0, n_all = 0;
	int r = adoption_load_all(&w->places, &all, &n_all, &w->err);
	if (r >= 0)
		r = production_open(&disk_system, w->places.state_dir, &p, &w->err);
	if (r >= 0)
		r = all_values(w, p, &values);
	if (r >= 0)
		r = generation_render(all, n_all, values, adoption_read_file, NULL, id, &files, &n,
				      &w->err);
	if (r >= 0)
		r = production_write(p, id, files, n, &w->err);
	if (r >= 0)
		r = production_adopt(p, id, &w->err);
	generationfiles_free(files, n);
	adoption_free_all(all, n_all);
	json_decref(values);
	return r;
}

int main(int argc, char **argv)
{
	Work w = {.err = ERR_INIT};
	int r = argc < 3 ? -EINVAL : productionplaces_here(&w.places, &w.err);
	if (r >= 0) {
		w.unit = argv[1];
		r = read_wishes(&w, argv + 2);
	}
	if (r >= 0)
		r = read_unit(&w);
	if (r >= 0)
		r = plan(&w);
	if (r >= 0)
		r = adoption_write(&w.places, &w.adoption, w.dropin, &w.err);
	if (r >= 0)
		r = write_generation(&w);
	if (r < 0)
		fprintf(stderr, "adopt: %s: %s\n", strerror(-r), w.err.msg);
	return r < 0;
}
