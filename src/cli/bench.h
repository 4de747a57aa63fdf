#pragma once
/* What the files of `dream bench` share. */
#include "cli/cli.h"
#include "loadgen/capacity_run.h"
#include "loadgen/figures.h"
#include "loadgen/wer.h"

typedef struct BenchOptions {
	const char *protocol, *model, *path, *language, *extra;
	int64_t users, think_us;
	const char *rate, *gamma, *ramp, *replay, *speed;
	bool poisson, constant;
	int64_t requests, duration_us, warmup;
	const char *prompt_tokens, *output_tokens, *prompts, *clips, *clip_ms;
	bool repeat, whole;
	const char *token_file, *token_env, *ca_file;
	bool insecure, new_connections;
	int64_t limit_us, ttft_limit_us, tpot_limit_us, timeout_us;
	int64_t capacity;
	const char *share;
	OptSeed seed;
	bool json;
} BenchOptions;

typedef enum BenchKind {
	BENCH_LLM,
	BENCH_STT,
	BENCH_HTTP,
} BenchKind;

typedef struct Bench {
	const BenchOptions *o;
	BenchKind kind;
	const char *url;
	Stream load; /* owns its trace */
	double share;
	HttpTarget target;
	char *path, *token; /* owned; may be NULL */
	json_t *extra;	    /* owned; may be NULL */
	sd_event *event;
	HttpLoop *http;
	HttpClient *client;
	Contents *contents;
	TrafficStream stream;
	Traffic *traffic;
	CapacityRun *search;
	bool interrupted, over; /* over: the time was up */
	int64_t said_us;	/* when progress was last written as a line */

	bool done;
	Err err; /* why there is no result */
	TrafficResult result;
	StreamFigures figures;
	CapacityResult capacity;
	bool has_wer;
	Wer wer;
	Normaliser normaliser;
} Bench;

/* --- bench_load.c: what the options ask for --------------------------------------------------- */

/* The load, from its options; 0, or the exit code to return. */
int bench_load(Bench *b);
/* How many are kept at most, when only the duration is said. */
int64_t bench_requests_max(const Stream *s);
/* Server, contents and stream. 0, or the exit code to return. */
int bench_open(Bench *b);

/* --- bench_view.c: what came out ---------------------------------------------------------------
 */

void bench_progress(Bench *b, const TrafficProgress *p, int64_t level);
void bench_progress_end(void);
int bench_print(const Bench *b);
int bench_print_capacity(const Bench *b);
