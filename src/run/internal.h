#pragma once
/* What the files of this folder share. A Runner has one Turn an experiment; a Turn goes through
 * epochs; an epoch goes on with the experiment's current evolution: search, then confirmation, then
 * a verdict. All state that matters is in the store: a Turn can be rebuilt from it at any trial. */
#include <inttypes.h>
#include <systemd/sd-event.h>

#include "compare/compare.h"
#include "config/quality.h"
#include "config/scan.h"
#include "footprint/learn.h"
#include "run/run.h"
#include "search/search.h"

typedef struct Runner Runner;
typedef struct Turn Turn;

/* --- history.c: what the store knows of an experiment ---------------------------------------- */

typedef struct Told {
	int64_t seq, evolution, ask;
	Point point;
	Outcome outcome;
	double fitness, se;
	bool known; /* of an earlier evolution that measured the same thing the same way */
} Told;

typedef struct SameEvolution {
	int64_t number;
	bool alike; /* of the same fingerprint: under the same deadlines too */
} SameEvolution;

typedef struct History {
	Told *told; /* search trials whose parameters are points of today's space, oldest first */
	size_t n_told, capacity;
	int64_t n_trials;    /* all search trials, also of other spaces */
	int64_t epoch;	     /* the one to run: unfinished, or the next */
	int64_t evolution;   /* the one to go on with, or to begin */
	bool resumed;	     /* that evolution has begun already */
	int64_t begun_seq;   /* then: the record with which it began */
	bool decided;	     /* and has its verdict: only the end of its epoch is missing */
	bool proposed;	     /* by that verdict */
	SameEvolution *same; /* evolutions that measured the same way */
	size_t n_same;
	Point *survivors; /* of the last finished evolution, best first */
	size_t n_survivors;
} History;

typedef struct Identity {
	char fingerprint[CONFIG_HASH_SIZE]; /* same: the evolution can go on */
	char context[CONFIG_HASH_SIZE];	    /* same: old measurements mean the same */
} Identity;

/* Both from the experiment as written and what the command line changed. -ENOMEM. */
int identity_of(const Experiment *x, const char *evaluator, const char *strategy,
		unsigned strategy_version, uint64_t seed, bool all_services,
		Identity *ret) _must_check_;
/* Whether an earlier evolution's result says something about the candidate today. An evaluator that
 * gave no believable result may have been mended since, and a deadline may have been moved. */
bool told_teaches(Outcome outcome, bool alike);
/* NULL when the evolution measured otherwise. `hint` makes a walk in order cheap; 0 at first. */
const SameEvolution *history_same(const History *h, int64_t evolution, size_t *hint);
int history_load(Store *store, const Experiment *x, const Identity *id, History *ret,
		 Err *err) _must_check_;
/* The newest record of a kind that speaks of this experiment: a new reference, or NULL. */
int history_newest(Store *store, const char *kind, const char *experiment, json_t **ret,
		   Err *err) _must_check_;
/* Room for one more, as the newest. */
int history_told(History *h, const Told *told, Err *err) _must_check_;
void history_done(History *h);

/* --- predict.c: the memory model as the search's filter -------------------------------------- */

typedef struct Predictor {
	const Experiment *experiment;
	const Learned *learned; /* NULL: only what is declared is known */
	int failed; /* a fault (out of memory) inside the predicate, reported after the ask */
} Predictor;

bool predict_feasible(void *predictor, const Point *p); /* a SearchFeasible */

enum {
	PREDICT_MAX =
	    20000, /* points of a space that are looked at beforehand, to say what is refused */
};

/* --- learn.c: the memory model learns from starts -------------------------------------------- */

typedef struct Lessons Lessons;

/* Afresh, with everything that the store has to teach. */
int learn_begin(Turn *t, Err *err) _must_check_;
/* What was known when the evolution began. */
int learn_known(Turn *t, Err *err) _must_check_;
/* And what was taught up to this trial. */
int learn_until(Turn *t, int64_t seq, Err *err) _must_check_;
/* From a search's trial that was just kept. */
int learn_trial(Turn *t, const StoreTrial *trial, Err *err) _must_check_;
Lessons *lessons_free(Lessons *l); /* accepts NULL, returns NULL */

/* --- runner ---------------------------------------------------------------------------------- */

