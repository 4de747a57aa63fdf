/* Appending. SQLite lets one process write at a time and has the others poll; here they queue on a
 * kernel lock, so nobody sleeps while the store is free and nobody is passed over for long. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "record/chain.h"
#include "store/internal.h"

enum {
	BYTE_DOORWAY, /* held while waiting for the store: one process at a time */
	BYTE_STORE,   /* held while writing */
	CHECKPOINT_STEP = 2000,
	LOCK_STEP_MS = 2,
};

static const char *const stmt_sql[STMT_MAX_] = {
    [STMT_HEAD] = "SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1",
    [STMT_RECORD] = "INSERT INTO record (seq, at_us, kind, schema, body, hash)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STMT_TRIAL] = "INSERT INTO trial (seq, at_us, experiment, purpose, epoch, evolution, ask,"
		   " generation, spica_id, outcome, feasible, fitness, fitness_se, params)"
		   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
};

int lock_open(const char *store_path, int *ret_fd, Err *err)
{
	_cleanup_free_ char *path = str_fmt("%s.lock", store_path);
	if (!path)
		return err_oom(err);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return err_set(err, -errno, "cannot write the store %s: its lock file %s: %s",
			       store_path, path, strerror(errno));
	file_give(fd, path);
	*ret_fd = fd;
	return 0;
}

/* Of the open file, not of the process: it goes with the descriptor, and two stores open in one
 * process keep each other out too. */
static int lock_byte(int fd, int byte, short type, bool wait)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int r;
	do
		r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* Whoever holds it may stand still. The kernel knows no wait with an end, so it is asked again. */
static int lock_patiently(const Store *s, int byte, int64_t until_us)
{
	int r;
	if (s->patience_us <= 0)
		return lock_byte(s->lock_fd, byte, F_WRLCK, true);
	while ((r = lock_byte(s->lock_fd, byte, F_WRLCK, false)) == -EAGAIN || r == -EACCES) {
		if (clock_mono_us(&clock_system) >= until_us)
			return -EBUSY;
		(void)poll(NULL, 0, LOCK_STEP_MS);
	}
	return r;
}

int lock_take(Store *s, Err *err)
{
	int64_t until_us = clock_mono_us(&clock_system) + s->patience_us;
	int r = lock_patiently(s, BYTE_DOORWAY, until_us);
	if (r == 0) {
		r = lock_patiently(s, BYTE_STORE, until_us);
		(void)lock_byte(s->lock_fd, BYTE_DOORWAY, F_UNLCK, false);
	}
	if (r == -EBUSY)
		return err_set(err, r, "cannot lock the store %s: somebody else is writing to it",
			       s->path);
	return r < 0 ? err_set(err, r, "cannot lock the store %s: %s", s->path, strerror(-r)) : 0;
}

void lock_drop(Store *s)
{
	(void)lock_byte(s->lock_fd, BYTE_STORE, F_UNLCK, false);
}

static int prepare_all(Store *s, Err *err)
{
	for (int i = 0; i < STMT_MAX_; i++) {
		if (s->stmt[i])
			continue;
		int rc = sqlite3_prepare_v3(s->db, stmt_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
					    &s->stmt[i], NULL);
		if (rc != SQLITE_OK)
			return store_fail(s, rc, err, "cannot write the store %s", s->path);
	}
	return 0;
}

static int read_head(Store *s, Stmt *st, int64_t *ret_seq, Hash *ret, Err *err)
{
	int rc = sqlite3_step(st), r = 0;
	if (rc == SQLITE_DONE) {
		*ret_seq = 0;
		*ret = (Hash){0};
	} else if (rc != SQLITE_ROW) {
		r = store_fail(s, rc, err, "cannot read %s", s->path);
	} else if (sqlite3_column_type(st, 1) != SQLITE_BLOB ||
		   sqlite3_column_bytes(st, 1) != HASH_SIZE ||
		   sqlite3_column_int64(st, 0) == INT64_MAX) {
		r = err_set(err, -EBADMSG,
			    "%s is damaged: its last record has no hash; `dream lineage verify` "
			    "says more",
			    s->path);
	} else {
		*ret_seq = sqlite3_column_int64(st, 0);
		memcpy(ret->b, sqlite3_column_blob(st, 1), HASH_SIZE);
	}
	sqlite3_reset(st);
	return r;
}

int store_head(Store *s, int64_t *ret_seq, Hash *ret, Err *err)
{
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s, stmt_sql[STMT_HEAD], &st, err);
	return r < 0 ? r : read_head(s, st, ret_seq, ret, err);
}

int tx_begin(Store *s, WriteTx *ret, Err *err)
{
	if (s->mode != STORE_WRITE)
		return err_set(err, -EROFS, "cannot write the store %s: it was opened for reading",
			       s->path);
	int r = prepare_all(s, err);
	if (r == 0)
		r = lock_take(s, err);
	if (r < 0)
		return r;
	int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		lock_drop(s);
		return store_fail(s, rc, err, "cannot write the store %s", s->path);
	}
	_cleanup_(tx_done) WriteTx tx = {.s = s, .at_us = clock_now_us(s->clock)};
	r = read_head(s, s->stmt[STMT_HEAD], &tx.seq, &tx.hash, err);
	if (r < 0)
		return r;
	*ret = tx;
	tx.s = NULL;
	return 0;
}

