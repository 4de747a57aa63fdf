#pragma once
/* Sends one or several streams of requests to real servers and writes down what happened to each.
 * Open-loop streams are sent at their planned times whatever the server does; every latency can be
 * counted from the planned time (ours) or from the time of sending (others'), since both are kept.
 * On the caller's event loop. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "http/client.h"
#include "loadgen/workload.h"

typedef enum Protocol {
	PROTOCOL_OPENAI_CHAT,	     /* POST /v1/chat/completions */
	PROTOCOL_OPENAI_COMPLETIONS, /* POST /v1/completions */
	PROTOCOL_OLLAMA_CHAT,	     /* POST /api/chat, NDJSON */
	PROTOCOL_OLLAMA_GENERATE,    /* POST /api/generate */
	PROTOCOL_OPENAI_STT,	     /* POST /v1/audio/transcriptions, multipart */
	PROTOCOL_WHISPERCPP,	     /* POST /inference */
	PROTOCOL_HTTP,		     /* GET, or what `path` and `extra` say */
	PROTOCOL_MAX_,
} Protocol;

const char *protocol_name(Protocol p); /* "openai-chat" */
bool protocol_from_name(const char *name, Protocol *ret);
bool protocol_is_stt(Protocol p);

/* What is sent: prompts (made up by length, unique, or from a file) or clips (WAV files, each with
 * a .txt of what is said beside it where there is one; or quiet noise, made up by length: what is
 * heard in it says nothing, so there are no word errors then). */
typedef struct Contents Contents;

enum {
	MADE_CLIP_MS_MAX = 600000, /* of one that is made up: 19 MB, in memory while it is sent */
};

typedef struct ContentsSpec {
	const char *prompts; /* a file: one a line, or JSON lines with "prompt"; NULL: made up */
	const char *clips;   /* a folder of .wav files; NULL: made up by length */
	bool repeat; /* the same prompt may come twice (to measure a prefix cache on purpose) */
	uint64_t seed;
} ContentsSpec;

int contents_new(const ContentsSpec *spec, Contents **ret, Err *err) _must_check_;
Contents *contents_free(Contents *c); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Contents *, contents_free)
size_t contents_clips(const Contents *c); /* of the folder; 0: they are made up */
const char *contents_clip_name(const Contents *c, size_t i);
const char *contents_clip_text(const Contents *c,
			       size_t i);	       /* what is said in it; NULL: not known */
int64_t contents_clip_us(const Contents *c, size_t i); /* its length */

typedef struct TrafficStream {
	const char *name; /* "llm" */
	HttpClient *client;
	Protocol protocol;
	const char *path;     /* NULL: the protocol's */
	const char *model;    /* NULL: none is named */
	const char *language; /* STT; NULL */
	bool streaming;	      /* LLM: ask for a stream */
	const json_t
	    *extra; /* an object whose members go into each request ({"ignore_eos": true}); NULL */
	const Stream *load; /* arrivals, lengths, how many */
	const Contents *contents;
	uint64_t seed;
	int64_t timeout_us; /* of one request; 0: 5 min */
	bool goes_on;	 /* keeps sending, unmeasured, until all streams have their measured ones */
	bool background; /* nobody waits for it */
	/* When more than this many measured ones miss the stream's limits the rest is not sent.
	 * Negative: never. */
	int64_t misses_max;
	bool keep_text; /* keep the answers, for WER and scores */
} TrafficStream;

/* One request. Times are CLOCK_MONOTONIC microseconds; 0: it never came to that. `first_us` and
 * `last_us` are of the tokens of a streamed answer (what a model thinks aloud counts); of one that
 * comes whole, of its bytes for STT and plain HTTP, and 0 for an LLM, which then says nothing about
 * its tokens. */
typedef struct Exchange {
	int64_t planned_us, sent_us, first_us, last_us, end_us;
	/* What the server says of itself (Ollama, llama.cpp); -1: nothing. Loading the model counts
	 * when it was not there. */
	int64_t server_load_us, server_prompt_us, server_output_us;
	int32_t chunks, tokens_in,
	    tokens_out; /* tokens from `usage`, or what the server counts; -1: not said */
	int32_t asked_tokens, prompt_words;
	int16_t status;
	uint8_t fault;		  /* HttpFault */
	uint8_t failed;		  /* ExchangeFailure */
	bool measured;		  /* not warm-up, not run-on */
	uint32_t clip;		  /* of the folder; or the number of the one that was made up */
	uint32_t clip_ms;	  /* how long the sound was that was sent; 0: none */
	uint32_t gaps_at, n_gaps; /* into TrafficResult.gaps_us: from chunk to chunk */
	char *text;		  /* owned; NULL unless keep_text */
} Exchange;

typedef enum ExchangeFailure {
	EXCHANGE_OK,
	EXCHANGE_TRANSPORT,  /* see `fault` */
	EXCHANGE_REFUSED,    /* status 429, 503 */
	EXCHANGE_STATUS,     /* any other that is no success */
	EXCHANGE_SAYS_ERROR, /* a success whose body says it is none */
	EXCHANGE_GARBAGE,    /* a body that is not what the protocol says */
	EXCHANGE_HALF,	     /* the stream ended without its end mark */
	EXCHANGE_EMPTY,	     /* nothing was generated */
	EXCHANGE_UNFINISHED, /* still on its way when everything was ended */
	EXCHANGE_FAILURE_MAX_,
} ExchangeFailure;

const char *exchange_failure_name(ExchangeFailure f);

typedef struct StreamResult {
	char name[32];
	Stream load; /* as it was asked; strings are not kept */
	Protocol protocol;
	Exchange *exchanges; /* owned: n of them, in planned order */
	size_t n;
	uint32_t *gaps_us; /* owned */
	size_t n_gaps;
	bool stopped_early;    /* by misses_max */
	char first_error[240]; /* what the first failure said, in words */
	bool backlog_drained;  /* at the end nothing waited longer than usual */
} StreamResult;

typedef struct TrafficResult {
	StreamResult *streams; /* owned: one a stream */
	size_t n_streams;
	int64_t began_us, ended_us;
	/* Of our own making, over the measured time. */
	double cpu_share; /* of one core */
	int64_t late_p50_us, late_p99_us,
	    late_max_us;	 /* sent - planned where we could have sent: open loop */
	int64_t loop_lag_max_us; /* the longest that the loop took from ready to handled */
	bool limited_by_client;	 /* the generator was the bottleneck: the numbers are not the
				    server's */
	char limited_why[200];
} TrafficResult;

void traffic_result_done(TrafficResult *r);

typedef struct Traffic Traffic;

typedef struct TrafficProgress {
	int64_t elapsed_us;
	int64_t sent, answered, failed, in_flight,
	    wanted; /* measured ones and warm-up, all streams */
} TrafficProgress;

typedef struct TrafficHandler {
	void (*done)(void *ctx, TrafficResult *r,
		     const Err *err); /* once, from the loop; may take r's contents */
	void (*progress)(void *ctx,
			 const TrafficProgress *p); /* about once a second; may be NULL */
} TrafficHandler;

/* Everything that the streams point to is borrowed until done() or traffic_stop(). */
int traffic_start(sd_event *loop, const TrafficStream *streams, size_t n, const TrafficHandler *h,
		  void *ctx, Traffic **ret, Err *err) _must_check_;
/* Ends it at once. `partial` true: done() is called with what there is, before this returns.
 * Accepts NULL, returns NULL. Also to be called after done(). */
Traffic *traffic_stop(Traffic *t, bool partial);
