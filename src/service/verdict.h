#pragma once
/* What happened to a trial's services, from all evidence there is: their own words, how they ended,
 * the cgroup, the kernel, NVML, the clients. One event is counted once and has a culprit. Pure: a
 * table of cases is its test. */
#include <jansson.h>

#include "gpu/placement.h"
#include "gpu/sampler.h"
#include "server/oom.h"
#include "service/instance.h"
#include "trial/trial.h"

/* Of one service. */
typedef struct ServiceEvidence {
	const char *name;
	const ServerKind *kind;
	const char *output; /* or its journal */
	size_t output_len;
	bool was_ready;
	bool running;		/* now */
	const InstanceEnd *end; /* when not running */
	const pid_t *pids;	/* that it had, for the kernel's messages */
	size_t n_pids;
	int64_t failed_requests, refused_requests, requests; /* the clients' view */
	char client_words[240];
	PlacementProof placement; /* PLACED_NO_LIST: not looked at */
	bool wants_gpu;
	int64_t account_gpu_bytes, account_all_bytes; /* the server's own account; -1: none */
} ServiceEvidence;

typedef struct TrialEvidence {
	const ServiceEvidence *services;
	size_t n;
	const SamplerReport *gpu; /* NULL: no NVML */
	const char *kernel;	  /* messages since the start; NULL: not readable */
	size_t kernel_len;
} TrialEvidence;

/* Sets outcome, cause and reason of `m` when something went wrong; leaves it alone otherwise.
 * *ret_evidence: a new object with the proving lines, who, how often; oom events in "oom_events".
 * What outranks what: hardware, contention, out of memory, start failure, CPU fallback, crash,
 * unhealthy. */
int trial_verdict(const TrialEvidence *e, Measurement *m, json_t **ret_evidence,
		  Err *err) _must_check_;
