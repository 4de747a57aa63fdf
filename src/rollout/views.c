#include "rollout/views.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "rollout/feedback.h"

/* As it is sent: on one line. */
static size_t size_of(const json_t *v)
{
	return json_dumpb(v, NULL, 0, JSON_COMPACT) + 1;
}

static int finish(const char *schema, json_t *o, bool failed, json_t **ret, Err *err)
{
	js_set(o, "schema", js_text(schema), &failed);
	if (failed || !o) {
		json_decref(o);
		return err_oom(err);
	}
	*ret = o;
	return 0;
}

/* Why an approval counts no more; false: it does, or there is none. */
static bool has_lapsed(const Fate *f, const json_t *promotion, int64_t version, int64_t now_us,
		       Err *why)
{
	const char *digest = js_str(json_object_get(promotion, "signature"), "digest", "");
	return f && f->state == PROMOTION_APPROVED &&
	       approval_holds(&f->decision, digest, version, now_us, why) < 0;
}

/* --- All promotions -----------------------------------------------------------------------------
 */

enum {
	AROUND_BYTES = 1024, /* what a list costs beside its items, and an item beside its body */
};

typedef struct Listing {
	const ViewSource *s;
	const char *experiment;
	const Fates *fates;
	int64_t version;
	size_t bytes;
	json_t *list, *states, *at, *lapsed;
	bool cut, failed;
} Listing;

/* The newest come first, and the list has the oldest first. */
static int list_one(void *userdata, const Record *r, const json_t *body)
{
	Listing *l = userdata;
	Err why = ERR_INIT;
	const char *id = js_str(body, "id", "");
	const Fate *f = fates_of(l->fates, id);
	if (l->experiment && strcmp(js_str(body, "experiment", ""), l->experiment) != 0)
		return 0;
	l->bytes += size_of(body) + AROUND_BYTES;
	l->cut = l->s->most_bytes && l->bytes > l->s->most_bytes;
	if (l->cut)
		return 1;
	l->failed |= json_array_insert_new(l->list, 0, js_deep_copy(body)) < 0;
	js_set(l->states, id, js_text(promotion_state_name(f ? f->state : PROMOTION_PROPOSED)),
	       &l->failed);
	js_set(l->at, id, json_integer(r->at_us), &l->failed);
	if (has_lapsed(f, body, l->version, l->s->now_us, &why))
		js_set(l->lapsed, id, js_text(why.msg), &l->failed);
	return l->failed ? -ENOMEM : 0;
}

static int list_all(Listing *l, Err *err)
{
	_cleanup_(fates_freep) Fates *fates = NULL;
	_cleanup_(baseline_done) Baseline b = {0};
	int r = fates_load(l->s->store, l->s->pinned_key_hex, &fates, err);
	if (r == 0)
		r = baseline_current(l->s->store, l->s->pinned_key_hex, &b, err);
	if (r < 0)
		return r;
	l->fates = fates;
	l->version = b.version;
	r = store_records(l->s->store, "promotion", true, 0, list_one, l, err);
	l->fates = NULL;
	return r == -ENOMEM ? err_oom(err) : r < 0 ? r : 0;
}

int promotions_view(const ViewSource *s, const char *experiment, json_t **ret, Err *err)
{
	json_auto_t *list = json_array(), *states = json_object(), *at = json_object();
	json_auto_t *lapsed = json_object();
	Listing l = {.s = s,
		     .experiment = experiment,
		     .bytes = AROUND_BYTES,
		     .list = list,
		     .states = states,
		     .at = at,
		     .lapsed = lapsed};
	bool failed = false;
	int r = !list || !states || !at || !lapsed ? err_oom(err)
		: s->store			   ? list_all(&l, err)
						   : 0;
	if (r < 0)
		return r;
	json_t *o = json_object();
	js_set(o, "promotions", json_incref(list), &failed);
	js_set(o, "states", json_incref(states), &failed);
	js_set(o, "recorded_at_us", json_incref(at), &failed);
	js_set(o, "lapsed", json_incref(lapsed), &failed);
	if (l.cut)
		js_set(o, "older_left_out", json_true(), &failed);
	return finish("dream.promotions/v1", o, failed, ret, err);
}

/* --- All versions of the baseline ---------------------------------------------------------------
 */

typedef struct Versions {
	json_t *list, *said; /* said: {version: [feedback]} */
	bool failed;
} Versions;

static int add_said(void *ctx, const Feedback *f)
{
	Versions *v = ctx;
	char key[32];
	json_t *o = json_object();
	(void)snprintf(key, sizeof(key), "%lld", (long long)f->baseline_version);
	if (!json_object_get(v->said, key))
		js_set(v->said, key, json_array(), &v->failed);
	js_set(o, "verdict", js_text(f->good ? "good" : "bad"), &v->failed);
	js_set(o, "words", js_text(f->words), &v->failed);
	js_set(o, "by", js_text(f->by.name), &v->failed);
	js_set(o, "rollout", *f->rollout ? js_text(f->rollout) : json_null(), &v->failed);
	js_set(o, "at_us", json_integer(f->at_us), &v->failed);
	v->failed |= json_array_append_new(json_object_get(v->said, key), o) < 0;
	return v->failed ? -ENOMEM : 0;
}

static int add_version(void *ctx, const Baseline *b)
{
	Versions *v = ctx;
	char key[32];
	(void)snprintf(key, sizeof(key), "%lld", (long long)b->version);
	json_t *o = baseline_json(b), *said = json_object_get(v->said, key);
	js_set(o, "feedback", said ? json_incref(said) : json_array(), &v->failed);
	v->failed |= json_array_append_new(v->list, o) < 0;
	return v->failed ? -ENOMEM : 0;
}

