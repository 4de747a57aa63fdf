#pragma once
/* Inside eval: what a kind of evaluator is, and what its runs share. */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "eval/eval.h"

typedef struct EvalKind {
	const char *name;
	/* What of the specification is required and absent goes to d; `impl` is the kind's own. */
	int (*init)(Evaluator *e, const EvaluatorSpec *spec, const char *base_dir,
		    const ConfNode *at, DiagLevel missing, Diags *d, Err *err);
	void (*done)(Evaluator *e);
	const char *(*gpu)(const Evaluator *e);
	int (*start)(Evaluator *e, const EvalRequest *rq, EvalRun *run, Err *err);
	bool simulated;
} EvalKind;

extern const EvalKind eval_twin, eval_command, eval_python, eval_allocation;

struct Evaluator {
	const EvalKind *kind;
	bool applies;
	void *impl;
};

struct EvalRun {
	sd_event *loop;
	EvalDone *done;
	EvalProgress *progress;
	void *userdata;
	void *impl;
	void (*stop)(void *impl);     /* ends it at once and frees impl */
	void (*call_off)(void *impl); /* as eval_call_off() says */
};

/* Reports a file or program that is not there, at the level that the caller asked for. */
void eval_missing(const ConfNode *at, DiagLevel level, Diags *d, const char *fmt, ...)
    _printf_(4, 5);

/* The hash of what a trial of real services is asked (content.c). */
int allocation_content(const AllocationSpec *s, const char *base_dir, char ret[HASH_HEX_SIZE],
		       Err *err);

/* --- Evaluators that are child processes (child.c) ------------------------------------------- */

typedef struct ChildSpec {
	char **argv;   /* owned, NULL-terminated */
	char **env;    /* owned, NULL-terminated: "NAME=value" of the configuration */
	char *cwd;     /* owned */
	json_t *extra; /* owned: goes into the request as "evaluator"; or NULL */
	bool worker;   /* it is our own worker */
} ChildSpec;

int childspec_new(const EvaluatorSpec *spec, const char *base_dir, ChildSpec **ret, Err *err);
ChildSpec *childspec_free(ChildSpec *c);
DEFINE_CLEANUP(ChildSpec *, childspec_free)

int eval_child_start(const ChildSpec *c, const EvalRequest *rq, Stage stage, EvalRun *run,
		     Err *err);

/* What a child gets on standard input: one line (request.c). */
int eval_request_text(const EvalRequest *rq, Stage stage, const json_t *extra, Str *out, Err *err);

/* "NAME=value" and "NAME" entries for ProcSpec.env: the configuration's, the GPU's, and the removal
 * of every DREAM_ variable of ours but DREAM_CONNECT. Strings and list are owned (environment.c).
 */
int eval_environment(const ChildSpec *c, const EvalRequest *rq, char ***ret, Err *err);
/* The UUID of the leased GPU; NULL without a lease, or when the lease is of a GPU without a name.
 */
const char *eval_leased_gpu(const EvalRequest *rq);
/* A NULL-terminated copy; NULL when out of memory. */
char **eval_strings_copy(const char *const *items, size_t n);
