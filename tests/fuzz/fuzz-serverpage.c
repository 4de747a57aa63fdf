/* Two looks at the metrics page of anybody, with a line "%%" between: what came in between is a
 * number or is not said. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "watch/metrics.h"

static void check_histogram(const PageHistogram *h)
{
	MUST(h->n <= PAGE_BUCKETS_MAX);
	for (size_t i = 1; i < h->n; i++)
		MUST(h->bounds[i - 1] < h->bounds[i]);
}

static bool is_said_or_not(double v)
{
	return isnan(v) || isfinite(v);
}

static void check_between(const ServerPage *before, const ServerPage *after)
{
	PageFigures f;
	serverpage_between(before, after, 1000000, 1, &f);
	MUST(is_said_or_not(f.latency_ms) && is_said_or_not(f.latency_p95_ms));
	MUST(is_said_or_not(f.ttft_ms) && is_said_or_not(f.ttft_p95_ms));
	MUST(is_said_or_not(f.token_ms) && is_said_or_not(f.per_second));
	MUST(is_said_or_not(f.preemptions));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *mark = size ? memmem(text, size, "%%\n", 3) : NULL;
	size_t first = mark ? (size_t)(mark - text) : size;
	size_t second = mark ? size - first - 3 : 0;
	for (const char *const *k = server_kind_names(); *k; k++) {
		const ServerKind *kind = server_kind(*k);
		ServerPage before, after;
		int r = serverpage_read(kind, text, first, &before);
		MUST(r == 0 || r == -EBADMSG);
		r = serverpage_read(kind, text + size - second, second, &after);
		MUST(r == 0 || r == -EBADMSG);
		check_histogram(&before.e2e);
		check_histogram(&after.ttft);
		MUST(is_said_or_not(serverpage_load(&after)));
		check_between(&before, &after);
		check_between(&after, &before);
		check_between(&after, &after);
	}
	return 0;
}
