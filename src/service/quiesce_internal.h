#pragma once
/* What the files of quiesce share: its files, how idleness is seen. */
#include "service/quiesce.h"

/* --- Files in the state folder --------------------------------------------------------------- */

/* What production was before it was stopped: written before anything is. */
typedef struct QuiesceIntent {
	char guard[80]; /* the guard's unit */
	bool user;	/* of the user's manager */
	int64_t began_at_us;
	size_t n;
	char **units; /* that were active, in the order in which they are put back */
	char (*invocations)[40];
} QuiesceIntent;

void quiesceintent_done(QuiesceIntent *i);
int quiesceintent_write(const char *dir, const QuiesceIntent *i, Err *err) _must_check_;
/* 1: read; 0: there is none. -EBADMSG: it cannot be understood (the message says what to do). */
int quiesceintent_read(const char *dir, QuiesceIntent *ret, Err *err) _must_check_;
int quiesceintent_remove(const char *dir, Err *err) _must_check_;

/* Only one at a time. A descriptor that holds the lock until it is closed; -EBUSY. */
int quiesce_lock(const char *dir, Err *err) _must_check_;
/* "inhibit" in the state folder: whoever makes this file keeps production running. */
char *quiesce_inhibit_path(const char *dir);

/* --- Time ------------------------------------------------------------------------------------ */

/* Until the window closes; 0 outside of it. */
int64_t quiesce_window_left_us(const QuiesceSpec *q, int64_t now_us, int utc_offset_min);
int quiesce_utc_offset_min(int64_t now_us);
/* From when the time that is left is to be counted: now, or an hour later when the clocks are put
 * forward before the window closes, which is then sooner than it looks. Where they are put back it
 * closes as if they were not. */
int64_t quiesce_window_clock_us(const QuiesceSpec *q, int64_t now_us);

/* --- Idle users ------------------------------------------------------------------------------ */

/* One look at who uses production. `activity` counts what was asked so far where that can be seen;
 * 0 otherwise. */
typedef struct IdleLook {
	bool busy;
	double activity;
	char why[160]; /* busy: what was seen */
} IdleLook;

/* Pure: what a metrics page says. -ENODATA: none of the figures known here is on it. */
int idle_read_metrics(const char *text, size_t len, IdleLook *ret);
/* Pure: established connections to one of the ports, in the text of /proc/net/tcp or tcp6. */
size_t idle_count_connections(const char *text, size_t len, const uint16_t *ports, size_t n);

typedef struct IdleWatch IdleWatch;
/* Told once: nobody asked for q->idle_us (why NULL), or that did not come about within
 * q->idle_us + q->drain_us (why: what was seen last). Never called from inside idle_watch(); the
 * watch must not be freed in it. `units` is NULL-terminated and copied. */
typedef void IdleTold(void *ctx, const char *why);
int idle_watch(sd_event *loop, HttpLoop *http, const QuiesceSpec *q, char *const *units, size_t n,
	       IdleTold *told, void *ctx, IdleWatch **ret, Err *err) _must_check_;
IdleWatch *idlewatch_free(IdleWatch *w); /* accepts NULL, returns NULL */
