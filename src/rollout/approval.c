/* Decisions of people about promotions, as records. */
#include "rollout/approval.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "record/decision.h"
#include "rollout/text.h"

/* --- As a record ----------------------------------------------------------------------------- */

static json_t *approver_json(const Approver *by, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "uid", json_integer(by->uid), failed);
	js_set(o, "name", js_text(by->name), failed);
	return o;
}

json_t *approval_json(const Approval *a)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "schema", js_text(APPROVAL_SCHEMA), &failed);
	js_set(o, "decision", js_text(a->approved ? "approved" : "rejected"), &failed);
	js_set(o, "promotion", js_text(a->promotion), &failed);
	js_set(o, "digest", js_text(a->digest), &failed);
	js_set(o, "baseline_version", json_integer(a->baseline_version), &failed);
	js_set(o, "at_us", json_integer(a->at_us), &failed);
	js_set(o, "expires_at_us", json_integer(a->expires_at_us), &failed);
	js_set(o, "by", approver_json(&a->by, &failed), &failed);
	js_set(o, "reason", js_text(a->by.reason), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static bool from_json(const json_t *body, Approval *ret)
{
	Approval a = {.baseline_version = js_int(body, "baseline_version", -1),
		      .at_us = js_int(body, "at_us", -1),
		      .expires_at_us = js_int(body, "expires_at_us", -1)};
	const json_t *by = json_object_get(body, "by");
	const char *decision = js_str(body, "decision", "");
	int64_t uid = js_int(by, "uid", -1);
	a.approved = strcmp(decision, "approved") == 0;
	if (strcmp(js_str(body, "schema", ""), APPROVAL_SCHEMA) != 0 ||
	    (!a.approved && strcmp(decision, "rejected") != 0) || a.baseline_version < 0 ||
	    a.at_us < 0 || a.expires_at_us < 0 || uid < 0 || uid > UINT32_MAX ||
	    !text_take(body, "promotion", a.promotion, sizeof(a.promotion)) ||
	    !text_take(body, "digest", a.digest, sizeof(a.digest)) ||
	    !text_take(by, "name", a.by.name, sizeof(a.by.name)) ||
	    !text_take(body, "reason", a.by.reason, sizeof(a.by.reason)))
		return false;
	a.by.uid = (uid_t)uid;
	*ret = a;
	return true;
}

/* --- Finding it ------------------------------------------------------------------------------ */

typedef struct Find {
	const char *pinned_key, *promotion, *digest;
	int64_t baseline_version;
	Approval *ret;
	Err *err;
} Find;

static bool is_signed_by(const json_t *body, const char *key)
{
	return !key || strcmp(js_str(json_object_get(body, "signature"), "key", ""), key) == 0;
}

int approval_from_record(const Record *r, const json_t *body, const char *pinned_key_hex,
			 Approval *ret, Err *err)
{
	Approval a;
	if (!is_signed_by(body, pinned_key_hex))
		return 0;
	int e = decision_verify(body, NULL, err);
	if (e == 0 && !from_json(body, &a))
		e = err_set(err, -EBADMSG, "it is no decision about a promotion");
	if (e < 0)
		return err_wrap(err, e, "record %lld", (long long)r->seq);
	a.seq = r->seq;
	*ret = a;
	return 1;
}

static int find_one(void *userdata, const Record *r, const json_t *body)
{
	Find *f = userdata;
	if (strcmp(js_str(body, "promotion", ""), f->promotion) != 0 ||
	    strcmp(js_str(body, "digest", ""), f->digest) != 0 ||
	    js_int(body, "baseline_version", -1) != f->baseline_version)
		return 0;
	return approval_from_record(r, body, f->pinned_key, f->ret, f->err);
}

int approval_find(Store *s, const char *pinned_key_hex, const char *promotion, const char *digest,
		  int64_t baseline_version, Approval *ret, Err *err)
{
	Find f = {.pinned_key = pinned_key_hex,
		  .promotion = promotion,
		  .digest = digest,
		  .baseline_version = baseline_version,
		  .ret = ret,
		  .err = err};
	return store_records(s, "approval", false, 0, find_one, &f, err);
}

/* --- Writing it ------------------------------------------------------------------------------ */

typedef struct Append {
	Store *s;
	const SignKey *key;
	Approval *a, *ret;
} Append;

static int make(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	Append *p = userdata;
	Approval *a = p->a;
	char public[PUBLIC_KEY_HEX_SIZE];
	sign_public_hex(p->key, public);
	int r =
	    approval_find(p->s, public, a->promotion, a->digest, a->baseline_version, p->ret, err);
	if (r > 0)
		return err_set(err, -EALREADY, "%s was %s by %s before", a->promotion,
			       p->ret->approved ? "approved" : "rejected", p->ret->by.name);
	if (r < 0)
		return r;
	a->at_us = at_us;
	if (a->expires_at_us == 0 && a->lasts_us > 0)
		a->expires_at_us = at_us + a->lasts_us;
	json_auto_t *body = approval_json(a);
	return body ? decision_sign(body, p->key, ret, err) : err_oom(err);
}

int approval_append(Store *s, const SignKey *key, Approval *a, Approval *ret, Err *err)
{
	Append p = {.s = s, .key = key, .a = a, .ret = ret};
	if (!*a->promotion || strlen(a->digest) != HASH_HEX_SIZE - 1)
		return err_set(err, -EINVAL, "a decision is about a promotion and its digest");
	if (a->baseline_version < 1)
		return err_set(err, -EINVAL,
			       "a decision is bound to a version of the baseline, and there is "
			       "none: no unit is adopted yet (dream adopt)");
	if (a->approved && a->expires_at_us == 0 && a->lasts_us <= 0)
		return err_set(err, -EINVAL, "an approval says until when it holds");
	int r = store_add_if(s, "approval", APPROVAL_SCHEMA, make, &p, &a->seq, err);
	if (r == 0)
		*ret = *a;
	return r;
}

/* --- Does it hold? --------------------------------------------------------------------------- */

int approval_holds(const Approval *a, const char *digest, int64_t baseline_version, int64_t now_us,
		   Err *err)
{
	char at[32];
	if (!a->approved)
		return err_set(err, -EPERM, "%s was rejected by %s%s%s", a->promotion, a->by.name,
			       *a->by.reason ? ": " : "", a->by.reason);
	if (strcmp(a->digest, digest) != 0)
		return err_set(err, -ESTALE,
			       "what %s approved is not this promotion: its content is another",
			       a->by.name);
	if (a->baseline_version != baseline_version)
		return err_set(
		    err, -ESTALE,
		    "it was approved for version %lld of the baseline, and production is "
		    "at version %lld: approve it again",
		    (long long)a->baseline_version, (long long)baseline_version);
	if (a->at_us > now_us + APPROVAL_SKEW_US) {
		time_rfc3339(a->at_us, at);
		return err_set(err, -EKEYEXPIRED,
			       "the approval is of %.19sZ, which is still to come: the clock was "
			       "set back; approve it again",
			       at);
	}
	if (a->expires_at_us <= now_us) {
		time_rfc3339(a->expires_at_us, at);
		return err_set(err, -EKEYEXPIRED,
			       "the approval of %s expired at %.19sZ: approve it again", a->by.name,
			       at);
	}
	return 0;
}
