#pragma once
/* The memory model: does everything fit on the GPU, will each service start, and if not, why, in
 * numbers. Pure arithmetic on declared or calibrated facts; it never guesses: without facts for a
 * key the verdict is unknown and the candidate is worth a try. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "conf/conf.h"
#include "space/service.h"

/* What the memory need of a vLLM instance depends on besides the share it may use. Facts hold for
 * exactly one key. */
typedef struct VllmKey {
	char *version, *model, *kv_cache_dtype;			     /* NULL: not said */
	int64_t max_model_len, max_num_seqs, max_num_batched_tokens; /* 0: not said */
	bool enforce_eager;
} VllmKey;

/* KV(u) = u * total - non_kv_bytes; tokens = blocks * block_size. */
typedef struct VllmFact {
	VllmKey key;
	int64_t non_kv_bytes; /* weights, activations and the rest */
	int64_t token_bytes;  /* of KV cache, for one token */
	int64_t block_size;   /* tokens in a block */
	char *source;	      /* "declared", "start-up log FILE" */
} VllmFact;

typedef struct WhisperFact {
	char *size;	    /* "small" */
	char *engine;	    /* "openai-whisper", "whisper.cpp", "faster-whisper"; NULL: any */
	int64_t load_bytes; /* the peak while loading */
	int64_t steady_bytes;
} WhisperFact;

/* `memory:` of an experiment. */
typedef struct Footprint {
	int64_t total_bytes;   /* as CUDA reports it */
	int64_t context_bytes; /* each process has one, outside any budget of its own */
	int64_t reserve_bytes; /* must stay free */
	int64_t others_bytes;  /* who else is always there */
	ConfList vllm;	       /* VllmFact */
	ConfList whisper;      /* WhisperFact */
} Footprint;

extern const ConfTable footprint_table;

typedef enum FitVerdict {
	FIT_YES,
	FIT_NO,
	FIT_UNKNOWN, /* no facts: try it */
} FitVerdict;

const char *fit_verdict_name(FitVerdict v); /* "fits", "infeasible", "unknown, try it" */

typedef struct Fit {
	FitVerdict verdict;
	char cause[32];	  /* of FIT_NO: "kv_cache", "start_check", "load", "steady"; "" otherwise */
	char *reason;	  /* a sentence with the numbers */
	int64_t kv_bytes; /* of the (only) vLLM service; INT64_MIN: unknown; may be negative */
	int64_t kv_tokens;     /* -1: unknown */
	double kv_concurrency; /* requests of max_model_len at once; NAN: unknown */
	double
	    min_share; /* smallest share that serves one request of max_model_len; NAN: unknown */
	int64_t used_bytes; /* everything together, steady; -1: unknown */
} Fit;

void fit_done(Fit *f);

/* Services start in the order given, one after another. */
int footprint_predict(const Footprint *fp, const ServiceSpec *services, size_t n_services,
		      const json_t *params, Fit *ret, Err *err) _must_check_;

/* What one start-up log says (server/vllm_log.h reads it). 0 or NAN: not said. */
typedef struct VllmStart {
	VllmKey key;
	double share;	     /* gpu_memory_utilization of that start */
	int64_t total_bytes; /* of the GPU, if it says */
	double kv_gib;	     /* "Available KV cache memory"; two decimals, so +-0.005 */
	int64_t kv_tokens;
	double concurrency;
	int64_t block_size; /* 16 when it does not say */
	bool no_kv;	    /* it ended with "No available memory for the cache blocks" */
} VllmStart;

/* A fact from one start (needs token_bytes, declared or from the model's shape; 0: must come from
 * two starts) or several at different shares. -ENODATA with the sentence that says what is missing.
 */
int footprint_calibrate(const VllmStart *starts, size_t n, int64_t total_bytes, int64_t token_bytes,
			const char *source, VllmFact *ret, Err *err) _must_check_;
void vllm_fact_done(VllmFact *f);
void vllm_key_done(VllmKey *k);
int vllm_key_copy(const VllmKey *from,
		  VllmKey *ret) _must_check_; /* -ENOMEM; may be given to done() then */
