#pragma once
/* What the files of this folder share: one daemon, and the parts that take turns on its loop. */
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/files.h"
#include "daemon/window.h"
#include "helper/wire.h"
#include "http/client.h"
#include "production/adoption.h"
#include "production/generation.h"
#include "record/sign.h"
#include "rollout/alert.h"
#include "rollout/approval.h"
#include "rollout/baseline.h"
#include "rollout/rollout.h"
#include "store/store.h"
#include "systemd/bus.h"
#include "watch/history.h"
#include "watch/watch.h"

enum {
	STEPS_MAX = 12,	  /* of a rollout, kept for status */
	WATCHED_MAX = 32, /* services */
	UNITS_MAX = 64,	  /* adopted */
	PROMOTION_NAME_SIZE = 64,
	POLICY_EVERY_US = 30000000,
	DRIFT_EVERY_US = 300000000,
	HELPER_WAIT_US = 20000000,
	STORE_WAIT_US = 400000,	 /* twice at most: the loop has more to do */
	RUN_GRACE_US = 60000000, /* from SIGTERM to SIGKILL of a run */
	RUN_HURRY_US = 2000000,	 /* the same when somebody waits */
	RUN_LAST_US = 12000000, /* and when the daemon ends, which systemd gives 20 s: a trial stops
				   its services first */
};

/* The runs that the plan schedules. */
typedef struct Schedule {
	bool planned; /* there is a window */
	Window window;
	Proc proc;
	bool running, stopping;
	int64_t began_at_us, ended_at_us; /* ended: by itself; 0: never */
	int64_t began_seq;		  /* the store's newest record then */
	char result[480];		  /* of the last one, in words */
	sd_event_source *timer, *child, *kill;
} Schedule;

/* What production should be, and what it was found to be. */
typedef struct Drift {
	bool checking;
	size_t at;		/* the unit that is being read */
	char *units[UNITS_MAX]; /* of the check that is going on */
	size_t n_units;
	json_t *real, *lines;		     /* being gathered */
	char generation[GENERATION_ID_SIZE]; /* current, as the helper said; "" */
	int64_t checked_at_us;		     /* 0: not yet */
	json_t *found;			     /* sentences, of the last whole check */
	json_t *change;			     /* that is open at the helper; NULL: none */
	bool orphan;			     /* it is nobody's: whoever began it is gone */
	char failure[240];		     /* why it could not be checked; "" */
	char told[HASH_HEX_SIZE];	     /* the hash of what an alert was given for */
	sd_event_source *timer;
} Drift;

/* Production between rollouts. */
typedef struct Looking {
	Watch *watch;
	WatchedService services[WATCHED_MAX];
	size_t n;
	struct {
		const char *service, *metric;
		JudgeSample last;
	} figures[WATCHED_MAX * 4];
	size_t n_figures;
	char last_hard[240];
	int64_t last_hard_at_us;
	char failure[240]; /* why nothing is watched; "" */
} Looking;

typedef enum WishKind {
	WISH_NONE,
	WISH_ROLLOUT,
	WISH_BACK,
} WishKind;

/* What begins when what is going on has ended. */
typedef struct Wish {
	WishKind kind;
	char promotion[64];
	int64_t version;
	Approver by;
} Wish;

typedef struct Rolling {
	Rollout *rollout;
	int turn_fd;   /* while there is one; -1 */
	char what[96]; /* "promotion x", "back to version 3" */
	int64_t began_at_us, since_us;
	MachinePhase phase;
	char *steps[STEPS_MAX]; /* newest last */
	size_t n_steps;
	json_t *details; /* of the newest step that had some */
	Wish wish;
	sd_event_source *policy;
	char policy_trouble[480];
} Rolling;

typedef struct Daemon {
	const DaemonOptions *o;
	const Clock *clock;
	sd_event *loop;
	int lock_fd;
	int64_t began_at_us;
	char *store_path, *state_dir, *config, *program, *helper_program;
	char key_hex[PUBLIC_KEY_HEX_SIZE];
	Plan *plan;
	Plan *next; /* read anew in the middle of a rollout: counts when that has ended */
	char config_error[480];
	Store *store; /* NULL while it cannot be opened: then we end at once */
	Err store_err;
	SignKey *key;
	Log *log;
	ProductionPlaces places;
	Systemd *systemd; /* NULL: not reached yet */
	HttpLoop *http;
	Helper *helper; /* NULL: not connected */
	sd_event_source *helper_end;
	History *history;
	Alerts *alerts;
	Control *control;
	Pause pause;
	Schedule schedule;
	Drift drift;
	Looking looking;
	Rolling rolling;
	sd_event_source *watchdog;
	uint64_t watchdog_us;
	char status[160]; /* as systemd was told */
} Daemon;

/* --- daemon.c --------------------------------------------------------------------------------- */

