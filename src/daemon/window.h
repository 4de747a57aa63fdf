#pragma once
/* A window of every day, in local time: "01:00-05:00", also over midnight. Pure. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct Window {
	int from_min, to_min; /* of the day; to_min is outside. Equal: the whole day */
} Window;

int window_parse(const char *text, Window *ret, Err *err) _must_check_;
bool window_is_open(const Window *w, int64_t now_us, int utc_offset_min);
/* From `now` until it opens; 0 when it is open. */
int64_t window_opens_in_us(const Window *w, int64_t now_us, int utc_offset_min);
/* From `now` until it closes; 0 when it is closed. */
int64_t window_closes_in_us(const Window *w, int64_t now_us, int utc_offset_min);

/* Minutes that local time is ahead of UTC at that moment. */
int utc_offset_min(int64_t at_us);
