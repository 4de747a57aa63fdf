/* How a rollout begins: with an approved promotion, after a restart of ours, or to go back. */
#include "rollout/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "record/decision.h"
#include "rollout/ab.h"
#include "rollout/fate.h"
#include "rollout/others.h"
#include "service/quiesce.h"

/* --- The pieces ------------------------------------------------------------------------------ */

/* NULL: out of memory. */
static Rollout *new_rollout(const RolloutWorld *w, const RolloutHandler *h, void *ctx)
{
	Rollout *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->w = *w;
	r->h = *h;
	r->ctx = ctx;
	machine_init(&r->m);
	/* Whose signatures count: the configured key's, else our own. */
	sign_public_hex(w->key, r->key_hex);
	if (w->plan->run.pinned_key)
		snprintf(r->key_hex, sizeof(r->key_hex), "%s", w->plan->run.pinned_key);
	return r;
}

/* A name that no other rollout has: of the promotion and the moment. */
static int name_rollout(Rollout *r, Err *err)
{
	char hex[HASH_HEX_SIZE];
	_cleanup_free_ char *text =
	    str_fmt("%s %" PRId64, r->promotion_id, clock_now_us(r->w.clock));
	if (!text)
		return err_oom(err);
	Hash h = hash_of(text, strlen(text));
	hash_hex(&h, hex);
	snprintf(r->id, sizeof(r->id), "rollout-%.8s", hex);
	return 0;
}

static int load_promotion(Rollout *r, const char *id, Err *err)
{
	int e = promotion_find(r->w.store, id, &r->promotion, err);
	if (e < 0)
		return e;
	snprintf(r->promotion_id, sizeof(r->promotion_id), "%s", js_str(r->promotion, "id", id));
	const char *experiment = js_str(r->promotion, "experiment", "");
	r->x = config_experiment(r->w.plan, experiment);
	if (!r->x)
		return err_set(err, -ENOENT,
			       "promotion %s is of the experiment %s, which the configuration "
			       "does not have",
			       r->promotion_id, experiment);
	return 0;
}

static int ask_status(Rollout *r, json_t **ret, Err *err)
{
	json_t *rq = json_pack("{s:s}", "do", "status");
	int e = helper_ask(r->w.helper, rq, HELPER_TIMEOUT_US, ret, err);
	return e < 0 ? err_wrap(err, e, "cannot see what production runs") : 0;
}

/* The current version; the first one is what the adopted units run. */
static int load_baseline(Rollout *r, Err *err)
{
	json_auto_t *status = NULL;
	int e = ask_status(r, &status, err);
	if (e >= 0)
		e = baseline_ensure(r->w.store, r->w.key, r->key_hex, status, "rollout",
				    &r->baseline, err);
	if (e < 0)
		return e;
	if (r->baseline.version == 0)
		return err_set(err, -ENOENT,
			       "no unit is adopted yet, so there is nothing that could be changed; "
			       "`dream adopt` does that");
	return 0;
}

/* What the helper says of production: nobody else is in the middle of anything, and the current
 * generation is the baseline's. */
static int see_production(Rollout *r, Err *err)
{
	json_auto_t *status = NULL;
	int e = ask_status(r, &status, err);
	if (e < 0)
		return e;
	const char *current = js_str(status, "current", "");
	const json_t *change = json_object_get(status, "change");
	snprintf(r->running, sizeof(r->running), "%s", current);
	memcpy(r->wanted, r->running, sizeof(r->wanted));
	if (json_is_object(change))
		return err_set(err, -EBUSY,
			       "%s is going on; `dream status` shows it, and `dream rollout "
			       "--resume` takes it up when whoever began it is gone",
			       js_str(change, "rollout", "another rollout"));
	if (strcmp(current, r->baseline.generation) != 0)
		return err_set(err, -ESTALE,
			       "production's configuration is generation %s, and the baseline "
			       "(version %" PRId64 ") is %s; `dream baseline diff` shows the "
			       "difference",
			       current, r->baseline.version, r->baseline.generation);
	return 0;
}

