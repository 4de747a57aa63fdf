/* Opening and closing. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "store/internal.h"

enum {
	BUSY_TIMEOUT_MS = 5000,	  /* for programs that do not know our lock, such as sqlite3 */
	CHECKPOINT_FRAMES = 2000, /* 8 MB of log */
};

static int on_commit(void *ctx, sqlite3 *db, const char *schema, int frames)
{
	Store *s = ctx;
	(void)db;
	(void)schema;
	s->wal_frames = frames;
	return SQLITE_OK;
}

/* The path in a URI, for the one option that only a URI can carry. */
static char *immutable_uri(const char *path)
{
	_cleanup_(str_done) Str uri = STR_INIT;
	char *ret = NULL;
	str_add(&uri, "file:");
	for (const char *p = path; *p; p++)
		if (strchr("?#%", *p))
			str_addf(&uri, "%%%02x", (unsigned char)*p);
		else
			str_addc(&uri, *p);
	str_add(&uri, "?immutable=1");
	return str_take(&uri, &ret) < 0 ? NULL : ret;
}

static int connect_to(Store *s, const char *name, int flags, Err *err)
{
	sqlite3_close(s->db);
	s->db = NULL;
	int rc = sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
				 NULL);
	if (rc != SQLITE_OK)
		return store_fail(s, rc, err, "cannot open the store %s", s->path);
	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	/* The file may be anybody's work: nothing in it is to be executed. */
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	return store_exec(s,
			  "PRAGMA synchronous = FULL;"
			  "PRAGMA cell_size_check = ON;"
			  "PRAGMA cache_size = -2000;"
			  "PRAGMA temp_store = FILE;",
			  err, "open the store");
}

/* Even a reader keeps two small files beside a database with a write-ahead log. Where it may not,
 * a store that was closed properly is whole without them. */
static int open_read(Store *s, Err *err)
{
	Err first = ERR_INIT;
	int r = connect_to(s, s->path, SQLITE_OPEN_READONLY, &first);
	if (r == 0)
		r = schema_prepare(s, &first);
	if (r == 0)
		return 0;
	int rc = s->db ? sqlite3_errcode(s->db) & 0xff : SQLITE_OK;
	_cleanup_free_ char *log = str_fmt("%s-wal", s->path);
	_cleanup_free_ char *uri = immutable_uri(s->path);
	if (!log || !uri)
		return err_oom(err);
	struct stat st;
	bool logged = stat(log, &st) == 0 && st.st_size > 0;
	if ((rc != SQLITE_CANTOPEN && rc != SQLITE_READONLY) || access(s->path, R_OK) < 0)
		return err_set(err, r, "%s", first.msg);
	if (logged)
		return err_set(
		    err, -EACCES,
		    "cannot open the store %s: it was not closed properly, and its "
		    "directory cannot be written; a command run by its owner repairs that",
		    s->path);
	r = connect_to(s, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
	return r < 0 ? r : schema_prepare(s, err);
}

/* SQLite gives its files beside a database to the database's owner; the database itself is ours to
 * give. What cannot be made here is reported when it is opened. */
static void make_empty(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0644);
	if (fd < 0)
		return;
	file_give(fd, path);
	(void)close(fd);
}

static int open_write(Store *s, Err *err)
{
	_cleanup_free_ char *dir = path_dir(s->path);
	if (!dir)
		return err_oom(err);
	bool is_new = access(s->path, F_OK) < 0;
	int r = is_new ? dir_make(dir, 0755, err) : 0;
	if (r == 0)
		r = lock_open(s->path, &s->lock_fd, err);
	if (r == 0 && is_new)
		make_empty(s->path);
	if (r == 0)
		r = connect_to(s, s->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
	if (r == 0)
		r = schema_prepare(s, err);
	if (r == 0 && is_new)
		r = dir_sync_of(s->path, err);
	if (r < 0)
		return r;
	if (sqlite3_db_readonly(s->db, "main") == 1)
		return err_set(err, -EROFS, "cannot write the store %s: it is read-only", s->path);
	s->checkpoint_at = CHECKPOINT_FRAMES;
	sqlite3_wal_hook(s->db, on_commit, s);
	return 0;
}

int store_open(const char *path, StoreMode mode, const Clock *clock, Store **ret, Err *err)
{
	_cleanup_(store_closep) Store *s = calloc(1, sizeof(*s));
	if (!s)
		return err_oom(err);
	s->lock_fd = -1;
	s->mode = mode;
	s->clock = clock;
	s->path = strdup(path);
	if (!s->path)
		return err_oom(err);
	struct stat st;
	if (mode == STORE_READ && stat(path, &st) < 0)
		return err_set(err, -errno, "cannot open the store %s: %s", path, strerror(errno));
	int r = mode == STORE_WRITE ? open_write(s, err) : open_read(s, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

void store_patience(Store *s, int64_t us)
{
	s->patience_us = us > 0 ? us : 0;
	sqlite3_busy_timeout(s->db, us > 0 ? (int)(us / 1000) : BUSY_TIMEOUT_MS);
}

Store *store_close(Store *s)
{
	if (!s)
		return NULL;
	for (int i = 0; i < STMT_MAX_; i++)
		sqlite3_finalize(s->stmt[i]);
	sqlite3_close(s->db); /* the last one out empties the log into the database */
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->path);
	free(s);
	return NULL;
}
