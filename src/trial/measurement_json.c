/* A measurement as JSON and back. What comes back may have been written by any program: every
 * member is checked for its type and size, and text that reaches a terminal loses its control
 * characters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "trial/trial.h"

enum {
	REASON_MAX = 4096,	    /* bytes; longer ones are cut */
	EVIDENCE_NODES_MAX = 20000, /* values inside `evidence`, at any depth */
	EVIDENCE_DEPTH_MAX = 32,
	EVIDENCE_BYTES_MAX = 1 << 20, /* of all its strings and keys */
};

/* --- Writing --------------------------------------------------------------------------------- */

static json_t *metric_json(const Metric *x)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "value", js_number(x->value), &failed);
	if (x->unit[0])
		js_set(o, "unit", js_text(x->unit), &failed);
	if (x->n > 0)
		js_set(o, "n", json_integer(x->n), &failed);
	if (x->se > 0)
		js_set(o, "se", js_number(x->se), &failed);
	if (isfinite(x->lo) && isfinite(x->hi))
		js_set(o, "ci95", json_pack("[o, o]", js_number(x->lo), js_number(x->hi)), &failed);
	if (failed)
		json_decref(TAKE_PTR(o));
	return o;
}

json_t *measurement_json(const Measurement *m)
{
	bool failed = false;
	json_t *o = json_object(), *metrics = json_object();
	for (size_t i = 0; i < m->n_metrics; i++)
		js_set(metrics, m->metrics[i].name, metric_json(&m->metrics[i]), &failed);

	js_set(o, "status", js_text(outcome_name(m->outcome)), &failed);
	if (m->cause[0])
		js_set(o, "cause", js_text(m->cause), &failed);
	if (m->reason)
		js_set(o, "reason", js_text(m->reason), &failed);
	js_set(o, "metrics", metrics, &failed);
	if (m->evidence)
		js_set(o, "evidence", json_incref(m->evidence), &failed);
	js_set(o, "duration_us", json_integer(m->duration_us), &failed);
	if (failed)
		json_decref(TAKE_PTR(o));
	return o;
}

/* --- Reading --------------------------------------------------------------------------------- */

/* jansson walks objects through a pointer that is not const; nothing is changed. */
static json_t *iterable(const json_t *v)
{
	return (json_t *)(uintptr_t)v;
}

static int bad(Err *err, const char *what, const char *want)
{
	return err_set(err, -EBADMSG, "the result's '%s' is not %s", what, want);
}

static int read_count(const json_t *o, const char *key, int64_t *ret, Err *err)
{
	const json_t *v = json_object_get(o, key);
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return bad(err, key, "a whole number of at least 0");
	*ret = json_integer_value(v);
	return 0;
}

static int read_interval(const json_t *v, Metric *x)
{
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_array(v) || json_array_size(v) != 2 || !json_is_number(json_array_get(v, 0)) ||
	    !json_is_number(json_array_get(v, 1)))
		return -EBADMSG;
	x->lo = json_number_value(json_array_get(v, 0));
	x->hi = json_number_value(json_array_get(v, 1));
	/* Two NANs would mean "unknown" to measurement_set(). */
	return isfinite(x->lo) && isfinite(x->hi) ? 0 : -EBADMSG;
}

static int read_metric_object(const char *name, const json_t *v, Metric *x, Err *err)
{
	const char *key;
	const json_t *member;
	json_object_foreach (iterable(v), key, member) {
		if (strcmp(key, "value") != 0 && strcmp(key, "unit") != 0 &&
		    strcmp(key, "n") != 0 && strcmp(key, "se") != 0 && strcmp(key, "ci95") != 0)
			return err_set(err, -EBADMSG,
				       "the result's metric '%s' has a member other than value, "
				       "unit, n, se and ci95",
				       name);
	}
	const json_t *unit = json_object_get(v, "unit"), *se = json_object_get(v, "se");
	if (unit && !json_is_null(unit)) {
		if (!json_is_string(unit) || !metric_unit_valid(json_string_value(unit)))
			return bad(err, name, "a metric whose unit is a short plain word");
		snprintf(x->unit, sizeof(x->unit), "%s", json_string_value(unit));
	}
	if (se && !json_is_null(se)) {
		if (!json_is_number(se))
			return bad(err, name, "a metric whose standard error is a number");
		x->se = json_number_value(se);
	}
	if (read_interval(json_object_get(v, "ci95"), x) < 0)
		return bad(err, name, "a metric whose ci95 is [low, high], or absent");
	return read_count(v, "n", &x->n, err);
}

