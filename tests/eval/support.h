#pragma once
/* What the tests of evaluators share: one evaluator from a program text, one measurement of it. */
#include "eval/eval.h"

/* A `command` evaluator that runs `script` in sh. Owned by the caller. */
Evaluator *shell_evaluator(const char *script);
/* A `python` evaluator of a file below `dir`; kwargs is consumed. */
Evaluator *python_evaluator(const char *dir, const char *file, const char *class_name,
			    json_t *kwargs);

/* A request with {"vllm_memory_util": 0.5, "whisper_model_size": "small"} and a long deadline. */
EvalRequest request_make(void);

/* One measurement; a fault ends the test. */
Measurement measure(Evaluator *e, const EvalRequest *rq);
Measurement measure_shell(const char *script);

/* The text of the evidence at a path like "evaluator_process/stderr_tail"; "" when absent. */
const char *evidence_text(const Measurement *m, const char *path);
