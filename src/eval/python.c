/* The seeds' evaluators: a Python file with a class or a module-level evaluate(). A small program
 * of ours (python_shim.py, embedded) loads it in an interpreter and speaks the protocol for it. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "eval/internal.h"
#include "eval/python_shim.h"

static int check_files(const char *path, const char *interpreter, const ConfNode *at,
		       DiagLevel missing, Diags *d, Err *err)
{
	Err why = ERR_INIT;
	_cleanup_free_ char *program = NULL;

	if (access(path, R_OK) < 0)
		eval_missing(at, missing, d, "the evaluator %s cannot be read: %s", path,
			     strerror(errno));
	int r = proc_find_program(interpreter, &program, &why);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		eval_missing(at, missing, d, "the evaluator's interpreter cannot be run: %s",
			     why.msg);
	return 0;
}

/* What the shim is told. Not by arguments: anybody can read those, and init_kwargs may hold a
 * token. */
static json_t *shim_orders(const EvaluatorSpec *spec, const char *path)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "path", js_text(path), &failed);
	js_set(o, "class", spec->class_name ? js_text(spec->class_name) : json_null(), &failed);
	js_set(o, "init_kwargs",
	       json_is_object(spec->init_kwargs) ? js_deep_copy(spec->init_kwargs) : json_object(),
	       &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int python_init(Evaluator *e, const EvaluatorSpec *spec, const char *base_dir,
		       const ConfNode *at, DiagLevel missing, Diags *d, Err *err)
{
	_cleanup_(childspec_freep) ChildSpec *c = NULL;
	const char *interpreter = spec->interpreter ? spec->interpreter : "python3";
	const char *const argv[] = {interpreter, "-c", python_shim};
	_cleanup_free_ char *joined = path_join(base_dir ? base_dir : ".", spec->path);
	_cleanup_free_ char *path = NULL;

	if (!joined)
		return err_oom(err);
	int r = check_files(joined, interpreter, at, missing, d, err);
	if (r >= 0)
		r = childspec_new(spec, base_dir, &c, err);
	if (r < 0)
		return r;
	path = realpath(joined, NULL); /* it runs in another folder */
	c->extra = shim_orders(spec, path ? path : joined);
	c->argv = eval_strings_copy(argv, 3);
	if (!c->extra || !c->argv)
		return err_oom(err);
	e->impl = TAKE_PTR(c);
	return 0;
}

static void python_done(Evaluator *e)
{
	(void)childspec_free(e->impl);
}

static int python_start(Evaluator *e, const EvalRequest *rq, EvalRun *run, Err *err)
{
	return eval_child_start(e->impl, rq, evaluator_stage(e, rq->all_services), run, err);
}

const EvalKind eval_python = {
    .name = "python",
    .init = python_init,
    .done = python_done,
    .start = python_start,
};
