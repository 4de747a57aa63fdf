/* The loop: whose turn it is, how many at once, when it ends. */
#include "run/run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"

/* --- Events ---------------------------------------------------------------------------------- */

static const char *event_name(RunEventKind kind)
{
	static const char *const names[] = {
	    [RUN_EPOCH_BEGIN] = "epoch.begin",	 [RUN_PREDICTED] = "predicted",
	    [RUN_TRIAL_BEGIN] = "trial.begin",	 [RUN_TRIAL_PROGRESS] = "trial.progress",
	    [RUN_TRIAL_DONE] = "trial.done",	 [RUN_GENERATION_DONE] = "generation",
	    [RUN_SEARCH_DONE] = "search.done",	 [RUN_CONFIRM_BEGIN] = "confirm.begin",
	    [RUN_CONFIRM_DONE] = "confirm.done", [RUN_WINNER] = "winner",
	    [RUN_NO_WINNER] = "no_winner",	 [RUN_PROMOTION] = "promotion",
	    [RUN_EPOCH_END] = "epoch.end",	 [RUN_MESSAGE] = "message",
	};
	return names[kind];
}

static json_t *event_fields(const RunEvent *e)
{
	json_t *o = json_object();
	bool failed = false;
	if (e->experiment) {
		js_set(o, "experiment", js_text(e->experiment->name), &failed);
		js_set(o, "epoch", json_integer(e->epoch), &failed);
	}
	if (e->trial) {
		js_set(o, "seq", json_integer(e->trial->seq), &failed);
		js_set(o, "spica_id", js_text(e->trial->spica_id), &failed);
		js_set(o, "params", json_incref(e->trial->params), &failed);
		js_set(o, "outcome", js_text(outcome_name(e->trial->m.outcome)), &failed);
		js_set(o, "fitness", js_number(e->trial->fitness), &failed);
	}
	return o;
}

static void log_run_event(Log *log, const RunEvent *e)
{
	const char *who = e->experiment ? e->experiment->name : "run";
	LogLevel level = e->kind == RUN_TRIAL_BEGIN ? LOG_DEBUG_ : LOG_INFO_;
	if (e->trial)
		log_event(log, level, event_name(e->kind), event_fields(e),
			  "%s: trial %" PRId64 " (%s, %s): %s, fitness %.3f%s%s", who,
			  e->trial->seq, e->trial->purpose, e->trial->origin,
			  outcome_name(e->trial->m.outcome), e->trial->fitness,
			  *e->text ? ": " : "", e->text);
	else
		log_event(log, level, event_name(e->kind), event_fields(e), "%s: %s", who, e->text);
}

void runner_say(Runner *r, const RunEvent *e)
{
	if (e->kind != RUN_TRIAL_PROGRESS)
		log_run_event(r->log, e);
	if (r->options->observer)
		r->options->observer(r->options->userdata, e);
}

static void say(Runner *r, const char *text)
{
	RunEvent e = {.kind = RUN_MESSAGE, .text = text, .best = (double)NAN, .left_us = -1};
	runner_say(r, &e);
}

/* --- Turns ----------------------------------------------------------------------------------- */

static void stop_all(Runner *r)
{
	r->stopping = true;
	for (size_t i = 0; i < r->n_turns; i++)
		turn_stop(r->turns[i]);
	(void)sd_event_exit(r->loop, 0);
}

void runner_fault(Runner *r, int code, const Err *err)
{
	if (r->fault < 0)
		return;
	r->fault = code;
	r->err = *err;
	stop_all(r);
}

void runner_wake(Runner *r, const Turn *except)
{
	for (size_t i = 0; i < r->n_turns && !r->stopping; i++)
		if (r->turns[i] != except)
			turn_retry_lease(r->turns[i]);
}

