/* Is everything as it was written? The file by SQLite's own check, the tables by their definition,
 * the records by their chain, the projection by the records. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "record/chain.h"
#include "store/internal.h"

typedef struct Walk {
	Store *s;
	Chain *chain;	/* owned */
	Stmt *records;	/* owned */
	Stmt *rows;	/* owned: the projection, in the same order */
	bool row_ready; /* `rows` stands on a row that was not compared yet */
	char *fault;	/* owned: about the projection; the chain's own faults come first */
} Walk;

static void walk_done(Walk *w)
{
	chain_free(w->chain);
	sqlite3_finalize(w->records);
	sqlite3_finalize(w->rows);
	free(w->fault);
}

static int read_failed(Walk *w, int rc, Err *err)
{
	return store_fail(w->s, rc, err, "cannot verify %s", w->s->path);
}

static int next_row(Walk *w, Err *err)
{
	int rc = sqlite3_step(w->rows);
	w->row_ready = rc == SQLITE_ROW;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : read_failed(w, rc, err);
}

static int set_fault(Walk *w, char *text, Err *err)
{
	w->fault = text;
	return text ? 0 : err_oom(err);
}

static int fault_no_record(Walk *w, Err *err)
{
	return set_fault(w,
			 str_fmt("the table of trials lists trial %lld, of which there is no "
				 "record",
				 (long long)sqlite3_column_int64(w->rows, 0)),
			 err);
}

/* The row of the projection that belongs to a trial's record says the same. */
static int compare_row(Walk *w, const Record *r, Err *err)
{
	int64_t at = w->row_ready ? sqlite3_column_int64(w->rows, 0) : INT64_MAX;
	if (at < r->seq)
		return fault_no_record(w, err);
	if (at > r->seq)
		return set_fault(w,
				 str_fmt("record %" PRId64 " is a trial that the table of trials "
					 "does not list",
					 r->seq),
				 err);
	_cleanup_(store_trial_done) StoreTrial t = {0};
	Err why = ERR_INIT;
	const char *column = "";
	int e = store_trial_from_body(r->body, strlen(r->body), &t, &why);
	if (e == -ENOMEM)
		return err_oom(err);
	if (e < 0)
		return set_fault(
		    w,
		    str_fmt("record %" PRId64 " is no trial that can be read: %s", r->seq, why.msg),
		    err);
	t.seq = r->seq;
	t.at_us = r->at_us;
	e = row_equal(w->rows, &t, &column);
	if (e < 0)
		return err_oom(err);
	if (e == 0)
		return set_fault(w,
				 str_fmt("the table of trials differs from record %" PRId64
					 ": its %s was changed",
					 r->seq, column),
				 err);
	return next_row(w, err);
}

/* 1: the verdict on the chain is known. */
static int walk_record(Walk *w, Err *err)
{
	_cleanup_(record_done) Record r = {0};
	int e = record_from_row(w->records, &r);
	if (e < 0)
		return err_oom(err);
	if (e == 0)
		return set_fault(w,
				 str_fmt("record %lld was changed: a column has the wrong type",
					 (long long)sqlite3_column_int64(w->records, 0)),
				 err) < 0
			   ? -ENOMEM
			   : 1;
	e = chain_feed(w->chain, &r, err);
	if (e != 0 || w->fault || strcmp(r.kind, "trial") != 0)
		return e;
	return compare_row(w, &r, err);
}

static int walk_all(Walk *w, const ChainSpec *spec, Err *err)
{
	_cleanup_free_ char *rows = str_fmt("SELECT %s FROM trial ORDER BY seq", row_columns);
	if (!rows)
		return err_oom(err);
	int r = chain_new(spec, &w->chain, err);
	if (r == 0)
		r = store_prepare(w->s,
				  "SELECT seq, at_us, kind, schema, body, hash FROM record"
				  " ORDER BY seq",
				  &w->records, err);
	if (r == 0)
		r = store_prepare(w->s, rows, &w->rows, err);
	if (r == 0)
		r = next_row(w, err);
	int rc = SQLITE_DONE;
	while (r == 0 && (rc = sqlite3_step(w->records)) == SQLITE_ROW)
		r = walk_record(w, err);
	if (r < 0)
		return r;
	if (r == 0 && rc != SQLITE_DONE)
		return read_failed(w, rc, err);
	return r == 0 && !w->fault && w->row_ready ? fault_no_record(w, err) : 0;
}

