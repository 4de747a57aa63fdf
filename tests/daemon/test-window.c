/* When a window of the day is open. */
#include "daemon/window.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "test.h"

#define MIN_US	60000000LL
#define HOUR_US (60 * MIN_US)
#define DAY_US	(24 * HOUR_US)

/* 2026-11-20 00:00 UTC. */
#define MIDNIGHT_US 1795132800000000LL

static Window of(const char *text)
{
	Window w;
	Err err = ERR_INIT;
	CHECK_OK(window_parse(text, &w, &err));
	return w;
}

TEST(what_is_no_window_is_said_to_be_none)
{
	const char *const wrong[] = {"",
				     "01:00",
				     "01:00-",
				     "1-5",
				     "01:00-25:00",
				     "01:60-02:00",
				     "a1:00-05:00",
				     "01:00-05:00 ",
				     "24:00-01:00",
				     "03:00-03:00"};
	Window w;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		Err err = ERR_INIT;
		CHECK_ERR(window_parse(wrong[i], &w, &err), EINVAL);
		CHECK(*err.msg);
	}
}

TEST(it_is_open_from_its_beginning_to_just_before_its_end)
{
	Window w = of("01:00-05:00");
	CHECK(!window_is_open(&w, MIDNIGHT_US + HOUR_US - 1, 0));
	CHECK(window_is_open(&w, MIDNIGHT_US + HOUR_US, 0));
	CHECK(window_is_open(&w, MIDNIGHT_US + 5 * HOUR_US - 1, 0));
	CHECK(!window_is_open(&w, MIDNIGHT_US + 5 * HOUR_US, 0));
	CHECK_INT(window_opens_in_us(&w, MIDNIGHT_US, 0), HOUR_US);
	CHECK_INT(window_opens_in_us(&w, MIDNIGHT_US + 2 * HOUR_US, 0), 0);
	CHECK_INT(window_opens_in_us(&w, MIDNIGHT_US + 5 * HOUR_US, 0), 20 * HOUR_US);
	CHECK_INT(window_closes_in_us(&w, MIDNIGHT_US + 2 * HOUR_US, 0), 3 * HOUR_US);
	CHECK_INT(window_closes_in_us(&w, MIDNIGHT_US, 0), 0);
}

TEST(a_window_may_go_over_midnight)
{
	Window w = of("22:00-02:00");
	CHECK(window_is_open(&w, MIDNIGHT_US, 0));
	CHECK(window_is_open(&w, MIDNIGHT_US + 23 * HOUR_US, 0));
	CHECK(!window_is_open(&w, MIDNIGHT_US + 2 * HOUR_US, 0));
	CHECK(!window_is_open(&w, MIDNIGHT_US + 22 * HOUR_US - 1, 0));
	CHECK_INT(window_closes_in_us(&w, MIDNIGHT_US + 23 * HOUR_US, 0), 3 * HOUR_US);
	CHECK_INT(window_opens_in_us(&w, MIDNIGHT_US + 2 * HOUR_US, 0), 20 * HOUR_US);
}

TEST(a_window_may_be_the_whole_day)
{
	Window w = of("00:00-24:00");
	for (int64_t at = 0; at < DAY_US; at += 37 * MIN_US) {
		CHECK(window_is_open(&w, MIDNIGHT_US + at, 0));
		CHECK_INT(window_opens_in_us(&w, MIDNIGHT_US + at, 0), 0);
		CHECK_INT(window_closes_in_us(&w, MIDNIGHT_US + at, 0), DAY_US - at);
	}
}

TEST(local_time_counts)
{
	Window w = of("01:00-05:00");
	CHECK(window_is_open(&w, MIDNIGHT_US, 60));	  /* 01:00 in Vienna */
	CHECK(!window_is_open(&w, MIDNIGHT_US, -5 * 60)); /* 19:00 in New York */
	CHECK_INT(window_opens_in_us(&w, MIDNIGHT_US, -5 * 60), 6 * HOUR_US);
	CHECK(window_is_open(&w, MIDNIGHT_US - 3 * HOUR_US, 5 * 60 + 45)); /* 02:45 in Kathmandu */
}

/* The moment that it says is the first at which it is open, and not a microsecond later. */
TEST(it_opens_when_it_says)
{
	const char *const texts[] = {"01:00-05:00", "22:00-02:00", "00:00-24:00", "23:59-00:01"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		Window w = of(texts[i]);
		for (int64_t at = 0; at < 2 * DAY_US; at += 13 * MIN_US + 7) {
			int64_t now = MIDNIGHT_US + at, in = window_opens_in_us(&w, now, 90);
			CHECK(window_is_open(&w, now + in, 90));
			CHECK(in == 0 || !window_is_open(&w, now + in - 1, 90));
			int64_t left = window_closes_in_us(&w, now + in, 90);
			CHECK(left > 0 && window_is_open(&w, now + in + left - 1, 90));
		}
	}
}

TEST(the_offset_is_that_of_the_day)
{
	CHECK_OK(setenv("TZ", "Europe/Vienna", 1) < 0 ? -errno : 0);
	tzset();
	if (utc_offset_min(MIDNIGHT_US) == 0)
		SKIP("no time zones are installed");
	CHECK_INT(utc_offset_min(MIDNIGHT_US), 60);
	CHECK_INT(utc_offset_min(MIDNIGHT_US - 150 * DAY_US), 120);
}
