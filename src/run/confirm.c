/* PHASE: the finalists, one after another, against the baseline: randomised interleaved pairs,
 * every member a fresh start, all services active, under every workload. Goes on after a crash from
 * the stored steps. */
#include "run/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

void confirm_done(Turn *t)
{
	t->compare = compare_free(t->compare);
	free(t->confirm_seqs);
	t->confirm_seqs = NULL;
	free(t->workload_names);
	t->workload_names = NULL;
	free(t->finalists);
	t->finalists = NULL;
	t->n_finalists = t->finalist = t->step = 0;
}

/* --- One finalist ---------------------------------------------------------------------------- */

double confirm_confidence(const ConfirmConfig *c)
{
	return 1 - (1 - c->confidence) / (double)c->finalists;
}

typedef struct Load {
	Turn *t;
	Err *err;
} Load;

/* Is it what this step measures? The confirmation may have been configured otherwise since. */
static bool is_of_step(const Turn *t, size_t i, const StoreTrial *trial)
{
	CompareStep step = compare_step(t->compare, i);
	const CompareArm *arm = compare_arm(t->compare, step.arm);
	Point p;
	return js_int(trial->confirm, "block", -1) == (int64_t)step.block && trial->workload &&
	       strcmp(trial->workload, t->workload_names[step.workload]) == 0 &&
	       strcmp(js_str(trial->confirm, "role", ""), compare_role_name(arm->role)) == 0 &&
	       point_from_json(t->x->space, trial->params, &p, NULL) == 0 &&
	       point_equal(t->x->space, &p, &arm->point);
}

static int load_step(void *userdata, const StoreTrial *trial)
{
	Load *l = userdata;
	Turn *t = l->t;
	if (js_int(trial->confirm, "finalist", -1) != (int64_t)t->finalist)
		return 0;
	int64_t step = js_int(trial->confirm, "step", -1);
	if (step < 0 || (size_t)step >= compare_steps(t->compare) || t->confirm_seqs[step] ||
	    !is_of_step(t, (size_t)step, trial))
		return 0;
	t->confirm_seqs[step] = trial->seq;
	int r = compare_tell(t->compare, (size_t)step, &trial->m);
	return r < 0 ? err_oom(l->err) : 0;
}

static int name_workloads(Turn *t, Err *err)
{
	const Workload *w = t->x->workloads.items;
	if (t->workload_names)
		return 0;
	t->workload_names = calloc(t->x->workloads.n + 1, sizeof(*t->workload_names));
	for (size_t i = 0; t->workload_names && i < t->x->workloads.n; i++)
		t->workload_names[i] = w[i].name;
	return t->workload_names ? 0 : err_oom(err);
}

static int end_without(Turn *t, const char *reason, Err *err)
{
	int r = verdict_none(t, NULL, reason, err);
	return r < 0 ? r : turn_end_epoch(t, "finished", err);
}

static int end_empty(Turn *t, const LeftOut *out, Err *err)
{
	char reason[200] = "no candidate looked better than the baseline in the search";
	if (out->unguarded)
		(void)snprintf(
		    reason, sizeof(reason),
		    "what looked better in the search changes what the model says (%.60s), "
		    "and nothing measures llm_quality_pct",
		    out->unguarded);
	else if (out->worse)
		(void)snprintf(reason, sizeof(reason),
			       "every candidate that looked better than the baseline in the search "
			       "made an objective "
			       "worse than its tolerance, the best of them %.60s",
			       out->worse);
	return end_without(t, reason, err);
}

/* There is nothing to compare with; how the baseline's own trial ended says why. */
static int end_unmeasured(Turn *t, Err *err)
{
	const Told *last = NULL;
	StoreTrial trial = {.m = MEASUREMENT_INIT};
	char reason[320];
	for (size_t i = 0; i < t->history.n_told; i++)
		if (told_counts(t, &t->history.told[i]) &&
		    point_equal(t->x->space, &t->history.told[i].point, &t->x->baseline_point))
			last = &t->history.told[i];
	int r = last ? finalists_trial(t, last->seq, &trial, err) : 0;
	if (r < 0)
		return r;
	(void)snprintf(reason, sizeof(reason),
		       "the baseline could not be measured, so there is nothing to compare with: "
		       "it ended %s%s%.160s",
		       outcome_name(trial.m.outcome), trial.m.reason ? ": " : "",
		       trial.m.reason ? trial.m.reason : "");
	store_trial_done(&trial);
	r = verdict_unmeasured(t, reason, err);
	return r < 0 ? r : turn_end_epoch(t, "finished", err);
}

