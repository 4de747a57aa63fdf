/* Production is changed: every way goes through the helper, which writes down what it is about to
 * do before it does it. */
#include "rollout/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

enum {
	BACK_TRIES = 2, /* of going to a version that may work: what was in the way may be over */
};

static MachineEvent event_of_error(const Rollout *r, int code)
{
	if (r->m.phase == PHASE_UNDO)
		return EVENT_ERROR; /* it is tried again, from what runs then */
	/* The current generation is not the one that this rollout began from: somebody else moved
	 * production. */
	return code == -ESTALE ? EVENT_MOVED : EVENT_ERROR;
}

/* A refusal is an event for the machine. */
static void on_step(Rollout *r, const json_t *reply, const Err *err)
{
	_cleanup_free_ char *words = NULL;
	if (!err) {
		r->applying.then(r, reply);
		return;
	}
	words = str_fmt("%s: %s", r->applying.what, err->msg);
	rollout_event(r, event_of_error(r, err->code), words ? words : err->msg);
}

static void ask(Rollout *r, json_t *request, const char *what, Applied *then)
{
	r->applying.then = then;
	r->applying.what = what;
	asking(r, request, HELPER_TIMEOUT_US, on_step);
}

static void keep_generation(char *to, const json_t *reply, const char *member)
{
	snprintf(to, GENERATION_ID_SIZE, "%s", js_str(reply, member, ""));
}

/* --- To a set of parameters ------------------------------------------------------------------ */

static void applied(Rollout *r, MachineEvent e, const char *words)
{
	rollout_later(r, e, "%s", words ? words : "");
}

static void flipped(Rollout *r, const json_t *reply)
{
	(void)reply;
	memcpy(r->running, r->wanted, sizeof(r->running));
	bring_up(r, r->applying.set | r->down, BRING_ONE_BY_ONE, r->applying.done);
}

static void flip(Rollout *r)
{
	rollout_say(r, NULL, "production's configuration becomes generation %s", r->wanted);
	ask(r, json_pack("{s:s, s:s, s:s}", "do", "flip", "rollout", r->id, "to", r->wanted),
	    "the configuration cannot be changed", flipped);
}

static void begun(Rollout *r, const json_t *reply)
{
	(void)reply;
	r->change_open = true;
	flip(r);
}

static void prepared(Rollout *r, const json_t *reply)
{
	keep_generation(r->wanted, reply, "generation");
	if (r->change_open)
		flip(r);
	else
		ask(r,
		    json_pack("{s:s, s:s, s:s}", "do", "begin", "rollout", r->id, "from",
			      r->baseline.generation),
		    "the change cannot be begun", begun);
}

bool apply_is_too_dear(const Rollout *r, uint32_t set, Str *why)
{
	int64_t budget = r->x->rollout.budget_us;
	for (size_t i = 0; i < r->n_units; i++) {
		const RolloutUnit *u = &r->units[i];
		if (!(set & (1U << i)) || u->down_us + u->last_ready_us <= budget)
			continue;
		char spent[32], all[32];
		time_human(u->down_us, spent);
		time_human(budget, all);
		str_addf(why,
			 "another restart of %s would cost more downtime than rollout.budget "
			 "allows: %s of %s are spent",
			 u->name, spent, all);
		return true;
	}
	return false;
}

static bool may_not_restart(Rollout *r, uint32_t set)
{
	_cleanup_(str_done) Str why = STR_INIT;
	Err closed = ERR_INIT;
	if (allowed_in_window(r, &closed) < 0) {
		rollout_later(r, EVENT_BUDGET, "%s", closed.msg);
		return true;
	}
	if (!apply_is_too_dear(r, set, &why))
		return false;
	rollout_later(r, EVENT_BUDGET, "%s", why.s && !why.failed ? why.s : "out of memory");
	return true;
}

/* The units of `set` are brought up with the values, which are consumed. */
static void apply_values(Rollout *r, json_t *values, uint32_t set, BroughtUp *done)
{
	r->applying.set = set;
	r->applying.done = done;
	ask(r, json_pack("{s:s, s:o}", "do", "prepare", "values", values),
	    "the new configuration cannot be written", prepared);
}

