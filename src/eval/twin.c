/* The simulated box as an evaluator: in process and in virtual time, so a trial takes microseconds
 * and is the same for the same seed. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "eval/internal.h"
#include "twin/twin.h"

typedef struct TwinRun {
	EvalRun *run;
	TwinTrial trial;
	sd_event_source *soon;
} TwinRun;

static void twin_stop(void *impl)
{
	TwinRun *t = impl;
	sd_event_source_disable_unref(t->soon);
	free(t);
}

static int on_soon(sd_event_source *s, void *userdata)
{
	(void)s;
	TwinRun *t = userdata;
	EvalRun *run = t->run;
	Measurement m = MEASUREMENT_INIT;
	Err err = ERR_INIT;

	int r = twin_trial(&t->trial, &m, &err);
	run->done(run->userdata, &m, r < 0 ? &err : NULL); /* may free t and run */
	measurement_done(&m);
	return 0;
}

static int twin_start(Evaluator *e, const EvalRequest *rq, EvalRun *run, Err *err)
{
	if (!e->impl)
		return err_set(err, -ENOENT,
			       "cannot simulate: the box file of the evaluator is missing");
	TwinRun *t = calloc(1, sizeof(*t));
	if (!t)
		return err_oom(err);
	t->run = run;
	t->trial = (TwinTrial){
	    .box = e->impl,
	    .services = rq->services,
	    .n_services = rq->n_services,
	    .params = rq->params,
	    .workload = rq->workload,
	    .all_services = rq->all_services,
	    .seed = rq->seed,
	    .drift_at_us = rq->drift_at_us,
	    .timeout_us = rq->timeout_us,
	};
	int r = sd_event_add_defer(run->loop, &t->soon, on_soon, t);
	if (r < 0) {
		free(t);
		return err_set(err, r, "cannot queue the simulation: %s", strerror(-r));
	}
	run->impl = t;
	run->stop = twin_stop;
	return 0;
}

static int twin_init(Evaluator *e, const EvaluatorSpec *spec, const char *base_dir,
		     const ConfNode *at, DiagLevel missing, Diags *d, Err *err)
{
	Box *box = NULL;
	_cleanup_free_ char *path = path_join(base_dir ? base_dir : ".", spec->box);
	if (!path)
		return err_oom(err);
	if (access(path, R_OK) < 0) {
		eval_missing(at, missing, d, "the twin's box file %s cannot be read: %s", path,
			     strerror(errno));
		return 0;
	}
	int r = box_load(path, &box, d, err);
	if (r >= 0)
		e->impl = box;
	return r;
}

static void twin_done(Evaluator *e)
{
	(void)box_free(e->impl);
}

static const char *twin_gpu(const Evaluator *e)
{
	return e->impl ? box_gpu_uuid(e->impl) : NULL;
}

const EvalKind eval_twin = {
    .name = "twin",
    .init = twin_init,
    .done = twin_done,
    .gpu = twin_gpu,
    .start = twin_start,
    .simulated = true,
};
