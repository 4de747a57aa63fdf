/* Trials before production is touched: the candidate really started and measured, first one
 * parameter with its own service, then all that is left with every service. Whether production must
 * make room for that, and when it may, is the evaluator's business (`quiesce:`). */
#include "rollout/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gpu/leasename.h"

enum {
	TRIES = 4, /* of a trial that somebody disturbs */
	PAUSE_US = 3000000,
};

static void begin_trial(Rollout *r, bool all_services);

/* What the machine had in production's place: the baseline's values and the target's. */
static json_t *trial_params(const Rollout *r, ParamMask target)
{
	bool failed = false;
	const json_t *of_promotion =
	    json_object_get(json_object_get(r->promotion, "baseline"), "params");
	json_t *o = js_deep_copy(r->x->baseline ? r->x->baseline : of_promotion);
	for (uint32_t i = 0; i < r->spec.n; i++)
		js_set(o, r->params[i].name,
		       json_incref(target & (1U << i) ? r->params[i].to_value
						      : r->params[i].from_value),
		       &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static bool takes_any(const Rollout *r, const ServiceSpec *s, ParamMask target)
{
	for (uint32_t i = 0; i < r->spec.n; i++)
		if (target & (1U << i) && s->params &&
		    json_object_get(s->params, r->params[i].name))
			return true;
	return false;
}

/* The services of the trial: those that the parameters reach, or all. */
static size_t pick_services(Rollout *r, bool all)
{
	const ServiceSpec *from = r->x->services.items;
	size_t n = 0;
	for (size_t i = 0; i < r->x->services.n; i++)
		if (all || takes_any(r, &from[i], r->m.target))
			r->trial_services[n++] = from[i];
	return n;
}

static int take_lease(Rollout *r, Err *err)
{
	_cleanup_free_ char *dir = NULL, *holder = NULL;
	if (!r->x->budget.allow_gpu)
		return 0;
	if (!r->gpu) {
		int e = gpu_lease_name(NULL, r->x->gpu, &r->gpu, err);
		if (e < 0)
			return e;
	}
	int e = lease_default_dir(&dir, err);
	if (e >= 0)
		e = lease_take(dir, r->gpu, "a stage of a rollout", &r->lease, &holder, err);
	if (e == 0)
		return err_set(err, -EBUSY, "GPU %s is in use by %s", r->gpu,
			       holder ? holder : "another process");
	return e;
}

/* A trial may stop production and start it again: what the watch sees of that is expected. */
static void expect_stops(Rollout *r, bool expected)
{
	for (size_t i = 0; r->watch && i < r->n_units; i++)
		if (r->units[i].service)
			watch_expect(r->watch, r->units[i].name, expected);
}

void stage_stop(Rollout *r)
{
	expect_stops(r, false);
	r->run = eval_stop(r->run);
	r->trial_leaving = false;
	r->evaluator = evaluator_free(r->evaluator);
	r->lease = lease_release(r->lease);
	json_decref(r->trial_params);
	r->trial_params = NULL;
	free(r->trial_services);
	r->trial_services = NULL;
}

bool stage_abandon(Rollout *r)
{
	if (!r->run)
		return false;
	if (r->trial_leaving)
		return true;
	eval_call_off(r->run);
	r->trial_leaving = r->trial_cut = true;
	rollout_say(r, NULL, "the trial is called off");
	return true;
}

/* What it had to say is nobody's answer any more. */
static void left(Rollout *r)
{
	stage_stop(r);
	expect_stops(r, true);
	rollout_go_on(r);
}

/* A trial that says nothing about the candidate is our fault, not its. */
static MachineEvent judge_trial(const Rollout *r, const Measurement *m, Str *words)
{
	Fitness f = fitness_of(&r->x->goals, m);
	if (m->outcome != OUTCOME_OK)
		str_add(words, m->reason ? m->reason : outcome_name(m->outcome));
	if (outcome_is_void(m->outcome) || m->outcome == OUTCOME_MEASURE_FAILED)
		return EVENT_ERROR;
	if (m->outcome != OUTCOME_OK)
		return EVENT_BROKEN;
	if (f.violated[0])
		str_addf(words, "the constraint on %s is broken", f.violated);
	return f.violated[0] ? EVENT_BROKEN : EVENT_OK;
}

/* Production is back when it answers, not when its units run. */
static void production_back(Rollout *r, MachineEvent e, const char *words)
{
	_cleanup_free_ char *text = str_fmt("%s", r->trial_words);
	MachineEvent of_trial = r->trial_event;
	if (e == EVENT_OK)
		charge_trial_ends(r);
	if (e != EVENT_OK)
		rollout_later(r, EVENT_ERROR, "after the trial production does not answer: %s",
			      words ? words : "");
	else
		rollout_later(r, of_trial, "%s", text ? text : "out of memory");
}

static uint32_t known_units(const Rollout *r)
{
	uint32_t set = 0;
	for (size_t i = 0; i < r->n_units; i++)
		if (r->units[i].service)
			set |= 1U << i;
	return set;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	(void)source, (void)usec;
	r->timer = sd_event_source_disable_unref(r->timer);
	begin_trial(r, r->trial_all);
	return 0;
}

/* Somebody else disturbed it: it says nothing, and is made again after a pause. */
static bool try_again(Rollout *r, const Measurement *m)
{
	if (!outcome_is_void(m->outcome) || m->outcome == OUTCOME_HARDWARE_FAULT ||
	    ++r->trial_tries >= TRIES)
		return false;
	if (sd_event_add_time_relative(r->w.loop, &r->timer, CLOCK_MONOTONIC, PAUSE_US, 50000,
				       on_pause_over, r) < 0)
		return false;
	rollout_say(r, NULL, "it says nothing about them, and is made again: %s",
		    m->reason ? m->reason : outcome_name(m->outcome));
	return true;
}

static void on_trial(void *userdata, Measurement *m, const Err *err)
{
	Rollout *r = userdata;
	_cleanup_(str_done) Str words = STR_INIT;
	if (r->trial_leaving) {
		left(r);
		return;
	}
	if (!err && try_again(r, m)) {
		stage_stop(r);
		expect_stops(r, true);
		return;
	}
	r->trial_event = EVENT_ERROR;
	if (err)
		str_add(&words, err->msg);
	else
		r->trial_event = judge_trial(r, m, &words);
	if (!err) {
		json_auto_t *details = measurement_json(m);
		rollout_say(r, details, "the trial: %s%s%s", outcome_name(m->outcome),
			    m->reason ? ", " : "", m->reason ? m->reason : "");
	}
	snprintf(r->trial_words, sizeof(r->trial_words), "%s",
		 words.failed ? "out of memory"
		 : words.s    ? words.s
			      : "");
	stage_stop(r);
	expect_stops(r, true);
	bring_up(r, known_units(r), BRING_ASK, production_back);
}

static int begin(Rollout *r, bool all, Err *err)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	int e = evaluator_new(&r->x->evaluator, r->w.plan->dir, r->x->evaluator_at, DIAG_ERROR,
			      &r->evaluator, &d, err);
	if (e < 0)
		return err_wrap(err, e, "no trial can be made");
	e = take_lease(r, err);
	if (e < 0)
		return e;
	r->trial_params = trial_params(r, r->m.target);
	r->trial_services = calloc(r->x->services.n + 1, sizeof(*r->trial_services));
	if (!r->trial_params || !r->trial_services)
		return err_oom(err);
	EvalRequest rq = {.experiment = r->x->name,
			  .spica_id = r->promotion_id,
			  .params = r->trial_params,
			  .services = r->trial_services,
			  .n_services = pick_services(r, all),
			  .workload = r->x->workloads.items,
			  .all_services = all,
			  .seed = r->w.plan->run.seed,
			  .timeout_us = r->x->budget.trial_timeout_us,
			  .lease = r->lease,
			  .gpu_uuid = r->gpu};
	return eval_start(r->evaluator, &rq, r->w.loop, on_trial, NULL, r, &r->run, err);
}

static void begin_trial(Rollout *r, bool all_services)
{
	_cleanup_(str_done) Str text = STR_INIT;
	Err err = ERR_INIT;
	rollout_say(r, NULL, "%s trial: %s", all_services ? "colocated" : "isolated",
		    rollout_mask_text(r, r->m.target, &text));
	expect_stops(r, true);
	charge_trial_begins(r);
	if (begin(r, all_services, &err) >= 0)
		return;
	stage_stop(r);
	rollout_later(r, EVENT_ERROR, "%s", err.msg);
}

static void at_kept(Rollout *r, MachineEvent e, const char *words)
{
	if (e == EVENT_OK)
		begin_trial(r, true);
	else
		rollout_later(r, e, "%s", words ? words : "");
}

/* In the middle of a rollout production is to be at what is kept when the trial ends. */
void stage_trial(Rollout *r, bool all_services)
{
	r->trial_all = all_services;
	r->trial_tries = 0;
	if (r->change_open && r->flipped != r->m.kept)
		apply_kept(r, at_kept);
	else
		begin_trial(r, all_services);
}
