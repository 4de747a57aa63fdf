#pragma once
/* Does a service really run on the GPU? Pure. */
#include "gpu/nvml.h"
#include "gpu/owners.h"

typedef enum Placement {
	PLACED,
	PLACED_UNKNOWN, /* its processes are there, but this driver does not say how much they hold
			 */
	PLACED_LITTLE,	/* there, with less than it must hold */
	PLACED_NOT,	/* not on the GPU at all */
	PLACED_NO_LIST, /* this NVML lists no processes: nothing is proved */
} Placement;

const char *placement_name(Placement p);

typedef struct PlacementProof {
	Placement placement;
	int64_t used_bytes; /* of its processes together; -1: unknown */
	size_t n_processes;
	char reason[240]; /* a sentence with the numbers */
} PlacementProof;

/* `pids`: the service's, sorted. `expected_bytes` 0: any. */
PlacementProof placement_prove(const GpuState *s, const char *service, const pid_t *pids,
			       size_t n_pids, int64_t expected_bytes);
