#pragma once
/* What was measured and how it ended: plain values. Numbers that were not measured are absent,
 * never a stand-in; an outcome is a result, not a fault of ours. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef enum Outcome {
	OUTCOME_OK,
	OUTCOME_OUT_OF_BOUNDS, /* refused by hard bounds or a forbidden combination */
	OUTCOME_INFEASIBLE,    /* predicted by the memory model, nothing was started */
	OUTCOME_START_FAILED,  /* `cause`: kv_cache, oom, port, exec, timeout */
	OUTCOME_OOM,
	OUTCOME_CPU_FALLBACK, /* ran, but not on the GPU: its numbers mean nothing, the candidate
				 failed */
	OUTCOME_CONTENDED,    /* void: somebody else used the GPU; retried */
	OUTCOME_CRASHED,
	OUTCOME_UNHEALTHY,
	OUTCOME_TIMEOUT,
	OUTCOME_HARDWARE_FAULT, /* stops the run, blames no candidate */
	OUTCOME_MEASURE_FAILED, /* no believable result: garbage, NaN, none at all */
	OUTCOME_MAX_,
} Outcome;

const char *outcome_name(Outcome o); /* "start_failed" */
bool outcome_from_name(const char *name, Outcome *ret);
/* Says nothing about the candidate and may be tried again: contended, hardware_fault. */
bool outcome_is_void(Outcome o);

typedef enum Stage {
	STAGE_PREDICTED, /* by the memory model alone */
	STAGE_TWIN,	 /* on the simulated box */
	STAGE_OBSERVED, /* measured, but the evaluator does not say that it applied the candidate */
	STAGE_ISOLATED, /* really started, only the tuned services running */
	STAGE_COLOCATED, /* really started, all services running */
	STAGE_PRODUCTION,
	STAGE_MAX_,
} Stage;

const char *stage_name(Stage s);
bool stage_from_name(const char *name, Stage *ret);

enum {
	METRICS_MAX = 64,     /* in one measurement */
	METRIC_NAME_MAX = 64, /* with the NUL */
	METRIC_UNIT_MAX = 16,
	CAUSE_MAX = 32,
};

typedef struct Metric {
	char name[METRIC_NAME_MAX];
	char unit[METRIC_UNIT_MAX]; /* "ms", "%", "requests", "" */
	double value;		    /* finite */
	double se;		    /* standard error of the value; 0: unknown */
	double lo, hi;		    /* 95 % interval; both NAN: unknown */
	int64_t n;		    /* samples behind it; 0: unknown */
} Metric;

typedef struct Measurement {
	Outcome outcome;
	char cause[CAUSE_MAX]; /* of start_failed and oom: "kv_cache"; "" otherwise */
	char *reason;	       /* one sentence for people; NULL for an unremarkable ok */
	Metric *metrics;       /* n_metrics of them, names distinct */
	size_t n_metrics;
	json_t *evidence;    /* object: placement, memory, log lines, ...; may be NULL */
	int64_t duration_us; /* of the trial; virtual time on the twin */
} Measurement;

/* Names and units come from outside: only letters, digits and _.%/-, and they must fit. */
bool metric_name_valid(const char *name);
bool metric_unit_valid(const char *unit); /* may be empty */

#define MEASUREMENT_INIT ((Measurement){.outcome = OUTCOME_MEASURE_FAILED})

void measurement_done(Measurement *m);
int measurement_copy(const Measurement *from, Measurement *ret) _must_check_;
/* Adds or replaces. -EINVAL for a value that is not finite or a bad name, -E2BIG above METRICS_MAX.
 */
int measurement_set(Measurement *m, const Metric *metric, Err *err) _must_check_;
const Metric *measurement_get(const Measurement *m, const char *name); /* NULL: not measured */
/* Sets outcome, cause and reason in one go (cause may be NULL). */
int measurement_fail(Measurement *m, Outcome o, const char *cause, const char *fmt, ...)
    _printf_(4, 5);

/* {"status": "ok", "cause": ..., "reason": ..., "metrics": {name: {"value", "unit", "n", "ci95":
 * [lo, hi], "se"}}, "evidence": {...}, "duration_us": ...}. From JSON it is hostile input: strict,
 * bounded, -EBADMSG with a sentence. A metric may also be a bare number, or null for "not
 * measured"; members beside these are ignored at the top and refused in a metric. `reason` loses
 * its control characters. NULL when out of memory. */
json_t *measurement_json(const Measurement *m);
int measurement_from_json(const json_t *v, Measurement *ret, Err *err) _must_check_;
