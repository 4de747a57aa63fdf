/* How a rollout begins: with an approved promotion, to go back, or as an A/B. What the helper says
 * of production is asked once, and all is judged by that; whoever moves it afterwards is found out
 * when the change is begun. */
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

enum {
	RECORD_US = 200000,
};

static Rollout *make(const RolloutWorld *w, const RolloutHandler *h, void *ctx)
{
	Rollout *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->w = *w;
	r->h = *h;
	r->ctx = ctx;
	machine_init(&r->m);
	if (rollout_prepare_end(r) < 0)
		return rollout_free(r);
	/* Whose signatures count: the configured key's, else our own. */
	sign_public_hex(w->key, r->key_hex);
	if (w->plan->run.pinned_key)
		snprintf(r->key_hex, sizeof(r->key_hex), "%s", w->plan->run.pinned_key);
	return r;
}

Rollout *rollout_new(const RolloutWorld *w, const RolloutHandler *h, void *ctx)
{
	Rollout *r = make(w, h, ctx);
	/* Records wait in order until they can be written; production does not wait for them. */
	if (r && w->store) {
		store_patience(w->store, RECORD_US);
		r->impatient = true;
	}
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

int rollout_load_promotion(Rollout *r, const char *id, Err *err)
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

int rollout_ask_status(Rollout *r, json_t **ret, Err *err)
{
	json_t *rq = json_pack("{s:s}", "do", "status");
	int e = helper_ask(r->w.helper, rq, HELPER_TIMEOUT_US, ret, err);
	return e < 0 ? err_wrap(err, e, "cannot see what production runs") : 0;
}

void rollout_catch_up(Rollout *r, const json_t *status)
{
	_cleanup_(str_done) Str words = STR_INIT;
	Err err = ERR_INIT;
	int e = rollout_settle(&r->w, status, &words, &err);
	if (e < 0)
		log_event(r->w.log, LOG_WARN_, "rollout.baseline", NULL, "%s", err.msg);
	else if (e > 0)
		rollout_say(r, NULL, "%s", words.s && !words.failed ? words.s : "");
}

/* The current version; the first one is what the adopted units run. Where nothing may be written it
 * is only seen as what it would be. */
static int find_baseline(Rollout *r, const json_t *status, bool write, Err *err)
{
	if (write)
		rollout_catch_up(r, status);
	if (write)
		return baseline_ensure(r->w.store, r->w.key, r->key_hex, status, "rollout",
				       &r->baseline, err);
	int e = baseline_current(r->w.store, r->key_hex, &r->baseline, err);
	if (e < 0 || r->baseline.version > 0)
		return e;
	e = baseline_from_helper_status(status, &r->baseline, err);
	if (e == -ENODATA)
		return 0;
	r->baseline.version = 1;
	return e;
}

static int load_baseline(Rollout *r, const json_t *status, bool write, Err *err)
{
	int e = find_baseline(r, status, write, err);
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
static int see_production(Rollout *r, const json_t *status, Err *err)
{
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

void rollout_find_gpu(Rollout *r)
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

/* Once for all attempts; that it cannot be written down is no reason to forget it. */
static void record_refusal(Rollout *r, const Validation *v)
{
	Err unsaid = ERR_INIT;
	if (promotion_refuse(r->w.store, r->w.key, r->promotion, r->baseline.version, v, &unsaid) <
	    0)
		log_event(r->w.log, LOG_WARN_, "rollout.not_recorded", NULL,
			  "that %s was refused could not be recorded: %s", r->promotion_id,
			  unsaid.msg);
}

static int validate(Rollout *r, bool write, Err *err)
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
	if (write)
		record_refusal(r, &v);
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

/* What the promotion would do, and whether it is fit. Without `write` the store stays as it is. */
static int examine(Rollout *r, const char *promotion, bool write, json_t **ret_status, Err *err)
{
	int e = rollout_load_promotion(r, promotion, err);
	if (e >= 0)
		e = rollout_ask_status(r, ret_status, err);
	if (e >= 0)
		e = load_baseline(r, *ret_status, write, err);
	if (e >= 0)
		e = rollout_plan(r, err);
	return e < 0 ? e : validate(r, write, err);
}

static int prepare(Rollout *r, const char *promotion, Err *err)
{
	json_auto_t *status = NULL;
	int e = examine(r, promotion, true, &status, err);
	if (e >= 0)
		e = find_approval(r, err);
	if (e >= 0)
		e = allowed_in_window(r, err);
	if (e >= 0)
		e = see_production(r, status, err);
	if (e >= 0)
		e = name_rollout(r, err);
	if (e < 0)
		return e;
	rollout_find_gpu(r);
	e = guard_start(r, err);
	return e < 0 ? e : allowed_begin(r, err);
}

int rollout_start(const RolloutWorld *w, const char *promotion, const RolloutHandler *h, void *ctx,
		  Rollout **ret, Err *err)
{
	_cleanup_(rollout_freep) Rollout *r = NULL;
	_cleanup_(str_done) Str text = STR_INIT;
	r = rollout_new(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = prepare(r, promotion, err);
	if (e < 0)
		return e;
	str_addf(&text, "promotion %s, ", r->promotion_id);
	rollout_mask_text(r, UINT32_MAX, &text);
	str_addf(&text, "; approved by %s", r->by.name);
	const char *words = text.s && !text.failed ? text.s : "a rollout";
	rollout_say(r, NULL, "%s: %s", r->id, words);
	rollout_alert(r, ALERT_ROLLOUT_STARTED, words);
	rollout_later(r, EVENT_START, "%s", "");
	*ret = TAKE_PTR(r);
	return 0;
}

int rollout_preview(const RolloutWorld *w, const char *promotion, Str *out, Err *err)
{
	static const RolloutHandler nobody = {0};
	_cleanup_(rollout_freep) Rollout *r = NULL;
	json_auto_t *status = NULL;
	r = make(w, &nobody, NULL);
	if (!r)
		return err_oom(err);
	int e = examine(r, promotion, false, &status, err);
	if (e >= 0)
		e = rollout_preview_text(r, status, out);
	return e;
}

/* --- Back ------------------------------------------------------------------------------------ */

int rollout_back(const RolloutWorld *w, int64_t version, const Approver *by,
		 const RolloutHandler *h, void *ctx, Rollout **ret, Err *err)
{
	_cleanup_(rollout_freep) Rollout *r = NULL;
	json_auto_t *status = NULL;
	r = rollout_new(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = rollout_ask_status(r, &status, err);
	if (e >= 0)
		e = load_baseline(r, status, true, err);
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
		e = see_production(r, status, err);
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
	rollout_find_gpu(r);
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
static int plan_ab(Rollout *r, const AbSpec *spec, json_t **ret_status, Err *err)
{
	r->x = experiment_with(r->w.plan, spec->parameter);
	if (!r->x)
		return err_set(err, -ENOENT, "no experiment has the parameter %s", spec->parameter);
	r->promotion = json_pack("{s:[{s:s, s:s, s:s}]}", "changes", "parameter", spec->parameter,
				 "from", spec->values[0], "to", spec->values[1]);
	if (!r->promotion)
		return err_oom(err);
	int e = rollout_ask_status(r, ret_status, err);
	if (e >= 0)
		e = load_baseline(r, *ret_status, true, err);
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
	json_auto_t *status = NULL;
	r = rollout_new(w, h, ctx);
	if (!r)
		return err_oom(err);
	int e = plan_ab(r, spec, &status, err);
	if (e >= 0)
		e = allowed_in_window(r, err);
	if (e >= 0)
		e = see_production(r, status, err);
	if (e >= 0)
		e = name_rollout(r, err);
	if (e >= 0)
		e = ab_new(spec, &r->ab, err);
	if (e < 0)
		return e;
	r->by = *by;
	rollout_find_gpu(r);
	e = guard_start(r, err);
	if (e < 0)
		return e;
	ab_start(r);
	*ret = TAKE_PTR(r);
	return 0;
}
