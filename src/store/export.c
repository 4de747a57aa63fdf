/* The chain as a file of lines, for a place where the store is not. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "record/export.h"
#include "store/internal.h"

typedef struct Export {
	FILE *f;
	Str line;
	Err *err;
} Export;

static void export_done(Export *x)
{
	if (x->f && x->f != stdout)
		fclose(x->f);
	str_done(&x->line);
}

static int write_line(void *userdata, const Record *r, const json_t *body)
{
	Export *x = userdata;
	(void)body;
	str_clear(&x->line);
	int e = record_export_line(r, &x->line, x->err);
	if (e < 0)
		return e;
	if (fwrite(x->line.s, 1, x->line.len, x->f) != x->line.len)
		return err_set(x->err, errno ? -errno : -EIO, "cannot write the export: %s",
			       strerror(errno));
	return 0;
}

static int flush(Export *x, bool durable, Err *err)
{
	if (fflush(x->f) != 0 || (durable && fsync(fileno(x->f)) < 0))
		return err_set(err, -errno, "cannot write the export: %s", strerror(errno));
	return 0;
}

static int export_to(Store *s, const char *tmp, const char *path, Err *err)
{
	_cleanup_(export_done) Export x = {.f = fopen(tmp, "wxe"), .err = err};
	if (!x.f)
		return err_set(err, -errno, "cannot write %s: %s", path, strerror(errno));
	int r = store_records(s, NULL, false, 0, write_line, &x, err);
	if (r == 0)
		r = flush(&x, true, err);
	if (r == 0 && rename(tmp, path) < 0)
		r = err_set(err, -errno, "cannot write %s: %s", path, strerror(errno));
	if (r < 0)
		unlink(tmp);
	return r;
}

int store_export(Store *s, const char *path, Err *err)
{
	if (strcmp(path, "-") == 0) {
		_cleanup_(export_done) Export x = {.f = stdout, .err = err};
		int r = store_records(s, NULL, false, 0, write_line, &x, err);
		return r < 0 ? r : flush(&x, false, err);
	}
	_cleanup_free_ char *tmp = str_fmt("%s.%ld.new", path, (long)getpid());
	if (!tmp)
		return err_oom(err);
	int r = export_to(s, tmp, path, err);
	return r < 0 ? r : dir_sync_of(path, err);
}
