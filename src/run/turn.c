/* One experiment in the run: its life, its epochs, and the way of one measurement. */
#include "run/internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gpu/leasename.h"

/* --- Words ----------------------------------------------------------------------------------- */

void turn_say(Turn *t, RunEventKind kind, const StoreTrial *trial, const WinnerReport *report,
	      const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	uint64_t left = t->search && t->phase == TURN_SEARCH ? search_remaining(t->search) : 0;
	if (t->phase == TURN_CONFIRM && t->compare)
		left = compare_steps(t->compare) - t->step;
	int64_t elapsed_us = clock_mono_us(t->r->clock) - t->epoch_started_us;
	bool paced = t->epoch_trials > 0;
	RunEvent e = {
	    .kind = kind,
	    .experiment = t->x,
	    .epoch = t->history.epoch,
	    .text = text,
	    .trial = trial,
	    .report = report,
	    .done = t->epoch_trials,
	    .total = t->epoch_trials + left,
	    .best = t->best,
	    .generation = t->generation,
	    .elapsed_us = elapsed_us,
	    .left_us = paced ? elapsed_us / (int64_t)t->epoch_trials * (int64_t)left : -1,
	};
	runner_say(t->r, &e);
}

uint64_t turn_seed(const Turn *t, const char *label, uint64_t n)
{
	/* Of the experiment's name and not of its contents: an edited comment redraws nothing. */
	Rng own = rng_derive(t->r->seed, t->x->name, (uint64_t)t->history.evolution);
	Rng rng = rng_derive(rng_u64(&own), label, n);
	return rng_u64(&rng);
}

bool turn_over_budget(const Turn *t)
{
	int64_t budget_us = t->x->budget.wallclock_us;
	return budget_us > 0 && clock_mono_us(t->r->clock) - t->epoch_started_us >= budget_us;
}

void turn_spica_id(const Turn *t, uint64_t n, char ret[24])
{
	char label[80];
	(void)snprintf(label, sizeof(label), "spica/%.64s", t->x->name);
	(void)snprintf(ret, 24, "spica-gpu-%08x", (unsigned)(turn_seed(t, label, n) & 0xffffffffu));
}

int64_t turn_drift_us(int64_t n)
{
	return n * 60000000;
}

/* --- The loop -------------------------------------------------------------------------------- */

static int turn_step(Turn *t, Err *err)
{
	switch (t->phase) {
	case TURN_SEARCH:
		return evolve_step(t, err);
	case TURN_CONFIRM:
		return confirm_step(t, err);
	case TURN_IDLE:
		break;
	}
	return 0;
}

static int on_next(sd_event_source *s, void *userdata)
{
	Turn *t = userdata;
	(void)s;
	t->next = sd_event_source_disable_unref(t->next);
	Err err = ERR_INIT;
	int r = turn_step(t, &err);
	if (r < 0)
		runner_fault(t->r, r, &err);
	return 0;
}

int turn_later(Turn *t, Err *err)
{
	if (t->next || t->r->stopping)
		return 0;
	int r = sd_event_add_defer(t->r->loop, &t->next, on_next, t);
	return r < 0 ? err_set(err, r, "cannot schedule the next step: %s", strerror(-r)) : 0;
}

static int on_wait(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s, (void)usec;
	turn_retry_lease(userdata);
	return 0;
}

void turn_retry_lease(Turn *t)
{
	if (!t->waiting || t->r->stopping)
		return;
	t->wait = sd_event_source_disable_unref(t->wait);
	Err err = ERR_INIT;
	int r = turn_measure(t, &err);
	if (r < 0)
		runner_fault(t->r, r, &err);
}

/* --- Measuring ------------------------------------------------------------------------------- */

StoreTrial turn_trial(const Turn *t, const Measurement *m, const char *purpose, const char *origin)
{
	const Job *j = &t->job;
	Fitness f = fitness_of(&t->x->goals, m);
	StoreTrial trial = {
	    .at_us = clock_now_us(t->r->clock),
	    .experiment = t->x->name,
	    .epoch = t->history.epoch,
	    .evolution = t->history.evolution,
	    .ask = -1,
	    .purpose = (char *)(uintptr_t)purpose,
	    .generation = j->generation,
	    .origin = (char *)(uintptr_t)origin,
	    .spica_id = (char *)(uintptr_t)j->spica_id,
	    .params = j->params,
	    .stage = evaluator_stage(t->evaluator, j->all_services),
	    .evaluator = (char *)(uintptr_t)evaluator_kind(t->evaluator),
	    .workload = j->workload->name,
	    .all_services = j->all_services,
	    .fitness = f.value,
	    .fitness_se = f.se,
	    .feasible = f.feasible,
	    .m = *m,
	};
	config_hash(trial.params, trial.config_hash);
	return trial;
}

