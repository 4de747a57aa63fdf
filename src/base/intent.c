#include "base/intent.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/str.h"

/* The file, all numbers little-endian:
 *   0  "dream-intent/1\n" and NUL
 *  16  which file of this name it is (64 bits): each replacement counts one up
 *  24  checksum of these 24 bytes
 *  28  records, one after another:
 *        0 "DRic"  4 number, from 1   8 length  12 checksum of the data  16 checksum of the
 *        file's number and these 16 bytes        20 the data
 * The file's number is in each checksum, so that a block of an older file, which a disk may show
 * after a power cut, is no record of this one. */
enum {
	FILE_HEAD = 28,
	RECORD_HEAD = 20,
	RECORD_WHOLE_MAX = RECORD_HEAD + INTENT_RECORD_MAX,
};

static const char file_magic[16] = "dream-intent/1\n";
static const char record_magic[4] = {'D', 'R', 'i', 'c'};

struct Intent {
	const Disk *disk;
	char *path, *dir, *temporary;
	int fd;
	uint64_t file; /* its number */
	uint32_t next; /* number of the next record */
	size_t bytes;  /* on the disk, and acknowledged */
	bool broken;
	Crc32c crc;
};

/* --- Numbers ---------------------------------------------------------------------------------- */

static void put(uint8_t *at, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *at, int bytes)
{
	uint64_t v = 0;
	for (int i = 0; i < bytes; i++)
		v |= (uint64_t)at[i] << 8 * i;
	return v;
}

static void file_head(const Crc32c *crc, uint64_t file, uint8_t ret[FILE_HEAD])
{
	memcpy(ret, file_magic, sizeof(file_magic));
	put(ret + 16, file, 8);
	put(ret + 24, crc32c_add(crc, 0, ret, 24), 4);
}

static uint32_t head_sum(const Crc32c *crc, uint64_t file, const uint8_t head[RECORD_HEAD])
{
	uint8_t number[8];
	put(number, file, 8);
	return crc32c_add(crc, crc32c_add(crc, 0, number, 8), head, 16);
}

static void record_add(const Crc32c *crc, uint64_t file, uint32_t number, const void *data,
		       size_t len, Str *out)
{
	uint8_t head[RECORD_HEAD];
	memcpy(head, record_magic, sizeof(record_magic));
	put(head + 4, number, 4);
	put(head + 8, len, 4);
	put(head + 12, crc32c_add(crc, 0, data, len), 4);
	put(head + 16, head_sum(crc, file, head), 4);
	str_addn(out, (const char *)head, sizeof(head));
	str_addn(out, data, len);
}

/* --- Reading ---------------------------------------------------------------------------------- */

typedef struct Scan {
	const Crc32c *crc;
	const char *path;
	const uint8_t *data;
	size_t len;
	uint64_t file;
	uint32_t next;
	size_t good; /* so far everything is in order */
} Scan;

typedef enum RecordIs {
	RECORD_WHOLE,
	RECORD_TORN,
	RECORD_DAMAGED,
} RecordIs;

/* Is there the head of a record of this file, whole or not? */
static bool head_at(const Scan *s, size_t at, uint32_t *ret_number, size_t *ret_len)
{
	if (s->len - at < RECORD_HEAD)
		return false;
	const uint8_t *h = s->data + at;
	if (memcmp(h, record_magic, sizeof(record_magic)) != 0 ||
	    get(h + 16, 4) != head_sum(s->crc, s->file, h))
		return false;
	*ret_number = (uint32_t)get(h + 4, 4);
	*ret_len = get(h + 8, 4);
	return *ret_len <= INTENT_RECORD_MAX;
}

/* Behind what cannot be read: a record that was written later? */
static bool later_record(const Scan *s)
{
	uint32_t number;
	size_t len;
	for (size_t at = s->good + 1; at + RECORD_HEAD <= s->len; at++)
		if (head_at(s, at, &number, &len) && number >= s->next)
			return true;
	return false;
}

