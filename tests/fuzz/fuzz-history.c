/* The history's records: whatever the file holds. What is read can be written, and is then the
 * same. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "watch/historyfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	HistoryRecord r, again;
	uint8_t bytes[HISTORY_RECORD_MAX];
	for (size_t at = 0, last = 0; history_next(data, size, &at, &r); last = at) {
		size_t back = 0, n = history_put(&r, bytes);
		MUST(at > last && at <= size);
		MUST(n <= sizeof(bytes) && history_next(bytes, n, &back, &again));
		MUST(back == n && again.id == r.id && again.is_name == r.is_name);
		if (r.is_name)
			MUST(historyname_equal(&r.name, &again.name));
		else
			MUST(r.sample.at_us == again.sample.at_us &&
			     (r.sample.failed || r.sample.value == again.sample.value));
	}
	return 0;
}
