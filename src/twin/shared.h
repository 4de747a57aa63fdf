#pragma once
/* One simulated GPU shared by programs: a file in memory (mmap) named by TWIN_GPU. Who holds how
 * much, who computes, what faults were asked for. The stand-in NVML reads it; the twin's programs
 * write it. Plain C with fixed sizes and no pointers: also compiled into the stand-in library.
 *
 * Changes are made under a lock of the file that the kernel drops with its holder, so a killed
 * process cannot wedge the others. A process that died is forgotten by the next call that counts
 * memory or lists processes (pid and start time tell it from a later one), so nothing leaks. Each
 * process opens the file itself: what a fork() inherits must not be used. */
#include <stdbool.h>
#include <stddef.h>
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
	/* How long it has kept the GPU busy, up to `since_us`: see shared_busy_us(). */
	double busy_us;
	int64_t since_us;
	char name[64];
} SharedProcess;

typedef struct SharedGpu {
	uint32_t magic, version;
	int32_t unused;
	int32_t present; /* 0: fallen off the bus */
	char uuid[96], model[96];
	int64_t total_bytes; /* 0: not described yet */
	double switch_cost;
	int32_t cc_major, cc_minor;
	int64_t throttle_bits;
	int32_t lists_processes, bytes_available; /* what this NVML can say */
	/* What the card says about itself. 0 and "": this one does not say. */
	char driver[32];
	int64_t reserved_bytes; /* of the total, by the driver; not part of what is used */
	int32_t sm_mhz, sm_max_mhz, memory_mhz, temperature_c;
	double power_w, power_limit_w, energy_j;
	int32_t persistence, mig, display, compute_mode; /* as NVML numbers them */
	uint64_t n_xids;
	uint64_t xids[SHARED_XIDS_MAX]; /* a ring */
	SharedProcess processes[SHARED_PROCESSES_MAX];
} SharedGpu;

/* Maps the file; `create` makes it (present, nobody on it, not described) when it is not there.
 * -ENOENT; -EBADMSG: it is something else; -errno. */
int shared_open(const char *path, bool create, SharedGpu **ret);
void shared_close(SharedGpu *g); /* accepts NULL; our memory is given back */

/* Says what the card is, unless somebody did. -EEXIST: it was another one (uuid or size). */
int shared_describe(SharedGpu *g, const char *uuid, const char *model, int64_t total_bytes,
		    double switch_cost);
/* The name that lists show for us (default: the program's). */
void shared_name(SharedGpu *g, const char *name, bool graphics);

/* -ENOMEM: it does not fit; -ENODEV: the card fell off the bus; -EUSERS: too many processes.
 * Nothing changed then. bytes may be negative: never more is given back than was taken. */
int shared_take(SharedGpu *g, int64_t bytes);
void shared_busy(SharedGpu *g, double busy, int64_t until_us); /* busy 0: idle again */
/* How long this process has kept the GPU busy until now (CLOCK_MONOTONIC). */
double shared_busy_us(const SharedProcess *p, int64_t now_us);
int64_t shared_used_bytes(SharedGpu *g);
int64_t shared_own_bytes(const SharedGpu *g);
/* A copy of those that live, in no order. `ret` has room for SHARED_PROCESSES_MAX. */
size_t shared_processes(SharedGpu *g, SharedProcess *ret);
/* Others that compute now: how many, and the sum of their shares. */
int shared_others(const SharedGpu *g, double *ret_busy);
/* How much longer our kernels take now: by what the others keep busy (the formula of sim.h). */
double shared_stretch(SharedGpu *g, double own_busy);
/* What happens to a card. */
void shared_xid(SharedGpu *g, uint64_t xid);

/* A descriptor (inotify) that becomes readable when another process begins or stops computing, or
 * something happens to the card; shared_calm() takes the news off it. -errno. */
int shared_watch(SharedGpu *g);
void shared_calm(SharedGpu *g);
/* Tells those who watch. shared_busy() and shared_xid() do it themselves. */
void shared_tell(SharedGpu *g);