int turn_keep(Turn *t, StoreTrial *trial, Err *err)
{
	int r = store_add_trials(t->r->store, &trial, 1, err);
	if (r < 0)
		return err_wrap(err, r, "cannot keep a trial of %s", t->x->name);
	t->epoch_trials++;
	return 0;
}

static int on_paused(sd_event_source *s, uint64_t usec, void *userdata)
{
	Turn *t = userdata;
	(void)s, (void)usec;
	t->wait = sd_event_source_disable_unref(t->wait);
	Err err = ERR_INIT;
	int r = turn_measure(t, &err);
	if (r < 0)
		runner_fault(t->r, r, &err);
	return 0;
}

/* Somebody else was on the GPU: at once would be the same again. Simulated neighbours do not go
 * away. */
static int measure_again(Turn *t, const Measurement *m, Err *err)
{
	static const int64_t pauses_us[] = {5000000, 30000000};
	if (evaluator_stage(t->evaluator, t->job.all_services) == STAGE_TWIN)
		return turn_measure(t, err);
	int64_t pause_us = pauses_us[t->job.attempt > 1];
	turn_say(t, RUN_MESSAGE, NULL, NULL, "measured again in %.0f s: %s", (double)pause_us / 1e6,
		 m->reason ? m->reason : outcome_name(m->outcome));
	int r = sd_event_add_time_relative(t->r->loop, &t->wait, CLOCK_MONOTONIC,
					   (uint64_t)pause_us, 100000, on_paused, t);
	return r < 0 ? err_set(err, r, "cannot pause: %s", strerror(-r)) : 0;
}

/* Production could not make room: that is another time's work. */
static bool not_now(const Measurement *m)
{
	return m->outcome == OUTCOME_CONTENDED && strcmp(m->cause, "quiesce") == 0;
}

/* Void results are tried again: they say nothing about the candidate. After the last attempt one
 * stands. */
static int turn_measured(Turn *t, Measurement *m, Err *err)
{
	enum {
		ATTEMPTS = 3
	};
	bool broken = m->outcome == OUTCOME_HARDWARE_FAULT;
	bool later = not_now(m);
	bool again =
	    !broken && !later && outcome_is_void(m->outcome) && ++t->job.attempt < ATTEMPTS;
	bool is_void = broken || again || later;
	int r = t->phase == TURN_CONFIRM ? confirm_measured(t, m, is_void, err)
					 : evolve_measured(t, m, is_void, err);
	if (r < 0)
		return r;
	if (broken)
		return err_set(
		    err, -EIO,
		    "the hardware failed while %s was measured, no candidate is blamed: %s",
		    t->x->name, m->reason ? m->reason : "no reason given");
	if (later) {
		turn_say(t, RUN_MESSAGE, NULL, NULL, "not now, the rest carries over: %s",
			 m->reason ? m->reason : "production cannot make room");
		t->epoch_over = true;
	}
	return again ? measure_again(t, m, err) : turn_later(t, err);
}

static void on_measured(void *userdata, Measurement *m, const Err *failed)
{
	Turn *t = userdata;
	t->eval = eval_stop(t->eval);
	t->lease = lease_release(t->lease);
	if (failed) {
		runner_fault(t->r, failed->code, failed);
		return;
	}
	Err err = ERR_INIT;
	int r = turn_measured(t, m, &err);
	if (r < 0)
		runner_fault(t->r, r, &err);
	else
		runner_wake(t->r, t);
}

/* An evaluator may say the same a thousand times. */
static void on_progress(void *userdata, const json_t *event)
{
	Turn *t = userdata;
	_cleanup_(str_done) Str text = STR_INIT;
	eval_progress_text(event, &text);
	if (text.failed || !text.s || strcmp(text.s, t->progress) == 0)
		return;
	(void)snprintf(t->progress, sizeof(t->progress), "%s", text.s);
	turn_say(t, RUN_TRIAL_PROGRESS, NULL, NULL, "%s", text.s);
}

