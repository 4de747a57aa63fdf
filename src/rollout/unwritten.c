/* What the store cannot take when it happens: it is locked by somebody, its disk is full, it is
 * gone. Production does not wait for it. Steps wait here, in order, and are tried again for as long
 * as the rollout is there; the version of the baseline that a commit makes is noted beside the
 * store before the helper is asked to commit, so that whoever comes next can still write it. */
#include "rollout/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "rollout/text.h"

#define NOTE_NAME   "commit.json"
#define NOTE_SCHEMA "dream.commit/v1"

enum {
	NOTE_MAX = 1 << 20,
	WAITING_MAX = 1000, /* steps; more than any rollout has */
	AGAIN_FIRST_US = 1000000,
	AGAIN_LAST_US = 30000000,
};

/* --- The note --------------------------------------------------------------------------------- */

/* NULL: there is no place for one, or no memory. */
static char *note_path(const RolloutWorld *w)
{
	return w->store_dir ? path_join(w->store_dir, NOTE_NAME) : NULL;
}

void unwritten_describe(const Rollout *r, Baseline *b)
{
	bool back = r->goal.version > 0 || r->elsewhere;
	b->of_version = r->elsewhere ? 0 : r->goal.version;
	snprintf(b->why, sizeof(b->why), "%s", back ? "rollback" : "rollout");
	snprintf(b->promotion, sizeof(b->promotion), "%s", r->promotion_id);
	snprintf(b->by, sizeof(b->by), "%s", r->by.name);
	snprintf(b->reason, sizeof(b->reason), "%s", r->by.reason);
}

