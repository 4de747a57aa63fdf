/* A promotion that is not fit says why, once. */
#include <string.h>

#include "base/json.h"
#include "record/decision.h"
#include "rollout/fate.h"
#include "rollout/machine.h"

typedef struct Refuse {
	Store *s;
	const SignKey *key;
	const json_t *promotion;
	int64_t baseline_version;
	const Validation *v;
	json_t *failed_checks; /* names */
	bool said;
} Refuse;

static json_t *failed_checks(const Validation *v)
{
	json_t *list = json_array();
	bool failed = !list;
	for (size_t i = 0; i < v->n; i++)
		if (!v->checks[i].ok)
			failed |= json_array_append_new(list, js_text(v->checks[i].name)) < 0;
	if (failed) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* Its newest record, whatever it says. */
static int look(void *userdata, const Record *r, const json_t *body)
{
	Refuse *x = userdata;
	(void)r;
	if (strcmp(js_str(body, "promotion", ""), js_str(x->promotion, "id", "?")) != 0)
		return 0;
	x->said = strcmp(js_str(body, "result", ""), machine_result_name(RESULT_REFUSED)) == 0 &&
		  js_int(body, "baseline", -1) == x->baseline_version &&
		  json_equal(json_object_get(body, "failed"), x->failed_checks);
	return 1;
}

static json_t *body_of(const Refuse *x, int64_t at_us)
{
	_cleanup_(str_done) Str words = STR_INIT;
	bool failed = false;
	char at[32];
	time_rfc3339(at_us, at);
	validation_words(x->v, &words);
	json_t *o = json_object();
	js_set(o, "schema", js_text(ROLLOUT_SCHEMA), &failed);
	js_set(o, "rollout", js_text(""), &failed);
	js_set(o, "promotion", js_text(js_str(x->promotion, "id", "?")), &failed);
	js_set(o, "at", js_text(at), &failed);
	js_set(o, "phase", js_text(machine_phase_name(PHASE_ENDED)), &failed);
	js_set(o, "result", js_text(machine_result_name(RESULT_REFUSED)), &failed);
	js_set(o, "words", js_text(words.s ? words.s : ""), &failed);
	js_set(o, "baseline", json_integer(x->baseline_version), &failed);
	js_set(o, "failed", json_incref(x->failed_checks), &failed);
	js_set(o, "checks", validation_json(x->v), &failed);
	if (failed || words.failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int make(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	Refuse *x = userdata;
	int r = store_records(x->s, "rollout", true, 0, look, x, err);
	if (r < 0)
		return r;
	if (x->said)
		return 1;
	json_auto_t *body = body_of(x, at_us);
	return body ? decision_sign(body, x->key, ret, err) : err_oom(err);
}

int promotion_refuse(Store *s, const SignKey *key, const json_t *promotion,
		     int64_t baseline_version, const Validation *v, Err *err)
{
	json_auto_t *names = failed_checks(v);
	Refuse x = {.s = s,
		    .key = key,
		    .promotion = promotion,
		    .baseline_version = baseline_version,
		    .v = v,
		    .failed_checks = names};
	if (!names)
		return err_oom(err);
	int r = store_add_if(s, "rollout", ROLLOUT_SCHEMA, make, &x, NULL, err);
	return r < 0 ? r : !r;
}
