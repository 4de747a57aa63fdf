/* What a server of anybody answers about itself: its metrics, its health, what it holds. */
#include <errno.h>
#include <math.h>

#include "fuzz.h"
#include "server/server.h"

static void check_metrics(const ServerKind *k, const char *text, size_t len)
{
	json_t *o, *v;
	const char *key;
	MUST(server_metrics(k, text, len, &o, NULL) == 0);
	json_object_foreach (o, key, v)
		MUST(json_is_null(v) || isfinite(json_number_value(v)));
	json_decref(o);
}

static void check_health(const ServerKind *k, const char *text, size_t len)
{
	static const int statuses[] = {200, 204, 404, 405, 500, 503};
	int64_t gpu = -1, all = -1;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		HealthVerdict v = server_health(k, statuses[i], text, len);
		MUST(v == HEALTH_READY || v == HEALTH_LOADING || v == HEALTH_BROKEN);
	}
	int r = server_account(k, text, len, &gpu, &all);
	MUST(r == 0 || r == -ENODATA);
	MUST(r < 0 || (gpu >= 0 && all > 0 && gpu <= all));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (const char *const *k = server_kind_names(); *k; k++) {
		check_metrics(server_kind(*k), (const char *)data, size);
		check_health(server_kind(*k), (const char *)data, size);
	}
	return 0;
}