/* Of what comes next; there is at least a byte. */
static RecordIs next_record(const Scan *s, size_t *ret_len)
{
	uint32_t number;
	size_t left = s->len - s->good;
	if (!head_at(s, s->good, &number, ret_len))
		return left > RECORD_WHOLE_MAX || later_record(s) ? RECORD_DAMAGED : RECORD_TORN;
	if (number != s->next)
		return RECORD_DAMAGED;
	size_t whole = RECORD_HEAD + *ret_len;
	if (whole > left)
		return RECORD_TORN;
	const uint8_t *head = s->data + s->good;
	if (get(head + 12, 4) == crc32c_add(s->crc, 0, head + RECORD_HEAD, *ret_len))
		return RECORD_WHOLE;
	return whole < left ? RECORD_DAMAGED : RECORD_TORN;
}

/* It came into being whole, in one rename, so its head is never torn. */
static int scan_head(Scan *s, Err *err)
{
	uint8_t want[FILE_HEAD];
	if (s->len < FILE_HEAD || memcmp(s->data, file_magic, sizeof(file_magic)) != 0)
		return err_set(err, -EBADMSG, "%s is no intent log of ours", s->path);
	s->file = get(s->data + 16, 8);
	file_head(s->crc, s->file, want);
	if (memcmp(s->data, want, sizeof(want)) != 0)
		return err_set(err, -EBADMSG, "%s is damaged at its very beginning", s->path);
	s->good = FILE_HEAD;
	s->next = 1;
	return 0;
}

static int scan(Scan *s, IntentReplay *replay, void *ctx, Err *err)
{
	size_t len;
	int r = scan_head(s, err);
	while (r >= 0 && s->good < s->len) {
		RecordIs is = next_record(s, &len);
		if (is == RECORD_TORN)
			return 0;
		if (is == RECORD_DAMAGED)
			return err_set(err, -EBADMSG,
				       "%s is damaged at byte %zu, in the middle: record %" PRIu32
				       " cannot be read, and others were written after it",
				       s->path, s->good, s->next);
		r = replay(ctx, (const char *)s->data + s->good + RECORD_HEAD, len, err);
		s->good += RECORD_HEAD + len;
		s->next++;
	}
	return r < 0 ? r : 0;
}

int intent_read(const Disk *disk, const char *path, IntentReplay *replay, void *ctx, Err *err)
{
	size_t len;
	_cleanup_free_ char *data = NULL;
	int r = disk_read_file(disk, path, INTENT_LOG_MAX, &data, &len, err);
	if (r < 0)
		return r;
	Crc32c crc;
	crc32c_init(&crc);
	Scan s = {.crc = &crc, .path = path, .data = (const uint8_t *)data, .len = len};
	return scan(&s, replay, ctx, err);
}

/* --- Opening ---------------------------------------------------------------------------------- */

static int disk_failed(const Intent *i, int r, Err *err)
{
	return err_set(err, r, "cannot write the intent log %s: %s", i->path, strerror(-r));
}

static int open_for_append(Intent *i, Err *err)
{
	int fd = i->disk->open(i->disk->ctx, i->path, O_WRONLY | O_APPEND | O_NOFOLLOW, 0);
	if (fd < 0)
		return disk_failed(i, fd, err);
	if (i->fd >= 0)
		(void)i->disk->close(i->disk->ctx, i->fd);
	i->fd = fd;
	return 0;
}

/* From here on nothing is known until it succeeded: the name may be the old file's or the new
 * one's. */
static int put_in_place(Intent *i, size_t bytes, uint64_t file, uint32_t next, Err *err)
{
	const Disk *d = i->disk;
	i->broken = true;
	int r = d->rename(d->ctx, i->temporary, i->path);
	if (r < 0) {
		(void)d->unlink(d->ctx, i->temporary);
		return disk_failed(i, r, err);
	}
	r = disk_sync_dir(d, i->dir, err);
	if (r >= 0)
		r = open_for_append(i, err);
	if (r < 0)
		return r;
	i->bytes = bytes;
	i->file = file;
	i->next = next;
	i->broken = false;
	return 0;
}