/* 1: we have the GPU; 0: we wait for it. */
static int take_gpu(Turn *t, Err *err)
{
	_cleanup_free_ char *holder = NULL;
	char purpose[160];
	(void)snprintf(purpose, sizeof(purpose), "experiment %s", t->x->name);
	int r = lease_take(t->r->lease_dir, t->gpu, purpose, &t->lease, &holder, err);
	if (r != 0)
		return r;
	if (!t->waiting)
		turn_say(t, RUN_MESSAGE, NULL, NULL, "waiting for GPU %s: %s", t->gpu,
			 holder ? holder : "somebody else holds it");
	t->waiting = true;
	r = sd_event_add_time_relative(t->r->loop, &t->wait, CLOCK_MONOTONIC, 50000, 10000, on_wait,
				       t);
	return r < 0 ? err_set(err, r, "cannot wait for GPU %s: %s", t->gpu, strerror(-r)) : 0;
}

int turn_measure(Turn *t, Err *err)
{
	if (t->gpu) {
		int r = take_gpu(t, err);
		if (r <= 0)
			return r;
	}
	t->waiting = false;
	Job *j = &t->job;
	EvalRequest rq = {
	    .experiment = t->x->name,
	    .spica_id = j->spica_id,
	    .params = j->params,
	    .services = t->x->services.items,
	    .n_services = t->x->services.n,
	    .workload = j->workload,
	    .all_services = j->all_services,
	    .seed = j->seed + j->attempt,
	    .generation = j->generation,
	    .drift_at_us = j->drift_at_us,
	    .timeout_us = t->x->budget.trial_timeout_us,
	    .lease = t->lease,
	    .gpu_uuid = t->gpu,
	};
	*t->progress = '\0';
	turn_say(t, RUN_TRIAL_BEGIN, NULL, NULL, "%s", j->spica_id);
	return eval_start(t->evaluator, &rq, t->r->loop, on_measured, on_progress, t, &t->eval,
			  err);
}

/* --- Epochs ---------------------------------------------------------------------------------- */

/* We were killed between the verdict and the end of its epoch: this turn is still that one's. */
static int end_decided(Turn *t, Err *err)
{
	turn_say(t, RUN_MESSAGE, NULL, NULL,
		 "epoch %" PRId64 " had its verdict when it was interrupted", t->history.epoch);
	t->r->promoted |= t->history.proposed;
	return turn_end_epoch(t, "finished", err);
}

int turn_begin_epoch(Turn *t, Err *err)
{
	history_done(&t->history);
	t->epoch_started_us = clock_mono_us(t->r->clock);
	t->epoch_trials = 0;
	t->failures = 0;
	t->epoch_over = false;
	t->phase = TURN_SEARCH;
	t->generation = 0;
	int r = history_load(t->r->store, t->x, &t->id, &t->history, err);
	if (r < 0)
		return r;
	bool resumed = t->history.resumed;
	r = evolve_begin(t, err);
	if (r < 0)
		return r;
	if (t->history.decided && t->history.resumed)
		return end_decided(t, err);
	turn_say(t, RUN_EPOCH_BEGIN, NULL, NULL, "%s%s", t->strategy,
		 resumed ? ", going on where it stopped" : "");
	r = evolve_predict(t, err);
	return r < 0 ? r : turn_later(t, err);
}

static int record_epoch(Turn *t, const char *state, int64_t trials, Err *err)
{
	bool failed = false;
	json_auto_t *body = json_object();
	js_set(body, "experiment", js_text(t->x->name), &failed);
	js_set(body, "epoch", json_integer(t->history.epoch), &failed);
	js_set(body, "evolution", json_integer(t->history.evolution), &failed);
	js_set(body, "trials", json_integer(trials), &failed);
	js_set(body, "state", js_text(state), &failed);
	js_set(body, "best_fitness", js_number(t->best), &failed);
	/* Of those that this run measured: an interrupted epoch has more, and their time is lost.
	 */
	if (t->epoch_trials > 0)
		js_set(body, "trial_us",
		       json_integer((clock_mono_us(t->r->clock) - t->epoch_started_us) /
				    (int64_t)t->epoch_trials),
		       &failed);
	if (failed || !body)
		return err_oom(err);
	return store_add(t->r->store, "epoch", "dream.epoch/v1", body, NULL, err);
}

static const char *end_text(const Turn *t, const char *state)
{
	if (strcmp(state, "finished") == 0)
		return "finished";
	return t->epoch_over ? "ended early, the rest carries over"
			     : "used up its budget, the rest carries over";
}

