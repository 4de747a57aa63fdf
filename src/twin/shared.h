#pragma once
/* One simulated GPU shared by programs: a file in memory (mmap) named by TWIN_GPU. Who holds how
 * much, who computes, what faults were asked for. The stand-in NVML reads it; the twin's programs
 * write it. A process that dies is forgotten by the next reader (pid and start time), so nothing
 * leaks. Plain C with fixed sizes and no pointers: also compiled into the stand-in library. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SHARED_PROCESSES_MAX = 128,
	SHARED_XIDS_MAX = 32,
	SHARED_VERSION = 1,
};

typedef struct SharedProcess {
	int32_t pid;	  /* 0: free */
	int32_t graphics; /* in NVML's graphics list instead of the compute list */
	uint64_t start;	  /* clock ticks since boot */
	int64_t used_bytes;
	double busy; /* 0: idle; else the share of its time that it keeps the GPU busy, while it
			does */
	int64_t busy_until_us; /* CLOCK_MONOTONIC: a crashed process does not compute for ever */
	char name[64];
} SharedProcess;

typedef struct SharedGpu {
	uint32_t magic, version;
	int32_t lock;	 /* a futex-free spin lock with owner's pid, robust against death */
	int32_t present; /* 0: fallen off the bus */
	char uuid[96], model[96];
	int64_t total_bytes;
	double switch_cost;
	int32_t cc_major, cc_minor;
	int64_t throttle_bits;
	int32_t lists_processes, bytes_available; /* what this NVML can say */
	/* What the card says about itself. 0 and "": this one does not say. */
	char driver[32];
	int64_t reserved_bytes; /* of the total, by the driver: nobody can take them */
	int32_t sm_mhz, sm_max_mhz, memory_mhz, temperature_c;
	double power_w, power_limit_w, energy_j;
	int32_t persistence, mig, display, compute_mode; /* as NVML numbers them */
	uint64_t n_xids;
	uint64_t xids[SHARED_XIDS_MAX]; /* a ring */
	SharedProcess processes[SHARED_PROCESSES_MAX];
} SharedGpu;

/* Maps the file; `create` makes it (a GPU of that size, nobody on it) when it is not there. -errno.
 */
int shared_open(const char *path, bool create, SharedGpu **ret);
void shared_close(SharedGpu *g);
/* -ENOMEM: it does not fit; nothing changed. bytes may be negative. */
int shared_take(SharedGpu *g, int64_t bytes);
void shared_busy(SharedGpu *g, double busy, int64_t until_us); /* busy 0: idle again */
int64_t shared_used_bytes(SharedGpu *g);
/* How much longer our kernels take now: by what the others keep busy (the formula of sim.h). */
double shared_stretch(SharedGpu *g, double own_busy);
