/* Fitness: the weighted sum of normalised objectives, and how sure of it we are. */
#include <math.h>
#include <stdio.h>

#include "trial/objective.h"

static double clamp01(double x)
{
	return x < 0 ? 0 : x > 1 ? 1 : x;
}

double objective_score(const Objective *o, double value)
{
	if (o->goal == GOAL_TARGET)
		return clamp01(1 - fabs(value - o->target) / o->width);
	return clamp01((value - o->worst) / (o->best - o->worst));
}

/* How fast the score changes with the value; 0 where it is cut off. */
static double score_slope(const Objective *o, double value)
{
	if (o->goal == GOAL_TARGET)
		return fabs(value - o->target) < o->width ? 1 / o->width : 0;
	double low = fmin(o->worst, o->best), high = fmax(o->worst, o->best);
	return value >= low && value <= high ? 1 / (high - low) : 0;
}

double objective_regress(const Objective *o, double base, double value)
{
	if (o->goal == GOAL_TARGET)
		return (fabs(value - o->target) - fabs(base - o->target)) / o->width;
	double worse = o->goal == GOAL_MINIMIZE ? value - base : base - value;
	/* A share of nothing says nothing: then the range between worst and best is the measure. */
	double size = base != 0 ? fabs(base) : fabs(o->worst - o->best);
	return worse / size;
}

/* Evaluators report a standard error, an interval, or neither. */
static double metric_se(const Metric *x)
{
	if (x->se > 0)
		return x->se;
	const double widths = 2 * 1.959964; /* standard errors in a 95 % interval */
	return isfinite(x->lo) && isfinite(x->hi) ? (x->hi - x->lo) / widths : 0;
}

static void note(char *first, const char *name)
{
	if (!first[0])
		snprintf(first, METRIC_NAME_MAX, "%s", name);
}

static bool had_oom(const Goals *g, const Measurement *m)
{
	if (!g->oom_zero)
		return false;
	const Metric *x = measurement_get(m, "oom_events");
	return m->outcome == OUTCOME_OOM || (x && x->value > 0);
}

static bool constraints_met(const Goals *g, const Measurement *m, Fitness *f)
{
	const Constraint *c = g->constraints.items;
	bool met = true;
	for (size_t i = 0; i < g->constraints.n; i++) {
		const Metric *x = measurement_get(m, c[i].name);
		if (!x)
			note(f->missing, c[i].name);
		else if ((!isnan(c[i].min) && x->value < c[i].min) ||
			 (!isnan(c[i].max) && x->value > c[i].max))
			note(f->violated, c[i].name);
		else
			continue;
		met = false;
	}
	return met;
}

Fitness fitness_of(const Goals *g, const Measurement *m)
{
	Fitness f = {.complete = true};
	const Objective *o = g->objectives.items;
	double sum = 0, variance = 0, weights = 0;
	for (size_t i = 0; i < g->objectives.n; i++) {
		weights += o[i].weight;
		const Metric *x = measurement_get(m, o[i].name);
		if (!x) {
			f.complete = false;
			note(f.missing, o[i].name);
			continue;
		}
		double se = o[i].weight * score_slope(&o[i], x->value) * metric_se(x);
		sum += o[i].weight * objective_score(&o[i], x->value);
		variance += se * se;
	}
	f.feasible = constraints_met(g, m, &f) && m->outcome == OUTCOME_OK && !had_oom(g, m);
	if (f.feasible && weights > 0) {
		f.value = clamp01(sum / weights);
		f.se = sqrt(variance) / weights;
	}
	return f;
}
