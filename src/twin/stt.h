#pragma once
/* A simulated Whisper server: one clip at a time, first come first served. */
#include "twin/host.h"

typedef struct Stt {
	Host *host;
	Service *service;
	Load *load; /* borrowed */
	/* Who is told instead of it. */
	void (*hear)(void *ctx, const Request *rq);
	void *hear_ctx;
	int worker;
	Rng content;	/* which clips are hard */
	Request *queue; /* owned ring of `cap` (a power of two); the first one is being decoded */
	size_t cap, at, n;
} Stt;

/* Loads the model on the GPU, or, as the box has it, on the CPU. What goes wrong is in the host's
 * measurement; negative errno only for faults. */
int stt_start(Stt *t);
/* The same in two parts, between which *ret_us pass: the peak of the load, then what stays. On the
 * CPU from the beginning with `cpu`. */
int stt_load(Stt *t, bool cpu, int64_t *ret_us);
int stt_loaded(Stt *t);
/* The client of the clip with that `own` went away. False: it is not here. The clip that is being
 * decoded is decoded to its end. */
bool stt_abort(Stt *t, const void *own);
void stt_done(Stt *t);
void stt_clear(Stt *t);

/* How many requests are in it. */
size_t stt_queued(const void *stt);

LoadSend stt_send; /* `to` is the Stt */
WorkDone stt_work_done;

/* How long a clip takes alone, without retries, where the service runs. */
double stt_alone_us(const Stt *t, int64_t clip_ms);
/* Word errors of this model and beam, per cent, without the luck of one measurement. */
double stt_wer_pct(const Stt *t);
