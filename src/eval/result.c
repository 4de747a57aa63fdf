/* From what evaluators report to a measurement. The seeds' flat results are first rewritten into
 * the protocol's form, and then go through the same strict reading as everything else. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/strings.h"
#include "eval/eval.h"

/* jansson walks objects through a pointer that is not const; nothing is changed. */
static json_t *iterable(const json_t *v)
{
	return (json_t *)(uintptr_t)v;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n >= k && strcmp(s + n - k, end) == 0;
}

/* --- The seeds' words ------------------------------------------------------------------------ */

typedef struct SeedStatus {
	const char *name;
	Outcome outcome;
	bool measured; /* the numbers beside it are measurements, not stand-ins */
	const char *reason;
} SeedStatus;

static const SeedStatus seed_statuses[] = {
    {"pass", OUTCOME_OK, true, NULL},
    {"success", OUTCOME_OK, true, NULL},
    {"fail", OUTCOME_UNHEALTHY, true, "the evaluator reports that the candidate failed"},
    {"invalid", OUTCOME_OUT_OF_BOUNDS, false,
     "the evaluator refused the candidate as out of its bounds"},
    {"invalid_production", OUTCOME_INFEASIBLE, false,
     "the evaluator's check against production refused the candidate"},
    {"error", OUTCOME_MEASURE_FAILED, false, "the evaluator reports an error"},
};

static int find_status(const json_t *result, SeedStatus *ret, Err *err)
{
	const json_t *v = json_object_get(result, "status");
	if (!v) { /* it returned, and raised nothing */
		*ret = (SeedStatus){"ok", OUTCOME_OK, true, NULL};
		return 0;
	}
	const char *name = json_string_value(v);
	for (size_t i = 0; name && i < sizeof(seed_statuses) / sizeof(*seed_statuses); i++)
		if (strcmp(name, seed_statuses[i].name) == 0) {
			*ret = seed_statuses[i];
			return 0;
		}
	Outcome o;
	if (!name || !outcome_from_name(name, &o))
		return err_set(err, -EBADMSG,
			       "its 'status' is none of pass, fail, invalid, invalid_production, "
			       "error and the outcomes (ok, oom, start_failed, ...)");
	*ret = (SeedStatus){name, o, true, NULL};
	return 0;
}

/* "gpu_utilization" was the memory in use as a share of the total. */
static const char *our_name(const char *seed_name)
{
	if (strcmp(seed_name, "gpu_utilization") == 0 ||
	    strcmp(seed_name, "gpu_utilization_pct") == 0)
		return "gpu_memory_pct";
	return seed_name;
}

static const char *unit_of(const char *name)
{
	if (ends_with(name, "_ms"))
		return "ms";
	if (ends_with(name, "_pct"))
		return "%";
	if (strcmp(name, "concurrent_capacity") == 0)
		return "requests";
	return "";
}

/* 999.0 stood for "no number" in latencies. */
static bool is_stand_in(const char *name, const json_t *v)
{
	return ends_with(name, "latency_ms") && json_is_number(v) && json_number_value(v) == 999.0;
}

/* --- Rewriting ------------------------------------------------------------------------------- */

typedef struct Rewrite {
	const json_t *from;
	json_t *metrics, *reported, *missing;
	bool failed;
} Rewrite;

static void rewrite_number(Rewrite *w, const char *key, const json_t *v)
{
	const char *name = our_name(key);
	if (name != key && json_object_get(w->from, name))
		return; /* it has both; the one under our name stands */
	json_t *x = json_object();
	js_set(x, "value", json_incref(iterable(v)), &w->failed);
	js_set(x, "unit", json_string(unit_of(name)), &w->failed);
	js_set(w->metrics, name, x, &w->failed);
}

static bool is_word_of_ours(const char *key)
{
	static const char *const words[] = {"status",  "reason",   "cause",	  "fitness",
					    "metrics", "evidence", "duration_us", NULL};
	return words_have(words, key);
}

static void rewrite_members(Rewrite *w, const json_t *from, bool measured)
{
	const char *key;
	json_t *v;

	w->from = from;
	json_object_foreach (iterable(from), key, v) {
		if (is_word_of_ours(key) || json_is_null(v))
			continue;
		if (measured && is_stand_in(key, v)) {
			w->failed |= json_array_append_new(w->missing, js_text(our_name(key))) < 0;
		} else if (measured && json_is_number(v) && metric_name_valid(our_name(key))) {
			rewrite_number(w, key, v);
		} else if (measured && json_is_number(json_object_get(v, "value"))) {
			js_set(w->metrics, our_name(key), json_incref(v), &w->failed);
		} else {
			js_set(w->reported, key, json_incref(v), &w->failed);
		}
	}
}

