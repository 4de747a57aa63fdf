#pragma once
/* The memory model learns from every start of a trial: what a server said of its memory, or that it
 * could not start, becomes a fact for all candidates that differ only in the share. Declared facts
 * are never contradicted. */
#include <jansson.h>

#include "base/cleanup.h"
#include "footprint/footprint.h"

/* What a start said, as it is kept with a trial: {"kv_gib", "kv_tokens", "concurrency",
 * "total_bytes", "block_size", "no_kv"}; what was not said is left out. New object; NULL: out of
 * memory. */
json_t *vllm_start_json(const VllmStart *s);

typedef struct Learned Learned;

/* `declared` is borrowed, and may be NULL: then everything is learned. */
int learned_new(const Footprint *declared, Learned **ret, Err *err) _must_check_;
Learned *learned_free(Learned *l); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Learned *, learned_free)

/* The declared facts and those that were learned; NULL while nothing at all is known. Valid until
 * the next start is taught. */
const Footprint *learned_footprint(const Learned *l);

/* `start` as vllm_start_json() made it (from a record: hostile). 1: a fact is known now that was
 * not; 0: nothing new; *ret_words (may be NULL) then says what was learned, for people. */
int learned_start(Learned *l, const ServiceSpec *service, const json_t *params, const json_t *start,
		  char **ret_words, Err *err) _must_check_;
