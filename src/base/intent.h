#pragma once
/* The durable intent log: what the machine is in the middle of. An append-only file of framed
 * records, each with its length and a checksum; when intent_append() returns 0 the record is on the
 * disk. A record that a power cut tore off the end is dropped when the log is opened, and nothing
 * before it is lost. A record that is damaged in the middle is an error, not an end: what follows
 * it was decided. */
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

/* Created when it is not there. Whatever was torn off its end is cut away durably first. -EBADMSG:
 * damaged in the middle (the message says where). */
int intent_open(const Disk *disk, const char *path, IntentReplay *replay, void *ctx, Intent **ret,
		Err *err) _must_check_;
Intent *intent_close(Intent *i); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Intent *, intent_close)

/* After a failure nothing is known of the record: the log refuses more (-EIO) until it is opened
 * again. */
int intent_append(Intent *i, const void *data, size_t len, Err *err) _must_check_;
/* Replaces the whole log by these records, in one rename: keeps it short. */
int intent_replace(Intent *i, const void *const *data, const size_t *len, size_t n,
		   Err *err) _must_check_;
size_t intent_bytes(const Intent *i);
