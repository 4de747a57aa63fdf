#pragma once
/* The orchestrator: brings an approved promotion to production, step by step, and takes back what
 * hurts. Drives the state machine (machine.h) with the helper, the watch and trials; writes every
 * step to the store, and what the machine is in the middle of to the helper's intent log. On the
 * caller's event loop. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "config/config.h"
#include "helper/wire.h"
#include "http/client.h"
#include "rollout/alert.h"
#include "rollout/approval.h"
#include "rollout/machine.h"
#include "rollout/validate.h"
#include "systemd/bus.h"
#include "watch/history.h"
#include "watch/watch.h"

/* What a rollout works with. Borrowed. */
typedef struct RolloutWorld {
	sd_event *loop;
	const Clock *clock;
	Systemd *systemd;
	HttpLoop *http;
	Helper *helper;
	Store *store; /* may be lost on the way (locked, gone): undo goes on without it */
	const SignKey *key;
	const Plan *plan;
	const ProductionPlaces *places;
	History *history; /* NULL: nothing is known from before */
	Alerts *alerts;
	Log *log;
	const char *state_dir; /* for the account of downtime */
	const char *store_dir; /* the store's: for the note of a commit that it may not be able to
				  take; NULL: nothing is noted */
} RolloutWorld;

typedef struct RolloutEvent {
	const char *text; /* a sentence for people: what happens, or what came of it */
	const Machine *machine;
	const json_t *details; /* may be NULL */
} RolloutEvent;

typedef struct RolloutHandler {
	void (*event)(void *ctx, const RolloutEvent *e);
	/* A person must decide; nothing happens until rollout_decide(). May be NULL. */
	void (*asked)(void *ctx, const char *words);
	/* It is over. `err`: a fault of ours; what runs then is said by the machine. */
	void (*done)(void *ctx, const Machine *m, const Err *err);
} RolloutHandler;

typedef struct Rollout Rollout;

/* Validates and looks for an approval first: a promotion that is not fit is refused with every
 * reason. -EAGAIN: not approved yet. -EBUSY: another rollout is going on. */
int rollout_start(const RolloutWorld *w, const char *promotion, const RolloutHandler *h, void *ctx,
		  Rollout **ret, Err *err) _must_check_;
/* What it would do, in which order, and what downtime that costs: as text, for people. A promotion
 * that is not fit is refused as by rollout_start(), but that is not recorded; approval is not asked
 * for. Writes nothing; of the world it needs the clock, the helper, the store, the key, the plan
 * and the places. */
int rollout_preview(const RolloutWorld *w, const char *promotion, Str *out, Err *err) _must_check_;
/* What a restart of ours finds: a change that is open at the helper, a rollout that did not end.
 * *ret NULL: nothing to do. */
int rollout_resume(const RolloutWorld *w, const RolloutHandler *h, void *ctx, Rollout **ret,
		   Err *err) _must_check_;
/* The version of a commit that the store could not take is written now, when production (`status`,
 * the helper's) runs that and no version says so. 1: it was, and `words` says it; 0: there is
 * nothing to write. Of the world it needs the store, its folder, the key and the plan. */
int rollout_settle(const RolloutWorld *w, const json_t *status, Str *words, Err *err) _must_check_;
/* Back to a version of the baseline (0: the one before): a new version with its values, restarted
 * and read back like a rollout, without a watch. */
int rollout_back(const RolloutWorld *w, int64_t version, const Approver *by,
		 const RolloutHandler *h, void *ctx, Rollout **ret, Err *err) _must_check_;
/* A person's word: go on, or take it back. -EINVAL when there is nothing to decide. */
int rollout_decide(Rollout *r, bool go_on, const Approver *by, Err *err) _must_check_;
/* As what people are told of it when it has ended so. */
AlertKind rollout_alert_of(MachineResult result);
const Machine *rollout_machine(const Rollout *r);
const char *rollout_id(const Rollout *r);
/* What it has cost the i-th unit in downtime so far; -1: there is no such unit. */
int64_t rollout_down_us(const Rollout *r, size_t i, const char **ret_unit);
Rollout *rollout_free(Rollout *r); /* accepts NULL, returns NULL; leaves production as it is */
DEFINE_CLEANUP(Rollout *, rollout_free)
