#pragma once
/* From exchanges to numbers that can be trusted: exact percentiles from raw samples, each with an
 * order-statistic interval or the sentence why there is none; warm-up and what came before the
 * steady state left out; how many of the samples count when neighbours resemble each other. Pure.
 */
#include <jansson.h>

#include "loadgen/traffic.h"
#include "trial/trial.h"

typedef struct Figure {
	double value;  /* NAN: insufficient */
	double lo, hi; /* 95 %; NAN */
	int64_t n;
	double n_effective; /* less than n when samples in a row resemble each other */
	int64_t needs;	    /* when insufficient: how many it takes */
} Figure;

enum {
	PERCENTILES = 5 /* 50, 90, 95, 99, 99.9 */
};
extern const double figure_percentiles[PERCENTILES];

typedef struct Distribution {
	Figure p[PERCENTILES];
	Figure mean;
	double min, max;
	int64_t n;
} Distribution;

typedef struct StreamFigures {
	int64_t sent, answered,
	    failed; /* of all measured ones; what follows is of the steady part */
	int64_t failures[EXCHANGE_FAILURE_MAX_], faults[HTTP_FAULT_MAX_];
	int64_t warmup, unsteady; /* left out at the beginning */
	bool steady; /* false: it never settled; the figures are of everything after the warm-up */
	int64_t unfinished; /* were still on their way when it was stopped; counted nowhere */
	Distribution e2e_ms, e2e_from_send_ms,
	    queue_ms; /* from the planned time; from the sending; between the two */
	Distribution ttft_ms, gap_ms, tpot_ms; /* LLM streams; n 0 otherwise */
	Distribution real_time;		       /* STT: processing time per second of audio */
	double asked_rate, delivered_rate;     /* requests a second; asked NAN: closed loop */
	double tokens_s, tokens_in_s, chunks_s;
	double goodput_share, goodput_rate; /* that met all limits; NAN: no limits */
	double goodput_lo, goodput_hi; /* 95 % of the share; misses come in clumps, and a clump is
					  less evidence than as many misses apart */
	double autocorrelation;	       /* lag 1, of the end-to-end latency */
} StreamFigures;

/* Was it answered, within all limits that the stream has? */
bool exchange_meets(const Stream *load, const Exchange *e);

int stream_figures(const StreamResult *r, StreamFigures *ret, Err *err) _must_check_;
/* Adds `real_time`: of the clips' lengths. */
int stream_figures_add_clips(StreamFigures *f, const StreamResult *r, Err *err) _must_check_;
/* "insufficient (n=12, needs 64)"; `ret` holds at least 64 bytes. */
void figure_insufficient(const Figure *f, char *ret);

/* As metrics of a trial: "llm_latency_ms" (median end-to-end), "llm_latency_p95_ms", "llm_ttft_ms",
 * ... with unit, n, interval and standard error; what is insufficient is left out. `name`: "llm",
 * "stt". */
int stream_metrics(const StreamFigures *f, const char *name, Measurement *m, Err *err) _must_check_;
/* The whole, documented in docs/json.md. NULL: out of memory. */
json_t *stream_figures_json(const StreamFigures *f);
json_t *traffic_json(const TrafficResult *r); /* our own error */
