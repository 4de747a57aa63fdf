#pragma once
/* dream.status/v1 as one screen for people. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* At most `width` columns a line (0: not cut). Everything in `status` is distrusted. */
void status_text(const json_t *status, int64_t now_us, size_t width, Str *out);
/* One event of `dream status --follow` as a line. */
void status_event_text(const json_t *event, Str *out);
