/* prepare: writes a generation with some values changed. Nothing uses it until it is flipped to. */
#include <dirent.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "helper/server.h"

enum {
	GENERATIONS_MAX = 64, /* on the disk, before those that nobody needs are removed */
	GENERATIONS_OF_A_CHANGE_MAX = 256, /* while one is open none is removed */
};

/* --- Values ----------------------------------------------------------------------------------- */

/* Sets the parameter in every unit that has it; false: none has. */
static bool set_value(const AdoptedList *units, json_t *values, const char *parameter,
		      json_t *value, bool *failed)
{
	bool found = false;
	for (size_t i = 0; i < units->n; i++) {
		const Adoption *a = &units->list[i];
		json_t *of_unit = json_object_get(values, a->unit);
		for (size_t k = 0; k < a->n; k++) {
			if (strcmp(a->targets[k].parameter, parameter) != 0)
				continue;
			js_set(of_unit, parameter, json_incref(value), failed);
			found = true;
			break;
		}
	}
	return found;
}

static int merge(Call *c, const AdoptedList *units, json_t *values, Err *err)
{
	json_t *wanted = json_object_get(call_request(c), "values"), *value;
	const char *parameter;
	bool failed = false;

	json_object_foreach (wanted, parameter, value) {
		if (!set_value(units, values, parameter, value, &failed))
			return err_set(err, -EPERM, "no adopted unit has a parameter %s",
				       parameter);
	}
	return failed ? err_oom(err) : 0;
}

/* --- Room ------------------------------------------------------------------------------------- */

static int count_one(void *arg, const char *name)
{
	(void)name;
	++*(size_t *)arg;
	return 0;
}

/* However often it is asked for another one: the folder does not grow without end. */
static int make_room(Production *p, const char *state_dir, Err *err)
{
	_cleanup_free_ char *dir = str_fmt("%s/gen", state_dir);
	size_t n = 0;
	if (!dir)
		return err_oom(err);
	int r = disk_system.list(disk_system.ctx, dir, count_one, &n);
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "cannot list %s: %s", dir, strerror(-r));
	if (n < GENERATIONS_MAX)
		return 0;
	if (!production_change(p)->open)
		return production_sweep(p, err);
	return n < GENERATIONS_OF_A_CHANGE_MAX
		   ? 0
		   : err_set(err, -EDQUOT, "one change of production has no more than %d values",
			     GENERATIONS_OF_A_CHANGE_MAX);
}

/* --- The verb --------------------------------------------------------------------------------- */

static int write_generation(Call *c, Production *p, AdoptedList *units, const json_t *values,
			    char id[GENERATION_ID_SIZE], Err *err)
{
	GenerationFile *files = NULL;
	size_t n = 0;
	int r = generation_render(units->list, units->n, values, adopted_file, units, id, &files,
				  &n, err);
	if (r >= 0)
		r = make_room(p, server_places(call_server(c))->state_dir, err);
	if (r >= 0)
		r = production_write(p, id, files, n, err);
	generationfiles_free(files, n);
	return r;
}

static int run(Call *c, json_t **ret, Err *err)
{
	_cleanup_(adoptedlist_done) AdoptedList units = {0};
	char id[GENERATION_ID_SIZE];
	Generation now = {0};
	bool failed = false;
	_cleanup_(production_closep) Production *p = NULL;
	int r = adoption_load_all(server_places(call_server(c)), &units.list, &units.n, err);
	if (r >= 0)
		r = server_production(server_places(call_server(c)), &p, err);
	if (r >= 0 && !*production_current(p))
		r = err_set(err, -ENOENT, "nothing is adopted here: there is no generation yet");
	if (r >= 0)
		r = production_read(p, production_current(p), &now, err);
	if (r >= 0)
		r = merge(c, &units, now.values, err);
	if (r >= 0)
		r = write_generation(c, p, &units, now.values, id, err);
	generation_done(&now);
	if (r < 0)
		return r;
	*ret = json_object();
	js_set(*ret, "generation", js_text(id), &failed);
	return !*ret || failed ? err_oom(err) : 0;
}

static const Member members[] = {{"values", MEMBER_VALUES}, {0}};
const Verb verb_prepare = {.form = {"prepare", members}, .changes = true, .run = run};
