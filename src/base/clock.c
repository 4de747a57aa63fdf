#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec t;
	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t system_realtime(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_REALTIME);
}

static int64_t system_monotonic(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_MONOTONIC);
}

const Clock clock_system = {
    .realtime_us = system_realtime,
    .monotonic_us = system_monotonic,
};

typedef struct Civil {
	unsigned year, month, day, hour, minute, second, us;
} Civil;

/* Rounded down, so that times before 1970 keep a positive fraction. The remainders change nothing
 * in the years 0 to 9999, and bound the text for every other. */
static Civil split(int64_t at_us)
{
	int64_t us = at_us % 1000000;
	time_t s = at_us / 1000000;
	if (us < 0) {
		us += 1000000;
		s--;
	}
	struct tm t = {0};
	(void)gmtime_r(&s, &t);
	return (Civil){
	    .year = (unsigned)(t.tm_year + 1900) % 10000,
	    .month = (unsigned)(t.tm_mon + 1) % 100,
	    .day = (unsigned)t.tm_mday % 100,
	    .hour = (unsigned)t.tm_hour % 100,
	    .minute = (unsigned)t.tm_min % 100,
	    .second = (unsigned)t.tm_sec % 100,
	    .us = (unsigned)us % 1000000,
	};
}

void time_rfc3339(int64_t at_us, char *ret)
{
	Civil t = split(at_us);
	(void)snprintf(ret, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", t.year, t.month, t.day,
		       t.hour, t.minute, t.second, t.us);
}

/* Each unit is left as soon as rounding would print its limit ("60.0 s"). */
void time_human(int64_t duration_us, char *ret)
{
	const char *sign = duration_us < 0 ? "-" : "";
	uint64_t us = duration_us < 0 ? -(uint64_t)duration_us : (uint64_t)duration_us;
	uint64_t ms_tenths = (us + 50) / 100, s_tenths = (us + 50000) / 100000;
	uint64_t s = (us + 500000) / 1000000, m = (us + 30000000) / 60000000;
	uint64_t h = (m + 30) / 60;

	if (us == 0)
		(void)snprintf(ret, 32, "0 s");
	else if (us < 1000)
		(void)snprintf(ret, 32, "%s%" PRIu64 " us", sign, us);
	else if (ms_tenths < 10000)
		(void)snprintf(ret, 32, "%s%" PRIu64 ".%" PRIu64 " ms", sign, ms_tenths / 10,
			       ms_tenths % 10);
	else if (s_tenths < 600)
		(void)snprintf(ret, 32, "%s%" PRIu64 ".%" PRIu64 " s", sign, s_tenths / 10,
			       s_tenths % 10);
	else if (s < 3600)
		(void)snprintf(ret, 32, "%s%" PRIu64 " m %02" PRIu64 " s", sign, s / 60, s % 60);
	else if (m < 24 * 60)
		(void)snprintf(ret, 32, "%s%" PRIu64 " h %02" PRIu64 " m", sign, m / 60, m % 60);
	else
		(void)snprintf(ret, 32, "%s%" PRIu64 " d %02" PRIu64 " h", sign, h / 24, h % 24);
}
