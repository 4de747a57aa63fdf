#pragma once
/* The library's state: NVML is one per process, so this is too. */
#include "twin/nvml/api.h"
#include "twin/shared.h"

enum {
	DEVICES_MAX = 8,
	SETS_MAX = 16,
	WINDOW_US = 166667, /* over which utilisation is averaged: a sixth of a second */
};

/* How long a process had been busy when the window began. */
typedef struct Mark {
	int32_t pid;
	uint64_t start;
	double busy_us;
} Mark;

typedef struct Device {
	SharedGpu *gpu;
	int64_t window_us; /* when the window that runs began; 0: never */
	Mark marks[SHARED_PROCESSES_MAX];
	size_t n_marks;
	/* What the last whole window found. */
	bool measured;
	unsigned busy_pct;
	NvmlProcessSample samples[SHARED_PROCESSES_MAX];
	size_t n_samples;
} Device;

typedef struct Library {
	unsigned users; /* calls of nvmlInit without nvmlShutdown */
	Device devices[DEVICES_MAX];
	unsigned n_devices;
} Library;

extern Library library;

/* The card behind a handle; NULL and why there is none. */
Device *device_of(NvmlDevice d, NvmlReturn *why);
/* Ends the window when it is due. */
void device_measure(Device *dev);
NvmlReturn copy_text(const char *text, char *ret, unsigned size);
