#pragma once
/* A simulated vLLM: what its start takes from the GPU, and its continuous batching. */
#include "twin/host.h"

enum {
	LLM_BLOCK_TOKENS = 16, /* tokens of KV cache in a block: the server's default */
};

typedef struct Seq Seq;
struct Seq {
	Seq *next_spare;
	Request rq;
	int64_t first_us;
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
void llm_done(Llm *l);
/* Drops all requests. */
void llm_clear(Llm *l);

/* How many requests are in it. */
size_t llm_queued(const void *llm);

LoadSend llm_send; /* `to` is the Llm */
WorkDone llm_work_done;

/* Bytes of KV cache for one token. */
int64_t llm_token_bytes(const Llm *l);
