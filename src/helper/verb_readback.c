/* readback: what the process of an adopted unit really has. */
#include "production/readback.h"

#include "base/json.h"
#include "helper/server.h"

static int read_current(Call *c, Generation *ret, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	int r = server_production(server_places(call_server(c)), &p, err);
	if (r >= 0 && !*production_current(p))
		r = err_set(err, -ENOENT, "nothing is adopted here: there is no generation yet");
	return r < 0 ? r : production_read(p, production_current(p), ret, err);
}

static int look(Call *c, const Adoption *a, const Generation *g, json_t **ret, Err *err)
{
	_cleanup_(unitfiles_done) UnitFiles files = {0};
	_cleanup_(readback_done) Readback seen = {0};
	json_auto_t *state = NULL, *members = json_object();
	Server *s = call_server(c);
	bool failed = false;
	pid_t pid;
	int r = state_json(s, a->unit, &state, &pid, err);
	if (r >= 0)
		r = server_unit_files(s, a->unit, &files, err);
	if (r >= 0)
		r = readback_process(a, g, pid, files.list, files.n, server_flipped_at_us(s), &seen,
				     err);
	if (r < 0)
		return r;
	js_set(members, "readback", readback_json(&seen), &failed);
	js_set(members, "state", TAKE_PTR(state), &failed);
	if (!members || failed)
		return err_oom(err);
	*ret = TAKE_PTR(members);
	return 0;
}

static int run(Call *c, json_t **ret, Err *err)
{
	Generation g = {0};
	Adoption a = {0};
	int r = adopted(call_server(c), call_text(c, "unit"), &a, err);
	if (r >= 0)
		r = read_current(c, &g, err);
	if (r >= 0)
		r = look(c, &a, &g, ret, err);
	generation_done(&g);
	adoption_done(&a);
	return r;
}

static const Member members[] = {{"unit", MEMBER_UNIT}, {0}};
const Verb verb_readback = {.form = {"readback", members}, .run = run};
