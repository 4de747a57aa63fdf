/* A trace of others: its times never go back, its numbers are what a request can ask, and it can be
 * replayed. */
#include <string.h>

#include "fuzz.h"
#include "loadgen/arrivals.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Trace t;
	Err err = ERR_INIT;
	int r = trace_parse((const char *)data, size, &t, &err);
	if (r < 0) {
		MUST((r == -EBADMSG || r == -EFBIG) && err.msg[0] != '\0');
		return 0;
	}
	MUST(t.n > 0 && t.rows[0].at_us == 0);
	for (size_t i = 0; i < t.n; i++) {
		const char *clip = trace_clip(&t, &t.rows[i]);
		MUST(i == 0 || t.rows[i].at_us >= t.rows[i - 1].at_us);
		MUST(t.rows[i].prompt >= -1 && t.rows[i].output >= -1);
		MUST(!clip || (*clip && !strchr(clip, '/')));
	}
	const Stream s = {.arrivals = ARRIVALS_REPLAY,
			  .prompt = {.median = 5, .min = 1, .max = 9},
			  .output = {.median = 5, .min = 1, .max = 9}};
	Schedule plan;
	MUST(schedule_init(&plan, &s, &t, false, (Rng){1}, (Rng){2}) == 0);
	int64_t before = 0;
	for (size_t i = 0; i < 2 * t.n; i++) {
		Size asked;
		int64_t at = schedule_next_us(&plan);
		MUST(at >= before);
		before = at;
		schedule_size(&plan, &asked);
		MUST(asked.prompt > 0 && asked.output > 0);
	}
	trace_done(&t);
	return 0;
}