int intent_replace(Intent *i, const void *const *data, const size_t *len, size_t n, Err *err)
{
	uint8_t head[FILE_HEAD];
	_cleanup_(str_done) Str b = STR_INIT;
	uint64_t file = i->file + 1;
	file_head(&i->crc, file, head);
	str_addn(&b, (const char *)head, sizeof(head));
	for (size_t k = 0; k < n; k++) {
		if (len[k] > INTENT_RECORD_MAX || b.len + RECORD_HEAD + len[k] > INTENT_LOG_MAX)
			return err_set(err, -EMSGSIZE,
				       "cannot write the intent log %s: a record is too long",
				       i->path);
		record_add(&i->crc, file, (uint32_t)k + 1, data[k], len[k], &b);
	}
	if (b.failed)
		return err_oom(err);
	int r = i->disk->unlink(i->disk->ctx, i->temporary); /* of one that did not finish */
	if (r < 0 && r != -ENOENT)
		return disk_failed(i, r, err);
	r = disk_write_new(i->disk, i->temporary, 0644, b.s, b.len, err);
	if (r < 0)
		return r;
	return put_in_place(i, b.len, file, (uint32_t)n + 1, err);
}

/* What can be read may be in memory only: of a process that was killed before its fsync(), or
 * before that of the folder after a replacement. */
static int settle(Intent *i, size_t len, Err *err)
{
	const Disk *d = i->disk;
	int r = open_for_append(i, err);
	if (r < 0)
		return r;
	if (i->bytes < len)
		r = d->truncate(d->ctx, i->fd, (off_t)i->bytes);
	if (r >= 0)
		r = d->sync(d->ctx, i->fd);
	if (r < 0)
		return disk_failed(i, r, err);
	return disk_sync_dir(d, i->dir, err);
}

static int load(Intent *i, IntentReplay *replay, void *ctx, Err *err)
{
	size_t len;
	Err ignored = ERR_INIT;
	_cleanup_free_ char *data = NULL;
	int r = disk_read_file(i->disk, i->path, INTENT_LOG_MAX, &data, &len, &ignored);
	if (r == -ENOENT)
		return intent_replace(i, NULL, NULL, 0, err);
	if (r < 0)
		return err_set(err, r, "%s", ignored.msg);
	Scan s = {.crc = &i->crc, .path = i->path, .data = (const uint8_t *)data, .len = len};
	r = scan(&s, replay, ctx, err);
	if (r < 0)
		return r;
	i->file = s.file;
	i->next = s.next;
	i->bytes = s.good;
	return settle(i, len, err);
}

int intent_open(const Disk *disk, const char *path, IntentReplay *replay, void *ctx, Intent **ret,
		Err *err)
{
	_cleanup_(intent_closep) Intent *i = calloc(1, sizeof(*i));
	if (!i)
		return err_oom(err);
	i->fd = -1;
	i->disk = disk;
	i->path = strdup(path);
	i->dir = path_dir(path);
	i->temporary = str_fmt("%s.new", path);
	if (!i->path || !i->dir || !i->temporary)
		return err_oom(err);
	crc32c_init(&i->crc);
	int r = load(i, replay, ctx, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(i);
	return 0;
}

Intent *intent_close(Intent *i)
{
	if (!i)
		return NULL;
	if (i->fd >= 0)
		(void)i->disk->close(i->disk->ctx, i->fd);
	free(i->path);
	free(i->dir);
	free(i->temporary);
	free(i);
	return NULL;
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* The record was refused, so whoever opens the log next should not find it; where the disk does not
 * let us, it may. */
static void take_back(Intent *i)
{
	i->broken = true;
	if (i->disk->truncate(i->disk->ctx, i->fd, (off_t)i->bytes) == 0)
		(void)i->disk->sync(i->disk->ctx, i->fd);
}

int intent_append(Intent *i, const void *data, size_t len, Err *err)
{
	if (i->broken)
		return err_set(err, -EIO,
			       "the intent log %s could not be written before and must be opened "
			       "again",
			       i->path);
	if (len > INTENT_RECORD_MAX)
		return err_set(err, -EMSGSIZE, "a record of %zu bytes is too long for %s", len,
			       i->path);
	if (i->bytes + RECORD_HEAD + len > INTENT_LOG_MAX)
		return err_set(err, -EFBIG, "the intent log %s is full", i->path);
	_cleanup_(str_done) Str b = STR_INIT;
	record_add(&i->crc, i->file, i->next, data, len, &b);
	if (b.failed)
		return err_oom(err);
	int r = disk_write_all(i->disk, i->fd, b.s, b.len);
	if (r == 0)
		r = i->disk->sync(i->disk->ctx, i->fd);
	if (r < 0) {
		take_back(i);
		return disk_failed(i, r, err);
	}
	i->bytes += b.len;
	i->next++;
	return 0;
}

size_t intent_bytes(const Intent *i)
{
	return i->bytes;
}
