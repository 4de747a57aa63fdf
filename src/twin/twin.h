#pragma once
/* The simulated GPU box: a discrete-event model of services that share one GPU. Knows nothing of
 * the memory model's formulas (a prediction is not tested against itself) and holds no card's or
 * model's constants: a box is a YAML file. Deterministic by seed; the core takes its time from the
 * caller, so that wall time can drive it as well. */
#include <stdint.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "base/err.h"
#include "loadgen/workload.h"
#include "space/service.h"
#include "trial/trial.h"

typedef struct Box Box;

int box_load(const char *path, Box **ret, Diags *d, Err *err) _must_check_;
Box *box_free(Box *b); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Box *, box_free)

const char *box_name(const Box *b);
const char *box_gpu_uuid(const Box *b);
const ConfTable *box_table(void); /* for the schema and dream.yaml(5) */

typedef struct TwinTrial {
	const Box *box;
	const ServiceSpec *services; /* which of the box's services run and with what settings */
	size_t n_services;
	const json_t *params; /* the candidate */
	const Workload *workload;
	bool all_services;   /* the box's other tenants run too, not only the tuned services */
	uint64_t seed;	     /* of the noise: same seed, same result */
	int64_t drift_at_us; /* where on the box's slow drift this trial lies */
	int64_t timeout_us;  /* of virtual time; 0: none */
} TwinTrial;

/* Starts the services in order, warms up, loads them together, stops. Whatever happens to the
 * candidate is in *ret (outcome, metrics, evidence with the services' own log lines); negative
 * errno only for faults. */
int twin_trial(const TwinTrial *t, Measurement *ret, Err *err) _must_check_;