void tx_done(WriteTx *tx)
{
	if (!tx->s)
		return;
	if (!sqlite3_get_autocommit(tx->s->db))
		sqlite3_exec(tx->s->db, "ROLLBACK", NULL, NULL, NULL);
	lock_drop(tx->s);
	tx->s = NULL;
}

/* The log is emptied into the database by whoever finds it long, while nobody else writes: only
 * then can it start again from its beginning. A failure costs nothing but a longer log. */
static void checkpoint(Store *s)
{
	if (s->wal_frames < CHECKPOINT_STEP)
		s->checkpoint_at = CHECKPOINT_STEP;
	if (s->wal_frames < s->checkpoint_at)
		return;
	sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	s->checkpoint_at = s->wal_frames + CHECKPOINT_STEP; /* if a reader held it up */
}

int tx_commit(WriteTx *tx, Err *err)
{
	Store *s = tx->s;
	int rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return store_fail(s, rc, err, "cannot write the store %s", s->path);
	checkpoint(s);
	lock_drop(s);
	tx->s = NULL;
	return 0;
}

int tx_append(WriteTx *tx, Record *r, Err *err)
{
	Store *s = tx->s;
	Stmt *st = s->stmt[STMT_RECORD];
	size_t len = strlen(r->body);
	if (len > RECORD_BODY_MAX)
		return err_set(err, -E2BIG,
			       "cannot keep a record of kind %s: %zu bytes, more than %d", r->kind,
			       len, RECORD_BODY_MAX);
	r->seq = tx->seq + 1;
	if (record_hash(r, &tx->hash, &r->hash) < 0)
		return err_oom(err);
	sqlite3_bind_int64(st, 1, r->seq);
	sqlite3_bind_int64(st, 2, r->at_us);
	sqlite3_bind_text(st, 3, r->kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, r->schema, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, r->body, (int)len, SQLITE_STATIC);
	sqlite3_bind_blob(st, 6, r->hash.b, HASH_SIZE, SQLITE_STATIC);
	int rc = sqlite3_step(st);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (rc != SQLITE_DONE)
		return store_fail(s, rc, err, "cannot write the store %s", s->path);
	tx->seq = r->seq;
	tx->hash = r->hash;
	return 0;
}

static int append_trial(WriteTx *tx, StoreTrial *t, Err *err)
{
	_cleanup_free_ char *body = NULL;
	int r = trial_to_body(t, &body, err);
	if (r < 0)
		return r;
	/* The literals outlive the call; tx_append() only reads them. */
	Record rec = {.at_us = t->at_us, .body = body};
	char kind[] = "trial", schema[] = TRIAL_SCHEMA;
	rec.kind = kind;
	rec.schema = schema;
	r = tx_append(tx, &rec, err);
	if (r < 0)
		return r;
	t->seq = rec.seq;
	return row_insert(tx->s, t, err);
}

int store_add_trials(Store *s, StoreTrial *const *trials, size_t n, Err *err)
{
	_cleanup_(tx_done) WriteTx tx = {0};
	if (n == 0)
		return 0;
	int r = tx_begin(s, &tx, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (trials[i]->at_us == 0)
			trials[i]->at_us = tx.at_us;
		r = append_trial(&tx, trials[i], err);
	}
	if (r == 0)
		r = tx_commit(&tx, err);
	for (size_t i = 0; r < 0 && i < n; i++)
		trials[i]->seq = 0;
	return r;
}

static int append_json(WriteTx *tx, const char *kind, const char *schema, const json_t *body,
		       Err *err)
{
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(body, &text);
	_cleanup_(record_done)
	    Record r = {.at_us = tx->at_us, .kind = strdup(kind), .schema = strdup(schema)};
	if (str_take(&text, &r.body) < 0 || !r.kind || !r.schema)
		return err_oom(err);
	return tx_append(tx, &r, err);
}

static int check_kind(const char *kind, Err *err)
{
	if (strcmp(kind, "trial") != 0 && strcmp(kind, "head") != 0)
		return 0;
	return err_set(err, -EINVAL, "a record of kind %s has its own way into the store", kind);
}

int store_add_if(Store *s, const char *kind, const char *schema, StoreMakeFn *make, void *userdata,
		 int64_t *ret_seq, Err *err)
{
	_cleanup_(tx_done) WriteTx tx = {0};
	json_auto_t *body = NULL;
	int r = check_kind(kind, err);
	if (r == 0)
		r = tx_begin(s, &tx, err);
	if (r == 0)
		r = make(userdata, tx.at_us, &body, err);
	if (r == 0)
		r = append_json(&tx, kind, schema, body, err);
	if (r == 0)
		r = tx_commit(&tx, err);
	if (r == 0 && ret_seq)
		*ret_seq = tx.seq;
	return r;
}

static int make_given(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	(void)at_us;
	(void)err;
	*ret = json_incref(userdata);
	return 0;
}

int store_add(Store *s, const char *kind, const char *schema, const json_t *body, int64_t *ret_seq,
	      Err *err)
{
	return store_add_if(s, kind, schema, make_given, (void *)(uintptr_t)body, ret_seq, err);
}

int store_sign_head(Store *s, const SignKey *key, Err *err)
{
	_cleanup_(tx_done) WriteTx tx = {0};
	int r = tx_begin(s, &tx, err);
	if (r < 0)
		return r;
	json_auto_t *body = head_sign(key, tx.seq, &tx.hash);
	r = body ? append_json(&tx, "head", HEAD_SCHEMA, body, err) : err_oom(err);
	return r < 0 ? r : tx_commit(&tx, err);
}
