/* The intent log as a file of any bytes, and what production makes of records of any text, one a
 * line. What is understood is never nonsense. */
#include <string.h>

#include "base/intent.h"
#include "fuzz.h"
#include "production/changes.h"

/* A disk that has one file. */
typedef struct One {
	const uint8_t *data;
	size_t size, at;
} One;

static int one_open(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)path;
	(void)flags;
	(void)mode;
	((One *)ctx)->at = 0;
	return 0;
}

static ssize_t one_read(void *ctx, int fd, void *data, size_t len)
{
	One *o = ctx;
	size_t left = o->size - o->at;
	(void)fd;
	len = len < left ? len : left;
	memcpy(data, o->data + o->at, len);
	o->at += len;
	return (ssize_t)len;
}

static int one_close(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static void check_changes(const Changes *c)
{
	MUST(c->n_good <= GOOD_MAX);
	for (size_t i = 0; i < c->n_good; i++)
		MUST(generation_id_ok(c->good[i]));
	MUST(!c->change.open ||
	     (generation_id_ok(c->change.from) && rollout_name_ok(c->change.rollout) &&
	      (!c->change.to[0] || generation_id_ok(c->change.to))));
}

static int replay(void *ctx, const char *data, size_t len, Err *err)
{
	int r = changes_apply(ctx, data, len, err);
	MUST(r == 0 || err->msg[0]);
	check_changes(ctx);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Err err = ERR_INIT;
	One one = {.data = data, .size = size};
	const Disk disk = {.open = one_open, .read = one_read, .close = one_close, .ctx = &one};
	Changes from_file = {0}, from_lines = {0};
	int r = intent_read(&disk, "fuzz.log", replay, &from_file, &err);
	MUST(r == 0 || (r == -EBADMSG && err.msg[0]));
	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = end ? (size_t)(end - data) - at : size - at;
		Err why = ERR_INIT;
		(void)!replay(&from_lines, (const char *)data + at, len, &why);
		at += len + 1;
	}
	return 0;
}
