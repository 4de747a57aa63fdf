/* Reading. Every walk has its own statement, so that a callback may ask the store again. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "store/internal.h"

static int bind_params(Store *s, Stmt *st, const char *experiment, const char *purpose, Err *err)
{
	int i = experiment ? sqlite3_bind_parameter_index(st, ":experiment") : 0;
	int rc = i ? sqlite3_bind_text(st, i, experiment, -1, SQLITE_STATIC) : SQLITE_OK;
	i = purpose ? sqlite3_bind_parameter_index(st, ":purpose") : 0;
	if (rc == SQLITE_OK && i)
		rc = sqlite3_bind_text(st, i, purpose, -1, SQLITE_STATIC);
	return rc == SQLITE_OK ? 0 : store_fail(s, rc, err, "cannot read %s", s->path);
}

/* The end of a walk: an error of SQLite's, or what ended it. */
static int walk_end(Store *s, int rc, Err *err)
{
	return rc == SQLITE_DONE ? 0 : store_fail(s, rc, err, "cannot read %s", s->path);
}

/* --- Records --------------------------------------------------------------------------------- */

static char *column_copy(Stmt *st, int i)
{
	const char *text = (const char *)sqlite3_column_text(st, i);
	return text ? strdup(text) : NULL;
}

int record_from_row(Stmt *st, Record *ret)
{
	static const int types[] = {SQLITE_INTEGER, SQLITE_INTEGER, SQLITE_TEXT,
				    SQLITE_TEXT,    SQLITE_TEXT,    SQLITE_BLOB};
	for (int i = 0; i < 6; i++)
		if (sqlite3_column_type(st, i) != types[i])
			return 0;
	/* Text with a NUL in it would be cut short where the hash saw all of it. */
	for (int i = 2; i < 5; i++) {
		const char *text = (const char *)sqlite3_column_text(st, i);
		if (!text)
			return -ENOMEM;
		if (strlen(text) != (size_t)sqlite3_column_bytes(st, i))
			return 0;
	}
	if (sqlite3_column_bytes(st, 5) != HASH_SIZE)
		return 0;
	_cleanup_(record_done) Record r = {.seq = sqlite3_column_int64(st, 0),
					   .at_us = sqlite3_column_int64(st, 1),
					   .kind = column_copy(st, 2),
					   .schema = column_copy(st, 3),
					   .body = column_copy(st, 4)};
	if (!r.kind || !r.schema || !r.body)
		return -ENOMEM;
	memcpy(r.hash.b, sqlite3_column_blob(st, 5), HASH_SIZE);
	*ret = r;
	r = (Record){0};
	return 1;
}

static int give_record(Store *s, Stmt *st, StoreRecordFn *fn, void *userdata, Err *err)
{
	_cleanup_(record_done) Record rec = {0};
	json_auto_t *body = NULL;
	int r = record_from_row(st, &rec);
	if (r < 0)
		return err_oom(err);
	if (r > 0)
		r = js_parse(rec.body, strlen(rec.body), RECORD_BODY_MAX, &body, err);
	else
		r = err_set(err, -EBADMSG, "a column has the wrong type");
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return err_wrap(err, -EBADMSG, "record %lld of %s is damaged",
				(long long)sqlite3_column_int64(st, 0), s->path);
	return fn(userdata, &rec, body);
}

int store_records(Store *s, const char *kind, bool newest, int64_t limit, StoreRecordFn *fn,
		  void *userdata, Err *err)
{
	char sql[320];
	/* The second condition lets SQLite use the index of the few records that are no trials. */
	const char *where = !kind			 ? ""
			    : strcmp(kind, "trial") == 0 ? "WHERE kind = ?1"
							 : "WHERE kind = ?1 AND kind <> 'trial'";
	snprintf(sql, sizeof(sql),
		 "SELECT seq, at_us, kind, schema, body, hash FROM record %s ORDER BY seq %s "
		 "LIMIT %" PRId64,
		 where, newest ? "DESC" : "ASC", limit > 0 ? limit : -1);
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s, sql, &st, err), rc = SQLITE_DONE;
	if (r < 0)
		return r;
	if (kind && (rc = sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC)) != SQLITE_OK)
		return walk_end(s, rc, err);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		r = give_record(s, st, fn, userdata, err);
		if (r != 0)
			return r;
	}
	return walk_end(s, rc, err);
}

int store_record_hash(Store *s, int64_t seq, Hash *ret, Err *err)
{
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s, "SELECT hash FROM record WHERE seq = ?1", &st, err);
	if (r < 0)
		return r;
	int rc = sqlite3_bind_int64(st, 1, seq);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return store_fail(s, rc, err, "cannot read %s", s->path);
	if (sqlite3_column_type(st, 0) != SQLITE_BLOB || sqlite3_column_bytes(st, 0) != HASH_SIZE)
		return err_set(err, -EBADMSG, "record %" PRId64 " of %s is damaged", seq, s->path);
	memcpy(ret->b, sqlite3_column_blob(st, 0), HASH_SIZE);
	return 1;
}

/* --- Trials ---------------------------------------------------------------------------------- */

/* A text that is NULL may be one that SQLite had no memory for. */
static bool lacks_memory(Store *s)
{
	return sqlite3_errcode(s->db) == SQLITE_NOMEM;
}

