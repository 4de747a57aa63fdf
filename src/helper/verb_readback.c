/* readback: what the process of an adopted unit really has. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "helper/server.h"
#include "production/readback.h"

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
	_cleanup_(unitseen_done) UnitSeen unit = {0};
	_cleanup_(readback_done) Readback seen = {0};
	json_auto_t *members = json_object();
	Server *s = call_server(c);
	bool failed = false;
	int r = server_look(s, a->unit, &unit, err);
	if (r >= 0)
		r = readback_process(a, g, unit.state.main_pid, unit.files, unit.n_files,
				     server_flipped_at_us(s), &seen, err);
	if (r < 0)
		return r;
	js_set(members, "readback", readback_json(&seen), &failed);
	js_set(members, "state", unitstate_json(&unit.state), &failed);
	if (!members || failed)
		return err_oom(err);
	*ret = TAKE_PTR(members);
	return 0;
}

static int try_once(Call *c, json_t **ret, Err *err)
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

/* --- A program that is only being executed ---------------------------------------------------- */

enum {
	AGAIN_US = 5000,
	AGAIN_MAX = 1000, /* five seconds */
};

typedef struct Again {
	Call *call;
	sd_event_source *timer;
	int tries;
} Again;

static int on_again(sd_event_source *src, uint64_t usec, void *ctx)
{
	Again *again = ctx;
	json_t *members = NULL;
	Err err = ERR_INIT;
	(void)usec;
	int r = try_once(again->call, &members, &err);
	if (r == -EAGAIN && ++again->tries < AGAIN_MAX &&
	    sd_event_source_set_time_relative(src, AGAIN_US) >= 0 &&
	    sd_event_source_set_enabled(src, SD_EVENT_ONESHOT) >= 0)
		return 0;
	Call *call = again->call;
	sd_event_source_disable_unref(again->timer);
	free(again);
	call_end(call, members, r < 0 ? &err : NULL);
	return 0;
}

static int try_again(Call *c, Err *err)
{
	Again *again = calloc(1, sizeof(*again));
	if (!again)
		return err_oom(err);
	again->call = c;
	int r = sd_event_add_time_relative(server_loop(call_server(c)), &again->timer,
					   CLOCK_MONOTONIC, AGAIN_US, 0, on_again, again);
	if (r < 0) {
		free(again);
		return err_set(err, r, "cannot wait: %s", strerror(-r));
	}
	return 1;
}

static int run(Call *c, json_t **ret, Err *err)
{
	int r = try_once(c, ret, err);
	return r == -EAGAIN ? try_again(c, err) : r;
}

static const Member members[] = {{"unit", MEMBER_UNIT}, {0}};
const Verb verb_readback = {.form = {"readback", members}, .run = run};
