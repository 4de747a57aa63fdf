#include "daemon/window.h"

#include <time.h>

#include "service/quiesce.h"

enum {
	DAY_MIN = 24 * 60,
};

#define MIN_US 60000000LL
#define DAY_US (DAY_MIN * MIN_US)

int window_parse(const char *text, Window *ret, Err *err)
{
	int from = 0, to = 0;
	if (!quiesce_window_parse(text, &from, &to))
		return err_set(err, -EINVAL, "'%s' is no window of the day, as in 01:00-05:00",
			       text);
	*ret = (Window){.from_min = from % DAY_MIN, .to_min = to % DAY_MIN};
	return 0;
}

/* Since local midnight. */
static int64_t of_day_us(int64_t now_us, int offset_min)
{
	int64_t t = (now_us + offset_min * MIN_US) % DAY_US;
	return t < 0 ? t + DAY_US : t;
}

/* From one time of day to the next time that it is another: 0 to a day, without the day. */
static int64_t until_us(int64_t from_us, int64_t to_us)
{
	return (to_us - from_us + DAY_US) % DAY_US;
}

static int64_t length_us(const Window *w)
{
	int64_t len = until_us(w->from_min * MIN_US, w->to_min * MIN_US);
	return len ? len : DAY_US;
}

bool window_is_open(const Window *w, int64_t now_us, int offset_min)
{
	return until_us(w->from_min * MIN_US, of_day_us(now_us, offset_min)) < length_us(w);
}

int64_t window_opens_in_us(const Window *w, int64_t now_us, int offset_min)
{
	if (window_is_open(w, now_us, offset_min))
		return 0;
	return until_us(of_day_us(now_us, offset_min), w->from_min * MIN_US);
}

int64_t window_closes_in_us(const Window *w, int64_t now_us, int offset_min)
{
	if (!window_is_open(w, now_us, offset_min))
		return 0;
	return length_us(w) - until_us(w->from_min * MIN_US, of_day_us(now_us, offset_min));
}

int utc_offset_min(int64_t at_us)
{
	time_t at = (time_t)(at_us / 1000000);
	struct tm local;
	return localtime_r(&at, &local) ? (int)(local.tm_gmtoff / 60) : 0;
}
