#pragma once
/* What the files of the engine share. A rollout is a state machine (machine.h) whose wishes are
 * carried out here, each by a few steps that wait for the helper, a server or the clock; every step
 * ends in one event for the machine. */
#include "base/str.h"
#include "eval/eval.h"
#include "gpu/lease.h"
#include "gpu/leasename.h"
#include "production/generation.h"
#include "record/decision.h"
#include "rollout/figures.h"
#include "rollout/rollout.h"
#include "service/quiesce.h"
#include "service/quiesce_internal.h"

enum {
	ROLLOUT_UNITS_MAX = 32,
	HELPER_TIMEOUT_US = 30000000,
};

/* A parameter that changes. */
typedef struct RolloutParam {
	char *name;
	char *from, *to;	       /* as production has them: texts */
	json_t *from_value, *to_value; /* as the space has them */
	double gain;		       /* fitness; NAN: not measured alone */
	uint32_t units;		       /* bit i: it reaches the i-th unit */
} RolloutParam;

/* An adopted unit. */
typedef struct RolloutUnit {
	char *name;
	const ServiceSpec *service; /* NULL: the plan knows no service that runs there */
	WatchedService watched;
	bool touched;	       /* a parameter that changes reaches it */
	int64_t down_us;       /* what this rollout has cost it so far */
	int64_t last_ready_us; /* its last start; 0: not seen yet */
	int64_t active_us;     /* since when it ran as a trial began, monotonic; 0: not */
	uint32_t restarts;
} RolloutUnit;

/* Units that are brought up, one after another or all at once: restarted, asked until they answer,
 * read back. */
typedef void BroughtUp(Rollout *r, MachineEvent e, const char *words);
typedef struct Drain Drain;
typedef void Drained(Rollout *r);
typedef enum BringUpHow {
	BRING_ONE_BY_ONE, /* each is restarted, and answers, before the next */
	BRING_TOGETHER,	  /* a cold start */
	BRING_ASK,	  /* they were started by somebody else: only asked until they answer */
} BringUpHow;

typedef struct BringUp {
	uint32_t set;	  /* bit i: the i-th unit */
	uint32_t counted; /* whose downtime is on the account */
	size_t at;
	BringUpHow how;
	char invocation[40];	/* that the restart began; "": not known */
	int64_t began_us;	/* monotonic, of the restart */
	sd_event_source *limit; /* of a job that the helper waits for */
	bool waits, late;	/* for such a job; longer than a start may take */
	FirstAnswer *first;
	Drain *drain;
	char broken[240]; /* another unit broke meanwhile; "" */
	BroughtUp *done;
} BringUp;

/* A change in the making: which step is being asked for, and what is done when the flip is. */
typedef void Applied(Rollout *r, const json_t *reply);
typedef struct Applying {
	Applied *then;
	const char *what; /* static: that it fails, for people */
	uint32_t set;
	BroughtUp *done;
} Applying;

/* What the helper is asked. `reply` NULL: refused or not answered, and `err` says why. */
typedef void Answered(Rollout *r, const json_t *reply, const Err *err);
typedef struct Asked {
	Answered *then; /* NULL: nothing is asked */
	sd_event_source *unasked;
	Err err; /* why it could not be */
} Asked;

/* Which units do not run what the current generation says: they are asked one after another. */
typedef struct Survey {
	size_t at;
	uint32_t set;
	BroughtUp *done;
} Survey;

/* What the store could not take yet. */
typedef struct Unwritten {
	json_t *steps; /* bodies, oldest first; NULL: none */
	Baseline version;
	bool has_version, behind; /* behind: the last try failed */
	int64_t wait_us;	  /* until the next one */
	sd_event_source *again;
} Unwritten;

/* What the machine wants, while a trial that was called off has not ended. */
typedef struct PutOff {
	MachineDo d; /* DO_NOTHING: nothing waits */
	bool hurry;
	char words[480];
} PutOff;