static void find_gpu(Rollout *r)
{
	Err ignored = ERR_INIT;
	if (r->x && r->x->budget.allow_gpu &&
	    gpu_lease_name(NULL, r->x->gpu, &r->gpu, &ignored) < 0)
		r->gpu = NULL; /* no NVML here: placement is not looked at */
}

/* --- Is it fit, and allowed? ------------------------------------------------------------------ */

static size_t add_keys(const Rollout *r, char *own, const char **keys)
{
	const ConfStrings *trusted = &r->w.plan->daemon.trusted_keys;
	size_t n = 0;
	keys[n++] = own;
	if (r->w.plan->run.pinned_key)
		keys[n++] = r->w.plan->run.pinned_key;
	for (size_t i = 0; i < trusted->n; i++)
		keys[n++] = trusted->items[i];
	return n;
}

static int validate(Rollout *r, Err *err)
{
	_cleanup_(validation_done) Validation v = {0};
	_cleanup_(str_done) Str why = STR_INIT;
	char own[PUBLIC_KEY_HEX_SIZE];
	_cleanup_free_ const char **keys =
	    calloc(r->w.plan->daemon.trusted_keys.n + 3, sizeof(*keys));
	if (!keys)
		return err_oom(err);
	sign_public_hex(r->w.key, own);
	add_keys(r, own, keys);
	ValidateInput in = {.promotion = r->promotion,
			    .x = r->x,
			    .baseline = &r->baseline,
			    .units = r->adoptions,
			    .n_units = r->n_adoptions,
			    .keys = keys,
			    .store = r->w.store,
			    .memory = r->x->rollout.memory_model ? r->x->memory : NULL,
			    .others_bytes = others_bytes(r->x, r->adoptions, r->n_adoptions),
			    .now_us = clock_now_us(r->w.clock),
			    .max_age_us = r->x->rollout.max_age_us};
	int e = promotion_validate(&in, &v, err);
	if (e < 0)
		return e;
	r->spec.isolated = v.isolated;
	r->spec.colocated = v.colocated;
	if (v.ok)
		return 0;
	validation_words(&v, &why);
	Err unsaid = ERR_INIT;
	if (promotion_refuse(r->w.store, r->w.key, r->promotion, r->baseline.version, &v, &unsaid) <
	    0)
		log_event(r->w.log, LOG_WARN_, "rollout.not_recorded", NULL,
			  "that %s was refused could not be recorded: %s", r->promotion_id,
			  unsaid.msg);
	return err_set(err, -EPERM, "promotion %s is not fit for production: %s", r->promotion_id,
		       why.s ? why.s : "no reason is known");
}

static int find_approval(Rollout *r, Err *err)
{
	char digest[HASH_HEX_SIZE];
	int e = decision_digest(r->promotion, digest, err);
	if (e >= 0)
		e = approval_find(r->w.store, r->key_hex, r->promotion_id, digest,
				  r->baseline.version, &r->approval, err);
	if (e < 0)
		return e;
	if (e == 0)
		return err_set(err, -EAGAIN,
			       "promotion %s is not approved for version %" PRId64
			       " of the baseline; `dream approve %s` does that",
			       r->promotion_id, r->baseline.version, r->promotion_id);
	r->by = r->approval.by;
	if (!r->approval.approved)
		return err_set(err, -EPERM, "promotion %s was rejected by %s: %s", r->promotion_id,
			       r->approval.by.name, r->approval.by.reason);
	return approval_holds(&r->approval, digest, r->baseline.version, clock_now_us(r->w.clock),
			      err);
}

static int in_window(const Rollout *r, Err *err)
{
	const QuiesceSpec q = {.window = r->x->rollout.window};
	int64_t now = clock_now_us(r->w.clock);
	if (!q.window || quiesce_in_window(&q, now, quiesce_utc_offset_min(now)))
		return 0;
	return err_set(err, -EAGAIN, "production may be restarted from %s only (rollout.window)",
		       q.window);
}

