#pragma once
/* What an evaluator wrote on standard output, judged. Pure: bytes and an ending in, a measurement
 * out; no process, clock or loop. */
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "trial/trial.h"

enum {
	OUTPUT_LINE_MAX = 1 << 20,
	OUTPUT_TOTAL_MAX = 16 << 20,
	OUTPUT_TAIL_MAX = 64 << 10, /* what is kept of standard error */
};

typedef struct Output {
	Str line;      /* the unfinished last line */
	size_t total;  /* bytes so far */
	size_t number; /* lines so far */
	json_t *result;
	char *fault; /* why nothing of it can be believed; NULL: nothing wrong yet */
	void (*progress)(void *ctx, const json_t *event); /* may be NULL */
	void *ctx;
} Output;

/* -EBADMSG once there is a fault (the rest need not be read); -ENOMEM. */
int output_feed(Output *o, const char *data, size_t len);
/* End of file: a last line may lack its newline. */
int output_end(Output *o);
void output_done(Output *o);

/* The last bytes of a stream, in constant memory. */
typedef struct Tail {
	char b[OUTPUT_TAIL_MAX];
	size_t at, len;
} Tail;

void tail_add(Tail *t, const char *data, size_t len);
/* The last `max` bytes, for people: one line, safe for terminals. */
void tail_text(const Tail *t, size_t max, Str *out);

typedef struct Ending {
	siginfo_t status;
	bool timed_out;	   /* killed at the deadline */
	bool closed_early; /* killed because it closed standard output and stayed */
	bool killed;	   /* by us, for whatever reason */
	bool stuck;	   /* survived SIGKILL */
	bool worker;	   /* it was our own worker, not a program of the user's */
	int64_t timeout_us, wall_us;
	const Tail *tail; /* of standard error */
} Ending;

/* Whatever the evaluator did becomes an outcome with a reason; negative errno only for faults. */
int output_verdict(const Output *o, const Ending *e, Measurement *ret, Err *err) _must_check_;
