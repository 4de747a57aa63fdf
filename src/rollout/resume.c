/* After a restart of ours: what the helper is in the middle of, and what the store remembers of it,
 * become the rollout that goes on. */
#include "rollout/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "record/decision.h"
#include "rollout/text.h"

typedef struct LastStep {
	json_t *body;
} LastStep;

static int take_first(void *userdata, const Record *rec, const json_t *body)
{
	LastStep *l = userdata;
	(void)rec;
	l->body = js_deep_copy(body);
	return l->body ? 1 : -ENOMEM;
}

/* The newest step of the newest rollout; nothing when that one ended, or the store cannot say. */
static int last_step(Rollout *r, json_t **ret)
{
	LastStep l = {0};
	Err ignored = ERR_INIT;
	int e = store_records(r->w.store, "rollout", true, 1, take_first, &l, &ignored);
	*ret = l.body;
	return e < 0 ? e : 0;
}

static bool has_ended(const json_t *step)
{
	const char *phase = js_str(step, "phase", "");
	return strcmp(phase, machine_phase_name(PHASE_ENDED)) == 0 ||
	       strcmp(phase, machine_phase_name(PHASE_STUCK)) == 0;
}

/* The rollout as its last step left it. */
static int take_up(Rollout *r, const json_t *step, Err *err)
{
	Err ignored = ERR_INIT;
	snprintf(r->id, sizeof(r->id), "%s", js_str(step, "rollout", ""));
	int e = machine_from_json(json_object_get(step, "machine"), &r->m, err);
	if (e >= 0)
		e = rollout_load_promotion(r, js_str(step, "promotion", ""), err);
	if (e >= 0)
		e = baseline_version(r->w.store, r->key_hex, js_int(step, "baseline", 0),
				     &r->baseline, err);
	if (e >= 0)
		e = rollout_plan(r, err);
	if (e < 0)
		return e;
	char digest[HASH_HEX_SIZE];
	if (decision_digest(r->promotion, digest, &ignored) >= 0 &&
	    approval_find(r->w.store, r->key_hex, r->promotion_id, digest, r->baseline.version,
			  &r->approval, &ignored) > 0)
		r->by = r->approval.by;
	snprintf(r->wanted, sizeof(r->wanted), "%s", js_str(step, "generation", ""));
	r->committed = r->m.phase == PHASE_PROBATION;
	rollout_find_gpu(r);
	e = guard_start(r, err);
	return e < 0 ? e : allowed_begin(r, err);
}

/* An interrupted going back, from its last step: to be begun again. */
static int take_up_back(Rollout *r, const json_t *step, Err *err)
{
	int64_t goal = js_int(step, "goal", 0);
	if (goal < 1)
		return err_set(err, -ENOENT, "to which version it went is not known");
	str_copy_to(js_str(step, "rollout", ""), r->id, sizeof(r->id));
	str_copy_to(js_str(step, "by", ""), r->by.name, sizeof(r->by.name));
	str_copy_to(js_str(step, "reason", ""), r->by.reason, sizeof(r->by.reason));
	int e = baseline_current(r->w.store, r->key_hex, &r->baseline, err);
	if (e >= 0)
		e = baseline_version(r->w.store, r->key_hex, goal, &r->goal, err);
	if (e >= 0)
		e = rollout_plan_units(r, err);
	if (e < 0)
		return e;
	for (size_t i = 0; i < r->n_units; i++)
		r->units[i].touched = true;
	r->committed = true;
	return 0;
}

/* Nothing is known but that the helper is in the middle of something: it is taken back. */
static int only_undo(Rollout *r, const char *rollout, Err *err)
{
	snprintf(r->id, sizeof(r->id), "%s", rollout);
	int e = r->n_adoptions > 0 ? 0 : rollout_plan_units(r, err);
	for (size_t i = 0; i < r->n_units; i++)
		r->units[i].touched = true;
	return e;
}

/* What the restart means for the machine: still as it was, gone back meanwhile (a recovery at
 * boot), or committed. */