void apply_begin(Rollout *r)
{
	_cleanup_(str_done) Str text = STR_INIT;
	uint32_t set = rollout_units_of(r, r->flipped ^ r->m.target) | r->down;
	/* Going back to what was good is never too dear. */
	if (r->m.target != r->m.kept && may_not_restart(r, set))
		return;
	r->flipped = r->m.target;
	rollout_say(r, NULL, "applying: %s", rollout_mask_text(r, r->m.target, &text));
	apply_values(r, rollout_values(r, r->m.target), set, applied);
}

void apply_kept(Rollout *r, BroughtUp *done)
{
	uint32_t set = rollout_units_of(r, r->flipped ^ r->m.kept) | r->down;
	r->flipped = r->m.kept;
	apply_values(r, rollout_values(r, r->m.kept), set, done);
}

void apply_value(Rollout *r, const char *parameter, const char *value, BroughtUp *done)
{
	bool failed = false;
	json_t *values = js_deep_copy(r->baseline.params);
	js_set(values, parameter, js_text(value), &failed);
	if (failed) {
		json_decref(values);
		values = NULL;
	}
	apply_values(r, values, rollout_units_of(r, 1), done);
}

/* --- Cold start ------------------------------------------------------------------------------ */

void apply_cold(Rollout *r)
{
	uint32_t all = r->n_units == 32 ? UINT32_MAX : (1U << r->n_units) - 1;
	if (may_not_restart(r, all))
		return;
	rollout_say(r, NULL,
		    "cold start: all %zu managed units are started together, as after a "
		    "power cut",
		    r->n_units);
	bring_up(r, all, BRING_TOGETHER, applied);
}

/* --- Commit ---------------------------------------------------------------------------------- */

/* A new version of the baseline, with what the helper says is current. The helper's commit is what
 * counts: from there on a power cut ends in the new configuration. A restart between it and this
 * record finds the generation committed and writes it then. */
static void version_written(Rollout *r, const json_t *status)
{
	Err err = ERR_INIT;
	_cleanup_(baseline_done) Baseline b = {0};
	int e = baseline_from_helper_status(status, &b, &err);
	r->back_there |= !r->elsewhere;
	unwritten_describe(r, &b);
	if (e >= 0)
		unwritten_version(r, &b);
	else
		log_event(r->w.log, LOG_ERROR_, "rollout.baseline", NULL,
			  "what was committed cannot be seen now, and is written down when it can: "
			  "%s",
			  err.msg);
	rollout_later(r, EVENT_OK, "%s", "");
}

void apply_written(Rollout *r)
{
	r->committed = true;
	ask(r, json_pack("{s:s}", "do", "status"), "the helper does not answer", version_written);
}

static void committed(Rollout *r, const json_t *reply)
{
	(void)reply;
	r->change_open = false;
	apply_written(r);
}

/* An edit that came after the last readback starts no process anew: what was watched is not what
 * the next start makes of it. */
static const char *edited(const Rollout *r, const json_t *status)
{
	const json_t *units = json_object_get(status, "units");
	for (size_t i = 0; i < r->n_units; i++) {
		const json_t *unit = json_object_get(units, r->units[i].name);
		const char *drift = js_str(unit, "drift", "it is not adopted any more");
		if (r->units[i].touched && *drift)
			return drift;
	}
	return NULL;
}

static void looked_at(Rollout *r, const json_t *status)
{
	Err err = ERR_INIT;
	const char *drift = edited(r, status);
	if (drift) {
		rollout_later(r, EVENT_MOVED, "%s", drift);
		return;
	}
	/* A commit that could be written down nowhere is none that we make. */
	if (unwritten_note(r, &err) < 0) {
		rollout_later(r, EVENT_ERROR, "the commit cannot be noted: %s", err.msg);
		return;
	}
	ask(r, json_pack("{s:s, s:s}", "do", "commit", "rollout", r->id),
	    "the change cannot be committed", committed);
}

void apply_commit(Rollout *r)
{
	Err err = ERR_INIT;
	MachineEvent why = EVENT_ERROR;
	if (!machine_may_commit(&r->spec, &r->m)) {
		rollout_later(r, EVENT_ERROR, "a commit was asked for that nothing confirms");
		return;
	}
	if (allowed_still(r, &why, &err) < 0) {
		rollout_later(r, why, "%s", err.msg);
		return;
	}
	ask(r, json_pack("{s:s}", "do", "status"), "the helper does not answer", looked_at);
}

/* --- What really runs ------------------------------------------------------------------------- */

/* What a rollout has committed, and what could not be taken back, is not what ran before it. */
static bool stays(const Rollout *r)
{
	return r->promotion && r->committed && !r->back_there && !r->elsewhere;
}

