/* The store is gone or damaged, and the machine may be in the middle of a change: what ran before
 * is known to the helper alone, and that is enough to go back to it. Nothing else is done without a
 * store. */
#include <string.h>

#include "base/json.h"
#include "daemon/internal.h"

enum {
	RESTART_US = 900000000,
};

static int ask(Daemon *d, json_t *request, int64_t timeout_us, json_t **ret, Err *err)
{
	int r = request ? daemon_helper(d, err) : err_oom(err);
	if (r < 0) {
		json_decref(request);
		return r;
	}
	return helper_ask(d->helper, request, timeout_us, ret, err);
}

static int look(Daemon *d, json_t **ret, Err *err)
{
	return ask(d, json_pack("{s:s}", "do", "status"), HELPER_WAIT_US, ret, err);
}

static void restart(Daemon *d, const char *unit)
{
	json_auto_t *reply = NULL;
	Err err = ERR_INIT;
	int r = ask(d, json_pack("{s:s, s:s}", "do", "restart", "unit", unit), RESTART_US, &reply,
		    &err);
	if (r < 0)
		daemon_say(d, LOG_ERROR_, "rollout.undo", "%s was not restarted: %s", unit,
			   err.msg);
	else
		daemon_say(d, LOG_WARN_, "rollout.undo", "%s was restarted: %s", unit,
			   js_str(reply, "result", "?"));
}

/* Units whose values are others than before. */
static void restart_changed(Daemon *d, const json_t *before, const json_t *after)
{
	const char *unit;
	json_t *values;
	json_object_foreach ((json_t *)(uintptr_t)after, unit, values)
		if (!json_equal(values, json_object_get(before, unit)))
			restart(d, unit);
}

static int take_back(Daemon *d, const json_t *before, Err *err)
{
	json_auto_t *none = NULL, *moved = NULL, *after = NULL;
	Err unheard = ERR_INIT;
	/* What we waited for before we were restarted is not waited for again. */
	(void)!ask(d, json_pack("{s:s}", "do", "cancel"), HELPER_WAIT_US, &none, &unheard);
	int r = ask(d, json_pack("{s:s}", "do", "undo"), HELPER_WAIT_US, &moved, err);
	if (r == 0)
		r = look(d, &after, err);
	if (r < 0)
		return r;
	restart_changed(d, json_object_get(before, "values"), json_object_get(after, "values"));
	daemon_say(d, LOG_WARN_, "rollout.undo", "production is back at generation %s",
		   js_str(after, "current", "?"));
	return 0;
}

int bare_undo(Daemon *d, Err *err)
{
	static const char words[] = "without the store, what was half done was taken back";
	json_auto_t *status = NULL;
	Err why = ERR_INIT;
	int r = look(d, &status, &why);
	if (r == 0 && json_is_object(json_object_get(status, "change"))) {
		r = take_back(d, status, &why);
		if (r == 0) {
			alert(d->alerts, ALERT_RECOVERED, words, NULL);
			daemon_told(d, ALERT_RECOVERED, words);
		}
	}
	if (r < 0)
		daemon_say(d, LOG_ERROR_, "rollout.undo",
			   "whether something is half done cannot be told: %s", why.msg);
	*err = d->store_err;
	return err->code;
}
