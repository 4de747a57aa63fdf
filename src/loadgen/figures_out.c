/* Figures as the metrics of a trial and as JSON. */
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "loadgen/figures.h"
#include "stats/stats.h"

/* --- Metrics --------------------------------------------------------------------------------- */

typedef struct Target {
	const char *prefix;
	Measurement *m;
	Err *err;
} Target;

static int set(const Target *t, const char *suffix, const char *unit, Metric *metric)
{
	if (!isfinite(metric->value))
		return 0;
	snprintf(metric->name, sizeof(metric->name), "%s_%s", t->prefix, suffix);
	snprintf(metric->unit, sizeof(metric->unit), "%s", unit);
	return measurement_set(t->m, metric, t->err);
}

static int set_figure(const Target *t, const char *suffix, const char *unit, const Figure *f)
{
	Metric metric = {.value = f->value, .lo = f->lo, .hi = f->hi, .n = f->n};
	if (isfinite(f->lo) && isfinite(f->hi))
		metric.se = (f->hi - f->lo) / (2 * 1.96);
	else
		metric.lo = metric.hi = (double)NAN;
	return set(t, suffix, unit, &metric);
}

static int set_plain(const Target *t, const char *suffix, const char *unit, double value, int64_t n)
{
	Metric metric = {.value = value, .lo = (double)NAN, .hi = (double)NAN, .n = n};
	return set(t, suffix, unit, &metric);
}

static int set_share(const Target *t, const char *suffix, double share, int64_t n)
{
	double lo, hi;
	if (n <= 0 || !isfinite(share) ||
	    stats_share_interval((size_t)llround(share * (double)n), (size_t)n, 0.95, &lo, &hi) < 0)
		return 0;
	Metric metric = {.value = 100 * share,
			 .lo = 100 * lo,
			 .hi = 100 * hi,
			 .se = 100 * (hi - lo) / (2 * 1.96),
			 .n = n};
	return set(t, suffix, "%", &metric);
}

/* Which percentiles of what are metrics: few, since a measurement holds only so many, and each is a
 * column somewhere. */
