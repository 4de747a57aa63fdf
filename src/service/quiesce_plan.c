/* When production may be stopped: the window, the budget. Pure. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "service/quiesce_internal.h"

enum {
	DAY_MIN = 24 * 60,
	MINUTE_US = 60 * 1000000,
};

bool quiesce_window_parse(const char *text, int *ret_from_min, int *ret_to_min)
{
	unsigned h1, m1, h2, m2;
	int end = 0;

	if (strspn(text, "0123456789:-") != strlen(text) ||
	    sscanf(text, "%2u:%2u-%2u:%2u%n", &h1, &m1, &h2, &m2, &end) != 4 || text[end])
		return false;
	unsigned from = h1 * 60 + m1, to = h2 * 60 + m2;
	if (m1 > 59 || m2 > 59 || from >= DAY_MIN || to > DAY_MIN || from == to)
		return false;
	*ret_from_min = (int)from;
	*ret_to_min = (int)to;
	return true;
}

int quiesce_utc_offset_min(int64_t now_us)
{
	time_t t = (time_t)(now_us / 1000000);
	struct tm tm;
	return localtime_r(&t, &tm) ? (int)(tm.tm_gmtoff / 60) : 0;
}

int64_t quiesce_window_left_us(const QuiesceSpec *q, int64_t now_us, int utc_offset_min)
{
	int from, to;

	if (!q->window || !quiesce_window_parse(q->window, &from, &to))
		return 0;
	int64_t day_us = (int64_t)DAY_MIN * MINUTE_US;
	int64_t at = (now_us + (int64_t)utc_offset_min * MINUTE_US) % day_us;
	int64_t begin = (int64_t)from * MINUTE_US, end = (int64_t)to * MINUTE_US;

	if (end - begin == day_us) /* it never closes; no more than a day is looked ahead */
		return day_us;
	if (at < 0)
		at += day_us;
	if (end < begin) { /* across midnight */
		if (at >= begin)
			return end + day_us - at;
		return at < end ? end - at : 0;
	}
	return at >= begin && at < end ? end - at : 0;
}

int64_t quiesce_window_clock_us(const QuiesceSpec *q, int64_t now_us)
{
	int offset = quiesce_utc_offset_min(now_us);
	int64_t left_us = quiesce_window_left_us(q, now_us, offset);
	int skipped = left_us > 0 ? quiesce_utc_offset_min(now_us + left_us - 1) - offset : 0;
	return skipped > 0 ? now_us + (int64_t)skipped * MINUTE_US : now_us;
}

bool quiesce_in_window(const QuiesceSpec *q, int64_t now_us, int utc_offset_min)
{
	return quiesce_window_left_us(q, now_us, utc_offset_min) > 0;
}

int quiesce_may(const QuiesceSpec *q, int64_t now_us, int utc_offset_min, int64_t spent_us,
		int64_t wanted_us, Err *err)
{
	char wanted[32], left[32], budget[32];
	int64_t window_us = quiesce_window_left_us(q, now_us, utc_offset_min);
	int64_t left_us = q->budget_us > spent_us ? q->budget_us - spent_us : 0;

	time_human(wanted_us, wanted);
	time_human(q->budget_us, budget);
	if (!q->window)
		return err_set(err, -EBUSY,
			       "production is not stopped: no window is given in which it may be "
			       "(quiesce.window)");
	if (window_us == 0)
		return err_set(err, -EBUSY,
			       "production is not stopped: it is outside of the window %s",
			       q->window);
	if (wanted_us > window_us) {
		time_human(window_us, left);
		return err_set(err, -EBUSY,
			       "production is not stopped: %s are needed, and the window %s closes "
			       "in %s",
			       wanted, q->window, left);
	}
	if (left_us > 0 && wanted_us <= left_us)
		return 0;
	time_human(left_us, left);
	return err_set(
	    err, -EBUSY,
	    "production is not stopped: %s of downtime are needed, and of the %s in 24 h "
	    "%s are left",
	    wanted, budget, left);
}
