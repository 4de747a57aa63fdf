#pragma once
/* NVML by dlopen, with the newest version of each symbol first and declarations of our own. No NVML
 * is a state, not a failure, and so is every reading that a card or driver does not have. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct Nvml Nvml;

/* `library` NULL: libnvidia-ml.so.1 as the loader finds it. -ENOENT: there is none; other errors
 * say what NVML said
 * ("Driver/library version mismatch", ...). */
int nvml_open(const char *library, Nvml **ret, Err *err) _must_check_;
Nvml *nvml_close(Nvml *n); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Nvml *, nvml_close)

enum {
	GPU_UUID_SIZE = 96,
	GPU_NAME_SIZE = 96,
	GPUS_MAX = 64,
	GPU_PROCESSES_MAX = 512,
};

typedef enum GpuList {
	GPU_COMPUTE = 1,
	GPU_GRAPHICS = 2,
	GPU_MPS = 4,
} GpuList;

typedef struct GpuProcess {
	pid_t pid;
	unsigned lists;	    /* GpuList bits: a process may be in several */
	int64_t used_bytes; /* -1: not available (WSL, containers, old drivers) */
	/* False: no process here has that number. It has just ended, or NVML counts in another PID
	 * namespace than ours. */
	bool visible;
} GpuProcess;

/* What does not change while the driver is loaded. "" and -1: not available. */
typedef struct GpuInfo {
	char uuid[GPU_UUID_SIZE], name[GPU_NAME_SIZE], pci[32], driver[80], cuda[16];
	int index;		/* NVML's order, which is PCI's */
	int cc_major, cc_minor; /* compute capability */
	int64_t total_bytes;
	int persistence, mig, display; /* 1, 0, -1 */
	int compute_mode;	       /* 0 shared, 2 prohibited, 3 one process at a time; -1 */
	int sm_max_mhz;
	double power_limit_w;
} GpuInfo;

/* One look. -1 (NAN for doubles): not available. */
typedef struct GpuState {
	int64_t at_us; /* monotonic */
	int64_t total_bytes, used_bytes, free_bytes, reserved_bytes;
	int gpu_pct, memory_pct; /* time with a kernel resident: says nothing about headroom */
	int sm_mhz, memory_mhz, temperature_c;
	double power_w, energy_j;
	int64_t throttle; /* NVML's clock event bits; -1 */
	GpuProcess processes[GPU_PROCESSES_MAX];
	size_t n_processes;
	bool processes_known; /* false: NVML does not list them here */
} GpuState;

/* What to look at: the cheap part alone, for many looks a second, or more. */
typedef enum GpuLook {
	GPU_LOOK_MEMORY = 1, /* bytes and processes */
	GPU_LOOK_LOAD = 2,   /* utilisation, clocks, throttling */
	GPU_LOOK_POWER = 4,  /* temperature, power, energy: slow on some cards */
	GPU_LOOK_ALL = 7,
} GpuLook;

/* How busy one process kept the multiprocessors over a sample that ended at `at_us` (of the
 * driver's clock: only good for telling samples apart). */
typedef struct GpuActivity {
	pid_t pid;
	int sm_pct;
	uint64_t at_us;
} GpuActivity;

size_t nvml_count(const Nvml *n);
/* A sentence on the cards that NVML counts but cannot use (lost, no rights); "" when there are
 * none.
 */
const char *nvml_missing(const Nvml *n);
const GpuInfo *nvml_info(const Nvml *n, size_t i);
/* By UUID ("GPU-..."), a unique beginning of one, or an index as text; -ENOENT with the list of
 * what there is. */
int nvml_find(const Nvml *n, const char *which, size_t *ret, Err *err) _must_check_;
/* A card that has fallen off the bus is -ENODEV. */
int nvml_read(Nvml *n, size_t i, GpuState *ret, Err *err) _must_check_;
/* The same with only these parts (GpuLook bits); the fields of the others are left as they are. */
int nvml_look(Nvml *n, size_t i, unsigned what, GpuState *ret, Err *err) _must_check_;
/* Samples of processes since the last call, up to `max`; how many. -EOPNOTSUPP: this card or driver
 * has no such accounting (MIG, old ones). */
int nvml_activity(Nvml *n, size_t i, GpuActivity *ret, size_t max) _must_check_;
/* The driver's version, and the newest CUDA that it supports; "" when they are not available. */
const char *nvml_driver(const Nvml *n);
const char *nvml_cuda(const Nvml *n);
/* The throttle bits that mean a slower card than asked for, in words: "thermal, power cap"; "" for
 * none. */
void gpu_throttle_words(int64_t bits, char *ret, size_t size);
bool gpu_throttled(int64_t bits);

/* Xid events since the last call, without waiting: their number, up to `max`. 0 also where events
 * are not supported (nvml_has_xid()). */
bool nvml_has_xid(const Nvml *n);
int nvml_xids(Nvml *n, size_t i, uint64_t *ret, size_t max);
/* Is this Xid the application's own fault (13, 31, 43, 45, 68, 109), or the hardware's or driver's?
 */
bool xid_is_hardware(uint64_t xid);
