#pragma once
/* An evaluator turns a candidate into a measurement. Most are child processes that speak the
 * evaluator protocol (docs/evaluator.md): one JSON object on standard input, JSON lines on standard
 * output, the last one the result. Whatever such a program does - garbage, silence, a flood, a
 * crash - becomes a typed outcome with a reason. Asynchronous on the caller's event loop. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "conf/conf.h"
#include "gpu/lease.h"
#include "loadgen/workload.h"
#include "service/quiesce.h"
#include "space/service.h"
#include "trial/trial.h"

typedef struct Evaluator Evaluator;

/* How real services are measured: evaluators of kind `gpu_allocation`. */
typedef enum AllocationAs {
	AS_PROCESSES, /* as child processes */
	AS_UNITS,     /* as systemd units */
	AS_OBSERVE,   /* not at all: production is measured as it runs */
} AllocationAs;

typedef struct AllocationSpec {
	int as;		/* AllocationAs */
	char *clips;	/* a folder of WAV files, each with what is said in a .txt beside it; NULL:
			   made up by length, without word errors */
	char *prompts;	/* a file of prompts; NULL: made up by length */
	char *language; /* of the clips: "en" */
	char *answers;	/* a file of prompts with fixed answers, for `llm_quality_pct` */
	ConfStrings quality; /* or a program that prints the score */
	bool alone;	     /* each stream is also measured alone: the slowdown by the others */
	char *state; /* a folder that outlives the machine's start; NULL: the mode's default */
	QuiesceSpec *quiesce;
} AllocationSpec;

/* `evaluator:` of an experiment. The seeds' form (path, class, init_kwargs) is kind `python`. */
typedef struct EvaluatorSpec {
	char *kind; /* "twin", "command", "python", "gpu_allocation"; NULL: python when `path` is
		       given */
	char *path; /* python: the file */
	char *class_name;    /* python: `class`; NULL: a module-level evaluate() */
	json_t *init_kwargs; /* python */
	char *interpreter;   /* python: "python3" */
	ConfStrings command; /* command: the argument vector */
	char *box;	     /* twin: the box file, relative to the configuration */
	bool applies;	     /* command, python: it really starts the candidate; false: results are
				`observed` */
	json_t *env;	     /* object of strings for the child; never logged */
	AllocationSpec allocation;
} EvaluatorSpec;

extern const ConfTable evaluator_table;

/* `base_dir` is where relative paths start (the folder of the configuration). Files that are
 * missing are diagnostics of level `missing` at `at`, so that `check` can warn where `run` refuses.
 */
int evaluator_new(const EvaluatorSpec *spec, const char *base_dir, const ConfNode *at,
		  DiagLevel missing, Evaluator **ret, Diags *d, Err *err) _must_check_;
Evaluator *evaluator_free(Evaluator *e); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Evaluator *, evaluator_free)

/* The SHA-256 in hex of the file that decides what is measured (the box, the Python file, the
 * prompts and clips); "" where a program does. */
int evaluator_content(const EvaluatorSpec *spec, const char *base_dir, char ret[HASH_HEX_SIZE],
		      Err *err) _must_check_;

const char *evaluator_kind(const Evaluator *e);
/* The same of one that was not made: `kind`, or what follows from the other fields; NULL: neither.
 */
const char *evaluator_spec_kind(const EvaluatorSpec *spec);
/* The UUID of the GPU it measures on when it knows (the twin's box), else NULL. */
const char *evaluator_gpu(const Evaluator *e);
/* What a result of it may be called, given what services were asked to run. */
Stage evaluator_stage(const Evaluator *e, bool all_services);

/* Everything it points to is borrowed until done() is called or the run is stopped. */
typedef struct EvalRequest {
	const char *experiment, *spica_id;
	const json_t *params;
	const ServiceSpec *services;
	size_t n_services;
	const Workload *workload;
	bool all_services;
	uint64_t seed;
	int64_t generation;
	int64_t drift_at_us;  /* since the run began, on the run's clock */
	int64_t timeout_us;   /* wall clock; the whole process group dies at it */
	Lease *lease;	      /* NULL: no GPU; else inherited by the child */
	const char *gpu_uuid; /* of the lease; for CUDA_VISIBLE_DEVICES when it is one ("GPU-...",
				 "MIG-...") */
} EvalRequest;

typedef struct EvalRun EvalRun;

/* Called once, from the loop, never from eval_start(). `m` is the callee's to take (it may be
 * zeroed by it). `err` is not NULL when the machine failed us (out of memory, no processes left):
 * then there is no measurement. */
typedef void EvalDone(void *userdata, Measurement *m, const Err *err);
/* A progress line of the evaluator; may be NULL. Must not stop the run itself. */
typedef void EvalProgress(void *userdata, const json_t *event);

int eval_start(Evaluator *e, const EvalRequest *rq, sd_event *loop, EvalDone *done,
	       EvalProgress *progress, void *userdata, EvalRun **ret, Err *err) _must_check_;
/* Asks it to end, at once back: done() gets -ECANCELED from the loop as soon as it has ended,
 * within 15 s. Only before done() was called; a second time changes nothing. */
void eval_call_off(EvalRun *r);
/* Stops it if it still runs, waiting; done() is not called any more. A trial on real services first
 * stops those and brings production back (10 s at most), anything else is killed at once. Accepts
 * NULL, returns NULL. */
EvalRun *eval_stop(EvalRun *r);
DEFINE_CLEANUP(EvalRun *, eval_stop)

/* The same, waiting: for `dream eval` and tests. SIGINT and SIGTERM call it off: -EINTR. */
int eval_once(Evaluator *e, const EvalRequest *rq, Measurement *ret, Err *err) _must_check_;
int eval_once_told(Evaluator *e, const EvalRequest *rq, EvalProgress *progress, void *userdata,
		   Measurement *ret, Err *err) _must_check_;

/* "42 %, all services together": a progress line for people, fit for one line of a terminal;
 * appends nothing when it says neither how far nor what. */
void eval_progress_text(const json_t *event, Str *out);

/* The seeds' results: seven keys, 999.0 for "no number". Pure; used for python evaluators and
 * fuzzed. `status` other than "pass"/"ok" becomes a typed outcome; a latency of 999.0 is a missing
 * metric; their `fitness` goes into the evidence. */
int eval_seed_result(const json_t *result, Measurement *ret, Err *err) _must_check_;

/* A result in the protocol's own form (an outcome, `metrics`) or in the seeds'. Pure; -EBADMSG with
 * a sentence for what cannot be believed. */
int eval_result(const json_t *result, Measurement *ret, Err *err) _must_check_;
