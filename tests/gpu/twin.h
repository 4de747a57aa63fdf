#pragma once
/* A simulated GPU of the test's own, and processes on it that do as they are told. */
#include <sys/types.h>

#include "twin/shared.h"

#define TWIN_UUID "GPU-3c1f0d2e-0000-4000-8000-0123456789ab"

enum {
	TWIN_TOTAL_MIB = 12288,
};

typedef struct Twin {
	char path[64];
	SharedGpu *gpu;
} Twin;

/* Makes the file and says in the environment where it is. */
Twin twin_make(void);
void twin_remove(Twin *t);

typedef struct Guest {
	pid_t pid;
	int to, from;
} Guest;

/* A process that holds so much. */
Guest guest_start(const Twin *t, int64_t mib, bool graphics);
/* Each returns when it is done. */
void guest_take(const Guest *g, int64_t mib);
void guest_busy(const Guest *g, double busy);
void guest_end(const Guest *g);
