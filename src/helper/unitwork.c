/* Jobs of the manager on adopted units, and the state of units as JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "helper/server.h"

/* systemd's own word, too. */
static const char given_up[] = "canceled";

/* --- State ------------------------------------------------------------------------------------ */

json_t *unitstate_json(const UnitState *u)
{
	bool failed = false;
	json_auto_t *o = json_object();

	js_set(o, "load", js_text(u->load), &failed);
	js_set(o, "active", js_text(u->active), &failed);
	js_set(o, "sub", js_text(u->sub), &failed);
	js_set(o, "result", js_text(u->result), &failed);
	js_set(o, "invocation", js_text(u->invocation), &failed);
	js_set(o, "main_pid", json_integer(u->main_pid), &failed);
	js_set(o, "exit_code", json_integer(u->exit_code), &failed);
	js_set(o, "exit_status", json_integer(u->exit_status), &failed);
	js_set(o, "restarts", json_integer(u->restarts), &failed);
	js_set(o, "active_since_us", json_integer(u->active_since_us), &failed);
	js_set(o, "started_in_us", json_integer(u->started_in_us), &failed);
	js_set(o, "needs_reload", json_boolean(u->needs_reload), &failed);
	return failed ? NULL : TAKE_PTR(o);
}

void unitseen_done(UnitSeen *u)
{
	unit_state_done(&u->state);
	unitfiles_free(u->files, u->n_files);
	*u = (UnitSeen){0};
}

int server_look(Server *s, const char *unit, UnitSeen *ret, Err *err)
{
	_cleanup_(unitseen_done) UnitSeen seen = {0};
	Systemd *systemd;
	UnitOrigin from = {0};
	int r = server_systemd(s, &systemd, err);
	if (r >= 0)
		r = unit_origin_state(systemd, unit, &from, &seen.state, err);
	if (r >= 0)
		r = unitfiles_read(from.paths, &seen.files, &seen.n_files, err);
	unit_origin_done(&from);
	if (r < 0)
		return r;
	*ret = seen;
	seen = (UnitSeen){0};
	return 0;
}

/* --- Work ------------------------------------------------------------------------------------- */

static void on_job(void *ctx, const char *result, const Err *err)
{
	UnitWork *w = ctx;
	w->job = NULL;
	w->took_us = clock_mono_us(&clock_system) - w->began_us;
	snprintf(w->result, sizeof(w->result), "%s", result ? result : "");
	if (err)
		w->err = *err;
	w->done(w->ctx);
}

int unitwork_start(UnitWork *w, UnitWorkVerb *verb, Err *err)
{
	Systemd *systemd;
	Err unheard = ERR_INIT;
	w->result[0] = '\0';
	w->err = ERR_INIT;
	int r = server_systemd(w->s, &systemd, err);
	if (r < 0)
		return r;
	/* A unit that failed too often in a row would not be started, not even to undo what made it
	 * fail. One that is not loaded has nothing to forget. */
	if (verb != unit_stop)
		(void)!unit_reset_failed(systemd, w->unit, &unheard);
	w->began_us = clock_mono_us(&clock_system);
	return verb(systemd, w->unit, on_job, w, &w->job, err);
}

void unitwork_forget(UnitWork *w)
{
	w->job = unitjob_forget(w->job);
}

void unitwork_give_up(UnitWork *w)
{
	unitwork_forget(w);
	w->took_us = clock_mono_us(&clock_system) - w->began_us;
	snprintf(w->result, sizeof(w->result), "%s", given_up);
}

/* Is it the unit that cannot be started, and not we who may not or cannot ask? */
static bool is_refused(const UnitWork *w)
{
	int code = w->err.code;
	return !w->result[0] &&
	       (code == -ENOENT || code == -EPERM || code == -ENOEXEC || code == -EBUSY);
}

/* The unit's own result says more than that its job failed. */
static const char *words_of(const UnitWork *w, const UnitState *u)
{
	if (is_refused(w))
		return w->err.msg;
	if (strcmp(w->result, given_up) == 0)
		return "it was given up before it had ended, or another request for the same unit "
		       "took its place";
	if (strcmp(w->result, "failed") == 0 && u->result[0] && strcmp(u->result, "success") != 0)
		return unit_result_words(u->result);
	return unit_result_words(w->result);
}

int unitwork_json(UnitWork *w, json_t **ret, Err *err)
{
	Systemd *systemd;
	UnitState u = {0};
	bool failed = false;
	if (!w->result[0] && !is_refused(w))
		return err_set(err, w->err.code, "%s", w->err.msg);
	int r = server_systemd(w->s, &systemd, err);
	if (r >= 0)
		r = unit_state(systemd, w->unit, &u, err);
	if (r < 0)
		return r;
	json_auto_t *o = json_object();
	js_set(o, "result", js_text(is_refused(w) ? "refused" : w->result), &failed);
	js_set(o, "words", js_text(words_of(w, &u)), &failed);
	js_set(o, "state", unitstate_json(&u), &failed);
	js_set(o, "took_us", json_integer(w->took_us), &failed);
	unit_state_done(&u);
	if (!o || failed)
		return err_oom(err);
	*ret = TAKE_PTR(o);
	return 0;
}