typedef struct AbRun AbRun;

struct Rollout {
	RolloutWorld w;
	RolloutHandler h;
	void *ctx;

	char id[64];			   /* of this rollout */
	char key_hex[PUBLIC_KEY_HEX_SIZE]; /* whose signatures count */
	char promotion_id[64];
	json_t *promotion; /* NULL: going back, or undoing what we know nothing of */
	const Experiment *x;
	Baseline baseline; /* what production ran when it began */
	Baseline goal; /* going back: the version whose values are wanted; version 0: a rollout */
	Approval approval;
	Approver by;

	MachineSpec spec;
	Machine m;
	RolloutParam params[ROLLOUT_PARAMS_MAX];
	RolloutUnit units[ROLLOUT_UNITS_MAX];
	size_t n_units;
	Adoption *adoptions;
	size_t n_adoptions;

	char running[GENERATION_ID_SIZE]; /* what `current` says */
	char wanted[GENERATION_ID_SIZE];  /* of the action that is going on */
	ParamMask flipped;		  /* what the last flip was to */
	bool hurry;			  /* something is broken: nobody is waited for */
	uint32_t down;			  /* units whose bringing up did not end well */
	bool change_open;		  /* at the helper */
	bool committed;			  /* going back is a change of its own then */
	bool elsewhere;			  /* gone to what is known to start, whatever it is */
	bool back_there;		  /* `goal` runs, and is the newest version */
	bool stays;			  /* what was committed cannot be taken back */
	uint32_t back_tries;		  /* of going to `goal`, each a change of its own */
	bool commit_known; /* after a commit that was not answered: `committed` was looked up */
	Asked asked;
	Unwritten unwritten;
	Applying applying;
	Survey survey;
	BringUp up;
	FirstAnswer *spent; /* the last that has ended; freed when nobody can be inside of it */
	AbRun *ab;	    /* NULL: no A/B */
	Watch *watch;
	WatchedService watched[ROLLOUT_UNITS_MAX]; /* what it was given */
	bool watching, observing; /* samples count, for the judge or for the comparison */
	bool waits_for_window;	  /* they would be enough */
	Figures figures;
	int64_t watch_at_us; /* realtime, when it began */
	sd_event_source *timer, *people, *later, *end;
	sd_event_source *allowed; /* looks whether the approval still holds */
	MachineEvent pending;	  /* of `later` */
	char pending_words[480];
	int64_t broken_at_us; /* monotonic: when the event that is being undone was seen; 0 */

	/* A trial that is going on. */
	Evaluator *evaluator;
	EvalRun *run;
	Lease *lease;
	char *gpu;
	json_t *trial_params;
	ServiceSpec *trial_services;
	MachineEvent trial_event; /* what came of it, told when production answers again */
	char trial_words[480];
	bool trial_all;
	uint32_t trial_tries;
	bool trial_cut;	    /* one was stopped in the middle */
	bool trial_leaving; /* it was called off, and has not ended */
	PutOff put_off;

	bool impatient; /* with the store; whoever only looks leaves it as it is */
	bool over;
	Err err; /* a fault of ours, told at the end */
};

/* --- begin.c ---------------------------------------------------------------------------------- */

Rollout *rollout_new(const RolloutWorld *w, const RolloutHandler *h, void *ctx);
int rollout_load_promotion(Rollout *r, const char *id, Err *err) _must_check_;
/* What the helper says of production, waiting. */
int rollout_ask_status(Rollout *r, json_t **ret, Err *err) _must_check_;
void rollout_find_gpu(Rollout *r);
/* What was committed and could not be written down is written now, if it can be. */
void rollout_catch_up(Rollout *r, const json_t *status);

/* --- rollout.c: the machine's turn ------------------------------------------------------------ */

