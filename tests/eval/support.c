#include "support.h"

#include "base/json.h"
#include "test.h"

static Evaluator *make(EvaluatorSpec *spec, const char *dir)
{
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	Evaluator *e = NULL;
	int r = evaluator_new(spec, dir, NULL, DIAG_ERROR, &e, &d, &err);
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	CHECK_INT(d.n, 0);
	diags_done(&d);
	return e;
}

Evaluator *shell_evaluator(const char *script)
{
	char sh[] = "sh", dash_c[] = "-c";
	char *argv[] = {sh, dash_c, strdup(script)};
	EvaluatorSpec spec = {.command = {argv, 3}};
	Evaluator *e = make(&spec, "/tmp");
	free(argv[2]);
	return e;
}

Evaluator *python_evaluator(const char *dir, const char *file, const char *class_name,
			    json_t *kwargs)
{
	EvaluatorSpec spec = {
	    .path = strdup(file),
	    .class_name = class_name ? strdup(class_name) : NULL,
	    .init_kwargs = kwargs,
	};
	Evaluator *e = make(&spec, dir);
	free(spec.path);
	free(spec.class_name);
	json_decref(kwargs);
	return e;
}

EvalRequest request_make(void)
{
	static json_t *params;
	if (!params)
		params =
		    json_pack("{s:f,s:s}", "vllm_memory_util", 0.5, "whisper_model_size", "small");
	return (EvalRequest){
	    .experiment = "spica_gpu_allocation",
	    .spica_id = "spica-gpu-d5e5c0c0",
	    .params = params,
	    .seed = 7,
	    .generation = 3,
	    .timeout_us = 30000000,
	};
}

Measurement measure(Evaluator *e, const EvalRequest *rq)
{
	Measurement m = MEASUREMENT_INIT;
	Err err = ERR_INIT;
	if (eval_once(e, rq, &m, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	if (m.reason)
		printf("# %s: %s\n", outcome_name(m.outcome), m.reason);
	return m;
}

Measurement measure_shell(const char *script)
{
	_cleanup_(evaluator_freep) Evaluator *e = shell_evaluator(script);
	EvalRequest rq = request_make();
	return measure(e, &rq);
}

const char *evidence_text(const Measurement *m, const char *path)
{
	const json_t *at = m->evidence;
	char key[64];
	while (*path) {
		size_t n = strcspn(path, "/");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		at = json_object_get(at, key);
		path += n + (path[n] == '/');
	}
	return json_is_string(at) ? json_string_value(at) : "";
}
