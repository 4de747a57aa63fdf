/* A measurement as a value: what owns what, and which numbers and names may enter it. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "trial/trial.h"

static bool plain_text(const char *text, size_t size, bool may_be_empty)
{
	size_t len = strnlen(text, size);
	if (len >= size || (len == 0 && !may_be_empty))
		return false;
	return strspn(text,
		      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.%/-") == len;
}

bool metric_name_valid(const char *name)
{
	return plain_text(name, METRIC_NAME_MAX, false);
}

bool metric_unit_valid(const char *unit)
{
	return plain_text(unit, METRIC_UNIT_MAX, true);
}

void measurement_done(Measurement *m)
{
	free(m->reason);
	free(m->metrics);
	json_decref(m->evidence);
	*m = MEASUREMENT_INIT;
}

static int metric_check(const Metric *x, Err *err)
{
	if (!metric_name_valid(x->name))
		return err_set(err, -EINVAL,
			       "a metric's name is not 1 to %d letters, digits or _.%%/-",
			       METRIC_NAME_MAX - 1);
	if (!metric_unit_valid(x->unit))
		return err_set(err, -EINVAL,
			       "the unit of metric '%s' is not up to %d letters, digits or _.%%/-",
			       x->name, METRIC_UNIT_MAX - 1);
	if (!isfinite(x->value))
		return err_set(err, -EINVAL, "the value of metric '%s' is not a finite number",
			       x->name);
	if (!isfinite(x->se) || x->se < 0 || x->n < 0)
		return err_set(err, -EINVAL,
			       "the standard error or the count of metric '%s' is below zero or "
			       "not finite",
			       x->name);
	bool no_interval = isnan(x->lo) && isnan(x->hi);
	if (!no_interval && !(isfinite(x->lo) && isfinite(x->hi) && x->lo <= x->hi))
		return err_set(err, -EINVAL,
			       "the interval of metric '%s' is not two finite numbers in order",
			       x->name);
	return 0;
}

static Metric *find_metric(const Measurement *m, const char *name)
{
	for (size_t i = 0; i < m->n_metrics; i++)
		if (strcmp(m->metrics[i].name, name) == 0)
			return &m->metrics[i];
	return NULL;
}

const Metric *measurement_get(const Measurement *m, const char *name)
{
	return find_metric(m, name);
}

int measurement_set(Measurement *m, const Metric *metric, Err *err)
{
	int r = metric_check(metric, err);
	if (r < 0)
		return r;
	Metric *known = find_metric(m, metric->name);
	if (known) {
		*known = *metric;
		return 0;
	}
	if (m->n_metrics >= METRICS_MAX)
		return err_set(err, -E2BIG, "a measurement holds at most %d metrics, '%s' is above",
			       METRICS_MAX, metric->name);
	Metric *grown = reallocarray(m->metrics, m->n_metrics + 1, sizeof(*grown));
	if (!grown)
		return err_oom(err);
	grown[m->n_metrics++] = *metric;
	m->metrics = grown;
	return 0;
}

int measurement_copy(const Measurement *from, Measurement *ret)
{
	Measurement m = {.outcome = from->outcome, .duration_us = from->duration_us};
	memcpy(m.cause, from->cause, sizeof(m.cause));
	if (from->reason && !(m.reason = strdup(from->reason)))
		goto oom;
	if (from->n_metrics > 0) {
		m.metrics = calloc(from->n_metrics, sizeof(*m.metrics));
		if (!m.metrics)
			goto oom;
		memcpy(m.metrics, from->metrics, from->n_metrics * sizeof(*m.metrics));
		m.n_metrics = from->n_metrics;
	}
	if (from->evidence && !(m.evidence = js_deep_copy(from->evidence)))
		goto oom;
	*ret = m;
	return 0;
oom:
	measurement_done(&m);
	return -ENOMEM;
}

int measurement_fail(Measurement *m, Outcome o, const char *cause, const char *fmt, ...)
{
	m->outcome = o;
	snprintf(m->cause, sizeof(m->cause), "%s", cause ? cause : "");
	free(TAKE_PTR(m->reason));

	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	return str_take(&text, &m->reason);
}
