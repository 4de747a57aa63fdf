#pragma once
/* Watches one GPU while a trial runs: how much each service holds at most, who else came or became
 * active, throttling, Xids. On the caller's loop, 20 times a second; the decisions are in
 * contention.h and pure. */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "gpu/nvml.h"
#include "gpu/owners.h"

typedef struct Sampler Sampler;

enum {
	SAMPLER_OWNERS_MAX = 32,
	SAMPLER_PERIOD_US = 50000,
};

typedef struct SamplerSpec {
	Nvml *nvml;
	size_t gpu;
	/* A tenant that was there before may grow by this much before it counts as contention. 0:
	 * 64 MiB. */
	int64_t tolerance_bytes;
	int64_t period_us; /* between two looks; 0: SAMPLER_PERIOD_US */
	/* Told at once, from the loop: a hardware Xid or a card that is gone. */
	void (*hardware)(void *ctx, const char *what);
	void *ctx;
} SamplerSpec;

/* Takes the first look itself: who is there now was there before. */
int sampler_new(sd_event *loop, const SamplerSpec *spec, Sampler **ret, Err *err) _must_check_;
Sampler *sampler_free(Sampler *s); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Sampler *, sampler_free)

/* From now on these processes are a service's of ours; the strings are copied. The handle, or
 * -E2BIG. */
int sampler_add(Sampler *s, const Owner *o);
/* Its processes are others than they seemed to be: a container's are no children of who asked for
 * it. What was found about them in the meantime is taken back. -ENOMEM. */
int sampler_own(Sampler *s, int handle, const Owner *o) _must_check_;
/* It has started: until then a neighbour that gives memory back is contention too, because it
 * disturbs a server that measures what is free. */
void sampler_ready(Sampler *s, int handle);
/* It was stopped on purpose: its processes may go. */
void sampler_gone(Sampler *s, int handle);

/* Since the beginning. */
typedef struct SamplerReport {
	int64_t looks, missed; /* how many, and how many came later than twice the period */
	int64_t used_peak_bytes, total_bytes;	/* of the whole card */
	int64_t peak_bytes[SAMPLER_OWNERS_MAX]; /* by handle; -1: unknown */
	int64_t now_bytes[SAMPLER_OWNERS_MAX];
	bool contended;
	char contention[320]; /* a sentence: who, what, when; "" */
	bool hardware;
	char hardware_words[160];
	double throttled_share; /* of the looks */
	int64_t throttle_bits;
} SamplerReport;

void sampler_report(const Sampler *s, SamplerReport *ret);
/* The newest look. */
const GpuState *sampler_state(const Sampler *s);
/* For the evidence: peaks by service, foreign tenants before and after, contention, throttling,
 * Xids. NULL: out of memory. */
json_t *sampler_json(const Sampler *s);