/* What the walk found: the chain's fault before the projection's. */
static int judge(Walk *w, char **ret_text, Err *err)
{
	_cleanup_free_ char *text = NULL;
	int r = chain_finish(w->chain, &text, err);
	if (r == 0 && w->fault) {
		free(text);
		text = TAKE_PTR(w->fault);
		r = err_set(err, -EBADMSG, "%s", text);
	}
	if (r == 0 || r == -EBADMSG)
		*ret_text = TAKE_PTR(text);
	return r;
}

/* 0, or -EBADMSG and SQLite's own words about the file instead of what *ret_text was. */
static int check_file(Store *s, char **ret_text, Err *err)
{
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s, "PRAGMA integrity_check(1)", &st, err);
	if (r < 0)
		return r;
	int rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		return store_fail(s, rc, err, "cannot verify %s", s->path);
	const char *says = (const char *)sqlite3_column_text(st, 0);
	if (says && strcmp(says, "ok") == 0)
		return 0;
	free(*ret_text);
	*ret_text = str_fmt("the database file is damaged: %s", says ? says : "unreadable");
	return *ret_text ? err_set(err, -EBADMSG, "%s", *ret_text) : err_oom(err);
}

static int verify_chain(Store *s, const ChainSpec *spec, char **ret_text, Err *err)
{
	_cleanup_(walk_done) Walk w = {.s = s};
	int r = walk_all(&w, spec, err);
	return r < 0 ? r : judge(&w, ret_text, err);
}

/* The chain before the file, for it can name a record. */
static int verify_all(Store *s, const ChainSpec *spec, char **ret_text, Err *err)
{
	int r = schema_check(s, ret_text, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, -EBADMSG, "%s", *ret_text);
	r = verify_chain(s, spec, ret_text, err);
	bool unreadable = r == -EBADMSG && !*ret_text;
	if (r == 0 || unreadable) {
		int file = check_file(s, ret_text, err);
		r = r == 0 ? file : r;
	}
	return r;
}

int store_verify(Store *s, const char *pinned_key_hex, int64_t head_seq, const Hash *head,
		 char **ret_text, Err *err)
{
	ChainSpec spec = {.pinned_key_hex = pinned_key_hex, .head_seq = head_seq, .head = head};
	char *text = NULL;
	/* One moment of the store, whatever others append meanwhile. */
	int r = store_exec(s, "BEGIN", err, "verify");
	if (r == 0) {
		r = verify_all(s, &spec, &text, err);
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	}
	if (r == -EBADMSG && !text)
		text = strdup("the database file is damaged beyond reading");
	if (r != 0 && r != -EBADMSG) {
		free(text);
		return r;
	}
	if (!text)
		return err_oom(err);
	*ret_text = text;
	return r;
}

/* --- Building the projection anew ------------------------------------------------------------- */

typedef struct Rebuild {
	Store *s;
	Err *err;
} Rebuild;

static int rebuild_row(void *userdata, const Record *r, const json_t *body)
{
	Rebuild *b = userdata;
	(void)body;
	_cleanup_(store_trial_done) StoreTrial t = {0};
	int e = store_trial_from_body(r->body, strlen(r->body), &t, b->err);
	if (e < 0)
		return err_wrap(b->err, e, "record %lld", (long long)r->seq);
	t.seq = r->seq;
	t.at_us = r->at_us;
	return row_insert(b->s, &t, b->err);
}

int store_rebuild(Store *s, Err *err)
{
	_cleanup_(tx_done) WriteTx tx = {0};
	Rebuild b = {.s = s, .err = err};
	int r = tx_begin(s, &tx, err);
	if (r == 0)
		r = store_exec(s, "DELETE FROM trial", err, "rebuild the tables of");
	if (r == 0)
		r = store_records(s, "trial", false, 0, rebuild_row, &b, err);
	return r < 0 ? r : tx_commit(&tx, err);
}