/* So that the end can be told even when there is no memory left. */
int rollout_prepare_end(Rollout *r) _must_check_;
/* From the loop: the machine gets the event, and what it wants is begun. */
void rollout_event(Rollout *r, MachineEvent e, const char *words);
/* What waited for the end of a trial is begun. */
void rollout_go_on(Rollout *r);
/* Whatever the phase: production goes back to what was committed, and that is the end. */
void rollout_take_back(Rollout *r, const char *words);
/* The same, when the loop turns next: for what fails where it is begun. */
void rollout_later(Rollout *r, MachineEvent e, const char *fmt, ...) _printf_(3, 4);
const char *rollout_mask_text(const Rollout *r, ParamMask m, Str *out); /* "a=1, b=2" */

/* --- asking.c: the helper -----------------------------------------------------------------------
 */

/* then() is called once, from the loop, unless something else is asked before. Consumes the
 * request; NULL is one that there was no memory for. */
void asking(Rollout *r, json_t *request, int64_t timeout_us, Answered *then);
/* Nobody waits for an answer any more. */
void asking_stop(Rollout *r);
/* A restart or cold start that is at work, of ours or of one who is gone, is answered at once. */
void asking_cancel(Rollout *r);

/* --- tell.c: records, people, alerts ---------------------------------------------------------- */

void rollout_say(Rollout *r, const json_t *details, const char *fmt, ...) _printf_(3, 4);
/* A record of the step that was taken, now or when the store can be written again. */
void rollout_record(Rollout *r, MachineEvent e, MachineDo d, const char *words);
json_t *rollout_step_json(const Rollout *r, MachineEvent e, MachineDo d,
			  const char *words); /* NULL: out of memory */
void rollout_alert(Rollout *r, AlertKind k, const char *words);

/* --- unwritten.c: a store that is locked, full or gone ------------------------------------------
 */

/* The step is consumed. */
void unwritten_step(Rollout *r, json_t *body);
/* Takes the version over: it is written now or later. */
void unwritten_version(Rollout *r, Baseline *b);
/* Tries once more. */
void unwritten_flush(Rollout *r);
/* Nobody tries again after this. */
void unwritten_end(Rollout *r);
void unwritten_done(Rollout *r);
/* Why this rollout makes a version, and for whom. */
void unwritten_describe(const Rollout *r, Baseline *b);
/* On the disk beside the store, before the helper is asked to commit `wanted`. */
int unwritten_note(const Rollout *r, Err *err) _must_check_;
/* 1: *ret is the note of what was committed and is in no version. `status`: the helper's. */
int unwritten_find(const RolloutWorld *w, const json_t *status, json_t **ret,
		   Err *err) _must_check_;
/* Was this commit asked for after the newest step that the store knows (NULL: none)? */
bool unwritten_is_newer(const json_t *step, const json_t *last);

/* --- plan.c: what changes where --------------------------------------------------------------- */

/* Parameters in order of benefit, units and services, from the promotion, the baseline and the
 * adoptions. */
int rollout_plan(Rollout *r, Err *err) _must_check_;
int rollout_plan_units(Rollout *r, Err *err) _must_check_;
/* {parameter: text} of production with these parameters at their new values. NULL: out of memory.
 */
json_t *rollout_values(const Rollout *r, ParamMask target);
/* Units that a difference between two sets of values reaches. */
uint32_t rollout_units_of(const Rollout *r, ParamMask difference);
/* Does an adopted unit have the parameter? */
bool rollout_is_taken(const Rollout *r, const char *parameter);
void rollout_plan_done(Rollout *r);

/* --- preview.c -------------------------------------------------------------------------------- */

int rollout_preview_text(const Rollout *r, const json_t *status, Str *out) _must_check_;

/* --- allowed.c ---------------------------------------------------------------------------------
 */

/* Does the approval hold, and is the baseline the one that it is for? *ret: what it means for the
 * machine when not; EVENT_ERROR: it cannot be told now. */
