/* status: what production is set to, what is in the middle of being changed, and the adopted units.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "helper/server.h"
#include "production/readback.h"

static json_t *text_or_null(const char *text)
{
	return text ? js_text(text) : json_null();
}

/* --- Production ------------------------------------------------------------------------------- */

static json_t *change_json(const OpenChange *change)
{
	bool failed = false;
	if (!change->open)
		return json_null();
	json_auto_t *o = json_object();
	js_set(o, "rollout", js_text(change->rollout), &failed);
	js_set(o, "from", js_text(change->from), &failed);
	js_set(o, "to", js_text(change->to), &failed);
	js_set(o, "began_at_us", json_integer(change->began_at_us), &failed);
	return failed ? NULL : TAKE_PTR(o);
}

static json_t *good_json(const Production *p)
{
	const char *ids[GOOD_MAX];
	size_t n = production_good(p, ids);
	json_auto_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(list, js_text(ids[i])) < 0)
			return NULL;
	return TAKE_PTR(list);
}

/* No folder of generations, and no unit that would need one: nothing was ever adopted here. */
static bool never_adopted(const ProductionPlaces *places)
{
	_cleanup_(adoptedlist_done) AdoptedList units = {0};
	Err unheard = ERR_INIT;
	return access(places->state_dir, F_OK) < 0 && errno == ENOENT &&
	       adoption_load_all(places, &units.list, &units.n, &unheard) >= 0 && units.n == 0;
}

static int add_production(Call *c, json_t *members, bool *failed, Err *err)
{
	Generation g = {0};
	_cleanup_(production_closep) Production *p = NULL;
	const ProductionPlaces *places = server_places(call_server(c));
	if (never_adopted(places)) {
		js_set(members, "current", js_text(""), failed);
		js_set(members, "values", json_null(), failed);
		js_set(members, "change", json_null(), failed);
		js_set(members, "good", json_array(), failed);
		return 0;
	}
	int r = server_production(places, &p, err);
	if (r < 0)
		return r;
	const char *current = production_current(p);
	if (*current && (r = production_read(p, current, &g, err)) < 0)
		return r;
	js_set(members, "current", js_text(current), failed);
	js_set(members, "values", g.values ? json_incref(g.values) : json_null(), failed);
	js_set(members, "change", change_json(production_change(p)), failed);
	js_set(members, "good", good_json(p), failed);
	generation_done(&g);
	return 0;
}

/* --- Units ------------------------------------------------------------------------------------ */

static json_t *targets_json(const Adoption *a)
{
	bool failed = false;
	json_auto_t *list = json_array();
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *t = &a->targets[i];
		json_t *o = json_object();
		js_set(o, "parameter", js_text(t->parameter), &failed);
		js_set(o, "kind", js_text(target_kind_name(t->kind)), &failed);
		js_set(o, "name", js_text(t->name), &failed);
		js_set(o, "path", text_or_null(t->path), &failed);
		js_set(o, "original", text_or_null(t->original), &failed);
		if (json_array_append_new(list, o) < 0)
			failed = true;
	}
	return failed ? NULL : TAKE_PTR(list);
}

static json_t *after_json(const Adoption *a)
{
	bool failed = false;
	json_auto_t *list = json_array();
	for (char **unit = a->after; unit && *unit; unit++)
		if (json_array_append_new(list, js_text(*unit)) < 0)
			failed = true;
	return failed ? NULL : TAKE_PTR(list);
}

/* What cannot be found out is said where the drift would be. */
static json_t *unit_json(Server *s, const Adoption *a, bool managed)
{
	_cleanup_(unitseen_done) UnitSeen seen = {0};
	char drift[READBACK_DRIFT_SIZE] = "";
	bool failed = false;
	Err err = ERR_INIT;
	json_auto_t *o = json_object();
	int r = managed ? server_look(s, a->unit, &seen, &err) : -ENOENT;

	if (r >= 0)
		readback_drift(a, seen.files, seen.n_files, drift, sizeof(drift));
	else
		snprintf(drift, sizeof(drift), "%.200s", err.msg);
	js_set(o, "state", r >= 0 ? unitstate_json(&seen.state) : json_null(), &failed);
	js_set(o, "drift", js_text(drift), &failed);
	js_set(o, "after", after_json(a), &failed);
	js_set(o, "targets", targets_json(a), &failed);
	return failed ? NULL : TAKE_PTR(o);
}

static int add_units(Call *c, json_t *members, bool *failed, Err *err)
{
	_cleanup_(adoptedlist_done) AdoptedList units = {0};
	Server *s = call_server(c);
	Systemd *systemd;
	Err unheard = ERR_INIT;
	int r = adoption_load_all(server_places(s), &units.list, &units.n, err);
	if (r < 0)
		return r;
	bool managed = units.n > 0 && server_systemd(s, &systemd, &unheard) >= 0;
	json_auto_t *o = json_object();
	for (size_t i = 0; i < units.n; i++)
		js_set(o, units.list[i].unit, unit_json(s, &units.list[i], managed), failed);
	js_set(members, "units", TAKE_PTR(o), failed);
	return 0;
}

static int run(Call *c, json_t **ret, Err *err)
{
	bool failed = false;
	json_auto_t *members = json_object();
	int r = add_production(c, members, &failed, err);
	if (r >= 0)
		r = add_units(c, members, &failed, err);
	if (r < 0)
		return r;
	if (!members || failed)
		return err_oom(err);
	*ret = TAKE_PTR(members);
	return 0;
}

static const Member no_members[] = {{0}};
const Verb verb_status = {.form = {"status", no_members}, .run = run};
