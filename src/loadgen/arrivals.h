#pragma once
/* When the next request of a stream is planned, and how long it is. The load generator and the
 * simulation walk through the same schedule. Pure: the random numbers are passed in. */
#include "base/rng.h"
#include "loadgen/trace.h"
#include "loadgen/workload.h"

/* What one request asks for. */
typedef struct Size {
	int64_t prompt, output; /* tokens: LLM */
	int64_t clip_ms;	/* STT */
	const char *clip;	/* the trace names one; NULL; lives as long as the trace */
} Size;

typedef struct Schedule {
	Stream stream;	    /* its strings are borrowed */
	const Trace *trace; /* borrowed; NULL: none */
	bool speech;
	Rng gaps, sizes; /* two, so that the times do not change with the lengths */
	int64_t planned; /* how many times were given out */
	int64_t sized;
	int64_t at_us; /* the one before, from the beginning */
} Schedule;

/* A stream with a trace needs it here: -EINVAL. The lengths are those of the trace where it says
 * them. */
int schedule_init(Schedule *s, const Stream *stream, const Trace *trace, bool speech, Rng gaps,
		  Rng sizes) _must_check_;
/* Users who wait for their answer? Then the next request comes stream.think_us after it, and
 * schedule_next_us() has nothing to say. */
bool schedule_is_closed(const Schedule *s);
/* Open loop: the next planned time, in microseconds from the beginning. It never drifts: the n-th
 * of a constant rate is n / rate to the microsecond. */
int64_t schedule_next_us(Schedule *s);
/* Of the next request, in the order of planning. */
void schedule_size(Schedule *s, Size *ret);
