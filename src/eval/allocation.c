/* Real services: started, proved, loaded and stopped by a worker of ours (`dream worker`), a child
 * process like any other evaluator, so that neither can disturb the other. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/internal.h"

typedef struct Allocation {
	char *program; /* this program */
	char *base_dir;
	json_t *options; /* the evaluator as configured, for the worker */
	ChildSpec *child;
} Allocation;

static Allocation *allocation_free(Allocation *a)
{
	if (!a)
		return NULL;
	free(a->program);
	free(a->base_dir);
	json_decref(a->options);
	(void)childspec_free(a->child);
	free(a);
	return NULL;
}

DEFINE_CLEANUP(Allocation *, allocation_free)

static int check_path(const char *name, const char *base_dir, const char *what, const ConfNode *at,
		      DiagLevel missing, Diags *d, Err *err)
{
	if (!name)
		return 0;
	_cleanup_free_ char *path = path_join(base_dir, name);
	if (!path)
		return err_oom(err);
	if (access(path, R_OK) < 0)
		eval_missing(at, missing, d, "the %s %s cannot be read: %s", what, path,
			     strerror(errno));
	return 0;
}

static int check_files(const AllocationSpec *s, const char *base_dir, const ConfNode *at,
		       DiagLevel missing, Diags *d, Err *err)
{
	int r = check_path(s->clips, base_dir, "folder of clips", at, missing, d, err);
	if (r >= 0)
		r = check_path(s->prompts, base_dir, "file of prompts", at, missing, d, err);
	if (r >= 0)
		r = check_path(s->answers, base_dir, "file of fixed answers", at, missing, d, err);
	return r;
}

/* Its environment goes to the worker as environment. */
static json_t *options_of(const EvaluatorSpec *spec)
{
	json_t *o = conf_dump(&evaluator_table, spec);
	(void)json_object_del(o, "env");
	return o;
}

static int own_program(char **ret, Err *err)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n < 0)
		return err_set(err, -errno, "cannot find our own program: %s", strerror(errno));
	path[n] = '\0';
	*ret = strdup(path);
	return *ret ? 0 : err_oom(err);
}

static int allocation_init(Evaluator *e, const EvaluatorSpec *spec, const char *base_dir,
			   const ConfNode *at, DiagLevel missing, Diags *d, Err *err)
{
	_cleanup_(allocation_freep) Allocation *a = calloc(1, sizeof(*a));
	if (!a)
		return err_oom(err);
	const char *dir = base_dir && *base_dir ? base_dir : ".";
	e->applies = spec->allocation.as != AS_OBSERVE;
	int r = check_files(&spec->allocation, dir, at, missing, d, err);
	if (r >= 0)
		r = own_program(&a->program, err);
	if (r >= 0)
		r = childspec_new(spec, base_dir, &a->child, err);
	if (r < 0)
		return r;
	const char *const argv[] = {a->program, "worker"};
	a->child->argv = eval_strings_copy(argv, 2);
	a->child->worker = true;
	a->base_dir = realpath(dir, NULL);
	a->options = options_of(spec);
	if (!a->child->argv || !a->base_dir || !a->options)
		return err_oom(err);
	e->impl = TAKE_PTR(a);
	return 0;
}

static void allocation_done(Evaluator *e)
{
	(void)allocation_free(e->impl);
}

/* What the protocol's own fields leave out: how services are started and asked. */
static json_t *orders(const Allocation *a, const EvalRequest *rq)
{
	bool failed = false;
	json_t *services = json_array(), *o = json_object();
	for (size_t i = 0; i < rq->n_services; i++)
		failed |= json_array_append_new(services,
						conf_dump(&service_table, &rq->services[i])) < 0;
	js_set(o, "base_dir", js_text(a->base_dir), &failed);
	js_set(o, "options", js_deep_copy(a->options), &failed);
	js_set(o, "services", services, &failed);
	if (rq->workload)
		js_set(o, "workload", conf_dump(&workload_table, rq->workload), &failed);
	if (rq->lease)
		js_set(o, "lease_fd", json_integer(lease_fd(rq->lease)), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static int allocation_start(Evaluator *e, const EvalRequest *rq, EvalRun *run, Err *err)
{
	Allocation *a = e->impl;
	json_decref(a->child->extra);
	a->child->extra = orders(a, rq);
	if (!a->child->extra)
		return err_oom(err);
	return eval_child_start(a->child, rq, evaluator_stage(e, rq->all_services), run, err);
}

const EvalKind eval_allocation = {
    .name = "gpu_allocation",
    .init = allocation_init,
    .done = allocation_done,
    .start = allocation_start,
};
