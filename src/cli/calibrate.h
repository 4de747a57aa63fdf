#pragma once
/* Facts for the memory model from the servers' own start-up logs. */
#include "base/err.h"
#include "cli/cli.h"

typedef struct Calibration {
	VllmFact fact;
	Footprint memory; /* the experiment's, with the fact in front; its list alone is owned */
} Calibration;

/* Reads the logs (each FILE, or FILE@SHARE when the log does not say its gpu_memory_utilization)
 * and learns one fact from all of them. What the logs leave open is taken from the experiment:
 * total memory, bytes of a token (0: from it, or from two logs), the fixed settings of its vLLM
 * service. -EINVAL, -ENODATA with a sentence. */
int calibrate_from_logs(const Experiment *x, const OptStrings *logs, int64_t token_bytes,
			Calibration *ret, Err *err) _must_check_;
void calibration_done(Calibration *c);
