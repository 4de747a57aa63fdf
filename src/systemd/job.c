/* Jobs: the call that makes one, and the signal that says how it ended. */
#include <stdlib.h>
#include <string.h>

#include "systemd/internal.h"

struct Job_ {
	Systemd *s;
	UnitJob *next;
	sd_bus_slot *call; /* until the manager has answered */
	char *path, *unit; /* path: of the job object; NULL before the answer */
	JobDone *done;
	void *ctx;
	bool starts;
	bool unchecked; /* the manager was executed anew, and this one not looked at since */
};

UnitJob *unitjob_forget(UnitJob *j)
{
	if (!j)
		return NULL;
	for (UnitJob **at = &j->s->jobs; *at; at = &(*at)->next)
		if (*at == j) {
			*at = j->next;
			break;
		}
	sd_bus_slot_unref(j->call);
	free(j->path);
	free(j->unit);
	free(j);
	return NULL;
}

DEFINE_CLEANUP(UnitJob *, unitjob_forget)

static void finish(UnitJob *j, const char *result, const Err *err)
{
	JobDone *done = j->done;
	void *ctx = j->ctx;
	unitjob_forget(j);
	done(ctx, result, err);
}

/* --- The manager's answers ------------------------------------------------------------------- */

static int on_answer(sd_bus_message *m, void *ctx, sd_bus_error *unused)
{
	UnitJob *j = ctx;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	const char *path;
	Err err = ERR_INIT;
	int r;

	(void)unused;
	if (e) {
		bus_error(j->s, -sd_bus_message_get_errno(m), e, j->starts ? "start" : "stop",
			  j->unit, &err);
		finish(j, NULL, &err);
		return 0;
	}
	r = sd_bus_message_read(m, "o", &path);
	if (r >= 0 && !(j->path = strdup(path)))
		r = -ENOMEM;
	if (r < 0) {
		bus_garbage(r, "StartUnit", &err);
		finish(j, NULL, &err);
	}
	return 0;
}

void jobs_removed(Systemd *s, const char *path, const char *result)
{
	for (UnitJob *j = s->jobs; j; j = j->next)
		if (j->path && strcmp(j->path, path) == 0) {
			finish(j, result, NULL);
			return;
		}
}

/* --- A manager that went away ---------------------------------------------------------------- */

void jobs_lost(Systemd *s)
{
	while (s->jobs) {
		Err err = ERR_INIT;
		UnitJob *j = s->jobs;
		bus_error(s, -ENOTCONN, NULL, j->starts ? "start" : "stop", j->unit, &err);
		finish(j, NULL, &err);
	}
}

static bool job_exists(const UnitJob *j)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char *state = NULL;
	int r = sd_bus_get_property_string(j->s->bus, MANAGER, j->path, MANAGER ".Job", "State", &e,
					   &state);
	free(state);
	sd_bus_error_free(&e);
	return r >= 0;
}

/* The job ended while nobody could hear it: the unit's state tells how. */
static void settle(UnitJob *j)
{
	UnitState u = {0};
	Err err = ERR_INIT;
	int r = unit_state(j->s, j->unit, &u, &err);
	bool runs = strcmp(u.active, "active") == 0 || strcmp(u.active, "reloading") == 0;
	unit_state_done(&u);
	if (r < 0)
		finish(j, NULL, &err);
	else
		finish(j, runs == j->starts ? "done" : "failed", NULL);
}

static UnitJob *first_unchecked(Systemd *s)
{
	UnitJob *j = s->jobs;
	while (j && !j->unchecked)
		j = j->next;
	return j;
}

void jobs_resume(Systemd *s)
{
	UnitJob *j;

	for (j = s->jobs; j; j = j->next)
		j->unchecked = j->path != NULL;
	while ((j = first_unchecked(s))) {
		j->unchecked = false;
		if (!job_exists(j))
			settle(j);
	}
}

/* --- Making one ------------------------------------------------------------------------------ */

