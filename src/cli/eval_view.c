/* The result of one evaluation: in the words of the first version, and a few lines about real
 * services. */
#include "cli/eval_view.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

/* --- As the first version wrote it ----------------------------------------------------------- */

static double metric_value(const Measurement *m, const char *name)
{
	const Metric *metric = measurement_get(m, name);
	return metric ? metric->value : (double)NAN;
}

/* docs/evaluator.md has the translation the other way round. */
static const char *seed_status(const Measurement *m)
{
	switch (m->outcome) {
	case OUTCOME_OK:
		return metric_value(m, "oom_events") > 0 ? "fail" : "pass";
	case OUTCOME_OUT_OF_BOUNDS:
		return "invalid";
	case OUTCOME_INFEASIBLE:
		return "invalid_production";
	case OUTCOME_START_FAILED:
	case OUTCOME_OOM:
	case OUTCOME_CPU_FALLBACK:
	case OUTCOME_CRASHED:
	case OUTCOME_UNHEALTHY:
	case OUTCOME_TIMEOUT:
		return "fail";
	case OUTCOME_CONTENDED:
	case OUTCOME_HARDWARE_FAULT:
	case OUTCOME_MEASURE_FAILED:
	case OUTCOME_MAX_:
		break;
	}
	return "error"; /* says nothing about the candidate */
}

/* What was left of the card at its fullest: of the sampler, or of the simulated box. */
static json_t *free_memory(const json_t *evidence)
{
	const json_t *gpu = json_object_get(evidence, "gpu");
	const json_t *box = json_object_get(evidence, "memory");
	const json_t *from = json_is_object(gpu) ? gpu : box;
	int64_t total = js_int(from, "total_bytes", -1);
	int64_t peak = js_int(from, from == gpu ? "used_peak_bytes" : "peak_bytes", -1);
	if (total < 0 || peak < 0 || peak > total)
		return json_null();
	return json_integer((total - peak) >> 20);
}

/* A count as an integer. */
static json_t *number(double v)
{
	return floor(v) == v && fabs(v) < 1e15 ? json_integer((json_int_t)v) : js_number(v);
}

json_t *evaluation_json(const StoreTrial *t)
{
	static const struct {
		const char *theirs, *ours;
	} rows[] = {
	    {"stt_latency_ms", "stt_latency_ms"},	    {"llm_latency_ms", "llm_latency_ms"},
	    {"gpu_utilization_pct", "gpu_memory_pct"},	    {"oom_events", "oom_events"},
	    {"concurrent_capacity", "concurrent_capacity"},
	};
	bool failed = false;
	json_t *o = js_copy(t->params);
	_cleanup_free_ char *id = str_fmt("gpu-%.8s", t->config_hash);
	js_set(o, "test_id", id ? json_string(id) : NULL, &failed);
	js_set(o, "status", json_string(seed_status(&t->m)), &failed);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		js_set(o, rows[i].theirs, number(metric_value(&t->m, rows[i].ours)), &failed);
	js_set(o, "free_memory_mb", free_memory(t->m.evidence), &failed);
	js_set(o, "fitness", js_number(t->fitness), &failed);
	if (o && !failed)
		return o;
	json_decref(o);
	return NULL;
}

/* --- Real services --------------------------------------------------------------------------- */

/* What the sampler saw it hold at most; -1: not known. */
static int64_t peak_bytes(const json_t *evidence, const char *service)
{
	const json_t *list = json_object_get(json_object_get(evidence, "gpu"), "services");
	size_t i;
	json_t *o;
	json_array_foreach (list, i, o)
		if (strcmp(js_str(o, "service", ""), service) == 0)
			return js_int(o, "peak_bytes", -1);
	return -1;
}

static void placement_cell(Table *table, const char *placement, int64_t peak)
{
	if (!placement)
		table_text(table, NULL);
	else if (peak > 0 && strcmp(placement, "placed") == 0)
		table_cell(table, "%lld MiB", (long long)(peak >> 20));
	else if (strcmp(placement, "no_list") == 0)
		table_text(table, "not looked at");
	else if (strcmp(placement, "placed") == 0)
		table_text(table, "yes");
	else if (strcmp(placement, "little") == 0)
		table_text(table, "too little");
	else
		table_text(table, strcmp(placement, "not_placed") == 0 ? "no" : "unknown");
}

static void number_cell(Table *table, const json_t *from, const char *key, const char *unit)
{
	char text[32];
	double v = js_num(from, key, (double)NAN);
	report_number(v, unit, text);
	table_text(table, isfinite(v) ? text : NULL);
}

static void service_row(Table *table, const json_t *evidence, const char *name, const json_t *s)
{
	const json_t *slow = json_object_get(s, "slowdown");
	char took[32];
	double ready_ms = js_num(s, "ready_ms", -1);
	table_text(table, name);
	placement_cell(table, js_str(s, "placement", NULL), peak_bytes(evidence, name));
	if (ready_ms >= 0)
		time_human((int64_t)(ready_ms * 1e3), took);
	table_text(table, ready_ms >= 0 ? took : NULL);
	number_cell(table, slow, "alone_ms", "ms");
	number_cell(table, slow, "together_ms", "ms");
	number_cell(table, slow, "factor", "");
}

static void generator_text(const json_t *g, Str *out)
{
	const char *why = js_str(g, "limited_why", NULL);
	char late[32];
	if (!json_is_object(g))
		return;
	time_human(js_int(g, "late_p99_us", 0), late);
	str_addf(
	    out,
	    "generator    sent %s late at most in 99 of 100 cases, took %.1f %% of a core%s%s\n",
	    late, 100 * js_num(g, "cpu_share", 0), why ? "; it was the bottleneck: " : "",
	    why ? why : "");
}

void services_text(const Measurement *m, Str *out)
{
	static const TableColumn columns[] = {
	    {"service", ALIGN_LEFT, COLUMN_KEEP},      {"on the GPU", ALIGN_RIGHT, COLUMN_KEEP},
	    {"ready after", ALIGN_RIGHT, COLUMN_KEEP}, {"alone", ALIGN_RIGHT, COLUMN_KEEP},
	    {"together", ALIGN_RIGHT, COLUMN_KEEP},    {"slower by", ALIGN_RIGHT, COLUMN_KEEP},
	};
	json_t *services = json_object_get(m->evidence, "services"), *one;
	_cleanup_(table_freep) Table *table = NULL;
	const char *name;
	generator_text(json_object_get(m->evidence, "generator"), out);
	if (json_object_size(services) == 0)
		return;
	if (table_new(columns, 6, &table) < 0) {
		out->failed = true;
		return;
	}
	json_object_foreach (services, name, one)
		service_row(table, m->evidence, name, one);
	str_addc(out, '\n');
	if (table_print(table, 0, out, NULL) < 0)
		out->failed = true;
}
