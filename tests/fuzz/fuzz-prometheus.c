/* The metrics page of anybody. */
#include <math.h>

#include "fuzz.h"
#include "server/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (const char *const *k = server_kind_names(); *k; k++) {
		json_t *o, *v;
		const char *key;
		MUST(server_metrics(server_kind(*k), (const char *)data, size, &o, NULL) == 0);
		json_object_foreach (o, key, v)
			MUST(json_is_null(v) || isfinite(json_number_value(v)));
		json_decref(o);
	}
	return 0;
}