int turn_end_epoch(Turn *t, const char *state, Err *err)
{
	/* The files first: an epoch counts as ended only when they are there, and a crash between
	 * them writes them again. */
	int64_t trials = 0;
	int r = export_epoch(t, state, &trials, err);
	if (r >= 0)
		r = record_epoch(t, state, trials, err);
	if (r >= 0 && t->r->key)
		r = store_sign_head(t->r->store, t->r->key, err);
	if (r >= 0)
		r = export_anchors(t->r, err);
	if (r < 0)
		return err_wrap(err, r, "cannot end epoch %" PRId64 " of %s", t->history.epoch,
				t->x->name);
	confirm_done(t);
	turn_say(t, RUN_EPOCH_END, NULL, NULL, "%s", end_text(t, state));
	t->r->measured += (uint64_t)trials;
	t->phase = TURN_IDLE;
	t->search = search_free(t->search);
	if (t->epoch_over)
		t->not_before_us =
		    clock_mono_us(t->r->clock) + t->r->plan->run.backoff_on_failure_us;
	t->r->active--;
	runner_schedule(t->r);
	return 0;
}

/* --- Life ------------------------------------------------------------------------------------ */

static const SearchStrategy *find_strategy(const char *name)
{
	for (size_t i = 0; search_strategy(i); i++)
		if (strcmp(search_strategy(i)->name, name) == 0)
			return search_strategy(i);
	return NULL;
}

static int choose_strategy(Turn *t, Err *err)
{
	const char *name = t->r->options->strategy ? t->r->options->strategy : t->x->selector.kind;
	const SearchStrategy *s = find_strategy(name ? name : "rzero");
	if (!s)
		return err_set(err, -EINVAL, "%s cannot be searched: no strategy is called '%s'",
			       t->x->name, name);
	t->strategy = s->name;
	t->strategy_version = s->version;
	return 0;
}

static int choose_gpu(Turn *t, Err *err)
{
	if (!t->x->budget.allow_gpu)
		return 0;
	const char *known = evaluator_gpu(t->evaluator);
	if (t->x->gpu || !known)
		return gpu_lease_name(NULL, t->x->gpu, &t->gpu, err);
	t->gpu = strdup(known); /* a simulated one: no card of this machine */
	return t->gpu ? 0 : err_oom(err);
}

static int identify(Turn *t, Err *err)
{
	char content[HASH_HEX_SIZE];
	int r = evaluator_content(&t->x->evaluator, t->r->plan->dir, content, err);
	if (r < 0)
		return r;
	r = identity_of(t->x, content, t->strategy, t->strategy_version, t->r->seed,
			t->all_services, &t->id);
	return r < 0 ? err_oom(err) : 0;
}

int turn_new(Runner *r, const Experiment *x, Turn **ret, Err *err)
{
	Turn *t = calloc(1, sizeof(*t));
	if (!t)
		return err_oom(err);
	*t = (Turn){.r = r, .x = x, .best = (double)NAN, .baseline_fitness = (double)NAN};
	t->all_services =
	    r->options->all_services < 0 ? x->search_all_services : r->options->all_services > 0;
	Diags d = DIAGS_INIT;
	int e = evaluator_new(&x->evaluator, r->plan->dir, x->evaluator_at, DIAG_ERROR,
			      &t->evaluator, &d, err);
	if (e == -EBADMSG && d.n > 0)
		e = err_set(err, -EINVAL, "%s cannot be measured: %s", x->name, d.items[0].what);
	diags_done(&d);
	if (e >= 0)
		e = choose_strategy(t, err);
	if (e >= 0)
		e = choose_gpu(t, err);
	if (e >= 0)
		e = identify(t, err);
	if (e < 0) {
		(void)turn_free(t);
		return e;
	}
	*ret = t;
	return 0;
}

void turn_stop(Turn *t)
{
	t->eval = eval_stop(t->eval);
	t->lease = lease_release(t->lease);
	t->next = sd_event_source_disable_unref(t->next);
	t->wait = sd_event_source_disable_unref(t->wait);
	t->waiting = false;
}

Turn *turn_free(Turn *t)
{
	if (!t)
		return NULL;
	turn_stop(t);
	confirm_done(t);
	(void)search_free(t->search);
	(void)lessons_free(t->lessons);
	(void)learned_free(t->learned);
	(void)evaluator_free(t->evaluator);
	(void)store_claim_release(t->claim);
	json_decref(t->job.params);
	history_done(&t->history);
	free(t->gpu);
	free(t);
	return NULL;
}