/* The next in rotation: whoever has most epochs left, in the order of the configuration. */
static Turn *next_turn(Runner *r, int64_t *ret_not_before_us)
{
	Turn *best = NULL;
	int64_t now = clock_mono_us(r->clock);
	*ret_not_before_us = INT64_MAX;
	for (size_t i = 0; i < r->n_turns; i++) {
		Turn *t = r->turns[i];
		if (t->phase != TURN_IDLE || t->epochs_left == 0)
			continue;
		if (t->not_before_us > now) {
			if (t->not_before_us < *ret_not_before_us)
				*ret_not_before_us = t->not_before_us;
			continue;
		}
		if (!best || t->epochs_left > best->epochs_left)
			best = t;
	}
	return best;
}

static int on_awake(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s, (void)usec;
	Runner *r = userdata;
	r->sleep = sd_event_source_disable_unref(r->sleep);
	runner_schedule(r);
	return 0;
}

static void sleep_for(Runner *r, int64_t us)
{
	r->sleep = sd_event_source_disable_unref(r->sleep);
	/* From now, not from when the loop woke up: an epoch was written since. */
	int64_t at_us = clock_mono_us(&clock_system) + us;
	int e =
	    sd_event_add_time(r->loop, &r->sleep, CLOCK_MONOTONIC, (uint64_t)at_us, 0, on_awake, r);
	Err err = ERR_INIT;
	if (e < 0)
		runner_fault(r, err_set(&err, e, "cannot set a timer: %s", strerror(-e)), &err);
}

/* A cycle that measured nothing would be followed by more of its kind: they would only fill the
 * store. */
static bool is_exhausted(Runner *r)
{
	if (r->cycle == 0 || r->measured > 0)
		return false;
	if (r->options->cycles != r->cycle)
		say(r, "no experiment has anything left to measure");
	return true;
}

static bool begin_cycle(Runner *r)
{
	if ((r->options->cycles > 0 && r->cycle >= r->options->cycles) || is_exhausted(r))
		return false;
	r->cycle++;
	r->measured = 0;
	for (size_t i = 0; i < r->n_turns; i++)
		r->turns[i]->epochs_left = r->epochs_per_cycle;
	return true;
}

static int64_t sleep_between_us(const Runner *r)
{
	return r->options->sleep_us >= 0 ? r->options->sleep_us
					 : r->plan->run.sleep_between_cycles_us;
}

/* Nothing runs and nothing may start: the cycle is over, or somebody waits out a back-off. */
static void rest(Runner *r, int64_t not_before_us)
{
	if (not_before_us != INT64_MAX) {
		sleep_for(r, not_before_us - clock_mono_us(r->clock));
		return;
	}
	if (!begin_cycle(r)) {
		(void)sd_event_exit(r->loop, 0);
		return;
	}
	sleep_for(r, r->cycle > 1 ? sleep_between_us(r) : 0);
}

void runner_schedule(Runner *r)
{
	int64_t not_before_us = INT64_MAX;
	while (!r->stopping && r->active < r->max_parallel) {
		Turn *t = next_turn(r, &not_before_us);
		if (!t)
			break;
		t->epochs_left--;
		r->active++;
		Err err = ERR_INIT;
		int e = turn_begin_epoch(t, &err);
		if (e < 0)
			runner_fault(r, e, &err);
	}
	if (!r->stopping && r->active == 0 && !r->sleep)
		rest(r, not_before_us);
}

/* --- Setting up ------------------------------------------------------------------------------ */

static int claim(Turn *t, const char *store_path, Err *err)
{
	_cleanup_free_ char *holder = NULL;
	int e = store_claim(store_path, t->x->name, &t->claim, &holder, err);
	if (e != 0)
		return e < 0 ? e : 0;
	return err_set(err, -EBUSY, "experiment %s is already being run: %s", t->x->name,
		       holder ? holder : "its holder is unknown");
}

