#pragma once
/* A light request of our own to a service: a fixed prompt or a second of silence, always the same,
 * so that what changes is the service. A service that is not asked by HTTP runs its `probe`
 * program instead. One at a time. */
#include "base/rng.h"
#include "watch/asker.h"

enum {
	PROBE_TOKENS = 16, /* of an answer, at most */
};

typedef struct ProbeResult {
	bool ok;
	bool wrong;	   /* it was answered, and no other time would be better: "no such model" */
	bool unasked;	   /* it never heard of it: we got no connection, and nothing is known */
	double latency_ms; /* from the call to the end of the answer; NAN without one */
	double ttft_ms;	   /* to the first token of a stream; NAN: not seen */
	char why[240];	   /* what was wrong; "" */
} ProbeResult;

/* From one to the next: a tenth more or less each time, for in step with something else on the
 * machine it would see only that. Pure. */
int64_t probe_gap_us(int64_t every_us, Rng *rng);

/* From the loop; the probe may be sent again from inside, and may not be freed. */
typedef void ProbeDone(void *ctx, const ProbeResult *r);
typedef struct Probe Probe;

/* `a` is borrowed. *ret NULL: there is no way to ask this service, only to look at its unit. */
int probe_new(sd_event *loop, const Asker *a, const char *base_dir, int64_t limit_us,
	      ProbeDone *done, void *ctx, Probe **ret, Err *err) _must_check_;
Probe *probe_free(Probe *p); /* done() is not called any more; accepts NULL, returns NULL */
/* -EBUSY: one is on its way. */
int probe_send(Probe *p, Err *err) _must_check_;
bool probe_busy(const Probe *p);
void probe_cancel(Probe *p);
