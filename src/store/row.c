/* A trial in its three shapes: the value, the body of its record, the row of the projection. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "store/internal.h"

enum {
	EVIDENCE_MAX = RECORD_BODY_MAX / 2, /* of canonical text */
	NAME_MAX_LEN = 4096,
};

const char row_columns[] = "seq, at_us, experiment, purpose, epoch, evolution, ask, generation,"
			   " spica_id, outcome, feasible, fitness, fitness_se, params";

void store_trial_done(StoreTrial *t)
{
	free(t->experiment);
	free(t->purpose);
	free(t->origin);
	free(t->spica_id);
	json_decref(t->params);
	json_decref(t->mutations);
	free(t->evaluator);
	free(t->workload);
	json_decref(t->confirm);
	measurement_done(&t->m);
	*t = (StoreTrial){0};
}

/* --- To JSON --------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *s)
{
	return s ? js_text(s) : json_null();
}

static json_t *json_or_null(json_t *v)
{
	return v ? json_incref(v) : json_null();
}

/* Evidence that is too large to keep must not cost the trial itself. */
static void bound_evidence(json_t *measurement, bool *failed)
{
	const json_t *evidence = json_object_get(measurement, "evidence");
	if (!evidence || json_dumpb(evidence, NULL, 0, JSON_ENSURE_ASCII) <= EVIDENCE_MAX)
		return;
	json_t *note = json_object();
	js_set(note, "dropped", json_string("the evidence was too large to keep"), failed);
	js_set(measurement, "evidence", note, failed);
}