/* How many of the oldest do not fit. */
static size_t too_many(const json_t *list, size_t most_bytes)
{
	size_t bytes = AROUND_BYTES, i = json_array_size(list);
	while (i > 0 && bytes <= most_bytes) {
		bytes += size_of(json_array_get(list, i - 1));
		i -= bytes <= most_bytes;
	}
	return i;
}

static bool cut_versions(json_t *list, size_t n)
{
	json_auto_t *kept = json_array();
	bool failed = !kept;
	for (size_t i = n; i < json_array_size(list); i++)
		failed |= json_array_append(kept, json_array_get(list, i)) < 0;
	return !failed && json_array_clear(list) == 0 && json_array_extend(list, kept) == 0;
}

int baseline_log_view(const ViewSource *s, json_t **ret, Err *err)
{
	json_auto_t *list = json_array(), *said = json_object();
	Versions v = {.list = list, .said = said};
	int r = !list || !said ? err_oom(err) : 0;
	if (r == 0 && s->store)
		r = feedback_walk(s->store, s->pinned_key_hex, add_said, &v, err);
	if (r == 0 && s->store)
		r = baseline_walk(s->store, s->pinned_key_hex, add_version, &v, err);
	if (r < 0)
		return v.failed ? err_oom(err) : r;
	size_t n = s->most_bytes ? too_many(list, s->most_bytes) : 0;
	bool failed = n > 0 && !cut_versions(list, n);
	json_t *o = json_object();
	js_set(o, "versions", json_incref(list), &failed);
	if (n > 0)
		js_set(o, "older_left_out", json_true(), &failed);
	return finish("dream.baseline_log/v1", o, failed, ret, err);
}

/* --- One promotion ------------------------------------------------------------------------------
 */

static json_t *fate_json(const Fate *f, const char *lapsed, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "state", js_text(promotion_state_name(f ? f->state : PROMOTION_PROPOSED)),
	       failed);
	js_set(o, "decision", f && f->decided ? approval_json(&f->decision) : json_null(), failed);
	js_set(o, "lapsed", *lapsed ? js_text(lapsed) : json_null(), failed);
	js_set(o, "rollout", f && *f->rollout ? js_text(f->rollout) : json_null(), failed);
	js_set(o, "words", f && *f->words ? js_text(f->words) : json_null(), failed);
	return o;
}

typedef struct Committed {
	const char *promotion;
	int64_t version;
} Committed;

static int look_for_commit(void *ctx, const Baseline *b)
{
	Committed *c = ctx;
	if (strcmp(b->promotion, c->promotion) == 0 && strcmp(b->why, "rollout") == 0)
		c->version = b->version;
	return 0;
}

/* The version that it became; 0: it became none. */
static int committed_as(const ViewSource *s, const Fate *f, int64_t *ret, Err *err)
{
	Committed c = {.promotion = f ? f->promotion : ""};
	*ret = 0;
	if (!f || (f->state != PROMOTION_COMMITTED && f->state != PROMOTION_PARTIALLY_COMMITTED))
		return 0;
	int r = baseline_walk(s->store, s->pinned_key_hex, look_for_commit, &c, err);
	*ret = c.version;
	return r;
}

static json_t *trials_json(const Validation *v, bool *failed)
{
	json_t *o = json_array();
	if (v->isolated)
		*failed |= json_array_append_new(o, js_text("isolated")) < 0;
	if (v->colocated)
		*failed |= json_array_append_new(o, js_text("colocated")) < 0;
	return o;
}

int promotion_view(const ViewSource *s, const ValidateInput *in, const char *own_key_hex,
		   const char *unseen, json_t **ret, Err *err)
{
	_cleanup_(fates_freep) Fates *fates = NULL;
	_cleanup_(baseline_done) Baseline b = {0};
	_cleanup_(validation_done) Validation v = {0};
	ValidateInput with = *in;
	Err why = ERR_INIT;
	int64_t version = 0;
	int r = fates_load(s->store, s->pinned_key_hex, &fates, err);
	if (r == 0)
		r = baseline_current(s->store, s->pinned_key_hex, &b, err);
	with.baseline = &b;
	if (r == 0)
		r = promotion_validate(&with, &v, err);
	const Fate *f = fates_of(fates, js_str(in->promotion, "id", ""));
	if (r == 0)
		r = committed_as(s, f, &version, err);
	if (r < 0)
		return r;
	const char *lapsed =
	    has_lapsed(f, in->promotion, b.version, s->now_us, &why) ? why.msg : "";
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "promotion", js_deep_copy(in->promotion), &failed);
	js_set(o, "fate", fate_json(f, lapsed, &failed), &failed);
	js_set(o, "baseline_version", b.version ? json_integer(b.version) : json_null(), &failed);
	js_set(o, "committed_version", version ? json_integer(version) : json_null(), &failed);
	js_set(o, "fit", json_boolean(v.ok), &failed);
	js_set(o, "checks", validation_json(&v), &failed);
	js_set(o, "trials", trials_json(&v, &failed), &failed);
	js_set(o, "own_key", *own_key_hex ? js_text(own_key_hex) : json_null(), &failed);
	js_set(o, "unseen", *unseen ? js_text(unseen) : json_null(), &failed);
	return finish("dream.promotion_view/v1", o, failed, ret, err);
}
