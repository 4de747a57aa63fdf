/* The store is gone or damaged, and the machine may be in the middle of a change: what ran before
 * is known to the helper alone, and that is enough to go back to it. Nothing else is done without a
 * store. */
#include <string.h>

#include "base/json.h"
#include "daemon/internal.h"

enum {
	RESTART_US = 900000000,
	TURN_US = 10000000,
};

typedef struct Answer {
	bool over;
	json_t *reply;
	Err err;
} Answer;

static void on_answer(void *ctx, const json_t *reply, const Err *err)
{
	Answer *a = ctx;
	a->over = true;
	a->reply = reply ? json_incref((json_t *)(uintptr_t)reply) : NULL;
	if (err)
		a->err = *err;
}

/* We are not ready yet, and systemd ends who is not for too long: it is told that this one is at
 * work. The loop turns meanwhile, so whoever wants us to end is heard. */
static int wait_for(Daemon *d, const Answer *a, Err *err)
{
	while (!a->over) {
		if (sd_event_get_state(d->loop) == SD_EVENT_FINISHED)
			return err_set(err, -ECANCELED, "the daemon was asked to end");
		notify_patience(2 * TURN_US);
		int r = sd_event_run(d->loop, TURN_US);
		if (r < 0)
			return err_set(err, r, "the event loop failed: %s", strerror(-r));
	}
	return 0;
}

static int ask(Daemon *d, json_t *request, int64_t timeout_us, json_t **ret, Err *err)
{
	Answer a = {0};
	int r = request ? daemon_helper(d, err) : err_oom(err);
	if (r < 0) {
		json_decref(request);
		return r;
	}
	r = helper_call(d->helper, request, timeout_us, on_answer, &a, err);
	if (r == 0)
		r = wait_for(d, &a, err);
	if (r < 0) {
		helper_forget(d->helper, &a);
		return r;
	}
	if (!a.reply)
		return err_set(err, a.err.code, "%s", a.err.msg);
	*ret = a.reply;
	return 0;
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
