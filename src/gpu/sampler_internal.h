#pragma once
#include "gpu/contention.h"
#include "gpu/procid.h"
#include "gpu/sampler.h"

enum {
	SAMPLER_XIDS_MAX = 16,
	SAMPLER_FOREIGN = -1,
};

/* A service of ours. */
typedef struct Owned {
	char *name, *cgroup; /* owned; cgroup may be NULL */
	ProcId leader;	     /* pid 0: none */
	bool ready, gone;
	int64_t peak_bytes, now_bytes; /* -1: unknown */
} Owned;

/* A process that was seen on the card, and whose it is. */
typedef struct Seen {
	pid_t pid;
	int owner;	     /* SAMPLER_FOREIGN: nobody's of ours */
	int64_t look, looks; /* the last look that saw it, and how many in a row */
	char *who;	     /* owned: in words, of a foreign one; NULL: not asked yet */
} Seen;

typedef struct SeenXid {
	uint64_t xid;
	int64_t at_us;
} SeenXid;

struct Sampler {
	SamplerSpec spec;
	sd_event_source *timer;
	int64_t begin_us, due_us;
	GpuState state;
	Owned owned[SAMPLER_OWNERS_MAX];
	size_t n_owned;
	Seen seen[GPU_PROCESSES_MAX];
	size_t n_seen;
	bool begun;	/* who was there before is known */
	bool ask_again; /* there is a new service: who is foreign may be its */
	Contention contention;
	int64_t looks, missed, load_looks, throttled;
	int64_t throttle_bits;
	int64_t used_peak_bytes, unattributed_peak_bytes;
	bool bytes_known, activity_known;
	char contention_words[320], hardware_words[160];
	int64_t worded_us; /* when it happened what contention_words are about */
	SeenXid xids[SAMPLER_XIDS_MAX];
	size_t n_xids;
};

/* A foreign process in words, as it was when it was first seen; "". */
const char *sampler_who(const Sampler *s, pid_t pid);
