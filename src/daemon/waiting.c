/* Which promotions wait, and for whom. */
#include <string.h>

#include "base/json.h"
#include "daemon/status.h"
#include "daemon/window.h"
#include "rollout/approval.h"
#include "rollout/baseline.h"
#include "rollout/fate.h"

enum {
	LOOK_BACK = 200, /* promotions */
	SHOWN_MAX = 20,
};

typedef struct Waiting {
	Store *store;
	const Plan *plan;
	const Fates *fates;
	int64_t now_us, version;
	json_t *list;
} Waiting;

/* "vllm_memory_util 0.5 -> 0.55" as members, without the evidence. */
static json_t *changes_json(const json_t *promotion, bool *failed)
{
	json_t *list = json_array(), *change;
	size_t i;
	json_array_foreach (json_object_get(promotion, "changes"), i, change) {
		json_t *o = json_object();
		const json_t *from = json_object_get(change, "from");
		const json_t *to = json_object_get(change, "to");
		js_set(o, "parameter", js_text(js_str(change, "parameter", "?")), failed);
		js_set(o, "from", from ? js_deep_copy(from) : json_null(), failed);
		js_set(o, "to", to ? js_deep_copy(to) : json_null(), failed);
		*failed |= json_array_append_new(list, o) < 0;
	}
	return list;
}

/* The means before and after of every metric that both sides have. */
static json_t *metrics_json(const json_t *promotion, bool *failed)
{
	const json_t *before = json_object_get(json_object_get(promotion, "baseline"), "metrics");
	const json_t *after = json_object_get(json_object_get(promotion, "winner"), "metrics");
	json_t *o = json_object(), *v;
	const char *name;
	json_object_foreach ((json_t *)(uintptr_t)after, name, v) {
		const json_t *was = json_object_get(json_object_get(before, name), "mean");
		const json_t *is = json_object_get(v, "mean");
		if (!json_is_number(was) || !json_is_number(is))
			continue;
		json_t *pair = json_object();
		js_set(pair, "before", js_deep_copy(was), failed);
		js_set(pair, "after", js_deep_copy(is), failed);
		js_set(o, name, pair, failed);
	}
	return o;
}

/* What speaks for it, for those who decide and may not read the store. */
static json_t *evidence_json(const json_t *promotion, bool *failed)
{
	const json_t *gain = json_object_get(promotion, "fitness_gain");
	const json_t *stages = json_object_get(promotion, "stages_passed");
	const json_t *by = json_object_get(promotion, "by");
	const char *reason = js_str(promotion, "reason", NULL);
	json_t *o = json_object();
	js_set(o, "fitness_gain", gain ? js_deep_copy(gain) : json_null(), failed);
	js_set(o, "metrics", metrics_json(promotion, failed), failed);
	js_set(o, "stages_passed", stages ? js_deep_copy(stages) : json_array(), failed);
	js_set(o, "by_hand_of", by ? js_text(js_str(by, "name", "?")) : json_null(), failed);
	js_set(o, "reason", reason ? js_text(reason) : json_null(), failed);
	return o;
}

static json_t *decision_json(const Approval *a, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "by", js_text(a->by.name), failed);
	js_set(o, "reason", js_text(a->by.reason), failed);
	js_set(o, "at_us", json_integer(a->at_us), failed);
	js_set(o, "expires_at_us", json_integer(a->expires_at_us), failed);
	return o;
}

/* An approval of another version of the baseline, or of too long ago, is none. */
static bool holds(const Waiting *w, const Fate *f)
{
	return f && f->decided && f->decision.approved &&
	       f->decision.baseline_version == w->version && f->decision.expires_at_us > w->now_us;
}

/* Why policy has not approved it by itself. Null: a person decides anyway, or it is about to. */
static json_t *policy_json(const Waiting *w, const char *id, const json_t *promotion,
			   const Experiment *x)
{
	Err err = ERR_INIT;
	int64_t since_us = 0;
	if (strcmp(x->rollout.approval, "auto") != 0)
		return json_null();
	int r = approval_staged_since(w->store, id, &since_us, &err);
	if (r == 0)
		r = approval_by_policy(&x->rollout, promotion, since_us, w->now_us,
				       utc_offset_min(w->now_us), &err);
	return r < 0 ? js_text(err.msg) : json_null();
}

static int add(Waiting *w, const Record *r, const json_t *body, const Experiment *x, const Fate *f)
{
	bool failed = false, decided = holds(w, f);
	json_t *o = json_object();
	const char *id = js_str(body, "id", "");
	js_set(o, "id", js_text(id), &failed);
	js_set(o, "experiment", js_text(js_str(body, "experiment", "")), &failed);
	js_set(o, "at_us", json_integer(r->at_us), &failed);
	js_set(o, "changes", changes_json(body, &failed), &failed);
	js_set(o, "evidence", evidence_json(body, &failed), &failed);
	js_set(o, "approval", js_text(x->rollout.approval), &failed);
	js_set(o, "decision", decided ? decision_json(&f->decision, &failed) : json_null(),
	       &failed);
	js_set(o, "policy", decided ? json_null() : policy_json(w, id, body, x), &failed);
	failed |= json_array_append_new(w->list, o) < 0;
	return failed ? -ENOMEM : 0;
}

static bool is_open(const Fate *f)
{
	return !f || f->state == PROMOTION_PROPOSED || f->state == PROMOTION_APPROVED;
}

static int look_at(void *userdata, const Record *r, const json_t *body)
{
	Waiting *w = userdata;
	const char *id = js_str(body, "id", "");
	const Fate *f = fates_of(w->fates, id);
	const Experiment *x =
	    w->plan ? config_experiment(w->plan, js_str(body, "experiment", "")) : NULL;
	if (!x || !*id || !is_open(f) || w->now_us - r->at_us > x->rollout.max_age_us)
		return 0;
	int n = add(w, r, body, x, f);
	return n < 0 ? n : json_array_size(w->list) >= SHOWN_MAX;
}

int promotions_waiting(Store *s, const Plan *plan, const char *pinned_key_hex, int64_t now_us,
		       json_t **ret, Err *err)
{
	_cleanup_(fates_freep) Fates *fates = NULL;
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *list = json_array();
	if (!list)
		return err_oom(err);
	int r = baseline_current(s, pinned_key_hex, &b, err);
	if (r >= 0)
		r = fates_load(s, pinned_key_hex, &fates, err);
	if (r < 0)
		return r;
	Waiting w = {.store = s,
		     .plan = plan,
		     .fates = fates,
		     .now_us = now_us,
		     .version = b.version,
		     .list = list};
	r = store_records(s, "promotion", true, LOOK_BACK, look_at, &w, err);
	if (r < 0)
		return r == -ENOMEM ? err_oom(err) : r;
	*ret = TAKE_PTR(list);
	return 0;
}
