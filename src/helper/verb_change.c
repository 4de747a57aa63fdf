/* begin, flip, commit, undo: the four steps of a change of production. What may follow what is
 * src/production's to say; here is added that a generation's values are allowed now. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "helper/server.h"
#include "production/boot.h"

/* --- begin ------------------------------------------------------------------------------------ */

static int run_begin(Call *c, json_t **ret, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	(void)ret;
	int r = server_production(server_places(call_server(c)), &p, err);
	/* From here on a restart of dream-recover.service must not take the change back. */
	if (r >= 0)
		r = boot_settle(server_places(call_server(c))->state_dir, err);
	if (r < 0)
		return r;
	return production_begin(p, call_text(c, "rollout"), call_text(c, "from"),
				clock_now_us(&clock_system), err);
}

static const Member begin_members[] = {
    {"rollout", MEMBER_ROLLOUT}, {"from", MEMBER_GENERATION}, {0}};
const Verb verb_begin = {.form = {"begin", begin_members}, .changes = true, .run = run_begin};

/* --- flip ------------------------------------------------------------------------------------- */

static int check_change(const Production *p, const char *rollout, Err *err)
{
	const OpenChange *change = production_change(p);
	if (!change->open)
		return err_set(err, -EPERM, "no change of production is open");
	if (strcmp(change->rollout, rollout) != 0)
		return err_set(err, -EPERM, "the open change is of another rollout, %s",
			       change->rollout);
	return 0;
}

/* It was allowed when it was prepared, or was current once; a unit may have been adopted anew. */
static int check_target(Call *c, Production *p, const char *to, Err *err)
{
	_cleanup_(adoptedlist_done) AdoptedList units = {0};
	Generation g = {0};
	int r = adoption_load_all(server_places(call_server(c)), &units.list, &units.n, err);
	if (r >= 0)
		r = production_read(p, to, &g, err);
	if (r >= 0)
		r = values_check(units.list, units.n, g.values, err);
	generation_done(&g);
	return r;
}

static int run_flip(Call *c, json_t **ret, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	const char *rollout = call_text(c, "rollout"), *to = call_text(c, "to");
	(void)ret;
	int r = server_production(server_places(call_server(c)), &p, err);
	if (r >= 0)
		r = check_change(p, rollout, err);
	if (r >= 0)
		r = check_target(c, p, to, err);
	if (r >= 0)
		r = production_flip(p, rollout, to, err);
	if (r >= 0)
		server_flipped(call_server(c));
	return r;
}

static const Member flip_members[] = {{"rollout", MEMBER_ROLLOUT}, {"to", MEMBER_GENERATION}, {0}};
const Verb verb_flip = {.form = {"flip", flip_members}, .changes = true, .run = run_flip};

/* --- commit ----------------------------------------------------------------------------------- */

static int run_commit(Call *c, json_t **ret, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	const char *rollout = call_text(c, "rollout");
	Err unheard = ERR_INIT;
	(void)ret;
	int r = server_production(server_places(call_server(c)), &p, err);
	if (r >= 0)
		r = check_change(p, rollout, err);
	if (r >= 0)
		r = production_commit(p, rollout, err);
	/* It is committed; old generations that stay do no harm. */
	if (r >= 0)
		(void)!production_sweep(p, &unheard);
	return r;
}

static const Member commit_members[] = {{"rollout", MEMBER_ROLLOUT}, {0}};
const Verb verb_commit = {.form = {"commit", commit_members}, .changes = true, .run = run_commit};

/* --- undo ------------------------------------------------------------------------------------- */

static int run_undo(Call *c, json_t **ret, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	bool moved = false, failed = false;
	int r = server_production(server_places(call_server(c)), &p, err);
	if (r >= 0)
		r = production_undo(p, &moved, err);
	if (r < 0)
		return r;
	if (moved)
		server_flipped(call_server(c));
	*ret = json_object();
	js_set(*ret, "moved", json_boolean(moved), &failed);
	js_set(*ret, "current", js_text(production_current(p)), &failed);
	return !*ret || failed ? err_oom(err) : 0;
}

static const Member undo_members[] = {{0}};
const Verb verb_undo = {.form = {"undo", undo_members}, .changes = true, .run = run_undo};
