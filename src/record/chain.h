#pragma once
/* Checks a chain of records, fed one after another from wherever they are kept. The first record
 * that does not fit is named, with the best explanation that the records around it allow. */
#include <jansson.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "record/record.h"
#include "record/sign.h"

#define HEAD_SCHEMA "dream.head/v1"

typedef struct ChainSpec {
	const char *pinned_key_hex; /* every signed head must be by this key; NULL: by any */
	int64_t head_seq;	    /* of a head kept elsewhere; 0: none */
	const Hash *head;	    /* borrowed; NULL: none */
} ChainSpec;

typedef struct Chain Chain;

int chain_new(const ChainSpec *spec, Chain **ret, Err *err) _must_check_;
Chain *chain_free(Chain *c); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Chain *, chain_free)

/* 0: go on; 1: nothing that follows can change the verdict. Negative errno: a fault of ours. */
int chain_feed(Chain *c, const Record *r, Err *err) _must_check_;

/* After the last record. 0: sound; -EBADMSG: not. *ret_text (owned by the caller) says either in
 * one sentence. */
int chain_finish(Chain *c, char **ret_text, Err *err) _must_check_;

/* The body of a "head" record: {seq, hash, key, signature} over what came before it. NULL: out of
 * memory. */
json_t *head_sign(const SignKey *key, int64_t seq, const Hash *hash);
