#pragma once
/* Looks at production as it runs: light requests of our own, the servers' own metrics, the units,
 * the GPU. Gives samples for the judge and hard events, which need no statistics. Changes nothing.
 * On the caller's event loop. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/client.h"
#include "space/service.h"
#include "systemd/bus.h"
#include "watch/judge.h"

typedef enum HardEvent {
	HARD_NONE,
	HARD_START_FAILED,
	HARD_RESTARTED, /* the unit restarted by itself (NRestarts), or its process is another one
			 */
	HARD_DIED,	/* failed or inactive */
	HARD_OOM,
	HARD_CPU, /* it runs on the CPU instead of the GPU */
	HARD_UNHEALTHY,
	HARD_XID,
	HARD_READBACK, /* it does not run what it was told */
} HardEvent;

const char *hard_event_name(HardEvent e); /* "start_failed", ... */

/* One service that is watched. Borrowed while the watch lives. */
typedef struct WatchedService {
	const ServiceSpec *service; /* its `unit`, `url`, kind, token_file */
	bool wants_gpu;
	int64_t gpu_bytes;    /* at least; 0: any */
	const char *base_dir; /* where the service's relative paths start; NULL: our own folder */
} WatchedService;

/* As dream.yaml says it; `dir` is the folder of that file. Both are borrowed. */
WatchedService watched_service(const ServiceSpec *s, const char *dir);

typedef struct WatchSpec {
	const WatchedService *services;
	size_t n;
	int64_t probe_every_us;
	int64_t probe_limit_us; /* an answer later than this is none */
	int64_t healthy_after;	/* so many probes in a row without an answer are HARD_UNHEALTHY */
	bool journal;		/* look for OOM and failure texts there */
	const char *gpu_uuid;	/* NULL: no placement is looked at */
	const Clock *clock;	/* for the time of samples; timers are the loop's */
	uint64_t seed;		/* of the jitter between probes */
} WatchSpec;

/* One figure of one service at one time: "judge" "latency_ms". Names are static or the spec's.
 *   latency_ms               of our own request, from its sending to its end
 *   ttft_ms                  of it, to the first token (a language model that streams)
 *   server_latency_ms, server_latency_p95_ms, server_ttft_ms, server_ttft_p95_ms
 *                            of all requests since the sample before, as vLLM counts them
 *   server_token_ms          time for one token, as llama.cpp counts it
 * The load is the requests a second that others sent since the sample before, where the server
 * counts them, else how many it had. */
typedef struct WatchSample {
	const char *service, *metric;
	JudgeSample s;
} WatchSample;

typedef struct WatchHandler {
	void (*sample)(void *ctx, const WatchSample *s);
	/* What happened, to whom, with the line or the figure that proves it. May come again. */
	void (*hard)(void *ctx, HardEvent e, const char *service, const char *words);
} WatchHandler;

typedef struct Watch Watch;

int watch_start(sd_event *loop, Systemd *systemd, HttpLoop *http, const WatchSpec *spec,
		const WatchHandler *h, void *ctx, Watch **ret, Err *err) _must_check_;
Watch *watch_free(Watch *w); /* accepts NULL, returns NULL; not from inside a handler */
DEFINE_CLEANUP(Watch *, watch_free)
/* What cannot be looked at here, in a sentence ("the journal: ...; the GPU: ..."); "": nothing. */
const char *watch_blind(const Watch *w);
/* While a unit is being restarted by us its events are expected: none are told, and its counters
 * are taken anew afterwards. `expected`: from now on; else no more. */
void watch_expect(Watch *w, const char *unit, bool expected);

/* One service until it has answered once: health, then a first real request, its unit being looked
 * at meanwhile. To be called when the job of its restart is done. done(): ready_us, or -1 with the
 * event and the words; once, from the loop.
 *   HARD_START_FAILED  its unit failed or was restarted (told at once), or the time is over
 *   HARD_UNHEALTHY     it answers that it cannot: a wrong model, a health page that has given up
 *   HARD_CPU           it answers, and is not on the GPU
 *   HARD_READBACK      a process of the run before may have answered */
typedef struct FirstAnswer FirstAnswer;
typedef void FirstAnswerDone(void *ctx, int64_t ready_us, HardEvent e, const char *words);
int first_answer(sd_event *loop, Systemd *systemd, HttpLoop *http, const WatchedService *s,
		 const char *gpu_uuid, int64_t timeout_us, FirstAnswerDone *done, void *ctx,
		 FirstAnswer **ret, Err *err) _must_check_;
FirstAnswer *first_answer_free(FirstAnswer *f); /* accepts NULL, returns NULL */
