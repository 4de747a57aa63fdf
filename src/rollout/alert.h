#pragma once
/* Tells people: a journal entry with a message id and fields, and the hook program with the same as
 * JSON on its standard input. Telling never holds up what is told about. */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

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

typedef struct Alerts Alerts;

/* `hook` is a program with its arguments, NULL-terminated; NULL: none. */
int alerts_new(sd_event *loop, const char *const *hook, const Clock *clock, Alerts **ret,
	       Err *err) _must_check_;
Alerts *
alerts_free(Alerts *a); /* waits for running hooks at most 5 s; accepts NULL, returns NULL */
DEFINE_CLEANUP(Alerts *, alerts_free)
/* `fields` is borrowed: texts and numbers, upper-case names for the journal. */
void alert(Alerts *a, AlertKind k, const char *words, const json_t *fields);
