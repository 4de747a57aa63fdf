/* What the memory model refuses, said and kept once an evolution. */
#include "run/internal.h"

#include <stdio.h>
#include <string.h>

enum {
	REFUSED_MAX = 64, /* refused candidates that are kept as records, for plots and lists */
	REASONS_MAX = 6,  /* different reasons that are said */
};

typedef struct Refused {
	Turn *t;
	bool keep;
	StoreTrial trials[REFUSED_MAX];
	StoreTrial *list[REFUSED_MAX];
	size_t n;
	char *reasons[REASONS_MAX];
	size_t n_reasons;
	bool more_reasons;
} Refused;

static int note_reason(Refused *f, const char *reason)
{
	for (size_t i = 0; i < f->n_reasons; i++)
		if (strcmp(f->reasons[i], reason) == 0)
			return 0;
	f->more_reasons = f->n_reasons == REASONS_MAX;
	if (f->more_reasons)
		return 0;
	f->reasons[f->n_reasons] = strdup(reason);
	return f->reasons[f->n_reasons++] ? 0 : -ENOMEM;
}

static int note_trial(Refused *f, const Point *p, const Fit *fit)
{
	StoreTrial *trial = &f->trials[f->n];
	*trial = (StoreTrial){
	    .at_us = clock_now_us(f->t->r->clock),
	    .experiment = f->t->x->name,
	    .epoch = f->t->history.epoch,
	    .evolution = f->t->history.evolution,
	    .ask = -1,
	    .purpose = (char *)(uintptr_t) "predict",
	    .origin = (char *)(uintptr_t) "memory_model",
	    .params = point_json(f->t->x->space, p),
	    .stage = STAGE_PREDICTED,
	    .evaluator = (char *)(uintptr_t) "footprint",
	    .workload = (char *)(uintptr_t) "",
	    .m = MEASUREMENT_INIT,
	};
	trial->spica_id = malloc(24);
	f->list[f->n++] = trial;
	if (!trial->params || !trial->spica_id)
		return -ENOMEM;
	turn_spica_id(f->t, UINT64_C(0x80000000) + f->n, trial->spica_id);
	config_hash(trial->params, trial->config_hash);
	return measurement_fail(&trial->m, OUTCOME_INFEASIBLE, fit->cause, "%s", fit->reason);
}

static int on_refused(void *userdata, const Point *p, const Fit *fit)
{
	Refused *f = userdata;
	if (fit->verdict != FIT_NO)
		return 0;
	int r = note_reason(f, fit->reason ? fit->reason : fit->cause);
	if (r < 0 || !f->keep || f->n == REFUSED_MAX)
		return r;
	return note_trial(f, p, fit);
}

static void refused_free(Refused *f)
{
	for (size_t i = 0; i < f->n; i++) {
		json_decref(f->trials[i].params);
		free(f->trials[i].spica_id);
		measurement_done(&f->trials[i].m);
	}
	for (size_t i = 0; i < f->n_reasons; i++)
		free(f->reasons[i]);
	free(f);
}

static void say_refused(const Refused *f, const Scan *sum)
{
	turn_say(f->t, RUN_PREDICTED, NULL, NULL,
		 "memory model: %" PRIu64 " of %" PRIu64
		 "%s candidates cannot start and cost no trial%s",
		 sum->infeasible, sum->allowed, sum->whole ? "" : " looked at",
		 sum->unknown ? "; some are unknown to it and are tried" : "");
	for (size_t i = 0; i < f->n_reasons; i++)
		turn_say(f->t, RUN_PREDICTED, NULL, NULL, "  %s", f->reasons[i]);
	if (f->more_reasons)
		turn_say(f->t, RUN_PREDICTED, NULL, NULL,
			 "  and more: `dream predict` lists them all");
}

static int note_kept(void *userdata, const StoreTrial *trial)
{
	(void)trial;
	bool *kept = userdata;
	*kept = true;
	return 0;
}

/* They go into the store in one piece, but an evolution may have been stopped before that. */
static int already_kept(const Turn *t, bool *ret, Err *err)
{
	TrialQuery q = {.experiment = t->x->name,
			.purpose = "predict",
			.evolution = t->history.evolution,
			.limit = 1};
	*ret = false;
	return t->history.resumed ? store_trials(t->r->store, &q, note_kept, ret, err) : 0;
}

int evolve_predict(Turn *t, Err *err)
{
	if (!t->x->memory)
		return 0;
	bool kept;
	int r = already_kept(t, &kept, err);
	if (r < 0)
		return r;
	Refused *f = calloc(1, sizeof(*f));
	if (!f)
		return err_oom(err);
	f->t = t;
	f->keep = !kept;
	Scan sum = {0};
	r = scan_space(t->x, NULL, PREDICT_MAX, on_refused, f, &sum, err);
	if (r == -ENOMEM)
		(void)err_oom(err);
	if (r >= 0 && f->n > 0)
		r = store_add_trials(t->r->store, f->list, f->n, err);
	if (r >= 0)
		say_refused(f, &sum);
	refused_free(f);
	return r;
}