/* A winner that is already proposed is not confirmed and proposed again by every later run. */
static int end_standing(Turn *t, const char *id, Err *err)
{
	char reason[200];
	(void)snprintf(reason, sizeof(reason), "the %s candidate is already proposed as %s",
		       t->finalist == 0 ? "best" : "next best", id);
	turn_say(t, RUN_MESSAGE, NULL, NULL, "%s", reason);
	t->r->promoted = true;
	int r = verdict_close(t, "standing", reason, err);
	return r < 0 ? r : turn_end_epoch(t, "finished", err);
}

static void say_begin(Turn *t)
{
	Str words = STR_INIT;
	point_text(t->x->space, &t->finalists[t->finalist].point, &words);
	turn_say(t, RUN_CONFIRM_BEGIN, NULL, NULL,
		 "confirming %s against the baseline: %zu fresh starts, %zu workloads",
		 words.s ? words.s : "the finalist", compare_steps(t->compare), t->x->workloads.n);
	str_done(&words);
}

/* What was measured of this finalist before an interruption is told again. */
static int load_steps(Turn *t, Err *err)
{
	t->confirm_seqs = calloc(compare_steps(t->compare) + 1, sizeof(*t->confirm_seqs));
	if (!t->confirm_seqs)
		return err_oom(err);
	TrialQuery q = {
	    .experiment = t->x->name, .purpose = "confirm", .evolution = t->history.evolution};
	Load l = {.t = t, .err = err};
	return store_trials(t->r->store, &q, load_step, &l, err);
}

static int plan_steps(Turn *t, Err *err)
{
	const Experiment *x = t->x;
	const ConfirmConfig *c = &x->confirm;
	t->compare = compare_free(t->compare);
	free(t->confirm_seqs);
	t->confirm_seqs = NULL;
	t->step = 0;
	int r = name_workloads(t, err);
	if (r < 0)
		return r;
	CompareSpec spec = {
	    .space = x->space,
	    .baseline = x->baseline_point,
	    .candidate = t->finalists[t->finalist].point,
	    .n_workloads = x->workloads.n,
	    .workload_names = t->workload_names,
	    .pairs = (uint32_t)c->pairs,
	    .min_pairs = (uint32_t)c->min_pairs,
	    .confidence = confirm_confidence(c),
	    .ablation = c->ablation,
	    .seed = turn_seed(t, "confirm", t->finalist),
	};
	return compare_new(&spec, &t->compare, err);
}

static int begin_finalist(Turn *t, Err *err)
{
	_cleanup_free_ char *standing = NULL;
	int r = verdict_standing(t, &t->finalists[t->finalist], &standing, err);
	if (r < 0)
		return r;
	if (standing)
		return end_standing(t, standing, err);
	r = plan_steps(t, err);
	if (r >= 0)
		r = load_steps(t, err);
	if (r < 0)
		return r;
	say_begin(t);
	return turn_later(t, err);
}

int confirm_begin(Turn *t, Err *err)
{
	if (!t->x->baseline)
		return end_without(
		    t,
		    "no baseline is configured, so nothing can be called better than it; "
		    "add `baseline:` with the values that production runs",
		    err);
	finalists_baseline(t);
	if (isnan(t->baseline_fitness))
		return end_unmeasured(t, err);
	if (evaluator_stage(t->evaluator, true) == STAGE_OBSERVED)
		return end_without(t,
				   "the evaluator does not say that it applies the candidate "
				   "(`applies: true`), so "
				   "its results are observations and cannot be promoted",
				   err);
	LeftOut out;
	int r = finalists_choose(t, &out, err);
	if (r < 0)
		return r;
	return t->n_finalists == 0 ? end_empty(t, &out, err) : begin_finalist(t, err);
}

/* --- Steps ----------------------------------------------------------------------------------- */