struct Runner {
	const Plan *plan;
	Store *store;
	const SignKey *key;
	Log *log;
	const RunOptions *options;
	const Clock *clock;
	sd_event *loop;
	uint64_t seed;
	char *lease_dir;
	Turn **turns;
	size_t n_turns;
	size_t active, max_parallel;
	int64_t epochs_per_cycle, cycles, cycle;
	sd_event_source *sleep;
	bool stopping; /* a signal came */
	bool promoted;
	uint64_t measured; /* trials of this cycle */
	int fault;	   /* negative errno: the run ends with it */
	Err err;
	int64_t started_us; /* monotonic */
};

/* Starts what may start; ends the loop when nothing is left. Called when a turn's epoch ended. */
void runner_schedule(Runner *r);
/* A fault of the machine: stops everything. Takes over the words of err. */
void runner_fault(Runner *r, int code, const Err *err);
void runner_say(Runner *r, const RunEvent *e);
/* Turns that wait for a GPU try again. */
void runner_wake(Runner *r, const Turn *except);

/* --- turn.c: one experiment in the run ------------------------------------------------------- */

typedef enum TurnPhase {
	TURN_IDLE,
	TURN_SEARCH,
	TURN_CONFIRM,
} TurnPhase;

/* One measurement on its way. */
typedef struct Job {
	Point point;
	json_t *params;
	const Workload *workload;
	bool all_services;
	uint64_t seed;
	int64_t drift_at_us;
	int64_t generation;
	unsigned attempt; /* void results so far */
	char spica_id[24];
} Job;

typedef struct Finalist {
	Point point;
	int64_t seq; /* of its search trial */
	double fitness;
} Finalist;

struct Turn {
	Runner *r;
	const Experiment *x;
	Evaluator *evaluator;
	StoreClaim *claim;
	char *gpu; /* UUID of the lease; NULL: needs none */
	const char *strategy;
	unsigned strategy_version;
	bool all_services;
	Identity id;
	History history;
	TurnPhase phase;
	int64_t epochs_left;   /* in this cycle */
	int64_t not_before_us; /* monotonic: back-off */

	/* of the epoch */
	int64_t epoch_started_us; /* monotonic */
	uint64_t epoch_trials;
	unsigned failures; /* unbelievable results in a row */
	bool told_prediction;
	bool epoch_over; /* the budget is used up or the evaluator is broken */

	/* of the evolution */
	Predictor predictor;
	Learned *learned; /* the memory model, with what starts taught */
	Lessons *lessons;
	Search *search;
	SearchAsk ask;
	uint32_t generation;
	double best, baseline_fitness; /* NAN: none */
	int64_t baseline_seq;	       /* of the trial that gave it */
	uint64_t asked;

	/* confirmation */
	Finalist *finalists;
	size_t n_finalists, finalist;
	Compare *compare;
	const char **workload_names;
	size_t step;
	int64_t *confirm_seqs; /* one a step; 0: not measured */

	/* measuring */
	Job job;
	Lease *lease;
	EvalRun *eval;
	sd_event_source *next, *wait;
	bool waiting;	   /* for the GPU, which somebody else has */
	char progress[96]; /* what was last said of the trial's way */
};

int turn_new(Runner *r, const Experiment *x, Turn **ret, Err *err) _must_check_;
Turn *turn_free(Turn *t);
int turn_begin_epoch(Turn *t, Err *err) _must_check_;
void turn_stop(Turn *t); /* abandons the trial in flight */
void turn_retry_lease(Turn *t);
bool turn_over_budget(const Turn *t);
/* Ends the epoch: record, exports, signed head. `state` is "finished" or "carried_over". */
int turn_end_epoch(Turn *t, const char *state, Err *err) _must_check_;

/* Starts measuring t->job; the result comes to evolve_measured() or confirm_measured(). */
int turn_measure(Turn *t, Err *err) _must_check_;
/* A measurement of t->job as a trial, with everything that is not the phase's own. Borrows. */
StoreTrial turn_trial(const Turn *t, const Measurement *m, const char *purpose, const char *origin);
/* Stores it, fills in its seq. */
int turn_keep(Turn *t, StoreTrial *trial, Err *err) _must_check_;
/* Where the n-th trial lies on the twin's drift: a nominal minute apart. */
int64_t turn_drift_us(int64_t n);
/* Calls turn's next step from the loop. */
int turn_later(Turn *t, Err *err) _must_check_;
uint64_t turn_seed(const Turn *t, const char *label, uint64_t n);
void turn_say(Turn *t, RunEventKind kind, const StoreTrial *trial, const WinnerReport *report,
	      const char *fmt, ...) _printf_(5, 6);

