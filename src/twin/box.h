#pragma once
/* What a box file says: a card, the models it can serve with their true costs, its other tenants
 * and its noise. Plain values; the tables that read them are in box.c. */
#include "conf/conf.h"
#include "twin/twin.h"

typedef struct GpuSpec {
	char *uuid, *model;
	int64_t total_bytes;   /* as CUDA reports it */
	int64_t context_bytes; /* each process that touches the GPU has one */
	double bandwidth_gb_s; /* of its memory */
	double tflops;	       /* dense, at the precision of the models below */
	double memory_share;   /* of the bandwidth that real kernels reach */
	double compute_share;  /* of the tflops that real kernels reach */
	double switch_cost;    /* what each further active process adds to everybody's kernels */
} GpuSpec;

/* The server's own defaults, as this box's version has them. */
typedef struct VllmDefaults {
	double gpu_memory_utilization;
	int64_t max_model_len, max_num_seqs, max_num_batched_tokens;
	bool enforce_eager;
} VllmDefaults;

typedef struct LlmModel {
	char *name;
	double params_b; /* billions */
	int64_t weight_bytes;
	int64_t layers, kv_heads, head_dim;
	/* What the profile run at start-up finds besides the weights. */
	int64_t fixed_bytes, token_bytes, seq_bytes;
	/* What it misses: workspace that only a real step takes, for each token in it. */
	int64_t load_token_bytes;
	/* CUDA graphs, captured after the KV cache was cut; on top of the share. */
	int64_t graph_bytes, graph_seq_bytes;
	int64_t load_us, compile_us, graph_us;
	int64_t step_us, eager_step_us; /* the engine's own time in each step */
	int64_t seq_us;			/* and for each sequence in it */
	int64_t request_us;		/* front end: HTTP, tokens, first byte */
	double fp8_slowdown;		/* of a step, when the KV cache is fp8 */
	/* Of questions with a fixed answer; 0: not known, and when the KV cache is fp8, as
	 * otherwise. */
	double quality_pct, fp8_quality_pct, quality_spread;
	double busy; /* of a step's time, in kernels */
} LlmModel;

typedef struct WhisperModel {
	char *name;
	int64_t load_bytes, steady_bytes; /* without the CUDA context */
	int64_t beam_bytes;		  /* for each beam beyond the first */
	int64_t load_us, fixed_us, window_us, token_us;
	double busy;
	double cpu_slowdown;
	double wer_pct;
} WhisperModel;

typedef struct WhisperSpec {
	char *engine;
	bool cuda;	     /* false: this box's installation never reaches the GPU */
	bool cpu_when_full;  /* without room on the GPU it goes to the CPU and says little */
	int64_t window_ms;   /* audio is decoded in windows of this length */
	double tokens_per_s; /* of speech */
	double beam_cost;    /* what each further beam adds to a token's time */
	double beam_gain;    /* what a wide beam takes off the word errors, at most */
	double retry_share;  /* of clips are decoded again, hotter */
	int64_t retries_max;
	double wer_spread; /* relative deviation of a repeated measurement */
	ConfList models;   /* WhisperModel */
} WhisperSpec;

/* Another service of the box. */
typedef struct Tenant {
	char *name;
	bool resident; /* its memory is always taken, even when only the tuned services run */
	int64_t bytes; /* with its context */
	/* What it does when everything runs: bursts at random times. */
	int64_t burst_every_us, burst_us, burst_bytes;
	double busy;
} Tenant;

typedef struct NoiseSpec {
	double trial_pct; /* deviation between two starts of the same */
	double drift_pct; /* of the box, slowly */
	int64_t drift_us; /* how long until the drift has forgotten where it was */
	double jitter_pct, jitter_correlation; /* from second to second */
	int64_t seed;			       /* of the drift: one box has one weather */
} NoiseSpec;

struct Box {
	char *name, *about;
	GpuSpec gpu;
	VllmDefaults vllm;
	ConfList llm; /* LlmModel */
	WhisperSpec whisper;
	ConfList tenants; /* Tenant */
	NoiseSpec noise;
};

const LlmModel *box_llm(const Box *b, const char *name);
const WhisperModel *box_whisper(const Box *b, const char *name);
const Tenant *box_tenant(const Box *b, const char *name);

/* Their tables (box_models.c). */
extern const ConfTable box_llm_table, box_whisper_table;
