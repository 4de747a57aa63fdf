#pragma once
/* Time is passed in, so that a test owns it. All in microseconds. */
#include <stdint.h>

typedef struct Clock {
	int64_t (*realtime_us)(void *ctx);  /* since 1970, UTC: for records and names */
	int64_t (*monotonic_us)(void *ctx); /* for durations and deadlines */
	void *ctx;
} Clock;

extern const Clock clock_system;

static inline int64_t clock_now_us(const Clock *c)
{
	return c->realtime_us(c->ctx);
}

static inline int64_t clock_mono_us(const Clock *c)
{
	return c->monotonic_us(c->ctx);
}

/* "2026-11-20T12:30:05.123456Z"; `ret` holds at least 32 bytes. */
void time_rfc3339(int64_t at_us, char *ret);
/* "1 h 02 m", "3 m 20 s", "12.3 s", "4.5 ms": a duration for people; `ret` holds at least 32 bytes.
 */
void time_human(int64_t duration_us, char *ret);
