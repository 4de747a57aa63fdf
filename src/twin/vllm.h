#pragma once
/* `vllm serve` on the simulated box: what its files share. */
#include "base/str.h"
#include "twin/llm.h"
#include "twin/program.h"

#define VLLM_VERSION "0.11.0" /* whose texts and endpoints these are */

enum {
	VLLM_NAMES_MAX = 8,
	VLLM_BUCKETS_MAX = 24,
};

/* The command line. */
typedef struct VllmArgs {
	ProgramOptions program;
	const char *model;
	const char *names[VLLM_NAMES_MAX]; /* served as; the first is shown */
	size_t n_names;
	const char *host, *socket;
	const char *keys[VLLM_NAMES_MAX]; /* bearer tokens; none: open */
	size_t n_keys;
	int64_t port;
	json_t *settings;  /* owned: those that the engine understands */
	json_t *shown;	   /* owned: all that are not the default, for the log */
	bool quiet_access; /* no line for each request */
	bool quiet_stats;  /* no line every ten seconds */
	bool usage_forced; /* --enable-force-include-usage */
} VllmArgs;

/* 1: go on; 0: --help or --version was printed; -EINVAL: a mistake, printed as the real one does
 * (exit code 2). */
int vllm_args(int argc, char **argv, VllmArgs *ret);
void vllm_args_done(VllmArgs *a);

typedef struct Histogram {
	const double *bounds; /* borrowed, ends with INFINITY */
	uint64_t counts[VLLM_BUCKETS_MAX];
	double sum;
	uint64_t n;
} Histogram;

typedef struct VllmMetrics {
	uint64_t prompt_tokens, generation_tokens, stopped, cut, aborted;
	Histogram ttft, itl, tpot, e2e, queue, prefill, decode, inference, prompts, outputs, asked;
	/* For the line every ten seconds. */
	uint64_t seen_prompt, seen_generation;
} VllmMetrics;

typedef struct Vllm Vllm;

/* One request, until it is answered and nothing about it is under way. */
typedef struct Call {
	struct Call *before, *after;
	Vllm *server;
	Incoming *rq; /* NULL: the client went away */
	bool chat, stream, usage, begun;
	bool natural; /* the model ends by itself, not by the limit */
	char id[48];
	int64_t created_s, prompt, output; /* tokens */
	int64_t sent_us;		   /* wall time, as the next ones */
	int64_t started_us;		   /* when a step first took it */
	int64_t first_us, last_us;
	int64_t said;  /* tokens that are out */
	int under_way; /* of its tokens in the outbox */
	bool in_engine;
	uint64_t words; /* which ones it is answered with */
	Str text;	/* of an answer that is no stream */
} Call;

/* A token on its way from the engine through the front end, whose delay is always the same. */
typedef struct Outgoing {
	int64_t at_us; /* simulated */
	Call *call;
	int64_t made;
	bool complete;
} Outgoing;

struct Vllm {
	Program program;
	VllmArgs args;
	Llm llm;
	VllmMetrics metrics;
	Call *calls;
	size_t n_calls;
	Outgoing *outbox; /* owned ring of `cap` (a power of two) */
	size_t cap, at, n;
	int outbox_timer, stats_timer;
	bool outbox_armed, stopping, dead;
	int64_t stats_at_us; /* wall time */
	uint64_t numbers;    /* of requests */
	sd_event_source *grace;
	bool delivering; /* in the outbox's timer */
	char *name_json; /* owned: the served name, quoted */
	int64_t created_s;
};

/* --- vllm_api.c: requests --- */
void vllm_serve(void *ctx, Incoming *rq);
void vllm_closed(void *ctx, Incoming *rq);
void vllm_refuse(Vllm *v, Incoming *rq, int status, const char *type, const char *fmt, ...)
    _printf_(5, 6);
void vllm_log_access(const Vllm *v, const Incoming *rq, int status);
int64_t vllm_count_tokens(const char *text);
const char *vllm_name(const Vllm *v);
/* Ends all requests, with the words of a dead engine or without a word. */
int vllm_drop_all(Vllm *v, bool with_500);
/* --- vllm_program.c --- */
void vllm_idle(Vllm *v); /* a request is gone: was it the last that a stop waits for? */

/* --- vllm_answer.c: what goes out --- */
int vllm_outbox_due(Sim *s, void *owner, uint32_t mark);
void vllm_hear(void *ctx, const Seq *q, bool complete);
void call_free(Call *c);

/* --- vllm_metrics.c --- */
void metrics_init(VllmMetrics *m);
void metrics_answered(Vllm *v, const Call *c, int64_t now_us);
void metrics_first(Vllm *v, const Call *c, int64_t now_us);
void metrics_gap(Vllm *v, int64_t gap_us);
void vllm_metrics_text(const Vllm *v, Str *out);