/* From columns seq, at_us, body. */
static int trial_from_row(Store *s, Stmt *st, StoreTrial *ret, Err *err)
{
	const char *body = (const char *)sqlite3_column_text(st, 2);
	Err why = ERR_INIT;
	int r = body ? store_trial_from_body(body, (size_t)sqlite3_column_bytes(st, 2), ret, &why)
		: lacks_memory(s) ? -ENOMEM
				  : err_set(&why, -EBADMSG, "it has no body");
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		return err_set(err, -EBADMSG, "trial %lld of %s is damaged: %s",
			       (long long)sqlite3_column_int64(st, 0), s->path, why.msg);
	ret->seq = sqlite3_column_int64(st, 0);
	ret->at_us = sqlite3_column_int64(st, 1);
	return 0;
}

static void trial_sql(const TrialQuery *q, Str *sql)
{
	/* SQLite is told the way: it has no statistics, and for a long list it would sort what an
	 * index has in order. */
	str_addf(sql,
		 "SELECT t.seq, r.at_us, r.body FROM trial t %s CROSS JOIN record r"
		 " WHERE r.seq = t.seq",
		 q->best_first ? "INDEXED BY trial_best" : "");
	if (q->experiment)
		str_add(sql, " AND t.experiment = :experiment");
	if (q->purpose)
		str_add(sql, " AND t.purpose = :purpose");
	if (q->epoch)
		str_addf(sql, " AND t.epoch = %" PRId64, q->epoch);
	if (q->evolution)
		str_addf(sql, " AND t.evolution = %" PRId64, q->evolution);
	if (q->best_first)
		str_add(sql, " AND t.feasible = 1 AND t.outcome = 'ok'"
			     " ORDER BY t.fitness DESC, t.seq");
	else
		str_add(sql, " ORDER BY t.seq");
	if (q->limit > 0)
		str_addf(sql, " LIMIT %" PRId64, q->limit);
}

int store_trials(Store *s, const TrialQuery *q, StoreTrialFn *fn, void *userdata, Err *err)
{
	_cleanup_(str_done) Str sql = STR_INIT;
	_cleanup_(stmt_done) Stmt *st = NULL;
	trial_sql(q, &sql);
	if (sql.failed)
		return err_oom(err);
	int r = store_prepare(s, sql.s, &st, err), rc;
	if (r == 0)
		r = bind_params(s, st, q->experiment, q->purpose, err);
	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		_cleanup_(store_trial_done) StoreTrial t = {0};
		r = trial_from_row(s, st, &t, err);
		if (r == 0)
			r = fn(userdata, &t);
		if (r != 0)
			return r;
	}
	return walk_end(s, rc, err);
}

int store_told(Store *s, const char *experiment, StoreToldFn *fn, void *userdata, Err *err)
{
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s,
			      "SELECT seq, at_us, epoch, evolution, ask, params, outcome, fitness,"
			      " fitness_se FROM trial WHERE experiment = :experiment"
			      " AND purpose = 'search' ORDER BY seq",
			      &st, err);
	if (r == 0)
		r = bind_params(s, st, experiment, NULL, err);
	if (r < 0)
		return r;
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		StoreTold t = {.seq = sqlite3_column_int64(st, 0),
			       .at_us = sqlite3_column_int64(st, 1),
			       .epoch = sqlite3_column_int64(st, 2),
			       .evolution = sqlite3_column_int64(st, 3),
			       .ask = sqlite3_column_int64(st, 4),
			       .params = (const char *)sqlite3_column_text(st, 5),
			       .fitness = sqlite3_column_double(st, 7),
			       .fitness_se = sqlite3_column_double(st, 8)};
		const char *outcome = (const char *)sqlite3_column_text(st, 6);
		if ((!t.params || !outcome) && lacks_memory(s))
			return err_oom(err);
		if (!t.params || !outcome || !outcome_from_name(outcome, &t.outcome))
			return err_set(err, -EBADMSG, "trial %lld of %s is damaged",
				       (long long)t.seq, s->path);
		r = fn(userdata, &t);
		if (r != 0)
			return r;
	}
	return walk_end(s, rc, err);
}

static bool all_digits(const char *id)
{
	return *id && strspn(id, "0123456789") == strlen(id) && strlen(id) <= 18;
}

int store_trial(Store *s, const char *id, StoreTrial *ret, Err *err)
{
	/* A candidate may have several trials; the first one is where its story begins. */
	const char *sql = all_digits(id)
			      ? "SELECT seq, at_us, body FROM record WHERE kind = 'trial'"
				" AND seq = CAST(?1 AS INTEGER)"
			      : "SELECT r.seq, r.at_us, r.body FROM trial t JOIN record r"
				" ON r.seq = t.seq WHERE t.spica_id = ?1 ORDER BY t.seq LIMIT 1";
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s, sql, &st, err);
	if (r < 0)
		return r;
	int rc = sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return err_set(err, -ENOENT, "no trial is called '%s'", id);
	if (rc != SQLITE_ROW)
		return store_fail(s, rc, err, "cannot read %s", s->path);
	return trial_from_row(s, st, ret, err);
}
