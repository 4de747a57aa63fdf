#pragma once
/* A stream of requests against one kind of service, in simulated time: who sends what when, and
 * what became of it. Latency counts from the planned time of sending. */
#include "loadgen/arrivals.h"
#include "twin/sim.h"

typedef struct Request {
	int64_t number; /* within its stream, from 0 */
	int64_t planned_us;
	int64_t prompt, output; /* tokens: LLM */
	int64_t clip_ms;	/* STT */
	void *own;		/* of whoever sent it */
} Request;

/* One measured request. */
typedef struct Sample {
	bool answered; /* otherwise it was refused */
	int64_t planned_us, first_us, end_us;
	int64_t tokens;
} Sample;

typedef struct Load Load;
typedef int LoadSend(Sim *s, void *to, const Request *rq);

struct Load {
	Stream stream;
	bool speech;
	LoadSend *send;
	void *to; /* borrowed */
	Schedule schedule;
	Trace trace; /* owned */
	int64_t began_us;
	int timer;
	int64_t sent, measured;
	bool background; /* only there to disturb the others: its end is nobody's */
	bool goes_on; /* keeps sending after its measured requests, so that others stay disturbed */
	/* When more than this many measured ones miss the stream's limits, the rest cannot save it:
	 * the simulation halts. Negative: never. */
	int64_t misses, misses_max;
	int64_t *unfinished; /* borrowed: how many streams are not done; at 0 it halts */
	Sample *samples;     /* owned: `stream.requests` of them */
};

/* `seed` moves the arrivals; the contents are the profile's and the same in every trial. */
int load_init(Load *l, const Stream *stream, bool speech, uint64_t seed, LoadSend *send, void *to);
void load_done(Load *l);
/* Adds its timer and sends the first request(s). */
int load_begin(Load *l, Sim *s, int64_t *unfinished);
/* Told by the service. */
int load_answered(Load *l, Sim *s, const Request *rq, int64_t first_us, int64_t end_us,
		  int64_t tokens);
/* Within the stream's limits, from the planned time. */
bool load_meets(const Load *l, const Sample *sample);
int load_refused(Load *l, Sim *s, const Request *rq);
