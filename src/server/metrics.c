/* A server's own counters, under names that are the same for all kinds. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "server/kind.h"
#include "server/prometheus.h"

static const MetricName *find_metric(const ServerKind *k, const Sample *s)
{
	for (const MetricName *m = k->metrics; m && m->metric; m++)
		if (strlen(m->metric) == s->name_len &&
		    memcmp(m->metric, s->name, s->name_len) == 0)
			return m;
	return NULL;
}

/* Several engines of one server are one sample each: their sum. Shares of caches are not summed. */
static double together(const MetricName *m, double before, double value)
{
	bool share = m->factor > 0;
	if (!isfinite(before))
		return value;
	return share ? fmax(before, value) : before + value;
}

int server_metrics(const ServerKind *k, const char *body, size_t len, json_t **ret, Err *err)
{
	bool failed = false;
	json_t *o = json_object();
	Sample s;
	for (size_t at = 0; prometheus_next(body, len, &at, &s);) {
		const MetricName *m = find_metric(k, &s);
		if (!m || !isfinite(s.value))
			continue;
		double value = s.value * (m->factor > 0 ? m->factor : 1);
		js_set(o, m->name, js_number(together(m, js_num(o, m->name, (double)NAN), value)),
		       &failed);
	}
	if (failed || !o) {
		json_decref(o);
		return err_oom(err);
	}
	*ret = o;
	return 0;
}