static json_t *note_json(const Rollout *r)
{
	bool failed = false, step = r->m.phase == PHASE_COMMIT;
	Baseline b = {0};
	unwritten_describe(r, &b);
	json_t *o = json_object();
	js_set(o, "schema", js_text(NOTE_SCHEMA), &failed);
	js_set(o, "generation", js_text(r->wanted), &failed);
	js_set(o, "why", js_text(b.why), &failed);
	js_set(o, "of_version", json_integer(b.of_version), &failed);
	js_set(o, "promotion", js_text(b.promotion), &failed);
	js_set(o, "by", js_text(b.by), &failed);
	js_set(o, "reason", js_text(b.reason), &failed);
	js_set(o, "step", step ? rollout_step_json(r, r->m.last, DO_COMMIT, "") : json_null(),
	       &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int unwritten_note(const Rollout *r, Err *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_(str_done) Str text = STR_INIT;
	if (!r->w.store_dir)
		return 0;
	path = note_path(&r->w);
	json_auto_t *o = note_json(r);
	js_canonical(o, &text);
	str_addc(&text, '\n');
	if (!path || !o || text.failed)
		return err_oom(err);
	return file_write(path, 0644, text.s, text.len, err);
}

static void note_remove(const RolloutWorld *w)
{
	_cleanup_free_ char *path = note_path(w);
	Err unheard = ERR_INIT;
	if (path && unlink(path) == 0)
		(void)!dir_sync_of(path, &unheard);
}

/* *ret NULL: there is none. */
static int note_read(const RolloutWorld *w, json_t **ret, Err *err)
{
	_cleanup_free_ char *path = note_path(w);
	size_t len = 0;
	Err why = ERR_INIT;
	*ret = NULL;
	if (!path || (access(path, F_OK) < 0 && errno == ENOENT))
		return 0;
	_cleanup_free_ char *text = NULL;
	int e = file_read(path, NOTE_MAX, &text, &len, err);
	if (e < 0)
		return e;
	e = js_parse(text, len, NOTE_MAX, ret, &why);
	if (e >= 0 && strcmp(js_str(*ret, "schema", ""), NOTE_SCHEMA) == 0)
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return err_set(err, -EBADMSG, "%s is no note of a commit%s%s", path, e < 0 ? ": " : "",
		       e < 0 ? why.msg : "");
}

/* --- Of whom nobody wrote what they did ------------------------------------------------------- */

static const char *pinned(const RolloutWorld *w, char own[PUBLIC_KEY_HEX_SIZE])
{
	sign_public_hex(w->key, own);
	return w->plan->run.pinned_key ? w->plan->run.pinned_key : own;
}

/* Does the baseline know it already? A store that does not say so does not. */
static bool is_known(const RolloutWorld *w, const char *generation)
{
	char own[PUBLIC_KEY_HEX_SIZE];
	_cleanup_(baseline_done) Baseline now = {0};
	Err unheard = ERR_INIT;
	return baseline_current(w->store, pinned(w, own), &now, &unheard) >= 0 &&
	       strcmp(now.generation, generation) == 0;
}

int unwritten_find(const RolloutWorld *w, const json_t *status, json_t **ret, Err *err)
{
	json_auto_t *note = NULL;
	*ret = NULL;
	int e = note_read(w, &note, err);
	if (e < 0 || !note || json_is_object(json_object_get(status, "change")))
		return e;
	const char *generation = js_str(note, "generation", "");
	if (strcmp(generation, js_str(status, "current", "?")) != 0 || is_known(w, generation)) {
		note_remove(w); /* it did not come to that, or is written, or is over */
		return 0;
	}
	*ret = json_incref(note);
	return 1;
}

static int look(void *userdata, const Record *rec, const json_t *body)
{
	json_t **last = userdata;
	(void)rec;
	*last = js_deep_copy(body);
	return *last ? 1 : -ENOMEM;
}

bool unwritten_is_newer(const json_t *step, const json_t *last)
{
	const json_t *machine = json_object_get(last, "machine");
	if (!json_is_object(step))
		return false;
	return !last || strcmp(js_str(last, "rollout", ""), js_str(step, "rollout", "?")) != 0 ||
	       !js_bool(machine, "commit_asked", false);
}

/* So that nobody takes what was committed for something half done. */
static int write_step(const RolloutWorld *w, const json_t *step, Err *err)
{
	json_auto_t *last = NULL;
	int64_t seq;
	int e = store_records(w->store, "rollout", true, 1, look, &last, err);
	if (e < 0 || !unwritten_is_newer(step, last))
		return e;
	return store_add(w->store, "rollout", ROLLOUT_SCHEMA, step, &seq, err);
}

static int version_of_note(const json_t *note, const json_t *status, Baseline *ret, Err *err)
{
	int e = baseline_from_helper_status(status, ret, err);
	if (e < 0)
		return e;
	ret->of_version = js_int(note, "of_version", 0);
	str_copy_to(js_str(note, "why", "rollout"), ret->why, sizeof(ret->why));
	str_copy_to(js_str(note, "promotion", ""), ret->promotion, sizeof(ret->promotion));
	str_copy_to(js_str(note, "by", ""), ret->by, sizeof(ret->by));
	str_copy_to(js_str(note, "reason", ""), ret->reason, sizeof(ret->reason));
	return 0;
}

int rollout_settle(const RolloutWorld *w, const json_t *status, Str *words, Err *err)
{
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *note = NULL;
	int e = unwritten_find(w, status, &note, err);
	if (e <= 0)
		return e;
	e = version_of_note(note, status, &b, err);
	if (e >= 0)
		e = write_step(w, json_object_get(note, "step"), err);
	if (e >= 0)
		e = baseline_append(w->store, w->key, &b, err);
	if (e < 0)
		return err_wrap(err, e,
				"production runs what was committed, and that cannot be written "
				"down yet");
	note_remove(w);
	str_addf(words,
		 "production is version %" PRId64
		 " of the baseline: that was committed when the store could not be written",
		 b.version);
	return 1;
}

/* --- Of a rollout that goes on ---------------------------------------------------------------- */

static int write_steps(Rollout *r, Err *err)
{
	Unwritten *u = &r->unwritten;
	int64_t seq;
	for (const json_t *body; (body = json_array_get(u->steps, 0));) {
		int e = store_add(r->w.store, "rollout", ROLLOUT_SCHEMA, body, &seq, err);
		if (e < 0)
			return e;
		json_array_remove(u->steps, 0);
	}
	return 0;
}

/* Once, whoever else wrote it meanwhile. */
static int write_version(Rollout *r, Err *err)
{
	Baseline *b = &r->unwritten.version;
	if (!r->unwritten.has_version)
		return 0;
	if (!is_known(&r->w, b->generation)) {
		int e = baseline_append(r->w.store, r->w.key, b, err);
		if (e < 0)
			return e;
		rollout_say(r, NULL, "production is version %" PRId64 " of the baseline",
			    b->version);
	}
	baseline_done(b);
	*b = (Baseline){0};
	r->unwritten.has_version = false;
	note_remove(&r->w);
	return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	r->unwritten.again = sd_event_source_disable_unref(r->unwritten.again);
	unwritten_flush(r);
	return 0;
}

/* Every try may take seconds, in which nothing else is done, so they become rare. */
static void try_later(Rollout *r, const Err *err)
{
	Unwritten *u = &r->unwritten;
	if (!u->behind)
		rollout_say(r, NULL,
			    "it cannot be recorded now, and is when the store can be written "
			    "again: %s",
			    err->msg);
	u->wait_us = u->behind ? 2 * u->wait_us : AGAIN_FIRST_US;
	if (u->wait_us > AGAIN_LAST_US)
		u->wait_us = AGAIN_LAST_US;
	u->behind = true;
	u->again = sd_event_source_disable_unref(u->again);
	(void)sd_event_add_time_relative(r->w.loop, &u->again, CLOCK_MONOTONIC,
					 (uint64_t)u->wait_us, 0, on_again, r);
}

void unwritten_flush(Rollout *r)
{
	Err err = ERR_INIT;
	int e = write_steps(r, &err);
	if (e >= 0)
		e = write_version(r, &err);
	if (e < 0) {
		try_later(r, &err);
		return;
	}
	if (r->unwritten.behind)
		rollout_say(r, NULL, "what could not be recorded is recorded now");
	r->unwritten.behind = false;
	r->unwritten.again = sd_event_source_disable_unref(r->unwritten.again);
}

void unwritten_step(Rollout *r, json_t *body)
{
	Unwritten *u = &r->unwritten;
	if (!u->steps)
		u->steps = json_array();
	if (!body || json_array_size(u->steps) >= WAITING_MAX ||
	    json_array_append(u->steps, body) < 0)
		log_event(r->w.log, LOG_WARN_, "rollout.not_recorded", NULL,
			  "a step of %s is lost: out of memory", r->id);
	json_decref(body);
	if (!u->behind)
		unwritten_flush(r);
}

void unwritten_version(Rollout *r, Baseline *b)
{
	baseline_done(&r->unwritten.version);
	r->unwritten.version = *b;
	r->unwritten.has_version = true;
	*b = (Baseline){0};
	unwritten_flush(r);
}

void unwritten_end(Rollout *r)
{
	if (r->unwritten.behind)
		unwritten_flush(r);
}

void unwritten_done(Rollout *r)
{
	Unwritten *u = &r->unwritten;
	u->again = sd_event_source_disable_unref(u->again);
	json_decref(u->steps);
	baseline_done(&u->version);
	*u = (Unwritten){0};
}