static void undone(Rollout *r, MachineEvent e, const char *words)
{
	r->stays = e == EVENT_OK && stays(r);
	if (r->stays)
		rollout_later(r, EVENT_BROKEN, "what was committed cannot be taken back, and runs");
	else
		rollout_later(r, e, "%s", words ? words : "");
}

static void survey_next(Rollout *r);

/* Every value as it should be: a process that is older than the last flip and has them needs no
 * restart. */
static bool has_its_values(const json_t *back)
{
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(back, "values"), i, v) {
		if (!js_bool(v, "same", false))
			return false;
	}
	return js_int(back, "pid", 0) > 0;
}

static void on_surveyed(Rollout *r, const json_t *reply, const Err *err)
{
	Survey *s = &r->survey;
	const char *active = js_str(json_object_get(reply, "state"), "active", "");
	if (err || !has_its_values(json_object_get(reply, "readback")) ||
	    strcmp(active, "active") != 0 || (r->down & (1U << s->at)))
		s->set |= 1U << s->at;
	s->at++;
	survey_next(r);
}

static void survey_next(Rollout *r)
{
	Survey *s = &r->survey;
	while (s->at < r->n_units && !r->units[s->at].touched)
		s->at++;
	if (s->at == r->n_units)
		bring_up(r, s->set, BRING_ONE_BY_ONE, s->done);
	else
		asking(r, json_pack("{s:s, s:s}", "do", "readback", "unit", r->units[s->at].name),
		       HELPER_TIMEOUT_US, on_surveyed);
}

/* So that an undo restarts what must be restarted, after whatever crash. */
static void survey(Rollout *r, BroughtUp *done)
{
	r->survey = (Survey){.done = done};
	survey_next(r);
}

/* --- To a generation that is none of this rollout's ------------------------------------------- */

static void gone_to(Rollout *r, MachineEvent e, const char *words);

static void went(Rollout *r, const json_t *reply)
{
	(void)reply;
	memcpy(r->running, r->wanted, sizeof(r->running));
	survey(r, gone_to);
}

static void may_go(Rollout *r, const json_t *reply)
{
	(void)reply;
	r->change_open = true;
	ask(r, json_pack("{s:s, s:s, s:s}", "do", "flip", "rollout", r->id, "to", r->wanted),
	    "the configuration cannot be changed", went);
}

/* `wanted` is set. */
static void go_to(Rollout *r)
{
	rollout_say(r, NULL, "production's configuration becomes generation %s", r->wanted);
	r->change_open = true; /* where no answer comes it may be */
	ask(r, json_pack("{s:s, s:s, s:s}", "do", "begin", "rollout", r->id, "from", r->running),
	    "the change cannot be begun", may_go);
}

static void kept(Rollout *r, const json_t *reply)
{
	(void)reply;
	r->change_open = false;
	ask(r, json_pack("{s:s}", "do", "status"), "the helper does not answer", version_written);
}

static void gone_to(Rollout *r, MachineEvent e, const char *words)
{
	if (e != EVENT_OK) {
		if (e == EVENT_BROKEN) /* it would be so again */
			r->back_tries = BACK_TRIES;
		rollout_later(r, e, "%s", words ? words : "");
		return;
	}
	Err err = ERR_INIT;
	if (unwritten_note(r, &err) < 0) /* going back does not wait for that */
		log_event(r->w.log, LOG_WARN_, "rollout.not_recorded", NULL, "%s", err.msg);
	ask(r, json_pack("{s:s, s:s}", "do", "commit", "rollout", r->id),
	    "the change cannot be committed", kept);
}

/* It is current already: there is nothing to change, but what the baseline says may not be that. */
static void already_there(Rollout *r, MachineEvent e, const char *words)
{
	bool written = strcmp(r->running, r->baseline.generation) == 0;
	r->back_there = e == EVENT_OK;
	if (e != EVENT_OK || written || r->baseline.version == 0)
		undone(r, e, words);
	else
		ask(r, json_pack("{s:s}", "do", "status"), "the helper does not answer",
		    version_written);
}

static void back_prepared(Rollout *r, const json_t *reply)
{
	keep_generation(r->wanted, reply, "generation");
	if (strcmp(r->wanted, r->running) == 0)
		survey(r, already_there);
	else
		go_to(r);
}

void apply_no_more_back(Rollout *r)
{
	r->back_tries = BACK_TRIES;
}