static MachineEvent event_of_restart(const Rollout *r)
{
	bool there = strcmp(r->running, r->wanted) == 0;
	/* An undo is begun again, however far it came: that a change of ours is closed says nothing
	 * of what the units run, nor that the commit which it takes back is not there. */
	if (r->m.phase == PHASE_PROBATION || r->m.phase == PHASE_UNDO)
		return EVENT_RESTARTED;
	if (r->m.commit_asked && !r->change_open)
		return there ? EVENT_OK : EVENT_MOVED;
	/* Another generation than the step was about: a later step of ours was not recorded. */
	if (r->m.touched && (!r->change_open || !there))
		return EVENT_MOVED;
	return EVENT_RESTARTED;
}

static int resume(Rollout *r, const json_t *status, const json_t *step, Err *err)
{
	const json_t *change = json_object_get(status, "change");
	const char *whose = js_str(change, "rollout", "");
	Err why = ERR_INIT;
	r->change_open = json_is_object(change);
	int e = -ENOENT;
	bool ours = step && !has_ended(step) &&
		    (!r->change_open || strcmp(js_str(step, "rollout", ""), whose) == 0);
	bool back = ours && !*js_str(step, "promotion", "");
	if (back)
		e = take_up_back(r, step, &why);
	else if (ours)
		e = take_up(r, step, &why);
	snprintf(r->running, sizeof(r->running), "%s", js_str(status, "current", ""));
	if (e < 0 && !r->change_open)
		return e == -ENOENT
			   ? 0
			   : err_wrap(err, e, "a rollout cannot be taken up again: %s", why.msg);
	if (e < 0) {
		e = only_undo(r, whose, err);
		if (e < 0)
			return e;
		_cleanup_free_ char *words =
		    str_fmt("what %s had begun is taken back: %s", whose,
			    why.code ? why.msg : "nothing else is known of it");
		rollout_take_back(r, words ? words : "");
		return 1;
	}
	if (back) {
		memcpy(r->wanted, r->running, sizeof(r->wanted));
		_cleanup_free_ char *words =
		    str_fmt("%s, which goes back to version %" PRId64 ", is begun again", r->id,
			    r->goal.version);
		rollout_take_back(r, words ? words : "");
		return 1;
	}
	rollout_say(r, NULL, "taking up %s, which was in the phase %s", r->id,
		    machine_phase_name(r->m.phase));
	MachineEvent what = event_of_restart(r);
	r->flipped = r->m.phase == PHASE_APPLY ? r->m.target : r->m.running;
	if (what == EVENT_OK && r->m.phase == PHASE_COMMIT)
		apply_written(r);
	else
		rollout_later(r, what,
			      what == EVENT_MOVED
				  ? "D-REAM was restarted in the middle of a change of production"
				  : "D-REAM was restarted");
	return 1;
}

int rollout_resume(const RolloutWorld *w, const RolloutHandler *h, void *ctx, Rollout **ret,
		   Err *err)
{
	_cleanup_(rollout_freep) Rollout *r = NULL;
	json_auto_t *status = NULL, *step = NULL, *note = NULL;
	Err unheard = ERR_INIT;
	r = rollout_new(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = rollout_ask_status(r, &status, err);
	if (e < 0)
		return e;
	if (last_step(r, &step) < 0)
		rollout_say(r, NULL,
			    "the store cannot be read; what is going on is known from the "
			    "helper alone");
	/* A commit that the store knows nothing of is the newest step there is. */
	const json_t *newest = step;
	if (unwritten_find(w, status, &note, &unheard) > 0 &&
	    unwritten_is_newer(json_object_get(note, "step"), step))
		newest = json_object_get(note, "step");
	rollout_catch_up(r, status);
	e = resume(r, status, newest, err);
	if (e < 0)
		return e;
	/* What we were waiting for before we were restarted must not keep us waiting now. */
	if (e > 0)
		asking_cancel(r);
	*ret = e > 0 ? TAKE_PTR(r) : NULL;
	return 0;
}
