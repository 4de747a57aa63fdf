#pragma once
/* What the files of this folder share. */
#include <sqlite3.h>

#include "store/store.h"

typedef enum StoreStmt {
	STMT_HEAD,
	STMT_RECORD,
	STMT_TRIAL,
	STMT_MAX_,
} StoreStmt;

struct Store {
	sqlite3 *db;
	char *path; /* owned */
	StoreMode mode;
	const Clock *clock;	       /* borrowed */
	int lock_fd;		       /* of "<path>.lock"; -1 for a reader */
	int64_t patience_us;	       /* with whoever else writes; 0: as long as it takes */
	sqlite3_stmt *stmt[STMT_MAX_]; /* prepared once, for writing */
	int wal_frames, checkpoint_at; /* pages in the write-ahead log; when to empty it */
};

typedef sqlite3_stmt Stmt;

static inline void stmt_done(Stmt **p)
{
	sqlite3_finalize(*p);
}

/* What SQLite's answer means, in words: "<words>: the disk is full". Returns -errno. */
int store_fail(Store *s, int rc, Err *err, const char *fmt, ...) _printf_(4, 5);
int store_exec(Store *s, const char *sql, Err *err, const char *what) _must_check_;
int store_prepare(Store *s, const char *sql, Stmt **ret, Err *err) _must_check_;

/* --- schema.c: the tables, and the way from one version of them to the next --------------------
 */
enum {
	STORE_APPLICATION_ID = 0x44524d31, /* "DRM1" */
};
int schema_prepare(Store *s, Err *err) _must_check_; /* checks, and in STORE_WRITE creates */
/* 1: the tables, indexes and nothing else are there as this program makes them; 0: not, and
 * *ret_text says what. */
int schema_check(Store *s, char **ret_text, Err *err) _must_check_;

/* --- write.c ---------------------------------------------------------------------------------- */

/* Between lock and unlock no other process writes. Whoever waits longest is not overtaken for ever:
 * one process at a time stands in the doorway, and who leaves queues up behind it. */
int lock_open(const char *store_path, int *ret_fd, Err *err) _must_check_;
int lock_take(Store *s, Err *err) _must_check_;
void lock_drop(Store *s);

typedef struct WriteTx {
	Store *s;      /* NULL when there is none */
	int64_t seq;   /* of the last record */
	int64_t at_us; /* now */
	Hash hash;
} WriteTx;

int tx_begin(Store *s, WriteTx *ret, Err *err) _must_check_;
int tx_commit(WriteTx *tx, Err *err) _must_check_;
void tx_done(WriteTx *tx); /* undoes what was not committed */
/* `r` has kind, schema, body and at_us; gets its seq and hash. */
int tx_append(WriteTx *tx, Record *r, Err *err) _must_check_;

/* --- row.c: a trial as JSON, and as a row of the projection ------------------------------------
 */
#define TRIAL_SCHEMA "dream.trial/v1"
int trial_to_body(const StoreTrial *t, char **ret, Err *err) _must_check_;
int row_insert(Store *s, const StoreTrial *t, Err *err) _must_check_;
/* 1: the row that `st` stands on says what the trial says; 0: not, and *ret_column is the first
 * that differs. */
int row_equal(Stmt *st, const StoreTrial *t, const char **ret_column) _must_check_;
extern const char row_columns[]; /* in the order that row_equal() expects */

/* --- read.c ----------------------------------------------------------------------------------- */
/* Fills a Record from columns seq, at_us, kind, schema, body, hash; 0 on a row whose types are
 * wrong. */
int record_from_row(Stmt *st, Record *ret);
