/* The tables, and the way from one version of them to the next. A step is never changed once it was
 * released: a new one is added. */
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "store/internal.h"

/* steps[i] leads from version i to version i + 1. */
static const char *const steps[] = {
    "CREATE TABLE record ("
    " seq INTEGER PRIMARY KEY,"
    " at_us INTEGER NOT NULL,"
    " kind TEXT NOT NULL,"
    " schema TEXT NOT NULL,"
    " body TEXT NOT NULL,"
    " hash BLOB NOT NULL"
    ") STRICT;"
    /* Trials are found through their projection; this keeps the few other records at hand. */
    "CREATE INDEX record_other ON record(kind) WHERE kind <> 'trial';"
    "CREATE TABLE trial ("
    " seq INTEGER PRIMARY KEY,"
    " at_us INTEGER NOT NULL,"
    " experiment TEXT NOT NULL,"
    " purpose TEXT NOT NULL,"
    " epoch INTEGER NOT NULL,"
    " evolution INTEGER NOT NULL,"
    " ask INTEGER NOT NULL,"
    " generation INTEGER NOT NULL,"
    " spica_id TEXT NOT NULL,"
    " outcome TEXT NOT NULL,"
    " feasible INTEGER NOT NULL,"
    " fitness REAL NOT NULL,"
    " fitness_se REAL NOT NULL,"
    " params TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX trial_by_experiment ON trial(experiment);"
    "CREATE INDEX trial_by_spica ON trial(spica_id);"
    /* In the order that is asked for, with all that is filtered by: at worst one walk of it. */
    "CREATE INDEX trial_best ON trial(fitness DESC, seq, experiment, purpose, epoch, evolution)"
    " WHERE feasible = 1 AND outcome = 'ok';",
};

enum {
	STORE_VERSION = sizeof(steps) / sizeof(steps[0])
};

static int read_number(Store *s, const char *sql, int64_t *ret, Err *err)
{
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s, sql, &st, err);
	if (r < 0)
		return r;
	int rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		return store_fail(s, rc, err, "cannot read %s", s->path);
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

static int migrate_to(Store *s, int version, Err *err)
{
	_cleanup_free_ char *sql = str_fmt(
	    "BEGIN IMMEDIATE; %s PRAGMA user_version = %d; PRAGMA application_id = %d; COMMIT;",
	    steps[version - 1], version, STORE_APPLICATION_ID);
	if (!sql)
		return err_oom(err);
	int r = store_exec(s, sql, err, "set up the store");
	if (r < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

typedef struct Marks {
	int64_t id, version, objects;
} Marks;

/* In one transaction: another program may be setting up the store between two of them. */
static int read_marks(Store *s, Marks *ret, Err *err)
{
	int r = store_exec(s, "BEGIN", err, "open the store");
	if (r == 0)
		r = read_number(s, "PRAGMA application_id", &ret->id, err);
	if (r == 0)
		r = read_number(s, "PRAGMA user_version", &ret->version, err);
	if (r == 0)
		r = read_number(s, "SELECT count(*) FROM sqlite_schema", &ret->objects, err);
	if (r == 0)
		return store_exec(s, "COMMIT", err, "open the store");
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* *ret: the version that is there, 0 for an empty file. */
static int read_version(Store *s, int64_t *ret, Err *err)
{
	Marks marks = {0};
	int r = read_marks(s, &marks, err);
	if (r < 0)
		return r;
	int64_t id = marks.id, version = marks.version, objects = marks.objects;
	if (id != STORE_APPLICATION_ID && (id != 0 || version != 0 || objects != 0))
		return err_set(err, -EBADMSG, "%s is a database, but not a store of this program",
			       s->path);
	if (version > STORE_VERSION)
		return err_set(err, -EPROTO,
			       "%s was written by a newer version of this program (store version "
			       "%lld, this one knows up to %d); use that version",
			       s->path, (long long)version, STORE_VERSION);
	if (version < 0 || (version == 0 && objects != 0))
		return err_set(err, -EBADMSG, "%s is damaged: store version %lld", s->path,
			       (long long)version);
	*ret = version;
	return 0;
}

/* Under the lock, for two programs may find the same empty store. */
static int migrate(Store *s, Err *err)
{
	int r = lock_take(s, err);
	if (r < 0)
		return r;
	int64_t version = 0;
	/* Only an empty file changes its journal mode, and does it before there is anything. */
	r = store_exec(s, "PRAGMA journal_mode = WAL", err, "set up the store");
	if (r == 0)
		r = read_version(s, &version, err);
	while (r == 0 && version < STORE_VERSION)
		r = migrate_to(s, (int)++version, err);
	lock_drop(s);
	return r;
}

int schema_prepare(Store *s, Err *err)
{
	int64_t version;
	int r = read_version(s, &version, err);
	if (r < 0 || version == STORE_VERSION)
		return r;
	if (s->mode == STORE_WRITE)
		return migrate(s, err);
	return version == 0
		   ? err_set(err, -ENOENT, "%s is empty: nothing was run with it yet", s->path)
		   : err_set(err, -EPROTO,
			     "%s was written by an older version of this program; any "
			     "command that writes brings it up to date",
			     s->path);
}

static int list_schema(Store *s, Str *out, Err *err)
{
	_cleanup_(stmt_done) Stmt *st = NULL;
	int r = store_prepare(s, "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name",
			      &st, err);
	int rc = SQLITE_DONE;
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		for (int i = 0; i < 3; i++) {
			const char *text = (const char *)sqlite3_column_text(st, i);
			str_add(out, text ? text : "");
			str_addc(out, '\n');
		}
	if (r == 0 && rc != SQLITE_DONE)
		r = store_fail(s, rc, err, "cannot read %s", s->path);
	return r < 0 ? r : out->failed ? err_oom(err) : 0;
}

/* A trigger, a view in a table's place or a changed index would make every other check worthless,
 * so the definitions are compared with a fresh store's. */
int schema_check(Store *s, char **ret_text, Err *err)
{
	_cleanup_(str_done) Str here = STR_INIT, right = STR_INIT;
	int r = list_schema(s, &here, err);
	if (r < 0)
		return r;
	Store fresh = {.path = s->path};
	int rc = sqlite3_open_v2(":memory:", &fresh.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
				 NULL);
	r = rc == SQLITE_OK ? 0 : store_fail(&fresh, rc, err, "cannot check %s", s->path);
	for (int v = 1; r == 0 && v <= STORE_VERSION; v++)
		r = migrate_to(&fresh, v, err);
	if (r == 0)
		r = list_schema(&fresh, &right, err);
	sqlite3_close(fresh.db);
	if (r < 0)
		return r;
	if (strcmp(here.s ? here.s : "", right.s ? right.s : "") == 0)
		return 1;
	*ret_text = str_fmt("the tables of the store are not those that this program makes: "
			    "something was added, removed or changed");
	return *ret_text ? 0 : err_oom(err);
}