int job_send(Systemd *s, sd_bus_message *m, const char *what, const char *unit, bool starts,
	     JobDone *done, void *ctx, UnitJob **ret, Err *err)
{
	if (s->gone)
		return bus_error(s, -ENOTCONN, NULL, what, unit, err);
	_cleanup_(unitjob_forgetp) UnitJob *j = calloc(1, sizeof(*j));
	if (!j)
		return err_oom(err);
	*j = (UnitJob){.s = s, .next = s->jobs, .done = done, .ctx = ctx, .starts = starts};
	s->jobs = j;
	j->unit = strdup(unit);
	if (!j->unit)
		return err_oom(err);
	int r = sd_bus_call_async(s->bus, &j->call, m, on_answer, j, 0);
	if (r < 0)
		return bus_error(s, r, NULL, what, unit, err);
	if (ret)
		*ret = j;
	(void)TAKE_PTR(j);
	return 0;
}

static int unit_verb(Systemd *s, const char *method, const char *unit, JobDone *done, void *ctx,
		     UnitJob **ret, Err *err)
{
	bool starts = strcmp(method, "StopUnit") != 0;
	const char *what = starts ? "start" : "stop";
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r = unit_name_check(unit, err);
	if (r < 0)
		return r;
	r = sd_bus_message_new_method_call(s->bus, &m, MANAGER, MANAGER_PATH, MANAGER_IFACE,
					   method);
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit, "replace");
	if (r < 0)
		return bus_error(s, r, NULL, what, unit, err);
	return job_send(s, m, what, unit, starts, done, ctx, ret, err);
}

int unit_start(Systemd *s, const char *unit, JobDone *done, void *ctx, UnitJob **ret, Err *err)
{
	return unit_verb(s, "StartUnit", unit, done, ctx, ret, err);
}

int unit_stop(Systemd *s, const char *unit, JobDone *done, void *ctx, UnitJob **ret, Err *err)
{
	return unit_verb(s, "StopUnit", unit, done, ctx, ret, err);
}

int unit_restart(Systemd *s, const char *unit, JobDone *done, void *ctx, UnitJob **ret, Err *err)
{
	return unit_verb(s, "RestartUnit", unit, done, ctx, ret, err);
}

int unit_reset_failed(Systemd *s, const char *unit, Err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = unit_name_check(unit, err);
	if (r < 0)
		return r;
	r = sd_bus_call_method(s->bus, MANAGER, MANAGER_PATH, MANAGER_IFACE, "ResetFailedUnit", &e,
			       NULL, "s", unit);
	if (r < 0)
		r = bus_error(s, r, &e, "forget the failure of", unit, err);
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

/* --- Words ----------------------------------------------------------------------------------- */

static const struct {
	const char *result, *words;
} meanings[] = {
    {"done", "it was done"},
    {"success", "it ended well"},
    {"canceled", "another request for the same unit took its place"},
    {"timeout", "it was not done within the unit's TimeoutStartSec= or TimeoutStopSec="},
    {"failed", "the unit failed; its journal says why"},
    {"dependency", "a unit that it requires could not be started"},
    {"skipped", "a condition of the unit (ConditionPathExists= and the like) is not met"},
    {"invalid", "the unit cannot be asked for this (it has no ExecReload=, or is being unloaded)"},
    {"assert", "an Assert...= of the unit is not met"},
    {"unsupported", "this kind of unit does not exist on this machine"},
    {"collected", "the unit was unloaded before it could start"},
    {"once", "the unit may be started only once in this boot"},
    {"exit-code", "its program ended with an error; its output says why"},
    {"signal", "its program was killed by a signal"},
    {"core-dump", "its program crashed and dumped core"},
    {"watchdog", "its program did not report to the watchdog in time"},
    {"oom-kill",
     "the kernel's out-of-memory killer ended it; see MemoryMax= and the host's memory"},
    {"resources", "a resource was missing: a file of EnvironmentFile=, a user, a folder, memory"},
    {"protocol", "its program ended or forked without saying READY=1, as its Type= demands"},
    {"start-limit-hit", "it failed too often in a row; after mending it: systemctl reset-failed"},
    {"exec-condition", "its ExecCondition= said no"},
};

const char *unit_result_words(const char *result)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(result, meanings[i].result) == 0)
			return meanings[i].words;
	return "systemd gives no reason that is known here";
}