static int add_turn(Runner *r, const Experiment *x, const char *store_path, Err *err)
{
	Turn *t = NULL;
	int e = turn_new(r, x, &t, err);
	if (e < 0)
		return e;
	r->turns[r->n_turns++] = t;
	return claim(t, store_path, err);
}

static int add_turns(Runner *r, Err *err)
{
	const RunOptions *o = r->options;
	const char *store_path = o->store_path;
	r->turns = calloc(r->plan->n_experiments + 1, sizeof(Turn *));
	if (!r->turns)
		return err_oom(err);
	for (size_t i = 0; i < r->plan->n_experiments; i++) {
		const Experiment *x = &r->plan->experiments[i];
		bool wanted = o->experiment ? strcmp(o->experiment, x->name) == 0 : x->enabled;
		int e = wanted ? add_turn(r, x, store_path, err) : 0;
		if (e < 0)
			return e;
	}
	if (r->n_turns > 0)
		return 0;
	return o->experiment ? err_set(err, -ENOENT, "%s has no experiment called '%s'",
				       r->plan->path, o->experiment)
			     : err_set(err, -ENOENT, "%s has no enabled experiment", r->plan->path);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	(void)s;
	Runner *r = userdata;
	say(r, si->ssi_signo == SIGINT ? "interrupted; the same command goes on from here"
				       : "asked to stop; the same command goes on from here");
	stop_all(r);
	return 0;
}

static int watch_signals(Runner *r, Err *err)
{
	int e = sd_event_add_signal(r->loop, NULL, SIGINT, on_signal, r);
	if (e >= 0)
		e = sd_event_add_signal(r->loop, NULL, SIGTERM, on_signal, r);
	return e < 0 ? err_set(err, e, "cannot watch for signals: %s", strerror(-e)) : 0;
}

static int set_up(Runner *r, Err *err)
{
	int e = sd_event_new(&r->loop);
	if (e < 0)
		return err_set(err, e, "cannot make an event loop: %s", strerror(-e));
	e = lease_default_dir(&r->lease_dir, err);
	if (e >= 0)
		e = add_turns(r, err);
	return e < 0 ? e : watch_signals(r, err);
}

static void tear_down(Runner *r)
{
	for (size_t i = 0; i < r->n_turns; i++)
		(void)turn_free(r->turns[i]);
	free(r->turns);
	r->sleep = sd_event_source_disable_unref(r->sleep);
	r->loop = sd_event_unref(r->loop);
	free(r->lease_dir);
}

static RunResult result_of(const Runner *r)
{
	if (r->stopping)
		return RUN_INTERRUPTED;
	return r->promoted ? RUN_OK : RUN_NOTHING_BETTER;
}

int run_plan(const Plan *plan, Store *store, const SignKey *key, Log *log,
	     const RunOptions *options, RunResult *ret, Err *err)
{
	const RunConfig *c = &plan->run;
	Runner r = {
	    .plan = plan,
	    .store = store,
	    .key = key,
	    .log = log,
	    .options = options,
	    .clock = options->clock,
	    .seed = options->has_seed ? options->seed : c->seed,
	    .max_parallel = (size_t)(options->max_parallel > 0 ? options->max_parallel
				     : c->max_parallel > 0     ? c->max_parallel
							       : 1),
	    .epochs_per_cycle = options->epochs_per_cycle > 0 ? options->epochs_per_cycle
				: c->epochs_per_cycle > 0     ? c->epochs_per_cycle
							      : 1,
	};
	sigset_t mask, before;
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, &before);

	int e = set_up(&r, err);
	if (e >= 0) {
		runner_schedule(&r);
		e = sd_event_loop(r.loop);
		if (e < 0)
			(void)err_set(err, e, "the event loop failed: %s", strerror(-e));
	}
	if (e >= 0 && r.fault < 0) {
		*err = r.err;
		e = r.fault;
	}
	if (e >= 0)
		*ret = result_of(&r);
	tear_down(&r);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return e < 0 ? e : 0;
}
