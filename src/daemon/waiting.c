/* Which promotions wait, and for whom. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "daemon/status.h"
#include "rollout/approval.h"
#include "rollout/baseline.h"

enum {
	LOOK_BACK = 200, /* promotions */
	ROLLOUT_STEPS = 5000,
	SHOWN_MAX = 20,
};

typedef struct Waiting {
	Store *store;
	const Plan *plan;
	const char *key;
	int64_t now_us, version;
	json_t *tried; /* {promotion: true}: a rollout of it ended, or is going on */
	json_t *list;
	Err *err;
} Waiting;

static int note_rollout(void *userdata, const Record *r, const json_t *body)
{
	Waiting *w = userdata;
	const char *id = js_str(body, "promotion", "");
	(void)r;
	return *id && json_object_set_new(w->tried, id, json_true()) < 0 ? -ENOMEM : 0;
}

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

static json_t *decision_json(const Approval *a, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "by", js_text(a->by.name), failed);
	js_set(o, "reason", js_text(a->by.reason), failed);
	js_set(o, "at_us", json_integer(a->at_us), failed);
	js_set(o, "expires_at_us", json_integer(a->expires_at_us), failed);
	return o;
}

static int add(Waiting *w, const Record *r, const json_t *body, const Experiment *x,
	       const Approval *a)
{
	bool failed = false;
	bool holds = a && a->expires_at_us > w->now_us;
	json_t *o = json_object();
	js_set(o, "id", js_text(js_str(body, "id", "")), &failed);
	js_set(o, "experiment", js_text(js_str(body, "experiment", "")), &failed);
	js_set(o, "at_us", json_integer(r->at_us), &failed);
	js_set(o, "changes", changes_json(body, &failed), &failed);
	js_set(o, "approval", js_text(x->rollout.approval), &failed);
	js_set(o, "decision", holds ? decision_json(a, &failed) : json_null(), &failed);
	failed |= json_array_append_new(w->list, o) < 0;
	return failed ? -ENOMEM : 0;
}

static int look_at(void *userdata, const Record *r, const json_t *body)
{
	Waiting *w = userdata;
	Approval a;
	const char *id = js_str(body, "id", "");
	const char *digest = js_str(json_object_get(body, "signature"), "digest", "");
	const Experiment *x =
	    w->plan ? config_experiment(w->plan, js_str(body, "experiment", "")) : NULL;
	if (!x || !*id || json_object_get(w->tried, id) ||
	    w->now_us - r->at_us > x->rollout.max_age_us)
		return 0;
	int n = approval_find(w->store, w->key, id, digest, w->version, &a, w->err);
	if (n < 0)
		return n;
	if (n > 0 && !a.approved)
		return 0;
	n = add(w, r, body, x, n > 0 ? &a : NULL);
	return n < 0 ? n : json_array_size(w->list) >= SHOWN_MAX;
}

int promotions_waiting(Store *s, const Plan *plan, const char *pinned_key_hex, int64_t now_us,
		       json_t **ret, Err *err)
{
	json_auto_t *tried = json_object(), *list = json_array();
	Baseline b = {0};
	Waiting w = {.store = s,
		     .plan = plan,
		     .key = pinned_key_hex,
		     .now_us = now_us,
		     .tried = tried,
		     .list = list,
		     .err = err};
	if (!tried || !list)
		return err_oom(err);
	int r = baseline_current(s, pinned_key_hex, &b, err);
	w.version = b.version;
	baseline_done(&b);
	if (r == 0)
		r = store_records(s, "rollout", true, ROLLOUT_STEPS, note_rollout, &w, err);
	if (r >= 0)
		r = store_records(s, "promotion", true, LOOK_BACK, look_at, &w, err);
	if (r < 0)
		return err->code ? r : err_set(err, r, "%s", strerror(-r));
	*ret = TAKE_PTR(list);
	return 0;
}
