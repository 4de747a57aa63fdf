#pragma once
/* The durable intent log: what the machine is in the middle of. An append-only file of framed
 * records, each with its length and a checksum; when intent_append() returns 0 the record is on the
 * disk. A record that a power cut tore off the end is dropped when the log is opened, and nothing
 * before it is lost. A record that is damaged in the middle is an error, not an end: what follows
 * it was decided.
 *
 * How the two are told apart: a record is only written when the one before it is on the disk. So a
 * power cut can spoil the last one alone, and where anything follows what cannot be read, or more
 * does than one record can be long, it is damage. What no file can tell is damage of the very last
 * record from a torn one; a disk that loses what it said it has is not what this is made for.
 *
 * Only one program may have it open: the caller sees to that (Disk.lock). Anybody may read it. */
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/disk.h"
#include "base/err.h"

enum {
	INTENT_RECORD_MAX = 64 << 10,
	INTENT_LOG_MAX = 64 << 20,
};

typedef struct Intent Intent;

/* Called for every record, oldest first; a negative result ends the opening and is returned. */
typedef int IntentReplay(void *ctx, const char *data, size_t len, Err *err);

/* What it says, without changing anything: a record that is just being written is not there yet.
 * -ENOENT, -EBADMSG. */
int intent_read(const Disk *disk, const char *path, IntentReplay *replay, void *ctx,
		Err *err) _must_check_;
/* Created when it is not there. Whatever was torn off its end is cut away durably, and what it says
 * is on the disk when this returns, also where the process that wrote it died before it knew.
 * -EBADMSG: damaged in the middle (the message says where), or no log of ours. */
int intent_open(const Disk *disk, const char *path, IntentReplay *replay, void *ctx, Intent **ret,
		Err *err) _must_check_;
Intent *intent_close(Intent *i); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Intent *, intent_close)

/* After a failure nothing is known of the record: the log refuses more (-EIO) until it is opened
 * again. -EMSGSIZE, -EFBIG: too long, nothing was written. */
int intent_append(Intent *i, const void *data, size_t len, Err *err) _must_check_;
/* Replaces the whole log by these records, in one rename: keeps it short. When it fails the log
 * says what it said or what it should say; it may refuse more until it is opened again. */
int intent_replace(Intent *i, const void *const *data, const size_t *len, size_t n,
		   Err *err) _must_check_;
size_t intent_bytes(const Intent *i);