void turn_spica_id(const Turn *t, uint64_t n, char ret[24]);

/* --- evolve.c: the search -------------------------------------------------------------------- */

/* What an experiment asks of its search; nothing is known yet. `predictor` is made ready for it. */
SearchSpec evolve_spec(const Experiment *x, const char *strategy, uint64_t seed,
		       Predictor *predictor);
/* Makes the Search of the history's evolution: a new one, or one replayed from what is stored. */
int evolve_prepare(Turn *t, Err *err) _must_check_;
/* And writes down that a new one begins. */
int evolve_begin(Turn *t, Err *err) _must_check_;
int evolve_step(Turn *t, Err *err) _must_check_;
/* Keeps a result. One that is void is kept too, but counts for nothing: it is measured again. */
int evolve_measured(Turn *t, const Measurement *m, bool is_void, Err *err) _must_check_;

/* --- refused.c: what the memory model refuses ------------------------------------------------ */

/* Says it, and keeps the first of those as records when the evolution is new. */
int evolve_predict(Turn *t, Err *err) _must_check_;

/* --- finalists.c: who is confirmed ----------------------------------------------------------- */

/* Is it of this evolution, or known from one that measured the same way? */
bool told_counts(const Turn *t, const Told *told);
int finalists_trial(const Turn *t, int64_t seq, StoreTrial *ret, Err *err) _must_check_;
/* What the search made of the baseline; an earlier evolution's word counts when this one has none.
 */
void finalists_baseline(Turn *t);
/* Why the best that looked better are not confirmed. NULL: none was left out for that. */
typedef struct LeftOut {
	const char *worse;     /* the objective that got worse than its tolerance */
	const char *unguarded; /* the parameter that changes what the model says */
} LeftOut;

/* Fills t->finalists. */
int finalists_choose(Turn *t, LeftOut *ret, Err *err) _must_check_;

/* --- confirm.c: finalists against the baseline ----------------------------------------------- */

/* Of each finalist's intervals: the chance of a false winner is shared among those that may be
 * tried. */
double confirm_confidence(const ConfirmConfig *c);
int confirm_begin(Turn *t, Err *err) _must_check_;
/* Starts the next measurement or ends the confirmation. */
int confirm_step(Turn *t, Err *err) _must_check_;
int confirm_measured(Turn *t, const Measurement *m, bool is_void, Err *err) _must_check_;
void confirm_done(Turn *t);

/* --- secrets.c ------------------------------------------------------------------------------- */

/* The experiment as written (or NULL), without what may be a secret: what environments hold, and
 * what has the name or the looks of one. A new object; NULL: out of memory. */
json_t *source_without_secrets(const json_t *source);

/* --- words.c: word errors, clip by clip ------------------------------------------------------ */

/* Takes the win back when the finalist may hear worse by more than `confirm.wer_margin`. */
int words_judge(Turn *t, WinnerReport *report, Err *err) _must_check_;

/* --- verdict.c: winner, promotion, exports --------------------------------------------------- */

/* What came of an evolution: the record and the files. `report` is NULL when nothing was confirmed.
 */
int verdict_winner(Turn *t, const Finalist *f, const WinnerReport *report, Err *err) _must_check_;
/* Without a word: what there was to say has been said. */
int verdict_close(Turn *t, const char *verdict, const char *reason, Err *err) _must_check_;
int verdict_none(Turn *t, const WinnerReport *report, const char *reason, Err *err) _must_check_;
/* The baseline gave nothing to compare with. */
int verdict_unmeasured(Turn *t, const char *reason, Err *err) _must_check_;
/* The promotion that already proposes this winner against this baseline: its id (owned), or NULL.
 */
int verdict_standing(Turn *t, const Finalist *f, char **ret_id, Err *err) _must_check_;

/* --- export.c: files under artifacts/, written whole ----------------------------------------- */

/* *ret_trials: how many were measured in it, in however many runs. */
int export_epoch(Turn *t, const char *state, int64_t *ret_trials, Err *err) _must_check_;
int export_winner(Turn *t, const json_t *winner, Err *err) _must_check_;
int export_promotion(Turn *t, const json_t *promotion, Err *err) _must_check_;
/* Appends the head to the anchors of the configuration. */
int export_anchors(Runner *r, Err *err) _must_check_;