static json_t *evidence_of(Rewrite *w, const json_t *result)
{
	const json_t *given = json_object_get(result, "evidence");
	const json_t *fitness = json_object_get(result, "fitness");
	json_t *e = json_is_object(given) ? js_copy(given) : json_object();

	if (json_is_number(fitness))
		js_set(e, "reported_fitness", json_incref(iterable(fitness)), &w->failed);
	if (json_object_size(w->reported) > 0)
		js_set(e, "reported", json_incref(w->reported), &w->failed);
	if (json_array_size(w->missing) > 0)
		js_set(e, "missing", json_incref(w->missing), &w->failed);
	return e;
}

static json_t *rewrite(const json_t *result, const SeedStatus *s)
{
	Rewrite w = {.metrics = json_object(), .reported = json_object(), .missing = json_array()};
	const json_t *nested = json_object_get(result, "metrics");
	const json_t *reason = json_object_get(result, "reason");
	const json_t *cause = json_object_get(result, "cause");
	const json_t *oom;
	Outcome outcome = s->outcome;

	rewrite_members(&w, json_is_object(nested) ? nested : result, s->measured);
	oom = json_object_get(json_object_get(w.metrics, "oom_events"), "value");
	if (outcome == OUTCOME_UNHEALTHY && json_number_value(oom) > 0)
		outcome = OUTCOME_OOM;

	json_t *o = json_object();
	js_set(o, "status", json_string(outcome_name(outcome)), &w.failed);
	if (cause)
		js_set(o, "cause", json_incref(iterable(cause)), &w.failed);
	if (reason)
		js_set(o, "reason", json_incref(iterable(reason)), &w.failed);
	else if (s->reason)
		js_set(o, "reason", json_string(s->reason), &w.failed);
	js_set(o, "evidence", evidence_of(&w, result), &w.failed);
	js_set(o, "metrics", w.metrics, &w.failed);
	json_decref(w.reported);
	json_decref(w.missing);
	if (w.failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* --- What makes no sense ---------------------------------------------------------------------- */

static const char *const never_negative[] = {
    "stt_latency_ms", "llm_latency_ms", "concurrent_capacity",
    "oom_events",     "gpu_memory_pct", "wer_pct",
};

static int check_sense(const Measurement *m, Err *err)
{
	if (m->outcome == OUTCOME_OK && m->n_metrics == 0)
		return err_set(err, -EBADMSG, "it says ok and has no number at all");
	for (size_t i = 0; i < sizeof(never_negative) / sizeof(*never_negative); i++) {
		const Metric *x = measurement_get(m, never_negative[i]);
		if (x && x->value < 0)
			return err_set(err, -EBADMSG, "its %s is below zero (%g)", x->name,
				       x->value);
	}
	return 0;
}

static int read_strictly(const json_t *v, Measurement *ret, Err *err)
{
	Measurement m = MEASUREMENT_INIT;
	int r = measurement_from_json(v, &m, err);
	if (r >= 0)
		r = check_sense(&m, err);
	if (r < 0) {
		measurement_done(&m);
		return r;
	}
	*ret = m;
	return 0;
}

int eval_seed_result(const json_t *result, Measurement *ret, Err *err)
{
	SeedStatus status = {0};

	if (!json_is_object(result))
		return err_set(err, -EBADMSG, "it is not an object");
	int r = find_status(result, &status, err);
	if (r < 0)
		return r;
	json_auto_t *v = rewrite(result, &status);
	if (!v)
		return err_oom(err);
	return read_strictly(v, ret, err);
}

/* The protocol's own form: an outcome for a status, and numbers under `metrics` if it is ok. */
static bool is_ours(const json_t *result)
{
	Outcome o;
	const char *status = json_string_value(json_object_get(result, "status"));
	return status && outcome_from_name(status, &o) &&
	       (o != OUTCOME_OK || json_object_get(result, "metrics"));
}

int eval_result(const json_t *result, Measurement *ret, Err *err)
{
	return is_ours(result) ? read_strictly(result, ret, err)
			       : eval_seed_result(result, ret, err);
}
