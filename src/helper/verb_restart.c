/* restart: one adopted unit, until its job has ended. */
#include <stdlib.h>
#include <string.h>

#include "helper/server.h"

typedef struct Restart {
	Call *call;
	char *unit;
	UnitWork work;
} Restart;

static Restart *restart_free(Restart *r)
{
	if (r) {
		unitwork_forget(&r->work);
		free(r->unit);
		free(r);
	}
	return NULL;
}

DEFINE_CLEANUP(Restart *, restart_free)

static void on_done(void *ctx)
{
	Restart *r = ctx;
	Call *call = r->call;
	json_t *members = NULL;
	Err err = ERR_INIT;
	int code = unitwork_json(&r->work, &members, &err);
	restart_free(r);
	call_end(call, members, code < 0 ? &err : NULL);
}

static int run(Call *c, json_t **ret, Err *err)
{
	Adoption a = {0};
	const char *unit = call_text(c, "unit");

	(void)ret;
	int code = adopted(call_server(c), unit, &a, err);
	adoption_done(&a);
	if (code < 0)
		return code;
	_cleanup_(restart_freep) Restart *r = calloc(1, sizeof(*r));
	if (!r || !(r->unit = strdup(unit)))
		return err_oom(err);
	r->call = c;
	r->work = (UnitWork){.s = call_server(c), .unit = r->unit, .done = on_done, .ctx = r};
	code = unitwork_start(&r->work, unit_restart, err);
	if (code < 0)
		return code;
	call_set_data(c, TAKE_PTR(r));
	return 1;
}

static void cancel(Call *c)
{
	Restart *r = call_data(c);
	unitwork_give_up(&r->work);
	on_done(r);
}

static const Member members[] = {{"unit", MEMBER_UNIT}, {0}};
const Verb verb_restart = {
    .form = {"restart", members}, .alone = true, .changes = true, .run = run, .cancel = cancel};
