#pragma once
/* One link of the chain: what happened, as canonical JSON, hashed onto what came before. Values
 * only; the store keeps them. */
#include <jansson.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/hash.h"

enum {
	RECORD_BODY_MAX = 1 << 20
};

typedef struct Record {
	int64_t seq; /* from 1, without gaps */
	int64_t at_us;
	char *kind;   /* "trial", "epoch", "winner", "promotion", "head" */
	char *schema; /* "dream.trial/v1" */
	char *body;   /* canonical JSON */
	Hash hash;    /* hash_link(prev, canonical JSON of [seq, at_us, kind, schema, body]) */
} Record;

void record_done(Record *r);
/* The hash of a record that follows `prev` (all zero bytes before the first). -ENOMEM. */
int record_hash(const Record *r, const Hash *prev, Hash *ret) _must_check_;