/* A value of null says that there is no number: the metric stays missing. */
static int read_metric(Measurement *m, const char *name, const json_t *v, Err *err)
{
	if (!metric_name_valid(name))
		return err_set(err, -EBADMSG,
			       "the result names a metric that is not 1 to %d letters, digits or "
			       "_.%%/-",
			       METRIC_NAME_MAX - 1);
	Metric x = {.lo = (double)NAN, .hi = (double)NAN};
	snprintf(x.name, sizeof(x.name), "%s", name);
	const json_t *value = v;
	if (json_is_object(v)) {
		int r = read_metric_object(name, v, &x, err);
		if (r < 0)
			return r;
		value = json_object_get(v, "value");
	}
	if (json_is_null(value))
		return 0;
	if (!json_is_number(value))
		return bad(err, name, "a number, or an object with a number called value");
	x.value = json_number_value(value);
	int r = measurement_set(m, &x, err);
	return r == -ENOMEM ? r : r < 0 ? err_wrap(err, -EBADMSG, "the result is not usable") : 0;
}

static int read_metrics(Measurement *m, const json_t *v, Err *err)
{
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return bad(err, "metrics", "an object of numbers by name");
	const char *name;
	const json_t *value;
	json_object_foreach (iterable(v), name, value) {
		int r = read_metric(m, name, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Control characters, C1 ones in UTF-8 too, could move a terminal's cursor or end a log line. */
static char *readable_copy(const char *text)
{
	size_t len = strlen(text);
	if (len > REASON_MAX)
		for (len = REASON_MAX; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	char *copy = strndup(text, len);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)copy[i], next = (unsigned char)copy[i + 1];
		if (c < 0x20 || c == 0x7f)
			copy[i] = ' ';
		else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
			copy[i] = copy[i + 1] = ' ';
	}
	return copy;
}

static int read_words(Measurement *m, const json_t *o, Err *err)
{
	const json_t *cause = json_object_get(o, "cause"), *reason = json_object_get(o, "reason");
	if (cause && !json_is_null(cause)) {
		const char *s = json_string_value(cause);
		if (!s || strlen(s) >= CAUSE_MAX ||
		    s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")])
			return bad(err, "cause", "a short word like kv_cache");
		snprintf(m->cause, sizeof(m->cause), "%s", s);
	}
	if (reason && !json_is_null(reason)) {
		if (!json_is_string(reason))
			return bad(err, "reason", "a text");
		m->reason = readable_copy(json_string_value(reason));
		if (!m->reason)
			return err_oom(err);
	}
	return 0;
}

static bool small_enough(const json_t *v, unsigned depth, size_t *nodes, size_t *bytes)
{
	if (depth > EVIDENCE_DEPTH_MAX || ++*nodes > EVIDENCE_NODES_MAX)
		return false;
	if (json_is_string(v))
		*bytes += json_string_length(v);
	const char *key;
	const json_t *member;
	json_object_foreach (iterable(v), key, member) {
		*bytes += strlen(key);
		if (!small_enough(member, depth + 1, nodes, bytes))
			return false;
	}
	size_t i;
	json_array_foreach (v, i, member) {
		if (!small_enough(member, depth + 1, nodes, bytes))
			return false;
	}
	return *bytes <= EVIDENCE_BYTES_MAX;
}

static int read_evidence(Measurement *m, const json_t *v, Err *err)
{
	if (!v || json_is_null(v))
		return 0;
	size_t nodes = 0, bytes = 0;
	if (!json_is_object(v))
		return bad(err, "evidence", "an object");
	if (!small_enough(v, 0, &nodes, &bytes))
		return bad(err, "evidence", "small enough (1 MiB, 20000 values, 32 levels)");
	m->evidence = js_deep_copy(v);
	return m->evidence ? 0 : err_oom(err);
}

static int read_all(Measurement *m, const json_t *v, Err *err)
{
	if (!json_is_object(v))
		return err_set(err, -EBADMSG, "the result is not a JSON object");
	const char *status = json_string_value(json_object_get(v, "status"));
	if (!status || !outcome_from_name(status, &m->outcome))
		return bad(err, "status", "one of the outcomes (ok, oom, start_failed, ...)");
	int r = read_words(m, v, err);
	if (r == 0)
		r = read_count(v, "duration_us", &m->duration_us, err);
	if (r == 0)
		r = read_metrics(m, json_object_get(v, "metrics"), err);
	if (r == 0)
		r = read_evidence(m, json_object_get(v, "evidence"), err);
	return r;
}

int measurement_from_json(const json_t *v, Measurement *ret, Err *err)
{
	Measurement m = MEASUREMENT_INIT;
	int r = read_all(&m, v, err);
	if (r < 0) {
		measurement_done(&m);
		return r;
	}
	*ret = m;
	return 0;
}
