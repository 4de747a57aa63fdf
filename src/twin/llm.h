#pragma once
/* A simulated vLLM: what its start takes from the GPU, and its continuous batching. */
#include "twin/host.h"

enum {
	LLM_BLOCK_TOKENS = 16, /* tokens of KV cache in a block: the server's default */
};

/* Hears of every token as it is made: q->made of them are there now, the answer may be complete.
 * Both the first time and the last one are those of the engine; the front end's delay is not in
 * them. */
typedef struct Seq Seq;
typedef void LlmHear(void *ctx, const Seq *q, bool complete);

struct Seq {
	Seq *next_spare;
	Request rq;
	int64_t started_us, first_us; /* in a step; its first token */
	int64_t need;	  /* tokens to compute before the next new one: the prompt, or all of it
			     again */
	int64_t computed; /* tokens in the KV cache */
	int64_t made;	  /* tokens of the answer */
	int64_t take;	  /* tokens of the step that runs */
	int64_t blocks;
};

typedef struct Llm {
	Host *host;
	Service *service;
	Load *load; /* who is told; borrowed */
	/* Who is told instead, of each token: then steps are run one by one. */
	LlmHear *hear;
	void *hear_ctx;
	bool starved; /* the next step finds no memory for its workspace: a fault that was asked for
		       */
	/* Another fault: since `slower_from_us` it takes longer, twice as long after `slower_us`.
	 * 0: never. */
	int64_t slower_from_us, slower_us;
	int worker;
	/* What the start found. */
	int64_t kv_bytes, kv_blocks, workspace_bytes;
	/* The schedule. Sequences move between the two; the oldest running one first. */
	Seq **running; /* owned, max_num_seqs */
	size_t n_running;
	Seq **waiting; /* owned ring of `waiting_cap` (a power of two) */
	size_t waiting_cap, waiting_at, n_waiting;
	Seq *spare; /* those that are free */
	int64_t free_blocks;
	int64_t preemptions;
	/* The step, or the run of equal decode steps, that the worker is in. */
	int64_t steps;			/* 0: none */
	double step_us, step_growth_us; /* the first step, and how much longer each further one */
	double work_us;			/* all of them */
	int64_t context_tokens;		/* of the sequences that decode */
} Llm;

/* Allocates as the real server does: context, weights, profile run, KV cache, graphs. What goes
 * wrong is in the host's measurement. Negative errno only for faults. */
int llm_start(Llm *l);

/* The same in the order of time, for whoever lets time pass between the stages: each takes its
 * memory at once, says what the one before it did, and then lasts *ret_us. 1: go on; 0: the start
 * failed. */
typedef enum LlmStage {
	LLM_STAGE_LOAD,	   /* context, free memory, weights */
	LLM_STAGE_PROFILE, /* activations */
	LLM_STAGE_CACHE,   /* KV blocks, then graphs */
	LLM_STAGE_READY,
	LLM_STAGES,
} LlmStage;
int llm_start_stage(Llm *l, LlmStage stage, int64_t *ret_us);
void llm_done(Llm *l);
/* Drops all requests. */
void llm_clear(Llm *l);

/* The client of the request with that `own` went away: its place and blocks are free. False: no
 * such request is in it. */
bool llm_abort(Llm *l, const void *own);

/* How many requests are in it. */
size_t llm_queued(const void *llm);

LoadSend llm_send; /* `to` is the Llm */
WorkDone llm_work_done;

/* Bytes of KV cache for one token. */
int64_t llm_token_bytes(const Llm *l);
