#pragma once
/* The arithmetic of vLLM's KV cache and how its numbers are written. Private to this folder. */
#include <math.h>
#include <stdint.h>

#include "base/str.h"
#include "footprint/footprint.h"

#define GIB 1073741824.0

/* What a share of the GPU comes to: rounded to the byte, since vLLM's own rounding differs between
 * versions and a byte never decides. */
static inline int64_t share_bytes(double share, int64_t total)
{
	return (int64_t)llround(share * (double)total);
}

static inline int64_t div_up(int64_t a, int64_t b)
{
	return a / b + (a % b != 0);
}

/* "6,976" */
void add_count(Str *out, int64_t n);
/* A share with two decimals, or as many more as it needs: "0.40", "0.475". */
void add_share(Str *out, double share);
/* "5.505 GiB" */
void add_gib(Str *out, int64_t bytes);

typedef enum VllmKeyPart {
	KEY_MODEL,
	KEY_VERSION,
	KEY_KV_CACHE_DTYPE,
	KEY_MAX_MODEL_LEN,
	KEY_MAX_NUM_SEQS,
	KEY_MAX_NUM_BATCHED_TOKENS,
	KEY_ENFORCE_EAGER,
	KEY_PARTS_,
} VllmKeyPart;

const char *vllm_key_part_name(VllmKeyPart p); /* "max_num_seqs" */
/* Appends the part's value, "not said" when it is not. */
void add_key_part(Str *out, const VllmKey *k, VllmKeyPart p);
/* A bit (1u << part) for each part in which two keys differ. A kv_cache_dtype that is not said is
 * "auto", the server's own default. */
unsigned vllm_key_differences(const VllmKey *a, const VllmKey *b);
