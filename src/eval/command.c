/* Any program as an evaluator: it speaks the protocol itself. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/proc.h"
#include "eval/internal.h"

static const char *why_not_executable(const char *path)
{
	struct stat st;
	if (access(path, X_OK) < 0 || stat(path, &st) < 0)
		return strerror(errno);
	return S_ISREG(st.st_mode) ? NULL : "it is not a file";
}

/* A path with a slash starts at the configuration's folder, which is also where it runs. */
static int check_program(const char *name, const char *base_dir, const ConfNode *at,
			 DiagLevel missing, Diags *d, Err *err)
{
	_cleanup_free_ char *path = NULL;
	Err why = ERR_INIT;

	if (strchr(name, '/')) {
		path = path_join(base_dir ? base_dir : ".", name);
		if (!path)
			return err_oom(err);
		const char *problem = why_not_executable(path);
		if (problem)
			eval_missing(at, missing, d, "the evaluator %s cannot be executed: %s",
				     path, problem);
		return 0;
	}
	int r = proc_find_program(name, &path, &why);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		eval_missing(at, missing, d, "the evaluator cannot be run: %s", why.msg);
	return 0;
}

static int command_init(Evaluator *e, const EvaluatorSpec *spec, const char *base_dir,
			const ConfNode *at, DiagLevel missing, Diags *d, Err *err)
{
	_cleanup_(childspec_freep) ChildSpec *c = NULL;

	int r = childspec_new(spec, base_dir, &c, err);
	if (r < 0)
		return r;
	c->argv = eval_strings_copy((const char *const *)spec->command.items, spec->command.n);
	if (!c->argv)
		return err_oom(err);
	r = check_program(c->argv[0], base_dir, at, missing, d, err);
	if (r >= 0)
		e->impl = TAKE_PTR(c);
	return r;
}

static void command_done(Evaluator *e)
{
	(void)childspec_free(e->impl);
}

static int command_start(Evaluator *e, const EvalRequest *rq, EvalRun *run, Err *err)
{
	return eval_child_start(e->impl, rq, evaluator_stage(e, rq->all_services), run, err);
}

const EvalKind eval_command = {
    .name = "command",
    .init = command_init,
    .done = command_done,
    .start = command_start,
};