/* Where in the confirmation the step stands; NULL when out of memory. */
static json_t *place_json(const Turn *t, const CompareStep *step, const CompareArm *arm)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "finalist", json_integer((json_int_t)t->finalist), &failed);
	js_set(o, "step", json_integer((json_int_t)t->step), &failed);
	js_set(o, "block", json_integer(step->block), &failed);
	js_set(o, "role", js_text(compare_role_name(arm->role)), &failed);
	if (arm->role == ROLE_ABLATION)
		js_set(o, "parameter", js_text(space_name(t->x->space, arm->dim)), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

int confirm_measured(Turn *t, const Measurement *m, bool is_void, Err *err)
{
	CompareStep step = compare_step(t->compare, t->step);
	const CompareArm *arm = compare_arm(t->compare, step.arm);
	json_auto_t *place = place_json(t, &step, arm);
	if (!place)
		return err_oom(err);
	StoreTrial trial =
	    turn_trial(t, m, is_void ? "void" : "confirm", compare_role_name(arm->role));
	trial.confirm = place;
	if (arm->role == ROLE_CANDIDATE)
		trial.parents[0] = t->finalists[t->finalist].seq;
	if (m->outcome == OUTCOME_INFEASIBLE)
		trial.stage = STAGE_PREDICTED;
	int r = turn_keep(t, &trial, err);
	if (r < 0)
		return r;
	if (!is_void) {
		t->confirm_seqs[t->step] = trial.seq;
		if (compare_tell(t->compare, t->step, m) < 0)
			return err_oom(err);
		t->step++;
	}
	turn_say(t, RUN_TRIAL_DONE, &trial, NULL, "%s", m->reason ? m->reason : "");
	return 0;
}

/* What the memory model refuses is not started in a confirmation either. The baseline is:
 * production says that it runs. */
static int refused(Turn *t, bool *ret, Err *err)
{
	Fit fit = {0};
	int r = scan_point(t->x, NULL, &t->job.point, &fit, err);
	if (r < 0)
		return r;
	*ret = fit.verdict == FIT_NO;
	if (*ret) {
		Measurement m = MEASUREMENT_INIT;
		r = measurement_fail(&m, OUTCOME_INFEASIBLE, fit.cause, "%s", fit.reason);
		if (r >= 0)
			r = confirm_measured(t, &m, false, err);
		measurement_done(&m);
	}
	fit_done(&fit);
	return r;
}

static void arm_id(const Turn *t, const CompareArm *arm, char ret[24])
{
	/* One identity a configuration: the same in every block, and none of the search's. */
	uint64_t n =
	    UINT64_C(0x40000000) + point_key(t->x->space, &arm->point) % UINT64_C(0x3fffffff);
	turn_spica_id(t, n, ret);
}

static int measure_step(Turn *t, Err *err)
{
	CompareStep step = compare_step(t->compare, t->step);
	const CompareArm *arm = compare_arm(t->compare, step.arm);
	const Workload *workloads = t->x->workloads.items;
	json_decref(t->job.params);
	t->job = (Job){
	    .point = arm->point,
	    .params = point_json(t->x->space, &arm->point),
	    .workload = &workloads[step.workload],
	    .all_services = true,
	    .seed = turn_seed(t, "confirm-trial", (t->finalist << 20) + t->step),
	    .drift_at_us = turn_drift_us(t->history.n_trials + (int64_t)t->step),
	    .generation = t->generation,
	};
	if (!t->job.params)
		return err_oom(err);
	arm_id(t, arm, t->job.spica_id);
	bool skip = false;
	int r = arm->role == ROLE_BASELINE ? 0 : refused(t, &skip, err);
	if (r < 0)
		return r;
	return skip ? turn_later(t, err) : turn_measure(t, err);
}

static int next_finalist(Turn *t, const WinnerReport *report, Err *err)
{
	if (++t->finalist < t->n_finalists)
		return begin_finalist(t, err);
	int r = verdict_none(t, report, report->reason, err);
	return r < 0 ? r : turn_end_epoch(t, "finished", err);
}

static int judge(Turn *t, Err *err)
{
	WinnerReport report = {0};
	if (compare_judge(t->compare, &t->x->goals, &report) < 0)
		return err_oom(err);
	int r = words_judge(t, &report, err);
	if (r < 0) {
		winner_report_done(&report);
		return r;
	}
	turn_say(t, RUN_CONFIRM_DONE, NULL, &report, "%s", report.reason);
	if (report.verdict == WINNER_YES) {
		r = verdict_winner(t, &t->finalists[t->finalist], &report, err);
		if (r >= 0)
			r = turn_end_epoch(t, "finished", err);
	} else {
		r = next_finalist(t, &report, err);
	}
	winner_report_done(&report);
	return r;
}

int confirm_step(Turn *t, Err *err)
{
	size_t n = compare_steps(t->compare);
	while (t->step < n && t->confirm_seqs[t->step])
		t->step++;
	if (t->step == n || compare_hopeless(t->compare, &t->x->goals))
		return judge(t, err);
	/* A pair is not torn apart by the end of a budget. */
	bool between = t->step == 0 || compare_step(t->compare, t->step).block !=
					   compare_step(t->compare, t->step - 1).block;
	if (t->epoch_over || (between && turn_over_budget(t)))
		return turn_end_epoch(t, "carried_over", err);
	return measure_step(t, err);
}
