#include "base/clock.h"

#include "test.h"

static void check_time(int64_t at_us, const char *rfc3339)
{
	char text[32];
	time_rfc3339(at_us, text);
	CHECK_STR(text, rfc3339);
}

TEST(times_are_utc_with_microseconds)
{
	/* Seconds from date(1). */
	check_time(0, "1970-01-01T00:00:00.000000Z");
	check_time(INT64_C(1795177805123456), "2026-11-20T12:30:05.123456Z");
	check_time(INT64_C(951868799000001), "2000-02-29T23:59:59.000001Z");
	check_time(-1, "1969-12-31T23:59:59.999999Z");
}

TEST(times_out_of_all_reason_stay_within_their_buffer)
{
	static const int64_t ends[] = {INT64_MIN, INT64_MAX};
	for (int i = 0; i < 2; i++) {
		char text[33] = {0};
		memset(text, 'x', 32);
		time_rfc3339(ends[i], text);
		CHECK(strlen(text) < 32);
	}
}

static void check_human(int64_t us, const char *want)
{
	char text[32];
	time_human(us, text);
	CHECK_STR(text, want);
}

TEST(durations_read_as_people_say_them)
{
	check_human(0, "0 s");
	check_human(850, "850 us");
	check_human(4500, "4.5 ms");
	check_human(12300000, "12.3 s");
	check_human(200 * 1000000LL, "3 m 20 s");
	check_human(62 * 60 * 1000000LL, "1 h 02 m");
	check_human(51 * 3600 * 1000000LL, "2 d 03 h");
	check_human(-4500, "-4.5 ms");
}

TEST(no_duration_is_rounded_up_to_its_units_limit)
{
	check_human(999949, "999.9 ms");
	check_human(999950, "1.0 s");
	check_human(59949999, "59.9 s");
	check_human(59950000, "1 m 00 s");
	check_human(3599499999, "59 m 59 s");
	check_human(3599500000, "1 h 00 m");
	check_human(INT64_C(86369999999), "23 h 59 m");
	check_human(INT64_C(86370000000), "1 d 00 h");
}

TEST(the_longest_duration_fits)
{
	char text[32];
	time_human(INT64_MIN, text);
	CHECK(text[0] == '-' && strlen(text) < 32);
	time_human(INT64_MAX, text);
	CHECK(strlen(text) < 32);
}

TEST(the_systems_clock_runs_forward)
{
	int64_t a = clock_mono_us(&clock_system), b = clock_mono_us(&clock_system);
	CHECK(b >= a && a > 0);
	CHECK(clock_now_us(&clock_system) > INT64_C(1700000000000000));
}
