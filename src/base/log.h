#pragma once
/* What a run did, as it does it: human lines ("2026-11-20T12:30:05Z info trial 12: ok, fitness
 * 0.71") or the same events as JSON lines. A log that cannot be written is reported once on stderr
 * and never stops the work. */
#include <jansson.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

typedef struct Log Log;

typedef enum LogLevel {
	LOG_DEBUG_,
	LOG_INFO_,
	LOG_WARN_,
	LOG_ERROR_,
} LogLevel;

typedef struct LogSpec {
	const char *path; /* appended to; NULL: no file */
	bool json;	  /* JSON lines instead of human ones in the file */
	const Clock *clock;
} LogSpec;

int log_open(const LogSpec *spec, Log **ret, Err *err) _must_check_;
Log *log_close(Log *l); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Log *, log_close)

/* `event` is a stable name ("trial.done"); `fields` is consumed and may be NULL. `l` may be NULL. A
 * human line has the message only; a JSON line has the fields at its top level, beside schema
 * (dream.log/v1), at, level, event and message, which win over fields of the same name. */
void log_event(Log *l, LogLevel level, const char *event, json_t *fields, const char *fmt, ...)
    _printf_(5, 6);
