/* An evolution: what the strategy asks is measured, kept and told, until it stops. */
#include "run/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

enum {
	FAILURES_MAX = 4, /* unbelievable results in a row that end an epoch */
};

/* --- The search ------------------------------------------------------------------------------ */

static json_t *mutations_of(const Turn *t, const Point *parent)
{
	json_t *list = json_object();
	bool failed = !list;
	for (size_t d = 0; d < space_dims(t->x->space) && list; d++) {
		uint32_t from = parent->level[d], to = t->ask.point.level[d];
		if (from == to)
			continue;
		json_t *pair = json_array();
		json_t *a =
		    from == SPACE_INACTIVE ? json_null() : space_value(t->x->space, d, from);
		json_t *b = to == SPACE_INACTIVE ? json_null() : space_value(t->x->space, d, to);
		failed |= !pair || json_array_append_new(pair, a) < 0 ||
			  json_array_append_new(pair, b) < 0;
		js_set(list, space_name(t->x->space, d), pair, &failed);
	}
	if (failed) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* The told trial that an ask's parent number means: an earlier ask of this evolution, or a known
 * one. */
static const Told *parent_of(const Turn *t, int64_t number)
{
	int64_t known = 0;
	for (size_t i = 0; i < t->history.n_told; i++) {
		const Told *told = &t->history.told[i];
		if (number >= 0 && told->evolution == t->history.evolution && told->ask == number)
			return told;
		if (number <= -2 && told->evolution != t->history.evolution && told->known &&
		    known++ == -2 - number)
			return told;
	}
	return NULL;
}

/* Fills the job from the ask and starts it. */
static int measure_ask(Turn *t, Err *err)
{
	json_decref(t->job.params);
	t->job = (Job){
	    .point = t->ask.point,
	    .params = point_json(t->x->space, &t->ask.point),
	    .workload = t->x->workloads.items,
	    .all_services = t->all_services,
	    .seed = turn_seed(t, "trial", t->ask.number),
	    .drift_at_us = turn_drift_us(t->history.n_trials),
	    .generation = t->ask.generation,
	};
	if (!t->job.params)
		return err_oom(err);
	turn_spica_id(t, t->ask.number, t->job.spica_id);
	return turn_measure(t, err);
}

static void note_generation(Turn *t)
{
	if (search_generation(t->search) == t->generation)
		return;
	t->generation = search_generation(t->search);
	turn_say(t, RUN_GENERATION_DONE, NULL, NULL, "generation %u begins", t->generation);
}

int evolve_step(Turn *t, Err *err)
{
	if (t->epoch_over || turn_over_budget(t))
		return turn_end_epoch(t, "carried_over", err);
	int r = search_ask(t->search, &t->ask, err);
	if (r < 0 || t->predictor.failed < 0)
		return r < 0 ? r : err_oom(err);
	note_generation(t);
	if (r > 0)
		return measure_ask(t, err);
	turn_say(t, RUN_SEARCH_DONE, NULL, NULL, "search done: %s",
		 search_stop_text(search_stopped(t->search)));
	t->phase = TURN_CONFIRM;
	return confirm_begin(t, err);
}

static void note_best(Turn *t, const Told *told)
{
	bool better = told->outcome == OUTCOME_OK && !(told->fitness <= t->best);
	if (better)
		t->best = told->fitness;
	if (t->x->baseline && point_equal(t->x->space, &told->point, &t->x->baseline_point) &&
	    told->outcome == OUTCOME_OK) {
		t->baseline_fitness = told->fitness;
		t->baseline_seq = told->seq;
	}
}

static int tell(Turn *t, const SearchAsk *ask, const Told *told, const Measurement *m, Err *err)
{
	note_best(t, told);
	SearchTell tell = {.number = ask->number,
			   .outcome = told->outcome,
			   .fitness = told->fitness,
			   .se = told->se,
			   .measurement = m};
	return search_tell(t->search, &tell, err);
}

static int fill_lineage(Turn *t, StoreTrial *trial)
{
	for (size_t i = 0; i < 2; i++) {
		const Told *parent = parent_of(t, t->ask.parents[i]);
		trial->parents[i] = parent ? parent->seq : 0;
		if (i == 0 && parent) {
			trial->mutations = mutations_of(t, &parent->point);
			if (!trial->mutations)
				return -ENOMEM;
		}
	}
	return 0;
}

static int learn(Turn *t, const StoreTrial *trial, const Measurement *m, Err *err)
{
	Told told = {.seq = trial->seq,
		     .evolution = trial->evolution,
		     .ask = trial->ask,
		     .point = t->job.point,
		     .outcome = m->outcome,
		     .fitness = trial->fitness,
		     .se = trial->fitness_se};
	t->history.n_trials++;
	int r = history_told(&t->history, &told, err);
	return r < 0 ? r : tell(t, &t->ask, &told, m, err);
}

/* Stores the trial of the ask in flight, then tells the strategy: in this order. */
static int keep_search_trial(Turn *t, const Measurement *m, bool is_void, Err *err)
{
	StoreTrial trial =
	    turn_trial(t, m, is_void ? "void" : "search", search_origin_name(t->ask.origin));
	trial.ask = (int64_t)t->ask.number;
	int r = fill_lineage(t, &trial);
	r = r < 0 ? err_oom(err) : turn_keep(t, &trial, err);
	json_decref(trial.mutations);
	trial.mutations = NULL;
	if (r >= 0 && !is_void)
		r = learn(t, &trial, m, err);
	if (r >= 0 && !is_void)
		r = learn_trial(t, &trial, err);
	if (r >= 0)
		turn_say(t, RUN_TRIAL_DONE, &trial, NULL, "%s", m->reason ? m->reason : "");
	return r;
}

int evolve_measured(Turn *t, const Measurement *m, bool is_void, Err *err)
{
	int r = keep_search_trial(t, m, is_void, err);
	if (r < 0 || is_void)
		return r;
	t->failures = m->outcome == OUTCOME_MEASURE_FAILED ? t->failures + 1 : 0;
	if (t->failures >= FAILURES_MAX) {
		t->epoch_over = true;
		turn_say(t, RUN_MESSAGE, NULL, NULL,
			 "the evaluator gave no believable result %d times in a row; the epoch "
			 "ends here: %s",
			 FAILURES_MAX, m->reason ? m->reason : "no reason given");
	}
	return 0;
}

/* --- Evolutions ------------------------------------------------------------------------------ */

static int record_evolution(Turn *t, Err *err)
{
	bool failed = false;
	json_auto_t *body = json_object();
	js_set(body, "experiment", js_text(t->x->name), &failed);
	js_set(body, "evolution", json_integer(t->history.evolution), &failed);
	js_set(body, "epoch", json_integer(t->history.epoch), &failed);
	js_set(body, "strategy", js_text(t->strategy), &failed);
	js_set(body, "strategy_version", json_integer(t->strategy_version), &failed);
	js_set(body, "seed", json_integer((json_int_t)t->r->seed), &failed);
	js_set(body, "fingerprint", js_text(t->id.fingerprint), &failed);
	js_set(body, "context", js_text(t->id.context), &failed);
	js_set(body, "source", source_without_secrets(t->x->source), &failed);
	if (failed || !body)
		return err_oom(err);
	return store_add(t->r->store, "evolution", "dream.evolution/v1", body, NULL, err);
}

static bool is_survivor(const Turn *t, const Point *p)
{
	for (size_t i = 0; i < t->history.n_survivors; i++)
		if (point_equal(t->x->space, p, &t->history.survivors[i]))
			return true;
	return false;
}

/* What earlier evolutions measured in the same way, in the order that parent_of() counts. */
static int known_of(const Turn *t, SearchKnown **ret, size_t *ret_n)
{
	SearchKnown *known = calloc(t->history.n_told + 1, sizeof(*known));
	if (!known)
		return -ENOMEM;
	size_t n = 0;
	for (size_t i = 0; i < t->history.n_told; i++) {
		const Told *told = &t->history.told[i];
		if (told->evolution != t->history.evolution && told->known)
			known[n++] = (SearchKnown){.point = told->point,
						   .outcome = told->outcome,
						   .fitness = told->fitness,
						   .se = told->se,
						   .survivor = is_survivor(t, &told->point)};
	}
	*ret = known;
	*ret_n = n;
	return 0;
}

SearchSpec evolve_spec(const Experiment *x, const char *strategy, uint64_t seed,
		       Predictor *predictor)
{
	*predictor = (Predictor){.experiment = x};
	return (SearchSpec){
	    .strategy = strategy,
	    .space = x->space,
	    .seed = seed,
	    .baseline = x->baseline ? &x->baseline_point : NULL,
	    .feasible = predict_feasible,
	    .feasible_userdata = predictor,
	    .max_candidates = (uint32_t)x->budget.max_candidates,
	    .max_generations = (uint32_t)x->budget.max_generations,
	    .tournament_size = (uint32_t)x->selector.tournament_size,
	    .survivors = (uint32_t)x->selector.survivors,
	    .elitism = (uint32_t)x->selector.elitism,
	    .fresh_inject = (uint32_t)x->selector.fresh_inject,
	    .patience_gens = (uint32_t)x->patience_gens,
	    .noise = x->selector.noise,
	};
}

static int new_search(Turn *t, Err *err)
{
	_cleanup_free_ SearchKnown *known = NULL;
	size_t n_known = 0;
	if (known_of(t, &known, &n_known) < 0)
		return err_oom(err);
	SearchSpec spec = evolve_spec(t->x, t->strategy, turn_seed(t, "search", 0), &t->predictor);
	t->predictor.learned = t->learned;
	spec.known = known;
	spec.n_known = n_known;
	return search_new(&spec, &t->search, err);
}

static size_t next_of_evolution(const Turn *t, size_t i)
{
	while (i < t->history.n_told && t->history.told[i].evolution != t->history.evolution)
		i++;
	return i;
}

/* Asks again for what the store already has, in the same order, and tells the stored results. */
static int replay(Turn *t, Err *err)
{
	for (size_t i = next_of_evolution(t, 0); i < t->history.n_told;
	     i = next_of_evolution(t, i + 1)) {
		const Told *told = &t->history.told[i];
		SearchAsk ask;
		int r = search_ask(t->search, &ask, err);
		if (r < 0 || t->predictor.failed < 0)
			return r < 0 ? r : err_oom(err);
		if (r == 0 || (int64_t)ask.number != told->ask ||
		    !point_equal(t->x->space, &ask.point, &told->point))
			return err_set(err, -ESTALE,
				       "trial %" PRId64
				       " of %s is not what the same search would ask again "
				       "(was the store or the program changed?)",
				       told->seq, t->x->name);
		r = tell(t, &ask, told, NULL, err);
		if (r >= 0)
			r = learn_until(t, told->seq, err);
		if (r < 0)
			return r;
	}
	t->generation = search_generation(t->search);
	return 0;
}

/* A search that cannot be gone on with is left as it is; what it measured stays known. */
int evolve_prepare(Turn *t, Err *err)
{
	t->best = t->baseline_fitness = (double)NAN;
	t->search = search_free(t->search);
	int r = learn_begin(t, err);
	if (r >= 0)
		r = learn_known(t, err);
	if (r >= 0)
		r = new_search(t, err);
	if (r < 0 || !t->history.resumed)
		return r;
	r = replay(t, err);
	if (r != -ESTALE)
		return r;
	turn_say(t, RUN_MESSAGE, NULL, NULL, "%s; a new evolution begins", err->msg);
	for (size_t i = 0; i < t->history.n_told; i++) {
		Told *told = &t->history.told[i];
		if (told->evolution == t->history.evolution)
			told->known = told_teaches(told->outcome, true);
	}
	t->history.evolution++;
	t->history.resumed = false;
	return evolve_prepare(t, err);
}

int evolve_begin(Turn *t, Err *err)
{
	int r = evolve_prepare(t, err);
	return r < 0 || t->history.resumed ? r : record_evolution(t, err);
}