int allowed_still(const Rollout *r, MachineEvent *ret, Err *err) _must_check_;
/* May production be restarted now, to go on? -EAGAIN with the sentence when. */
int allowed_in_window(const Rollout *r, Err *err) _must_check_;
/* From now on the machine is told when the approval does not hold any more. */
int allowed_begin(Rollout *r, Err *err) _must_check_;
void allowed_end(Rollout *r);

/* --- apply.c: production is changed ----------------------------------------------------------- */

void apply_begin(Rollout *r); /* DO_APPLY: m.target */
/* Production at what is kept, before a trial in the middle of a rollout. */
void apply_kept(Rollout *r, BroughtUp *done);
/* One parameter at a value, the others as the baseline says. */
void apply_value(Rollout *r, const char *parameter, const char *value, BroughtUp *done);
/* Would another restart of these units cost more than the budget of this rollout? */
bool apply_is_too_dear(const Rollout *r, uint32_t set, Str *why);
void apply_cold(Rollout *r);	     /* DO_COLD */
void apply_commit(Rollout *r);	     /* DO_COMMIT */
void apply_undo(Rollout *r);	     /* DO_UNDO */
void apply_back(Rollout *r);	     /* going back to `goal` */
void apply_no_more_back(Rollout *r); /* and not again */
/* The helper has committed: the new version of the baseline is written down. */
void apply_written(Rollout *r);

/* --- bringup.c -------------------------------------------------------------------------------- */

void bring_up(Rollout *r, uint32_t set, BringUpHow how, BroughtUp *done);
/* Something else broke while it goes on: it ends as soon as it can. */
void bring_up_break(Rollout *r, const char *words);
bool bring_up_goes_on(const Rollout *r);
/* It is not to be brought up any more: a job that is waited for is given up. */
void bring_up_stop(Rollout *r);
/* The same, and production is left to itself. */
void bring_up_forget(Rollout *r);

/* --- drain.c ---------------------------------------------------------------------------------- */

/* done() may be called before it returns. */
void drain_unit(Rollout *r, const RolloutUnit *u, Drained *done);
Drain *drain_free(Drain *d); /* accepts NULL, returns NULL */

/* --- guard.c: production is looked at --------------------------------------------------------- */

int guard_start(Rollout *r, Err *err) _must_check_;
void guard_observe(Rollout *r);		      /* DO_OBSERVE */
void guard_watch(Rollout *r, int64_t for_us); /* DO_WATCH, DO_PROBATION */
void guard_rest(Rollout *r);		      /* no samples count, no timer runs */
void guard_done(Rollout *r);

/* --- stage.c: trials before production -------------------------------------------------------- */

void stage_trial(Rollout *r, bool all_services); /* DO_ISOLATED, DO_COLOCATED: m.target */
void stage_stop(Rollout *r);
/* Something else is to be done: a trial that goes on is for nothing, and what it has to say must
 * not be taken for an answer to that. It is called off, which takes seconds where it has production
 * to bring back; true: it has not ended yet, and rollout_go_on() is called when it has. */
bool stage_abandon(Rollout *r);

/* --- charge.c: the account of downtime ---------------------------------------------------------
 */

/* Realtime. */
void charge(Rollout *r, int64_t from_us, int64_t to_us);
void charge_trial_begins(Rollout *r);
/* Production answers again. */
void charge_trial_ends(Rollout *r);
/* A trial that was stopped in the middle, when all is over. */
void charge_end(Rollout *r);

/* --- ab.c ------------------------------------------------------------------------------------- */

typedef struct AbSpec AbSpec;
int ab_new(const AbSpec *spec, AbRun **ret, Err *err) _must_check_;
/* Would the memory model let it start? -EPERM with its sentence. */
int ab_fits(const Rollout *r, const char *parameter, const char *value, Err *err) _must_check_;
void ab_start(Rollout *r);
bool ab_goes_on(const Rollout *r); /* a block runs */
int ab_sample(Rollout *r, const WatchSample *s) _must_check_;
void ab_break(Rollout *r, const char *words);
AbRun *ab_free(AbRun *a); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(AbRun *, ab_free)