static json_t *trial_json(const StoreTrial *t)
{
	json_t *o = json_object(), *m = measurement_json(&t->m);
	bool failed = !o || !m;
	if (m)
		bound_evidence(m, &failed);
	js_set(o, "experiment", text_or_null(t->experiment), &failed);
	js_set(o, "epoch", json_integer(t->epoch), &failed);
	js_set(o, "evolution", json_integer(t->evolution), &failed);
	js_set(o, "ask", json_integer(t->ask), &failed);
	js_set(o, "purpose", text_or_null(t->purpose), &failed);
	js_set(o, "generation", json_integer(t->generation), &failed);
	js_set(o, "origin", text_or_null(t->origin), &failed);
	js_set(o, "spica_id", text_or_null(t->spica_id), &failed);
	js_set(o, "params", json_or_null(t->params), &failed);
	js_set(o, "config_hash", js_text(t->config_hash), &failed);
	js_set(o, "parents",
	       json_pack("[I, I]", (json_int_t)t->parents[0], (json_int_t)t->parents[1]), &failed);
	js_set(o, "mutations", json_or_null(t->mutations), &failed);
	js_set(o, "stage", json_string(stage_name(t->stage)), &failed);
	js_set(o, "evaluator", text_or_null(t->evaluator), &failed);
	js_set(o, "workload", text_or_null(t->workload), &failed);
	js_set(o, "all_services", json_boolean(t->all_services), &failed);
	js_set(o, "confirm", json_or_null(t->confirm), &failed);
	js_set(o, "fitness", json_real(t->fitness), &failed);
	js_set(o, "fitness_se", json_real(t->fitness_se), &failed);
	js_set(o, "feasible", json_boolean(t->feasible), &failed);
	js_set(o, "measurement", m, &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *parents_json(const StoreTrial *t)
{
	json_t *list = json_array();
	bool failed = !list;
	for (size_t i = 0; i < 2 && list; i++)
		if (t->parents[i] > 0)
			failed |= json_array_append_new(list, json_integer(t->parents[i])) < 0;
	if (failed) {
		json_decref(list);
		return NULL;
	}
	return list;
}

json_t *store_trial_json(const StoreTrial *t)
{
	char at[32];
	bool failed = false;
	json_auto_t *o = trial_json(t);
	time_rfc3339(t->at_us, at);
	js_set(o, "schema", json_string("dream.trial/v1"), &failed);
	js_set(o, "seq", json_integer(t->seq), &failed);
	js_set(o, "at", json_string(at), &failed);
	js_set(o, "parents", parents_json(t), &failed);
	return failed || !o ? NULL : json_incref(o);
}

int trial_to_body(const StoreTrial *t, char **ret, Err *err)
{
	if (!t->experiment || !t->purpose || !t->spica_id || !json_is_object(t->params) ||
	    !isfinite(t->fitness) || !isfinite(t->fitness_se))
		return err_set(err, -EINVAL,
			       "cannot keep a trial without experiment, purpose, spica_id, "
			       "parameters and a finite fitness");
	json_auto_t *o = trial_json(t);
	if (!o)
		return err_oom(err);
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(o, &text);
	return str_take(&text, ret) < 0 ? err_oom(err) : 0;
}

/* --- From JSON: other people's bytes --------------------------------------------------------- */

typedef struct Reader {
	const json_t *o;
	const char *bad; /* the first member that is missing or of a wrong kind */
	bool oom;
} Reader;

static const json_t *member(Reader *rd, const char *key, json_type type)
{
	const json_t *v = json_object_get(rd->o, key);
	if (v && json_typeof(v) == type)
		return v;
	if (!rd->bad)
		rd->bad = key;
	return NULL;
}

static bool is_null(const Reader *rd, const char *key)
{
	return json_is_null(json_object_get(rd->o, key));
}

static char *take_text(Reader *rd, const char *key, bool required)
{
	if (!required && is_null(rd, key))
		return NULL;
	const json_t *v = member(rd, key, JSON_STRING);
	if (v && json_string_length(v) > NAME_MAX_LEN && !rd->bad)
		rd->bad = key;
	if (!v || rd->bad)
		return NULL;
	char *s = strdup(json_string_value(v));
	rd->oom |= !s;
	return s;
}

static int64_t take_int(Reader *rd, const char *key, int64_t min)
{
	const json_t *v = member(rd, key, JSON_INTEGER);
	if (v && json_integer_value(v) < min && !rd->bad)
		rd->bad = key;
	return v ? json_integer_value(v) : 0;
}

static double take_real(Reader *rd, const char *key)
{
	const json_t *v = member(rd, key, JSON_REAL);
	return v ? json_real_value(v) : 0;
}

static bool take_bool(Reader *rd, const char *key)
{
	if (json_is_true(json_object_get(rd->o, key)))
		return true;
	(void)member(rd, key, JSON_FALSE);
	return false;
}

static json_t *take_object(Reader *rd, const char *key, bool required)
{
	if (!required && is_null(rd, key))
		return NULL;
	return json_incref((json_t *)(uintptr_t)member(rd, key, JSON_OBJECT));
}

static void take_parents(Reader *rd, int64_t ret[2])
{
	const json_t *v = member(rd, "parents", JSON_ARRAY);
	for (size_t i = 0; v && i < 2; i++) {
		const json_t *p = json_array_get(v, i);
		if ((!json_is_integer(p) || json_integer_value(p) < 0 || json_array_size(v) != 2) &&
		    !rd->bad)
			rd->bad = "parents";
		ret[i] = json_integer_value(p);
	}
}

static void take_names(Reader *rd, StoreTrial *t)
{
	const json_t *hash = member(rd, "config_hash", JSON_STRING);
	if (hash && json_string_length(hash) < sizeof(t->config_hash))
		memcpy(t->config_hash, json_string_value(hash), json_string_length(hash) + 1);
	else if (!rd->bad)
		rd->bad = "config_hash";
	const json_t *stage = member(rd, "stage", JSON_STRING);
	if (stage && !stage_from_name(json_string_value(stage), &t->stage) && !rd->bad)
		rd->bad = "stage";
	t->experiment = take_text(rd, "experiment", true);
	t->purpose = take_text(rd, "purpose", true);
	t->origin = take_text(rd, "origin", false);
	t->spica_id = take_text(rd, "spica_id", true);
	t->evaluator = take_text(rd, "evaluator", false);
	t->workload = take_text(rd, "workload", false);
}

static void take_rest(Reader *rd, StoreTrial *t)
{
	t->epoch = take_int(rd, "epoch", 0);
	t->evolution = take_int(rd, "evolution", 0);
	t->ask = take_int(rd, "ask", -1);
	t->generation = take_int(rd, "generation", 0);
	t->params = take_object(rd, "params", true);
	take_parents(rd, t->parents);
	t->mutations = take_object(rd, "mutations", false);
	t->all_services = take_bool(rd, "all_services");
	t->confirm = take_object(rd, "confirm", false);
	t->fitness = take_real(rd, "fitness");
	t->fitness_se = take_real(rd, "fitness_se");
	t->feasible = take_bool(rd, "feasible");
}

int store_trial_from_body(const char *body, size_t len, StoreTrial *ret, Err *err)
{
	json_auto_t *o = NULL;
	int r = js_parse(body, len, RECORD_BODY_MAX, &o, err);
	if (r < 0)
		return r;
	_cleanup_(store_trial_done) StoreTrial t = {.m = MEASUREMENT_INIT};
	Reader rd = {.o = o};
	take_names(&rd, &t);
	take_rest(&rd, &t);
	const json_t *m = member(&rd, "measurement", JSON_OBJECT);
	if (rd.oom)
		return err_oom(err);
	if (rd.bad)
		return err_set(err, -EBADMSG, "its %s is missing or wrong", rd.bad);
	r = measurement_from_json(m, &t.m, err);
	if (r < 0)
		return err_wrap(err, r, "its measurement is wrong");
	*ret = t;
	t = (StoreTrial){0};
	return 0;
}

/* --- The row --------------------------------------------------------------------------------- */

static int params_text(const StoreTrial *t, char **ret)
{
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(t->params, &text);
	return str_take(&text, ret);
}

static void bind_text(Stmt *st, int i, const char *text)
{
	sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

int row_insert(Store *s, const StoreTrial *t, Err *err)
{
	_cleanup_free_ char *params = NULL;
	if (params_text(t, &params) < 0)
		return err_oom(err);
	Stmt *st = s->stmt[STMT_TRIAL];
	sqlite3_bind_int64(st, 1, t->seq);
	sqlite3_bind_int64(st, 2, t->at_us);
	bind_text(st, 3, t->experiment);
	bind_text(st, 4, t->purpose);
	sqlite3_bind_int64(st, 5, t->epoch);
	sqlite3_bind_int64(st, 6, t->evolution);
	sqlite3_bind_int64(st, 7, t->ask);
	sqlite3_bind_int64(st, 8, t->generation);
	bind_text(st, 9, t->spica_id);
	bind_text(st, 10, outcome_name(t->m.outcome));
	sqlite3_bind_int64(st, 11, t->feasible);
	sqlite3_bind_double(st, 12, t->fitness);
	sqlite3_bind_double(st, 13, t->fitness_se);
	bind_text(st, 14, params);
	int rc = sqlite3_step(st);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE ? 0 : store_fail(s, rc, err, "cannot write the store %s", s->path);
}

static bool same_text(Stmt *st, int i, const char *want)
{
	const char *text = (const char *)sqlite3_column_text(st, i);
	return text && (size_t)sqlite3_column_bytes(st, i) == strlen(want) &&
	       memcmp(text, want, strlen(want)) == 0;
}

int row_equal(Stmt *st, const StoreTrial *t, const char **ret_column)
{
	_cleanup_free_ char *params = NULL;
	if (params_text(t, &params) < 0)
		return -ENOMEM;
	const struct {
		const char *name;
		bool same;
	} columns[] = {
	    {"seq", sqlite3_column_int64(st, 0) == t->seq},
	    {"at_us", sqlite3_column_int64(st, 1) == t->at_us},
	    {"experiment", same_text(st, 2, t->experiment)},
	    {"purpose", same_text(st, 3, t->purpose)},
	    {"epoch", sqlite3_column_int64(st, 4) == t->epoch},
	    {"evolution", sqlite3_column_int64(st, 5) == t->evolution},
	    {"ask", sqlite3_column_int64(st, 6) == t->ask},
	    {"generation", sqlite3_column_int64(st, 7) == t->generation},
	    {"spica_id", same_text(st, 8, t->spica_id)},
	    {"outcome", same_text(st, 9, outcome_name(t->m.outcome))},
	    {"feasible", sqlite3_column_int64(st, 10) == t->feasible},
	    {"fitness", !islessgreater(sqlite3_column_double(st, 11), t->fitness)},
	    {"fitness_se", !islessgreater(sqlite3_column_double(st, 12), t->fitness_se)},
	    {"params", same_text(st, 13, params)},
	};
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (!columns[i].same) {
			*ret_column = columns[i].name;
			return 0;
		}
	return 1;
}
