#include "daemon/status.h"

#include <string.h>

#include "base/json.h"
#include "daemon/files.h"
#include "rollout/baseline.h"

#define STATUS_SCHEMA "dream.status/v1"

static void add_problem(json_t *problems, const char *words, bool *failed)
{
	*failed |= json_array_append_new(problems, js_text(words)) < 0;
}

/* The generation that is in effect, and a change that is open. */
static void add_helper(const StatusSource *s, json_t *o, bool *failed)
{
	const json_t *change = json_object_get(s->helper, "change");
	const json_t *units = json_object_get(s->helper, "units");
	js_set(o, "current", s->helper ? js_text(js_str(s->helper, "current", "")) : json_null(),
	       failed);
	js_set(o, "change", change ? js_deep_copy(change) : json_null(), failed);
	js_set(o, "units", units ? js_deep_copy(units) : json_null(), failed);
}

static json_t *production_json(const StatusSource *s, json_t *problems, bool *failed)
{
	_cleanup_(baseline_done) Baseline b = {0};
	Err err = ERR_INIT;
	json_t *o = json_object();
	if (s->store && baseline_current(s->store, s->pinned_key_hex, &b, &err) < 0)
		add_problem(problems, err.msg, failed);
	js_set(o, "version", json_integer(b.version), failed);
	js_set(o, "since_us", b.version ? json_integer(b.at_us) : json_null(), failed);
	js_set(o, "generation", b.version ? js_text(b.generation) : json_null(), failed);
	js_set(o, "why", b.version ? js_text(b.why) : json_null(), failed);
	js_set(o, "by", b.version ? js_text(b.by) : json_null(), failed);
	js_set(o, "promotion", *b.promotion ? js_text(b.promotion) : json_null(), failed);
	js_set(o, "params", b.params ? js_deep_copy(b.params) : json_null(), failed);
	add_helper(s, o, failed);
	return o;
}

static json_t *waiting_json(const StatusSource *s, json_t *problems, bool *failed)
{
	json_t *list = NULL;
	Err err = ERR_INIT;
	if (!s->store)
		return json_array();
	if (promotions_waiting(s->store, s->plan, s->pinned_key_hex, s->now_us, &list, &err) == 0)
		return list;
	add_problem(problems, err.msg, failed);
	return json_array();
}

json_t *status_json(const StatusSource *s)
{
	bool failed = false;
	Pause p;
	json_t *o = json_object(), *problems = json_array();
	pause_read(s->state_dir, &p);
	js_set(o, "schema", js_text(STATUS_SCHEMA), &failed);
	js_set(o, "at_us", json_integer(s->now_us), &failed);
	js_set(o, "production", production_json(s, problems, &failed), &failed);
	js_set(o, "waiting", waiting_json(s, problems, &failed), &failed);
	js_set(o, "paused", pause_json(&p), &failed);
	js_set(o, "alerts", recent_read(s->state_dir), &failed);
	js_set(o, "problems", problems, &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}
