#pragma once
/* Tells people: a journal entry with a message id and fields, and the hook program with the same as
 * JSON on its standard input. Telling never holds up what is told about: a hook runs beside us, for
 * ALERT_HOOK_LIMIT_US at most; only ALERT_HOOKS_MAX run at once, and ALERT_QUEUE_MAX wait. What a
 * hook does wrong is in the journal too.
 *
 *   {"schema": "dream.alert/v1", "alert": "rolled_back", "message_id": "...", "priority": 4,
 *    "at": "2026-11-20T12:30:05.123456Z", "host": "box", "message": "...",
 *    "fields": {"rollout": "...", "unit": "judge.service"}}
 *
 * data/dream.catalog explains each in the journal (journalctl --catalog); docs/rollout.md says what
 * to do. */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

enum {
	ALERT_HOOKS_MAX = 3,
	ALERT_QUEUE_MAX = 64,
	ALERT_FIELDS_MAX = 24,	   /* more are left out of the journal */
	ALERT_TEXT_MAX = 16 << 10, /* of what a hook is given; without fields when it is longer */
	ALERT_HOOK_LIMIT_US = 30000000,
};

typedef enum AlertKind {
	ALERT_ROLLOUT_STARTED,
	ALERT_ROLLED_BACK,
	ALERT_COMMITTED,
	ALERT_ASKED,	 /* a person must decide */
	ALERT_STUCK,	 /* undo failed: a person must look now */
	ALERT_DRIFT,	 /* production does not run what the baseline says */
	ALERT_RECOVERED, /* a half-done rollout was resolved */
	ALERT_REFUSED,
	ALERT_MAX_,
} AlertKind;

const char *alert_name(AlertKind k);	   /* "rolled_back" */
const char *alert_message_id(AlertKind k); /* 32 hex digits, as in the journal catalog */
int alert_priority(AlertKind k);	   /* as syslog's: 2 critical, 4 warning, 5 notice */
/* Of the entry that says that a hook failed, or that an alert never reached one. */
extern const char alert_hook_message_id[];

typedef struct Alerts Alerts;

/* `hook` is a program with its arguments, NULL-terminated; NULL, or an empty one: none. It is
 * copied; `clock` is borrowed. */
int alerts_new(sd_event *loop, const char *const *hook, const Clock *clock, Alerts **ret,
	       Err *err) _must_check_;
/* Hooks that run or wait are given 5 s more, all together, and are then killed. Accepts NULL,
 * returns NULL. */
Alerts *alerts_free(Alerts *a);
DEFINE_CLEANUP(Alerts *, alerts_free)
/* Another limit for each hook. */
void alerts_hook_limit(Alerts *a, int64_t limit_us);
/* `fields` is borrowed and may be NULL: texts, numbers and flags. {"unit": ...}, or {"DREAM_UNIT":
 * ...}, is DREAM_UNIT in the journal and "unit" for the hook. `a` may be NULL: then nobody is told.
 */
void alert(Alerts *a, AlertKind k, const char *words, const json_t *fields);
