#include "rollout/feedback.h"

#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "record/decision.h"
#include "rollout/text.h"

static json_t *to_json(const Feedback *f)
{
	bool failed = false;
	json_t *o = json_object(), *by = json_object();
	js_set(by, "uid", json_integer(f->by.uid), &failed);
	js_set(by, "name", js_text(f->by.name), &failed);
	js_set(o, "schema", js_text(FEEDBACK_SCHEMA), &failed);
	js_set(o, "verdict", js_text(f->good ? "good" : "bad"), &failed);
	js_set(o, "words", js_text(f->words), &failed);
	js_set(o, "baseline_version", json_integer(f->baseline_version), &failed);
	if (*f->rollout)
		js_set(o, "rollout", js_text(f->rollout), &failed);
	js_set(o, "at_us", json_integer(f->at_us), &failed);
	js_set(o, "by", by, &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static bool from_json(const json_t *body, Feedback *ret)
{
	const json_t *by = json_object_get(body, "by");
	const char *verdict = js_str(body, "verdict", "");
	int64_t uid = js_int(by, "uid", -1);
	Feedback f = {.good = strcmp(verdict, "good") == 0,
		      .baseline_version = js_int(body, "baseline_version", -1),
		      .at_us = js_int(body, "at_us", -1),
		      .by.uid = (uid_t)uid};
	if (strcmp(js_str(body, "schema", ""), FEEDBACK_SCHEMA) != 0 ||
	    (!f.good && strcmp(verdict, "bad") != 0) || f.baseline_version < 0 || f.at_us < 0 ||
	    uid < 0 || uid > UINT32_MAX || !text_take(body, "words", f.words, sizeof(f.words)) ||
	    (json_object_get(body, "rollout") &&
	     !text_take(body, "rollout", f.rollout, sizeof(f.rollout))) ||
	    !text_take(by, "name", f.by.name, sizeof(f.by.name)))
		return false;
	*ret = f;
	return true;
}

typedef struct Append {
	const SignKey *key;
	Feedback *f;
} Append;

static int make(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	Append *a = userdata;
	a->f->at_us = at_us;
	json_auto_t *body = to_json(a->f);
	return body ? decision_sign(body, a->key, ret, err) : err_oom(err);
}

int feedback_append(Store *s, const SignKey *key, Feedback *f, Err *err)
{
	Append a = {.key = key, .f = f};
	return store_add_if(s, "feedback", FEEDBACK_SCHEMA, make, &a, &f->seq, err);
}

typedef struct Walk {
	const char *pinned_key;
	FeedbackFn *fn;
	void *ctx;
} Walk;

static int walk_one(void *userdata, const Record *r, const json_t *body)
{
	Walk *w = userdata;
	Feedback f;
	if (decision_verify(body, w->pinned_key, NULL) < 0 || !from_json(body, &f))
		return 0;
	f.seq = r->seq;
	return w->fn(w->ctx, &f);
}

int feedback_walk(Store *s, const char *pinned_key_hex, FeedbackFn *fn, void *ctx, Err *err)
{
	Walk w = {.pinned_key = pinned_key_hex, .fn = fn, .ctx = ctx};
	return store_records(s, "feedback", false, 0, walk_one, &w, err);
}

typedef struct Count {
	int64_t version, since_us;
	int n;
} Count;

static int count_one(void *ctx, const Feedback *f)
{
	Count *c = ctx;
	if (!f->good && f->baseline_version == c->version && f->at_us >= c->since_us &&
	    c->n < INT_MAX)
		c->n++;
	return 0;
}

int feedback_bad_since(Store *s, const char *pinned_key_hex, int64_t version, int64_t since_us,
		       Err *err)
{
	Count c = {.version = version, .since_us = since_us};
	int r = feedback_walk(s, pinned_key_hex, count_one, &c, err);
	return r < 0 ? r : c.n;
}
