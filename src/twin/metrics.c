#include "twin/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stats/stats.h"

enum {
	/* Fewer samples say nothing about such a percentile (facts: MLPerf's early stopping, at
	 * 0.99 confidence). */
	P95_MIN = 130,
	P99_MIN = 662,
};

static int put(Measurement *m, Metric *metric, const char *name, const char *unit, Err *err)
{
	snprintf(metric->name, sizeof(metric->name), "%s", name);
	snprintf(metric->unit, sizeof(metric->unit), "%s", unit);
	return measurement_set(m, metric, err);
}

int metric_plain(Measurement *m, const char *name, const char *unit, double value, double se,
		 int64_t n, Err *err)
{
	Metric metric = {.value = value, .se = se, .lo = (double)NAN, .hi = (double)NAN, .n = n};
	if (se > 0) {
		metric.lo = value - 1.96 * se;
		metric.hi = value + 1.96 * se;
	}
	return put(m, &metric, name, unit, err);
}

/* Values in the order in which they were planned, and the same sorted. */
typedef struct Values {
	double *x, *sorted; /* owned */
	size_t n;
	double widen; /* what neighbouring requests have in common takes from the sample */
} Values;

static void values_done(Values *v)
{
	free(v->x);
	free(v->sorted);
}

static void values_ready(Values *v)
{
	memcpy(v->sorted, v->x, v->n * sizeof(double));
	stats_sort(v->sorted, v->n);
	v->widen = v->n > 0 ? sqrt((double)v->n / stats_effective_n(v->x, v->n)) : 1;
}

static int values_new(size_t cap, Values *ret)
{
	*ret = (Values){.x = calloc(cap, sizeof(double)), .sorted = calloc(cap, sizeof(double))};
	return ret->x && ret->sorted ? 0 : -ENOMEM;
}

static int quantile(const Values *v, double q, size_t at_least, const char *name, const char *unit,
		    Measurement *m, Err *err)
{
	if (v->n < at_least || v->n == 0)
		return 0;
	Metric metric = {.value = stats_quantile(v->sorted, v->n, q),
			 .lo = (double)NAN,
			 .hi = (double)NAN,
			 .n = (int64_t)v->n};
	double lo, hi;
	if (stats_quantile_interval(v->sorted, v->n, q, 0.95, &lo, &hi, NULL) == 0) {
		metric.lo = fmax(0, metric.value - (metric.value - lo) * v->widen);
		metric.hi = metric.value + (hi - metric.value) * v->widen;
		metric.se = (hi - lo) * v->widen / (2 * 1.96);
	}
	return put(m, &metric, name, unit, err);
}

typedef double SampleValue(const Sample *s);

static double latency_ms(const Sample *s)
{
	return (double)(s->end_us - s->planned_us) / 1e3;
}

static double ttft_ms(const Sample *s)
{
	return (double)(s->first_us - s->planned_us) / 1e3;
}

static double tpot_ms(const Sample *s)
{
	return s->tokens > 1 ? (double)(s->end_us - s->first_us) / 1e3 / (double)(s->tokens - 1)
			     : (double)NAN;
}

static void collect(const Load *l, SampleValue *value, Values *v)
{
	v->n = 0;
	for (int64_t i = 0; i < l->stream.requests; i++) {
		double x = l->samples[i].answered ? value(&l->samples[i]) : (double)NAN;
		if (isfinite(x))
			v->x[v->n++] = x;
	}
	values_ready(v);
}

static int latencies(const Load *l, const char *prefix, Values *v, Measurement *m, Err *err)
{
	static const struct {
		const char *suffix;
		double q;
		size_t at_least;
	} rows[] = {{"latency_ms", 0.5, 1},
		    {"latency_p95_ms", 0.95, P95_MIN},
		    {"latency_p99_ms", 0.99, P99_MIN}};
	collect(l, latency_ms, v);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char name[METRIC_NAME_MAX];
		snprintf(name, sizeof(name), "%s_%s", prefix, rows[i].suffix);
		int r = quantile(v, rows[i].q, rows[i].at_least, name, "ms", m, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Tokens a second over the time in which the measured ones were served. */
static int rate_of_tokens(const Load *l, Measurement *m, Err *err)
{
	int64_t first = INT64_MAX, last = 0, tokens = 0, n = 0;
	for (int64_t i = 0; i < l->stream.requests; i++) {
		const Sample *s = &l->samples[i];
		if (!s->answered)
			continue;
		first = s->planned_us < first ? s->planned_us : first;
		last = s->end_us > last ? s->end_us : last;
		tokens += s->tokens;
		n++;
	}
	if (n == 0 || last <= first)
		return 0;
	return metric_plain(m, "llm_tokens_per_s", "tokens/s",
			    (double)tokens * 1e6 / (double)(last - first), 0, n, err);
}

static int goodput(const Load *l, Measurement *m, Err *err)
{
	int64_t met = 0, n = l->stream.requests;
	if (!stream_has_limits(&l->stream))
		return 0;
	for (int64_t i = 0; i < n; i++)
		met += load_meets(l, &l->samples[i]);
	/* Agresti and Coull: still a width when all met it. */
	double share = (double)met / (double)n;
	double shrunk = ((double)met + 2) / ((double)n + 4);
	double se = sqrt(shrunk * (1 - shrunk) / ((double)n + 4));
	Metric metric = {.value = 100 * share,
			 .se = 100 * se,
			 .lo = 100 * fmax(0, fmin(share, shrunk - 1.96 * se)),
			 .hi = 100 * fmin(1, fmax(share, shrunk + 1.96 * se)),
			 .n = n};
	return put(m, &metric, "llm_goodput_pct", "%", err);
}

int metrics_of_llm(const Load *l, Measurement *m, Err *err)
{
	_cleanup_(values_done) Values v = {0};
	if (values_new((size_t)l->stream.requests, &v) < 0)
		return err_oom(err);
	int r = latencies(l, "llm", &v, m, err);
	if (r < 0)
		return r;
	collect(l, ttft_ms, &v);
	r = quantile(&v, 0.5, 1, "llm_ttft_ms", "ms", m, err);
	if (r < 0)
		return r;
	r = quantile(&v, 0.95, P95_MIN, "llm_ttft_p95_ms", "ms", m, err);
	if (r < 0)
		return r;
	collect(l, tpot_ms, &v);
	r = quantile(&v, 0.5, 1, "llm_tpot_ms", "ms", m, err);
	if (r < 0)
		return r;
	r = rate_of_tokens(l, m, err);
	return r < 0 ? r : goodput(l, m, err);
}

int metrics_of_stt(const Load *l, Measurement *m, Err *err)
{
	_cleanup_(values_done) Values v = {0};
	if (values_new((size_t)l->stream.requests, &v) < 0)
		return err_oom(err);
	return latencies(l, "stt", &v, m, err);
}

int metrics_quantile_spread(const Load *l, double share, double *ret)
{
	_cleanup_(values_done) Values v = {0};
	if (values_new((size_t)l->stream.requests, &v) < 0)
		return -ENOMEM;
	collect(l, latency_ms, &v);
	double at = stats_quantile(v.sorted, v.n, share), lo, hi;
	*ret = 0;
	if (share < 1 && at > 0 &&
	    stats_quantile_interval(v.sorted, v.n, share, 0.95, &lo, &hi, NULL) == 0)
		*ret = (hi - lo) / (2 * 1.96) / at;
	return 0;
}