int stream_metrics(const StreamFigures *f, const char *name, Measurement *m, Err *err)
{
	enum {
		P50 = 0,
		P95 = 2,
		P99 = 3,
	};
	const struct {
		const Distribution *of;
		int p;
		const char *suffix, *unit;
	} rows[] = {
	    {&f->e2e_ms, P50, "latency_ms", "ms"},     {&f->e2e_ms, P95, "latency_p95_ms", "ms"},
	    {&f->e2e_ms, P99, "latency_p99_ms", "ms"}, {&f->ttft_ms, P50, "ttft_ms", "ms"},
	    {&f->ttft_ms, P95, "ttft_p95_ms", "ms"},   {&f->ttft_ms, P99, "ttft_p99_ms", "ms"},
	    {&f->tpot_ms, P50, "tpot_ms", "ms"},       {&f->tpot_ms, P95, "tpot_p95_ms", "ms"},
	    {&f->gap_ms, P50, "gap_ms", "ms"},	       {&f->gap_ms, P99, "gap_p99_ms", "ms"},
	    {&f->queue_ms, P50, "queue_ms", "ms"},     {&f->queue_ms, P99, "queue_p99_ms", "ms"},
	    {&f->real_time, P50, "real_time", ""},
	};
	Target t = {.prefix = name, .m = m, .err = err};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int r = set_figure(&t, rows[i].suffix, rows[i].unit, &rows[i].of->p[rows[i].p]);
		if (r < 0)
			return r;
	}
	int64_t steady = f->sent - f->unsteady;
	int r = set_plain(&t, "tokens_per_s", "tokens/s", f->tokens_s, f->e2e_ms.n);
	if (r >= 0)
		r = set_plain(&t, "delivered_per_s", "1/s", f->delivered_rate, steady);
	if (r >= 0 && isfinite(f->goodput_lo)) {
		Metric good = {.value = 100 * f->goodput_share,
			       .lo = 100 * f->goodput_lo,
			       .hi = 100 * f->goodput_hi,
			       .se = 100 * (f->goodput_hi - f->goodput_lo) / (2 * 1.96),
			       .n = steady};
		r = set(&t, "goodput_pct", "%", &good);
	}
	if (r >= 0 && f->sent > 0)
		r = set_share(&t, "failed_pct", (double)f->failed / (double)f->sent, f->sent);
	return r;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *figure_json(const Figure *f)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "value", js_number(f->value), &failed);
	js_set(o, "ci95",
	       isfinite(f->lo) && isfinite(f->hi) ? json_pack("[ff]", f->lo, f->hi) : json_null(),
	       &failed);
	js_set(o, "n", json_integer(f->n), &failed);
	if (isfinite(f->value))
		js_set(o, "n_effective", js_number(f->n_effective), &failed);
	else
		js_set(o, "needs", json_integer(f->needs), &failed);
	if (!failed && o)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *distribution_json(const Distribution *d)
{
	static const char *const names[PERCENTILES] = {"p50", "p90", "p95", "p99", "p99_9"};
	bool failed = false;
	if (d->n == 0)
		return json_null();
	json_t *o = json_object();
	js_set(o, "n", json_integer(d->n), &failed);
	js_set(o, "min", js_number(d->min), &failed);
	js_set(o, "max", js_number(d->max), &failed);
	js_set(o, "mean", figure_json(&d->mean), &failed);
	for (size_t i = 0; i < PERCENTILES; i++)
		js_set(o, names[i], figure_json(&d->p[i]), &failed);
	if (!failed && o)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *failures_json(const StreamFigures *f)
{
	bool failed = false;
	json_t *o = json_object();
	for (int i = 0; i < EXCHANGE_FAILURE_MAX_; i++)
		if (i != EXCHANGE_OK && i != EXCHANGE_TRANSPORT && f->failures[i] > 0)
			js_set(o, exchange_failure_name((ExchangeFailure)i),
			       json_integer(f->failures[i]), &failed);
	for (int i = 0; i < HTTP_FAULT_MAX_; i++)
		if (f->faults[i] > 0)
			js_set(o, http_fault_name((HttpFault)i), json_integer(f->faults[i]),
			       &failed);
	if (!failed && o)
		return o;
	json_decref(o);
	return NULL;
}

json_t *stream_figures_json(const StreamFigures *f)
{
	const struct {
		const char *name;
		const Distribution *d;
	} rows[] = {
	    {"e2e_ms", &f->e2e_ms},	  {"e2e_from_send_ms", &f->e2e_from_send_ms},
	    {"queue_ms", &f->queue_ms},	  {"ttft_ms", &f->ttft_ms},
	    {"gap_ms", &f->gap_ms},	  {"tpot_ms", &f->tpot_ms},
	    {"real_time", &f->real_time},
	};
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "sent", json_integer(f->sent), &failed);
	js_set(o, "answered", json_integer(f->answered), &failed);
	js_set(o, "failed", json_integer(f->failed), &failed);
	js_set(o, "failures", failures_json(f), &failed);
	js_set(o, "unfinished", json_integer(f->unfinished), &failed);
	js_set(o, "warmup", json_integer(f->warmup), &failed);
	js_set(o, "unsteady", json_integer(f->unsteady), &failed);
	js_set(o, "steady", json_boolean(f->steady), &failed);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		js_set(o, rows[i].name, distribution_json(rows[i].d), &failed);
	js_set(o, "asked_rate", js_number(f->asked_rate), &failed);
	js_set(o, "delivered_rate", js_number(f->delivered_rate), &failed);
	js_set(o, "tokens_s", js_number(f->tokens_s), &failed);
	js_set(o, "tokens_in_s", js_number(f->tokens_in_s), &failed);
	js_set(o, "chunks_s", js_number(f->chunks_s), &failed);
	js_set(o, "goodput_share", js_number(f->goodput_share), &failed);
	js_set(o, "goodput_ci95",
	       isfinite(f->goodput_lo) ? json_pack("[ff]", f->goodput_lo, f->goodput_hi)
				       : json_null(),
	       &failed);
	js_set(o, "goodput_rate", js_number(f->goodput_rate), &failed);
	js_set(o, "autocorrelation", js_number(f->autocorrelation), &failed);
	if (!failed && o)
		return o;
	json_decref(o);
	return NULL;
}

json_t *traffic_json(const TrafficResult *r)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "duration_ms", js_number((double)(r->ended_us - r->began_us) / 1e3), &failed);
	js_set(o, "cpu_share", js_number(r->cpu_share), &failed);
	js_set(o, "late_p50_us", json_integer(r->late_p50_us), &failed);
	js_set(o, "late_p99_us", json_integer(r->late_p99_us), &failed);
	js_set(o, "late_max_us", json_integer(r->late_max_us), &failed);
	js_set(o, "loop_lag_max_us", json_integer(r->loop_lag_max_us), &failed);
	js_set(o, "limited_by_client", json_boolean(r->limited_by_client), &failed);
	js_set(o, "limited_why", r->limited_by_client ? js_text(r->limited_why) : json_null(),
	       &failed);
	if (!failed && o)
		return o;
	json_decref(o);
	return NULL;
}