/* A line in the log and in the journal, and an event for whoever follows. */
void daemon_say(Daemon *d, LogLevel level, const char *event, const char *fmt, ...) _printf_(4, 5);
/* The line in the journal alone. */
void daemon_print(LogLevel level, const char *text);
/* A timer that is not running yet. */
int daemon_timer(Daemon *d, sd_event_time_handler_t fn, sd_event_source **ret,
		 Err *err) _must_check_;
/* In so many microseconds from now, once. */
void daemon_in(sd_event_source *timer, int64_t in_us);
/* What people are told of outside of a rollout, and what they were told in one: kept for status. */
void daemon_told(Daemon *d, AlertKind k, const char *words);
/* The public key that our records must carry. */
const char *daemon_pinned(const Daemon *d);
/* Connected when it is needed. */
int daemon_helper(Daemon *d, Err *err) _must_check_;
/* Not needed any more, or lost: closed when the loop turns next, unless it is needed then. */
void daemon_helper_rest(Daemon *d);
/* After a rollout, which has a patience of its own with whoever else writes to the store. */
void daemon_store_rest(Daemon *d);

/* --- open.c ----------------------------------------------------------------------------------- */

int daemon_open(Daemon *d, const DaemonOptions *o, Err *err) _must_check_;
void daemon_done(Daemon *d);

/* --- plan.c ----------------------------------------------------------------------------------- */

int plan_read(Daemon *d, Plan **ret, Err *err) _must_check_;
void plan_reload(Daemon *d);
/* A plan that waited for the end of a rollout. */
void plan_turn(Daemon *d);

/* --- notify.c --------------------------------------------------------------------------------- */

int notify_begin(Daemon *d, Err *err) _must_check_;
void notify_ready(Daemon *d);
void notify_reloading(void);
void notify_stopping(void);
/* That we begin, or end, takes so much longer from now on. */
void notify_patience(int64_t us);
/* One line for `systemctl status`, when it is another one than before. */
void notify_status(Daemon *d);

/* --- schedule.c ------------------------------------------------------------------------------- */

int schedule_begin(Daemon *d, Err *err) _must_check_;
/* Something that decides whether a run may begin is another thing now. */
void schedule_turn(Daemon *d);
/* Asks the run to end; it is killed when it did not. */
void schedule_stop(Daemon *d, int64_t grace_us, const char *why);
void schedule_done(Schedule *s);
/* Realtime; -1: none will. */
int64_t schedule_next_at_us(const Daemon *d);

/* --- looking.c -------------------------------------------------------------------------------- */

/* Begins or ends the watch between rollouts, as things are. */
void looking_turn(Daemon *d);
void looking_stop(Daemon *d);
json_t *looking_json(const Daemon *d);

/* --- drift.c ---------------------------------------------------------------------------------- */

int drift_begin(Daemon *d, Err *err) _must_check_;
void drift_soon(Daemon *d);
/* The same, and one that is made sooner anyway is not put off by it. */
void drift_hurry(Daemon *d);
void drift_done(Drift *t);

/* --- rolling.c -------------------------------------------------------------------------------- */

int rolling_begin(Daemon *d, Err *err) _must_check_;
/* 0: it began, or begins when what is going on has ended (*ret_words says which). */
int rolling_start(Daemon *d, const Wish *w, char **ret_words, Err *err) _must_check_;
/* A commit that the store could not take is written down, when it can be now. */
void rolling_settle(Daemon *d, const json_t *status);
/* *ret_words: what was called off before it began; NULL: the rollout that goes on was told. */
int rolling_decide(Daemon *d, bool go_on, const Approver *by, char **ret_words,
		   Err *err) _must_check_;
/* Nothing is going on any more that the wish waited for. */
void rolling_turn(Daemon *d);
void rolling_done(Daemon *d);
json_t *rolling_json(const Daemon *d);

/* --- bare.c ----------------------------------------------------------------------------------- */

/* Without the store: what is half done is taken back. Always an error, the store's own. */
int bare_undo(Daemon *d, Err *err) _must_check_;

/* --- policy.c --------------------------------------------------------------------------------- */

/* Promotions that policy approves by itself. */
int policy_begin(Daemon *d, Err *err) _must_check_;
/* Something that decides whether policy may approve is another thing now. */
void policy_turn(Daemon *d);
int policy_approve(Daemon *d, const char *promotion, bool yes, const Approver *by, Approval *ret,
		   Err *err) _must_check_;

/* --- verbs.c ---------------------------------------------------------------------------------- */

extern const ControlVerb daemon_verbs[];
/* A member of a request that fits and holds nothing that would garble a terminal or a log. Absent:
 * "". */
int verb_take(const json_t *rq, const char *key, char *ret, size_t size, Err *err) _must_check_;
/* The promotion that it names. */
int verb_take_promotion(const json_t *rq, char ret[PROMOTION_NAME_SIZE], Err *err) _must_check_;

/* --- showing.c ---------------------------------------------------------------------------------
 */

int show_promotions(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err);
int show_promotion(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err);
int show_baseline_log(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err);
int show_baseline_diff(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret,
		       Err *err);
int show_preview(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err);
