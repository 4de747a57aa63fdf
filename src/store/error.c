/* SQLite's answers in words that say what to do. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "store/internal.h"

/* An I/O error of which the system said more than SQLite. */
static int from_system(int e, const char **ret_why)
{
	if (e == ENOSPC || e == EDQUOT || e == EFBIG) {
		*ret_why = e == EFBIG ? "a file would grow beyond the allowed size (ulimit -f)"
				      : "the disk is full; nothing of this call was kept";
		return -ENOSPC;
	}
	*ret_why = e ? strerror(e) : "input/output error";
	return e ? -e : -EIO;
}

/* SQLite forgets the system's errno when a commit fails; then it is still where the failed call
 * left it, unless it is one that no failed write leaves. */
static int system_errno(Store *s, int left_behind)
{
	int e = s->db ? sqlite3_system_errno(s->db) : 0;
	if (e)
		return e;
	return left_behind == ENOSPC || left_behind == EDQUOT || left_behind == EFBIG ||
		       left_behind == EROFS
		   ? left_behind
		   : 0;
}

static int translate(Store *s, int rc, int left_behind, const char **ret_why)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		*ret_why = "the disk is full; nothing of this call was kept";
		return -ENOSPC;
	case SQLITE_IOERR:
		return from_system(system_errno(s, left_behind), ret_why);
	case SQLITE_READONLY:
		*ret_why = "it cannot be written: the file, its directory or its disk is read-only";
		return -EROFS;
	case SQLITE_CANTOPEN: {
		int e = s->db ? sqlite3_system_errno(s->db) : 0;
		/* SQLite tries a second way before it gives up, and then knows only why that
		 * failed. */
		if (e == ENOENT && (s->mode == STORE_WRITE || access(s->path, F_OK) == 0)) {
			*ret_why = "it or a file beside it cannot be opened or made";
			return -EACCES;
		}
		*ret_why = e ? strerror(e) : "it cannot be opened";
		return e ? -e : -EACCES;
	}
	case SQLITE_PERM:
	case SQLITE_AUTH:
		*ret_why = "permission denied";
		return -EACCES;
	case SQLITE_NOTADB:
		*ret_why = "it is not a store (not even a database)";
		return -EBADMSG;
	case SQLITE_CORRUPT:
		*ret_why = "it is damaged; `dream lineage verify` says where";
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		*ret_why = "another program keeps it locked";
		return -EBUSY;
	case SQLITE_NOMEM:
		*ret_why = "out of memory";
		return -ENOMEM;
	case SQLITE_TOOBIG:
		*ret_why = "a value in it is too large";
		return -E2BIG;
	default:
		*ret_why = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
		return -EBADMSG;
	}
}

int store_fail(Store *s, int rc, Err *err, const char *fmt, ...)
{
	const char *why;
	int r = translate(s, rc, errno, &why);
	va_list ap;
	_cleanup_(str_done) Str words = STR_INIT;
	va_start(ap, fmt);
	str_addv(&words, fmt, ap);
	va_end(ap);
	return err_set(err, r, "%s: %s", words.s ? words.s : "cannot use the store", why);
}

int store_exec(Store *s, const char *sql, Err *err, const char *what)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : store_fail(s, rc, err, "cannot %s %s", what, s->path);
}

int store_prepare(Store *s, const char *sql, Stmt **ret, Err *err)
{
	int rc = sqlite3_prepare_v2(s->db, sql, -1, ret, NULL);
	return rc == SQLITE_OK ? 0 : store_fail(s, rc, err, "cannot read %s", s->path);
}
