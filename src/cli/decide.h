#pragma once
/* What the verbs about promotions, approvals and the baseline share: who decides, on what store,
 * with which key, about which production. */
#include "cli/internal.h"
#include "production/adoption.h"
#include "rollout/approval.h"
#include "rollout/baseline.h"
#include "rollout/fate.h"
#include "rollout/validate.h"
#include "rollout/views.h"

typedef struct Decider {
	Plan *plan;
	Store *store;			  /* NULL: reading, and there is none yet */
	SignKey *key;			  /* NULL: reading, and it is not ours to read */
	char public[PUBLIC_KEY_HEX_SIZE]; /* "" without a key */
	const char *pinned; /* whose records count: the pinned key, else ours; NULL: any */
	const char **keys;  /* whose promotions are taken, our own first */
	ProductionPlaces places;
	Adoption *units;
	size_t n_units;
	Err units_fault; /* why it is not known what is adopted */
} Decider;

/* 0, or the exit code to return; what was opened is closed by decider_done() either way. */
int decider_open(const char *config, StoreMode mode, Decider *ret);
/* To look only. Where the store may not be read the daemon is asked instead (cli_ask_instead()):
 * then *ret_view is what it shows, and nothing but the plan is opened. The request is consumed. */
int decider_open_or_ask(const char *config, json_t *request, Decider *ret, json_t **ret_view);
/* Makes the store after it was opened for looking, where there is none and units are adopted: for
 * the first version of the baseline. */
int decider_make_store(const char *config, Decider *d);
void decider_done(Decider *d);
/* Who types. */
void decider_who(const char *reason, Approver *ret);

/* What the privileged part says of production, waiting for it. `what` is "status" or "readback"
 * (of `unit`). */
int decider_ask_helper(const Decider *d, const char *what, const char *unit, json_t **ret,
		       Err *err) _must_check_;
/* The current version; the first one is made of what is adopted, where we may write. */
int decider_baseline(const Decider *d, Baseline *ret, Err *err) _must_check_;
/* Says why there is none; returns EXIT_FAILED. */
int decider_no_baseline(const Decider *d);
int decider_validate(const Decider *d, const json_t *promotion, const Baseline *b, Validation *ret,
		     Err *err) _must_check_;
/* What is seen of the store from here. */
ViewSource decider_source(const Decider *d);
/* dream.promotion_view/v1 */
int decider_view(const Decider *d, const json_t *promotion, json_t **ret, Err *err) _must_check_;
/* The experiment of a promotion; NULL when the configuration has none of that name. */
const Experiment *decider_experiment(const Decider *d, const json_t *promotion);

/* --- promotion_view.c: for people ---------------------------------------------------------------
 */

/* Somebody else's words, on one line. */
void said_text(const char *words, Str *out);
/* "2026-11-20 12:30:05Z" */
void when_text(int64_t at_us, Str *out);
/* As validation_json() has them. */
void checks_text(const json_t *checks, Str *out);
/* One screen of a dream.promotion_view/v1: what changes, why, what happens, who said yes. `x`: its
 * experiment; NULL where the configuration has none of that name. */
void promotion_text(const json_t *view, const Experiment *x, Str *out);

/* --- promotion_new.c ---------------------------------------------------------------------------
 */

/* By hand, against what production runs now. 0, or the exit code to return. */
int promotion_by_hand(const Decider *d, const Experiment *x, const Baseline *b, int argc,
		      char **argv, const char *reason, json_t **ret);
