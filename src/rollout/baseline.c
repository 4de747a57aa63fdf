/* What production should run: signed versions, each a record of its own. */
#include "rollout/baseline.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "record/decision.h"
#include "rollout/text.h"

enum {
	UNITS_MAX = 256,
	VALUES_MAX = 256, /* of one unit */
};

void baseline_done(Baseline *b)
{
	json_decref(b->params);
	json_decref(b->values);
	*b = (Baseline){0};
}

int baseline_copy(const Baseline *from, Baseline *ret)
{
	Baseline b = *from;
	b.params = from->params ? js_deep_copy(from->params) : NULL;
	b.values = from->values ? js_deep_copy(from->values) : NULL;
	if ((from->params && !b.params) || (from->values && !b.values)) {
		baseline_done(&b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

/* --- Values ---------------------------------------------------------------------------------- */

char *baseline_value_text(const json_t *v)
{
	char number[32];
	if (json_is_string(v))
		return str_fmt("%s", json_string_value(v));
	if (json_is_integer(v))
		return str_fmt("%" JSON_INTEGER_FORMAT, json_integer_value(v));
	if (json_is_boolean(v))
		return str_fmt("%s", json_is_true(v) ? "true" : "false");
	if (!json_is_real(v))
		return NULL;
	js_double(json_real_value(v), number);
	return str_fmt("%s", number);
}

/* Only what is written as a decimal number: strtod() alone also takes "nan" and "0x1p3". */
static bool is_decimal(const char *text, double *ret)
{
	char *end;
	if (!*text || strspn(text, "0123456789+-.eE") != strlen(text))
		return false;
	*ret = strtod(text, &end);
	return !*end && isfinite(*ret);
}

bool baseline_value_same(const char *a, const char *b)
{
	double x, y;
	if (strcmp(a, b) == 0)
		return true;
	return is_decimal(a, &x) && is_decimal(b, &y) && x == y;
}

static bool is_texts(const json_t *o)
{
	const char *key;
	json_t *v;
	if (!json_is_object(o) || json_object_size(o) > VALUES_MAX)
		return false;
	json_object_foreach ((json_t *)(uintptr_t)o, key, v)
		if (!*key || !json_is_string(v))
			return false;
	return true;
}

static bool is_values(const json_t *o)
{
	const char *unit;
	json_t *v;
	if (!json_is_object(o) || json_object_size(o) > UNITS_MAX)
		return false;
	json_object_foreach ((json_t *)(uintptr_t)o, unit, v)
		if (!*unit || !is_texts(v))
			return false;
	return true;
}

json_t *baseline_params_of(const json_t *values)
{
	json_t *o = json_object(), *of_unit, *v;
	const char *unit, *parameter;
	bool failed = !o;
	json_object_foreach ((json_t *)(uintptr_t)values, unit, of_unit)
		json_object_foreach (of_unit, parameter, v)
			if (!json_object_get(o, parameter))
				js_set(o, parameter, json_incref(v), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int baseline_from_helper_status(const json_t *status, Baseline *ret, Err *err)
{
	const char *current = js_str(status, "current", "");
	json_t *values = json_object_get(status, "values");
	if (!*current || !json_is_object(values) || json_object_size(values) == 0)
		return err_set(err, -ENODATA,
			       "nothing is adopted yet, so there is nothing that production should "
			       "run (`dream adopt`)");
	if (json_is_object(json_object_get(status, "change")))
		return err_set(
		    err, -EBUSY,
		    "a rollout is changing production: what runs now is not decided yet");
	if (strlen(current) >= sizeof(ret->generation) || !is_values(values))
		return err_set(err, -EBADMSG, "dream-helper's answer cannot be understood");
	Baseline b = {.why = "adopted", .values = js_deep_copy(values)};
	memcpy(b.generation, current, strlen(current) + 1);
	b.params = b.values ? baseline_params_of(b.values) : NULL;
	if (!b.params) {
		baseline_done(&b);
		return err_oom(err);
	}
	*ret = b;
	return 0;
}

/* --- As a record ----------------------------------------------------------------------------- */

static json_t *texts_or_empty(json_t *v)
{
	return v ? json_incref(v) : json_object();
}

json_t *baseline_json(const Baseline *b)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "schema", js_text(BASELINE_SCHEMA), &failed);
	js_set(o, "version", json_integer(b->version), &failed);
	js_set(o, "at_us", json_integer(b->at_us), &failed);
	js_set(o, "generation", js_text(b->generation), &failed);
	js_set(o, "params", texts_or_empty(b->params), &failed);
	js_set(o, "values", texts_or_empty(b->values), &failed);
	js_set(o, "why", js_text(b->why), &failed);
	js_set(o, "promotion", js_text(b->promotion), &failed);
	js_set(o, "by", js_text(b->by), &failed);
	js_set(o, "reason", js_text(b->reason), &failed);
	js_set(o, "of_version", json_integer(b->of_version), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

#define TAKE(member, name) text_take(body, name, b.member, sizeof(b.member))

/* The store is a file that others may have written: everything is checked. */
static int from_json(const json_t *body, Baseline *ret, Err *err)
{
	Baseline b = {.version = js_int(body, "version", 0),
		      .at_us = js_int(body, "at_us", -1),
		      .of_version = js_int(body, "of_version", -1)};
	json_t *params = json_object_get(body, "params"), *values = json_object_get(body, "values");
	bool ok = strcmp(js_str(body, "schema", ""), BASELINE_SCHEMA) == 0 && b.version > 0 &&
		  b.at_us >= 0 && b.of_version >= 0 && b.of_version < b.version &&
		  is_texts(params) && is_values(values) && TAKE(generation, "generation") &&
		  TAKE(why, "why") && TAKE(promotion, "promotion") && TAKE(by, "by") &&
		  TAKE(reason, "reason");
	if (!ok)
		return err_set(err, -EBADMSG, "it is no version of the baseline");
	b.params = json_incref(params);
	b.values = json_incref(values);
	int r = decision_digest(body, b.digest, err);
	if (r < 0)
		baseline_done(&b);
	else
		*ret = b;
	return r;
}
#undef TAKE

/* --- Reading --------------------------------------------------------------------------------- */

typedef struct Walk {
	const char *pinned_key;
	int64_t before; /* the version before this one */
	int64_t wanted; /* 0: every one is given; -1: the newest is kept */
	BaselineFn *fn;
	void *ctx;
	Baseline *ret;
	json_t *newest; /* to be verified when the walk is over */
	Err *err;
} Walk;

static int read_one(const Walk *w, const Record *r, const json_t *body, Baseline *ret)
{
	int e = from_json(body, ret, w->err);
	if (e < 0)
		return err_wrap(w->err, e, "record %lld", (long long)r->seq);
	if (ret->version == w->before + 1)
		return 0;
	e = err_set(w->err, -EBADMSG,
		    "record %lld is version %lld of the baseline, and the one before it is version "
		    "%lld: a version was put there again, or one is missing",
		    (long long)r->seq, (long long)ret->version, (long long)w->before);
	baseline_done(ret);
	return e;
}

static int verify(const json_t *body, const char *pinned_key, int64_t version, Err *err)
{
	int e = decision_verify(body, pinned_key, err);
	return e < 0 ? err_wrap(err, e, "version %lld of the baseline", (long long)version) : 0;
}

static int walk_one(void *userdata, const Record *r, const json_t *body)
{
	Walk *w = userdata;
	_cleanup_(baseline_done) Baseline b = {0};
	int e = read_one(w, r, body, &b);
	if (e < 0)
		return e;
	w->before = b.version;
	bool wanted = w->wanted == 0 || w->wanted == b.version;
	if (wanted && (e = verify(body, w->pinned_key, b.version, w->err)) < 0)
		return e;
	if (w->fn)
		return w->fn(w->ctx, &b);
	if (w->wanted > 0 && !wanted)
		return 0;
	json_decref(w->newest);
	w->newest = json_incref((json_t *)(uintptr_t)body);
	baseline_done(w->ret);
	*w->ret = b;
	b = (Baseline){0};
	return w->wanted > 0 ? 1 : 0;
}

/* The newest, with its order but without its signature looked at. */
static int read_newest(Store *s, Baseline *ret, json_t **ret_body, Err *err)
{
	Walk w = {.wanted = -1, .ret = ret, .err = err};
	*ret = (Baseline){0};
	int r = store_records(s, "baseline", false, 0, walk_one, &w, err);
	if (r < 0) {
		baseline_done(ret);
		json_decref(w.newest);
		return r;
	}
	*ret_body = w.newest;
	return 0;
}

int baseline_current(Store *s, const char *pinned_key_hex, Baseline *ret, Err *err)
{
	json_auto_t *body = NULL;
	int r = read_newest(s, ret, &body, err);
	if (r < 0 || ret->version == 0)
		return r;
	r = verify(body, pinned_key_hex, ret->version, err);
	if (r < 0)
		baseline_done(ret);
	return r;
}

int baseline_version(Store *s, const char *pinned_key_hex, int64_t version, Baseline *ret, Err *err)
{
	*ret = (Baseline){0};
	if (version < 1)
		return err_set(err, -ENOENT, "versions of the baseline count from 1");
	Walk w = {.pinned_key = pinned_key_hex, .wanted = version, .ret = ret, .err = err};
	int r = store_records(s, "baseline", false, 0, walk_one, &w, err);
	json_decref(w.newest);
	if (r < 0)
		baseline_done(ret);
	if (r == 0)
		return err_set(err, -ENOENT, "the baseline has no version %lld; its newest is %lld",
			       (long long)version, (long long)w.before);
	return r < 0 ? r : 0;
}

int baseline_walk(Store *s, const char *pinned_key_hex, BaselineFn *fn, void *ctx, Err *err)
{
	Walk w = {.pinned_key = pinned_key_hex, .fn = fn, .ctx = ctx, .err = err};
	return store_records(s, "baseline", false, 0, walk_one, &w, err);
}

/* --- Appending ------------------------------------------------------------------------------- */

typedef struct Append {
	Store *s;
	const SignKey *key;
	Baseline *b;
	bool first_only; /* -EEXIST when there is a version already */
} Append;

static int make(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	Append *a = userdata;
	_cleanup_(baseline_done) Baseline newest = {0};
	json_auto_t *there = NULL;
	int r = read_newest(a->s, &newest, &there, err);
	if (r < 0)
		return err_wrap(err, r, "cannot add a version of the baseline");
	if (a->first_only && newest.version > 0)
		return err_set(err, -EEXIST, "the baseline has a version already");
	a->b->version = newest.version + 1;
	a->b->at_us = at_us;
	json_auto_t *body = baseline_json(a->b);
	if (!body)
		return err_oom(err);
	r = decision_digest(body, a->b->digest, err);
	return r < 0 ? r : decision_sign(body, a->key, ret, err);
}

static int append(Store *s, const SignKey *key, Baseline *b, bool first_only, Err *err)
{
	Append a = {.s = s, .key = key, .b = b, .first_only = first_only};
	if (!b->params)
		b->params = baseline_params_of(b->values);
	if (!b->params)
		return err_oom(err);
	if (!is_texts(b->params) || (b->values && !is_values(b->values)))
		return err_set(err, -EINVAL, "the values of a baseline are texts");
	return store_add_if(s, "baseline", BASELINE_SCHEMA, make, &a, NULL, err);
}

int baseline_append(Store *s, const SignKey *key, Baseline *b, Err *err)
{
	return append(s, key, b, false, err);
}

int baseline_ensure(Store *s, const SignKey *key, const char *pinned_key_hex, const json_t *status,
		    const char *by, Baseline *ret, Err *err)
{
	int r = baseline_current(s, pinned_key_hex, ret, err);
	if (r < 0 || ret->version > 0 || !status)
		return r;
	_cleanup_(baseline_done) Baseline first = {0};
	r = baseline_from_helper_status(status, &first, err);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return r;
	(void)snprintf(first.by, sizeof(first.by), "%s", by);
	r = append(s, key, &first, true, err);
	if (r == -EEXIST) /* another process was first */
		return baseline_current(s, pinned_key_hex, ret, err);
	if (r < 0)
		return r;
	*ret = first;
	first = (Baseline){0};
	return 1;
}
