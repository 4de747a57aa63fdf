/* Does production run what the baseline says? Asked of the helper, unit by unit, again and again;
 * people are told once for each thing that is not so. Not while a rollout is on its way: then it is
 * what the rollout wants. */
#include "daemon/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "rollout/turn.h"

#define TOLD_FILE "drift.json"

enum {
	SOON_US = 2000000,
	OTHERS_US = 10000000,
};

/* --- Telling ---------------------------------------------------------------------------------- */

static void recall(Daemon *d)
{
	json_auto_t *o = NULL;
	Err err = ERR_INIT;
	if (statefile_read(d->state_dir, TOLD_FILE, &o, &err) < 0)
		daemon_say(d, LOG_WARN_, "daemon.state", "%s", err.msg);
	(void)snprintf(d->drift.told, sizeof(d->drift.told), "%s", js_str(o, "told", ""));
}

static void keep(Daemon *d)
{
	Err err = ERR_INIT;
	json_auto_t *o = json_pack("{s:s}", "told", d->drift.told);
	if (statefile_write(d->state_dir, TOLD_FILE, o, &err) < 0)
		daemon_say(d, LOG_WARN_, "daemon.state", "%s", err.msg);
}

static void lines_text(const json_t *lines, Str *out)
{
	size_t i;
	json_t *line;
	json_array_foreach (lines, i, line)
		str_addf(out, "%s%s", i ? "; " : "", json_string_value(line));
}

/* Once for each set of differences, also over a restart of ours. */
static void tell(Daemon *d)
{
	Drift *t = &d->drift;
	_cleanup_(str_done) Str text = STR_INIT;
	char hex[HASH_HEX_SIZE] = "";
	lines_text(t->found, &text);
	if (text.failed)
		return;
	if (text.len) {
		Hash h = hash_of(text.s, text.len);
		hash_hex(&h, hex);
	}
	if (strcmp(hex, t->told) == 0)
		return;
	memcpy(t->told, hex, sizeof(hex));
	keep(d);
	if (!text.len) {
		daemon_say(d, LOG_INFO_, "production.drift", "production runs the baseline again");
		return;
	}
	daemon_say(d, LOG_WARN_, "production.drift", "production has drifted: %s", text.s);
	alert(d->alerts, ALERT_DRIFT, text.s, NULL);
	daemon_told(d, ALERT_DRIFT, text.s);
}

/* --- The end of a check -------------------------------------------------------------------------
 */

static void forget_check(Drift *t)
{
	for (size_t i = 0; i < t->n_units; i++)
		free(t->units[i]);
	t->n_units = t->at = 0;
	json_decref(t->real);
	json_decref(t->lines);
	t->real = t->lines = NULL;
	t->checking = false;
}

/* A rollout that began meanwhile changes what was to be compared. */
static bool is_over(Daemon *d)
{
	if (d->drift.checking && d->rolling.rollout)
		forget_check(&d->drift);
	return !d->drift.checking;
}

static void fail(Daemon *d, const char *why)
{
	Drift *t = &d->drift;
	bool same = strncmp(t->failure, why, sizeof(t->failure) - 1) == 0;
	(void)snprintf(t->failure, sizeof(t->failure), "%.239s", why);
	forget_check(t);
	if (!same)
		daemon_say(d, LOG_WARN_, "daemon.drift", "production cannot be compared: %s",
			   t->failure);
	daemon_helper_rest(d);
}

static int compare(Daemon *d, json_t **ret, Err *err)
{
	_cleanup_(baseline_done) Baseline b = {0};
	int r = d->store ? baseline_current(d->store, daemon_pinned(d), &b, err)
			 : err_set(err, -ENODATA, "the store cannot be opened");
	if (r < 0)
		return r;
	*ret = b.version > 0 ? baseline_drift(&b, d->drift.real) : json_array();
	return *ret ? 0 : err_oom(err);
}