/* What the promotion would do, and whether it is fit. */
static int examine(Rollout *r, const char *promotion, Err *err)
{
	int e = load_promotion(r, promotion, err);
	if (e >= 0)
		e = load_baseline(r, err);
	if (e >= 0)
		e = rollout_plan(r, err);
	return e < 0 ? e : validate(r, err);
}

static int prepare(Rollout *r, const char *promotion, Err *err)
{
	int e = examine(r, promotion, err);
	if (e >= 0)
		e = find_approval(r, err);
	if (e >= 0)
		e = in_window(r, err);
	if (e >= 0)
		e = see_production(r, err);
	if (e >= 0)
		e = name_rollout(r, err);
	if (e < 0)
		return e;
	find_gpu(r);
	return guard_start(r, err);
}

int rollout_start(const RolloutWorld *w, const char *promotion, const RolloutHandler *h, void *ctx,
		  Rollout **ret, Err *err)
{
	_cleanup_(rollout_freep) Rollout *r = NULL;
	_cleanup_(str_done) Str text = STR_INIT;
	r = new_rollout(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = prepare(r, promotion, err);
	if (e < 0)
		return e;
	rollout_mask_text(r, UINT32_MAX, &text);
	rollout_say(r, NULL, "%s: promotion %s, %s; approved by %s", r->id, r->promotion_id,
		    text.s ? text.s : "", r->by.name);
	rollout_alert(r, ALERT_ROLLOUT_STARTED, text.s ? text.s : "");
	rollout_later(r, EVENT_START, "%s", "");
	*ret = TAKE_PTR(r);
	return 0;
}

int rollout_preview(const RolloutWorld *w, const char *promotion, Str *out, Err *err)
{
	static const RolloutHandler nobody = {0};
	_cleanup_(rollout_freep) Rollout *r = NULL;
	json_auto_t *status = NULL;
	r = new_rollout(w, &nobody, NULL);
	if (!r)
		return err_oom(err);
	int e = examine(r, promotion, err);
	if (e >= 0)
		e = ask_status(r, &status, err);
	if (e >= 0)
		e = rollout_preview_text(r, status, out);
	return e;
}

/* --- Back ------------------------------------------------------------------------------------ */

int rollout_back(const RolloutWorld *w, int64_t version, const Approver *by,
		 const RolloutHandler *h, void *ctx, Rollout **ret, Err *err)
{
	_cleanup_(rollout_freep) Rollout *r = NULL;
	r = new_rollout(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = load_baseline(r, err);
	if (e < 0)
		return e;
	int64_t to = version > 0 ? version : r->baseline.version - 1;
	if (to < 1)
		return err_set(err, -ENOENT,
			       "version %" PRId64
			       " is the only one: there is nothing to go back to",
			       r->baseline.version);
	e = baseline_version(w->store, r->key_hex, to, &r->goal, err);
	if (e >= 0)
		e = rollout_plan_units(r, err);
	if (e >= 0)
		e = see_production(r, err);
	if (e == -ESTALE) /* Going back is what mends that. */
		e = 0;
	if (e >= 0)
		e = name_rollout(r, err);
	if (e < 0)
		return e;
	for (size_t i = 0; i < r->n_units; i++)
		r->units[i].touched = true;
	r->by = *by;
	r->committed = true;
	find_gpu(r);
	_cleanup_free_ char *words = str_fmt("%s goes back to version %" PRId64 "%s%s", by->name,
					     to, by->reason[0] ? ": " : "", by->reason);
	rollout_take_back(r, words ? words : "");
	*ret = TAKE_PTR(r);
	return 0;
}

/* --- A/B ------------------------------------------------------------------------------------- */

static const Experiment *experiment_with(const Plan *plan, const char *parameter)
{
	for (size_t i = 0; i < plan->n_experiments; i++)
		if (space_dim(plan->experiments[i].space, parameter) >= 0)
			return &plan->experiments[i];
	return NULL;
}

/* As a rollout of one parameter that is never kept. */
static int plan_ab(Rollout *r, const AbSpec *spec, Err *err)
{
	r->x = experiment_with(r->w.plan, spec->parameter);
	if (!r->x)
		return err_set(err, -ENOENT, "no experiment has the parameter %s", spec->parameter);
	r->promotion = json_pack("{s:[{s:s, s:s, s:s}]}", "changes", "parameter", spec->parameter,
				 "from", spec->values[0], "to", spec->values[1]);
	if (!r->promotion)
		return err_oom(err);
	int e = load_baseline(r, err);
	if (e >= 0)
		e = rollout_plan(r, err);
	for (int i = 0; i < 2 && e >= 0; i++)
		e = ab_fits(r, spec->parameter, spec->values[i], err);
	return e;
}

int rollout_ab(const RolloutWorld *w, const AbSpec *spec, const Approver *by,
	       const RolloutHandler *h, void *ctx, Rollout **ret, Err *err)
{
	_cleanup_(rollout_freep) Rollout *r = NULL;
	r = new_rollout(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = plan_ab(r, spec, err);
	if (e >= 0)
		e = in_window(r, err);
	if (e >= 0)
		e = see_production(r, err);
	if (e >= 0)
		e = name_rollout(r, err);
	if (e >= 0)
		e = ab_new(spec, &r->ab, err);
	if (e < 0)
		return e;
	r->by = *by;
	find_gpu(r);
	e = guard_start(r, err);
	if (e < 0)
		return e;
	ab_start(r);
	*ret = TAKE_PTR(r);
	return 0;
}

/* --- After a restart of ours ------------------------------------------------------------------ */

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
		e = load_promotion(r, js_str(step, "promotion", ""), err);
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
	find_gpu(r);
	return guard_start(r, err);
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
		e = goback_take_up(r, step, &why);
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
		rollout_later(r, what, "D-REAM was restarted");
	return 1;
}

int rollout_resume(const RolloutWorld *w, const RolloutHandler *h, void *ctx, Rollout **ret,
		   Err *err)
{
	_cleanup_(rollout_freep) Rollout *r = NULL;
	json_auto_t *status = NULL, *step = NULL;
	r = new_rollout(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = ask_status(r, &status, err);
	if (e < 0)
		return e;
	if (last_step(r, &step) < 0)
		rollout_say(r, NULL,
			    "the store cannot be read; what is going on is known from the "
			    "helper alone");
	e = resume(r, status, step, err);
	if (e < 0)
		return e;
	*ret = e > 0 ? TAKE_PTR(r) : NULL;
	return 0;
}

/* --- Decisions, the end ----------------------------------------------------------------------- */

int rollout_decide(Rollout *r, bool go_on, const Approver *by, Err *err)
{
	if (r->over || (go_on && r->m.phase != PHASE_ASKED))
		return err_set(err, -EINVAL,
			       "there is nothing to decide: the rollout is in the phase %s",
			       machine_phase_name(r->m.phase));
	/* Right after a restart of ours the person who took it up decides instead of policy. */
	if (r->later && r->pending == EVENT_RESTARTED)
		r->later = sd_event_source_disable_unref(r->later);
	if (r->later)
		return err_set(err, -EAGAIN, "the rollout is just taking a step; say it once more");
	rollout_later(r, go_on ? EVENT_CONTINUE : EVENT_ABORT, "%s says so%s%s", by->name,
		      by->reason[0] ? ": " : "", by->reason);
	return 0;
}

int64_t rollout_down_us(const Rollout *r, size_t i, const char **ret_unit)
{
	if (i >= r->n_units)
		return -1;
	*ret_unit = r->units[i].name;
	return r->units[i].down_us;
}

const char *rollout_id(const Rollout *r)
{
	return r->id;
}

const Machine *rollout_machine(const Rollout *r)
{
	return &r->m;
}

Rollout *rollout_free(Rollout *r)
{
	if (!r)
		return NULL;
	bring_up_stop(r);
	stage_stop(r);
	guard_done(r);
	sd_event_source_disable_unref(r->later);
	sd_event_source_disable_unref(r->end);
	rollout_plan_done(r);
	baseline_done(&r->baseline);
	baseline_done(&r->goal);
	json_decref(r->promotion);
	ab_free(r->ab);
	free(r->gpu);
	free(r);
	return NULL;
}