/* What no unit takes any more is nobody's: the others go where they are wanted. */
static json_t *back_values(Rollout *r)
{
	bool failed = false;
	const char *name;
	json_t *value, *o = json_object();
	json_object_foreach (r->goal.params, name, value) {
		if (rollout_is_taken(r, name))
			js_set(o, name, json_incref(value), &failed);
		else if (r->back_tries == 1)
			rollout_say(r, NULL, "no adopted unit takes %s any more: it is left out",
				    name);
	}
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

void apply_back(Rollout *r)
{
	r->back_tries++;
	ask(r, json_pack("{s:s, s:o}", "do", "prepare", "values", back_values(r)),
	    "the configuration of that version cannot be written", back_prepared);
}

/* --- Undo ------------------------------------------------------------------------------------ */

static void undo_answered(Rollout *r, const json_t *reply)
{
	r->change_open = r->elsewhere = false;
	r->flipped = 0;
	keep_generation(r->running, reply, "current");
	memcpy(r->wanted, r->running, sizeof(r->wanted));
	if (r->broken_at_us > 0) {
		char after[32];
		time_human(clock_mono_us(r->w.clock) - r->broken_at_us, after);
		rollout_say(r, NULL,
			    "generation %s is production's configuration again, %s after it was "
			    "seen that something broke",
			    r->running, after);
		r->broken_at_us = 0;
	}
	/* A commit that nobody could write down: what is current is no rollout's any more, but it
	 * is not what the baseline says either. */
	if (r->goal.version > 0 && r->back_tries < BACK_TRIES) {
		apply_back(r);
		return;
	}
	if (r->baseline.version > 0 && !r->committed &&
	    strcmp(r->running, r->baseline.generation) != 0) {
		r->committed = true;
		apply_undo(r);
		return;
	}
	survey(r, undone);
}

/* What should have worked does not start: the newest other one that is known to, once. */
static void try_good(Rollout *r, const json_t *status)
{
	size_t i;
	json_t *id;
	keep_generation(r->running, status, "current");
	json_array_foreach (json_object_get(status, "good"), i, id) {
		const char *good = json_string_value(id);
		if (!good || strcmp(good, r->running) == 0)
			continue;
		snprintf(r->wanted, sizeof(r->wanted), "%s", good);
		r->elsewhere = true;
		rollout_say(r, NULL, "generation %s does not start any more; trying %s, which did",
			    r->running, good);
		go_to(r);
		return;
	}
	rollout_later(r, EVENT_BROKEN, "no other generation is known to start");
}

/* The commit was asked for, and no answer came: it may be written. */
static void commit_looked_at(Rollout *r, const json_t *status)
{
	const char *current = js_str(status, "current", "");
	bool open = json_is_object(json_object_get(status, "change"));
	snprintf(r->running, sizeof(r->running), "%s", current);
	r->change_open = open;
	r->committed = !open && strcmp(current, r->wanted) == 0;
	r->commit_known = true;
	apply_undo(r);
}

void apply_undo(Rollout *r)
{
	bring_up_stop(r);
	if (r->stays) {
		rollout_later(r, EVENT_BROKEN, "%s", "nothing more is tried");
		return;
	}
	if (r->m.commit_asked && !r->committed && !r->commit_known) {
		ask(r, json_pack("{s:s}", "do", "status"), "the helper does not answer",
		    commit_looked_at);
		return;
	}
	/* Only what was seen not to start: that we, or the helper, died says nothing of it. */
	if (r->m.undo_tries >= 2 && !r->change_open && r->m.last == EVENT_BROKEN) {
		ask(r, json_pack("{s:s}", "do", "status"), "the helper does not answer", try_good);
		return;
	}
	if (r->goal.version == 0)
		rollout_say(r, NULL, "taking it back");
	/* A change of ours that is open is closed first, whatever it was for. Where a version
	 * cannot be had, and nothing hurts, production stays as it is. */
	if (r->committed && !r->change_open && !r->promotion && r->back_tries >= BACK_TRIES) {
		survey(r, undone);
		return;
	}
	if (r->committed && !r->change_open) {
		if (r->goal.version == 0 && baseline_copy(&r->baseline, &r->goal) < 0)
			rollout_later(r, EVENT_ERROR, "out of memory");
		else
			apply_back(r);
		return;
	}
	ask(r, json_pack("{s:s}", "do", "undo"), "the change cannot be taken back", undo_answered);
}