static void finish(Daemon *d)
{
	Drift *t = &d->drift;
	json_t *found = NULL;
	Err err = ERR_INIT;
	if (compare(d, &found, &err) < 0) {
		fail(d, err.msg);
		return;
	}
	if (json_array_extend(found, t->lines) < 0) {
		json_decref(found);
		fail(d, "out of memory");
		return;
	}
	json_decref(t->found);
	t->found = found;
	t->checked_at_us = clock_now_us(d->clock);
	t->failure[0] = '\0';
	forget_check(t);
	daemon_helper_rest(d);
	tell(d);
}

/* --- One unit after another ----------------------------------------------------------------------
 */

static void next_unit(Daemon *d);

static const char *errno_words(const Err *err)
{
	return err && *err->msg ? err->msg : "the helper does not answer";
}

/* {parameter: text} of what the process has. Of several targets the one that is not as it should
 * be.
 */
static json_t *values_of(const json_t *readback)
{
	bool failed = false;
	size_t i;
	json_t *v;
	if (js_int(readback, "pid", 0) <= 0)
		return json_null();
	json_t *o = json_object();
	json_array_foreach (json_object_get(readback, "values"), i, v) {
		const char *name = js_str(v, "parameter", NULL), *found = js_str(v, "found", NULL);
		if (!name || (json_object_get(o, name) && js_bool(v, "same", false)))
			continue;
		js_set(o, name, found ? js_text(found) : json_null(), &failed);
	}
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* What a container's client was told is all that is known then. */
static bool add_unseen(Drift *t, const json_t *readback)
{
	_cleanup_free_ char *line = NULL;
	if (js_bool(readback, "seen", true))
		return true;
	line = str_fmt("%s runs in a container that is not seen into: what it has is not known",
		       t->units[t->at]);
	return line && json_array_append_new(t->lines, js_text(line)) == 0;
}

static void on_readback(void *ctx, const json_t *reply, const Err *why)
{
	Daemon *d = ctx;
	Drift *t = &d->drift;
	bool failed = false;
	if (is_over(d))
		return;
	if (!reply) {
		fail(d, errno_words(why));
		return;
	}
	failed = !add_unseen(t, json_object_get(reply, "readback"));
	js_set(t->real, t->units[t->at], values_of(json_object_get(reply, "readback")), &failed);
	if (failed) {
		fail(d, "out of memory");
		return;
	}
	t->at++;
	next_unit(d);
}

static void next_unit(Daemon *d)
{
	Drift *t = &d->drift;
	Err err = ERR_INIT;
	if (t->at >= t->n_units) {
		finish(d);
		return;
	}
	json_t *rq = json_pack("{s:s, s:s}", "do", "readback", "unit", t->units[t->at]);
	if (!rq || helper_call(d->helper, rq, HELPER_WAIT_US, on_readback, d, &err) < 0)
		fail(d, rq ? err.msg : "out of memory");
}

/* --- What there is
 * -------------------------------------------------------------------------------- */

static int take_units(Drift *t, const json_t *units)
{
	const char *name;
	json_t *u;
	json_object_foreach ((json_t *)(uintptr_t)units, name, u) {
		const char *edited = js_str(u, "drift", "");
		if (t->n_units == UNITS_MAX)
			break;
		t->units[t->n_units] = str_fmt("%s", name);
		if (!t->units[t->n_units])
			return -ENOMEM;
		t->n_units++;
		if (*edited && json_array_append_new(t->lines, js_text(edited)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void take_generation(Daemon *d, const char *id)
{
	Drift *t = &d->drift;
	bool plain = strlen(id) == GENERATION_ID_SIZE - 1 &&
		     strspn(id, "0123456789abcdef") == GENERATION_ID_SIZE - 1;
	(void)snprintf(t->generation, sizeof(t->generation), "%s", plain ? id : "");
}

/* What is adopted and has no baseline yet gets its first. */
static void ensure_baseline(Daemon *d, const json_t *status)
{
	_cleanup_(baseline_done) Baseline b = {0};
	Err err = ERR_INIT;
	int r = baseline_ensure(d->store, d->key, daemon_pinned(d), status, "daemon", &b, &err);
	if (r < 0)
		daemon_say(d, LOG_WARN_, "production.baseline", "%s", err.msg);
	else if (r > 0)
		daemon_say(d, LOG_INFO_, "production.baseline",
			   "what production runs is version 1 of the baseline");
}

static int is_stuck(void *userdata, const Record *r, const json_t *body)
{
	const char **rollout = userdata;
	(void)r;
	if (strcmp(js_str(body, "rollout", ""), *rollout) == 0 &&
	    strcmp(js_str(body, "phase", ""), machine_phase_name(PHASE_STUCK)) == 0)
		*rollout = NULL;
	return 1;
}

/* A change that is open and not ours: of somebody who rolls out in the foreground, and then what
 * runs is what that one wants; of somebody who died in it, and then we take it up; or of what is
 * stuck, which nobody touches. */
static bool wait_for_others(Daemon *d, const json_t *change)
{
	Drift *t = &d->drift;
	const char *rollout = js_str(change, "rollout", "");
	int fd = -1;
	Err ignored = ERR_INIT;
	json_decref(t->change);
	t->change = json_is_object(change) ? js_deep_copy(change) : NULL;
	if (!t->change)
		return false;
	if (turn_take(d->state_dir, &fd, &ignored) < 0)
		return true;
	fd = turn_end(fd);
	int r = d->store ? store_records(d->store, "rollout", true, 1, is_stuck, &rollout, &ignored)
			 : -ENODATA;
	if (r < 0 || !rollout)
		return false;
	t->orphan = true;
	return true;
}

static void on_status(void *ctx, const json_t *reply, const Err *why)
{
	Daemon *d = ctx;
	Drift *t = &d->drift;
	if (is_over(d))
		return;
	if (!reply) {
		fail(d, errno_words(why));
		return;
	}
	take_generation(d, js_str(reply, "current", ""));
	if (wait_for_others(d, json_object_get(reply, "change"))) {
		forget_check(t);
		daemon_helper_rest(d);
		daemon_in(t->timer, t->orphan ? SOON_US : OTHERS_US);
		return;
	}
	if (d->store && !t->change) {
		rolling_settle(d, reply);
		ensure_baseline(d, reply);
	}
	t->real = json_object();
	t->lines = json_array();
	if (!t->real || !t->lines || take_units(t, json_object_get(reply, "units")) < 0) {
		fail(d, "out of memory");
		return;
	}
	next_unit(d);
}

static void check(Daemon *d)
{
	Err err = ERR_INIT;
	json_t *rq = NULL;
	if (d->drift.checking || d->rolling.rollout)
		return;
	int r = daemon_helper(d, &err);
	if (r == 0 && !(rq = json_pack("{s:s}", "do", "status")))
		r = err_oom(&err);
	d->drift.checking = true;
	if (r == 0)
		r = helper_call(d->helper, rq, HELPER_WAIT_US, on_status, d, &err);
	if (r < 0)
		fail(d, err.msg);
}

static int on_timer(sd_event_source *s, uint64_t at_us, void *userdata)
{
	Daemon *d = userdata;
	Err err = ERR_INIT;
	(void)at_us;
	if (d->drift.orphan && !d->rolling.rollout && rolling_begin(d, &err) < 0)
		return err.code;
	d->drift.orphan = false;
	check(d);
	looking_turn(d); /* what could not be watched may be there by now */
	daemon_in(s, DRIFT_EVERY_US);
	return 0;
}

void drift_soon(Daemon *d)
{
	daemon_in(d->drift.timer, SOON_US);
}

void drift_hurry(Daemon *d)
{
	uint64_t now_us = 0, at_us = 0;
	if (sd_event_now(d->loop, CLOCK_MONOTONIC, &now_us) >= 0 &&
	    sd_event_source_get_time(d->drift.timer, &at_us) >= 0 && at_us > now_us + SOON_US)
		drift_soon(d);
}

int drift_begin(Daemon *d, Err *err)
{
	recall(d);
	int r = daemon_timer(d, on_timer, &d->drift.timer, err);
	if (r == 0)
		daemon_in(d->drift.timer, 0);
	return r;
}

void drift_done(Drift *t)
{
	forget_check(t);
	json_decref(t->found);
	t->found = NULL;
	json_decref(t->change);
	t->change = NULL;
	t->timer = sd_event_source_disable_unref(t->timer);
}
