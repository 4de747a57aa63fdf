/* The plan of a comparison and the evidence it collects. Blocks are the unit: within one everything
 * is measured once, close together in time, so that what drifts from block to block (heat, other
 * load) cancels out of every difference. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "compare/compare.h"
#include "stats/stats.h"

enum {
	STEPS_MAX = 1000000,
	HOPELESS_FAILURES = 2,
};

struct Compare {
	CompareSpec spec;
	CompareArm arms[COMPARE_ARMS_MAX];
	size_t n_arms, n_blocks, n_steps;
	CompareStep *steps;
	Measurement *measured; /* n_steps, by step */
	bool *told;
};

const char *compare_role_name(CompareRole r)
{
	switch (r) {
	case ROLE_BASELINE:
		return "baseline";
	case ROLE_CANDIDATE:
		return "candidate";
	case ROLE_ABLATION:
		return "ablation";
	}
	return "unknown";
}

/* --- Arms ------------------------------------------------------------------------------------ */

/* The baseline with one parameter of the candidate. A parameter that this brings to life takes the
 * candidate's value too: it belongs to the change. */
static Point with_one_change(const CompareSpec *s, size_t dim)
{
	Point p = s->baseline;
	p.level[dim] = s->candidate.level[dim];
	space_canonical(s->space, &p);
	for (size_t k = 0; k < space_dims(s->space); k++)
		if (s->baseline.level[k] == SPACE_INACTIVE && p.level[k] != SPACE_INACTIVE &&
		    s->candidate.level[k] != SPACE_INACTIVE)
			p.level[k] = s->candidate.level[k];
	space_canonical(s->space, &p);
	return p;
}

/* c->n_arms: none. */
static size_t find_arm(const Compare *c, const Point *p)
{
	size_t i = 0;
	while (i < c->n_arms && !point_equal(c->spec.space, &c->arms[i].point, p))
		i++;
	return i;
}

static void add_arms(Compare *c)
{
	const CompareSpec *s = &c->spec;
	c->arms[c->n_arms++] = (CompareArm){.role = ROLE_BASELINE, .point = s->baseline};
	c->arms[c->n_arms++] = (CompareArm){.role = ROLE_CANDIDATE, .point = s->candidate};
	for (size_t d = 0; s->ablation && d < space_dims(s->space); d++) {
		if (s->baseline.level[d] == s->candidate.level[d])
			continue;
		/* With a single change this is the candidate itself, and known. */
		Point p = with_one_change(s, d);
		if (find_arm(c, &p) == c->n_arms && space_allows(s->space, &p, NULL))
			c->arms[c->n_arms++] =
			    (CompareArm){.role = ROLE_ABLATION, .dim = d, .point = p};
	}
}

CompareAlone compare_alone(const Compare *c, size_t dim, size_t *ret_arm)
{
	const Space *space = c->spec.space;
	Point p = with_one_change(&c->spec, dim);
	size_t arm = find_arm(c, &p);
	if (arm == c->n_arms)
		return space_allows(space, &p, NULL) ? ALONE_OFF : ALONE_NOT_ALLOWED;
	if (c->arms[arm].role == ROLE_BASELINE)
		return ALONE_NOTHING;
	*ret_arm = arm;
	return ALONE_MEASURED;
}

/* --- Order ----------------------------------------------------------------------------------- */

/* The numbers below n in an order drawn by lot. */
static void draw_order(Rng *rng, size_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t j = rng_below(rng, i + 1);
		ret[i] = ret[j];
		ret[j] = i;
	}
}

/* Rounds over all workloads, so that no workload is measured in a colder hour than another. */
static int lay_out(Compare *c)
{
	size_t workloads = c->spec.n_workloads, arm_order[COMPARE_ARMS_MAX] = {0};
	_cleanup_free_ size_t *workload_order = calloc(workloads, sizeof(*workload_order));
	if (!workload_order)
		return -ENOMEM;
	for (size_t block = 0; block < c->n_blocks; block++) {
		if (block % workloads == 0) {
			Rng rng = rng_derive(c->spec.seed, "compare.round", block / workloads);
			draw_order(&rng, workload_order, workloads);
		}
		Rng rng = rng_derive(c->spec.seed, "compare.block", block);
		draw_order(&rng, arm_order, c->n_arms);
		for (size_t k = 0; k < c->n_arms; k++)
			c->steps[block * c->n_arms + k] =
			    (CompareStep){.block = (uint32_t)block,
					  .workload = workload_order[block % workloads],
					  .arm = arm_order[k]};
	}
	return 0;
}

static int check_spec(const CompareSpec *s, Err *err)
{
	if (point_equal(s->space, &s->baseline, &s->candidate))
		return err_set(err, -EINVAL,
			       "cannot compare a configuration with itself: no parameter differs");
	if (s->n_workloads == 0 || s->pairs == 0)
		return err_set(err, -EINVAL,
			       "cannot compare without a workload and at least one pair");
	if (!(s->confidence > 0 && s->confidence < 1))
		return err_set(err, -EINVAL, "a confidence lies between 0 and 1, %g does not",
			       s->confidence);
	if (s->n_workloads > STEPS_MAX / COMPARE_ARMS_MAX / s->pairs)
		return err_set(err, -EINVAL, "%u pairs under %zu workloads are too many to measure",
			       s->pairs, s->n_workloads);
	return 0;
}

int compare_new(const CompareSpec *spec, Compare **ret, Err *err)
{
	int r = check_spec(spec, err);
	if (r < 0)
		return r;
	_cleanup_(compare_freep) Compare *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	c->spec = *spec;
	add_arms(c);
	c->n_blocks = spec->n_workloads * spec->pairs;
	c->n_steps = c->n_blocks * c->n_arms;
	c->steps = calloc(c->n_steps, sizeof(*c->steps));
	c->measured = calloc(c->n_steps, sizeof(*c->measured));
	c->told = calloc(c->n_steps, sizeof(*c->told));
	if (!c->steps || !c->measured || !c->told || lay_out(c) < 0)
		return err_oom(err);
	*ret = TAKE_PTR(c);
	return 0;
}

Compare *compare_free(Compare *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; c->measured && i < c->n_steps; i++)
		measurement_done(&c->measured[i]);
	free(c->steps);
	free(c->measured);
	free(c->told);
	free(c);
	return NULL;
}

size_t compare_arms(const Compare *c)
{
	return c->n_arms;
}

const CompareArm *compare_arm(const Compare *c, size_t i)
{
	return &c->arms[i];
}

size_t compare_steps(const Compare *c)
{
	return c->n_steps;
}

CompareStep compare_step(const Compare *c, size_t i)
{
	return c->steps[i];
}

/* --- Evidence -------------------------------------------------------------------------------- */

int compare_tell(Compare *c, size_t i, const Measurement *m)
{
	if (i >= c->n_steps)
		return -EINVAL;
	if (c->told[i] && !outcome_is_void(c->measured[i].outcome))
		return -EEXIST;
	Measurement copy = MEASUREMENT_INIT;
	int r = measurement_copy(m, &copy);
	if (r < 0)
		return r;
	measurement_done(&c->measured[i]);
	c->measured[i] = copy;
	c->told[i] = true;
	return 0;
}

/* What was told of an arm in a block; NULL: nothing yet. */
static const Measurement *told_of(const Compare *c, size_t block, size_t arm, size_t *ret_workload)
{
	for (size_t i = block * c->n_arms; i < (block + 1) * c->n_arms; i++) {
		if (c->steps[i].arm != arm || !c->told[i])
			continue;
		*ret_workload = c->steps[i].workload;
		return &c->measured[i];
	}
	return NULL;
}

/* arms[0] is the baseline, arms[1] the candidate: add_arms(). */
bool compare_hopeless(const Compare *c, const Goals *goals)
{
	size_t failures = 0, workload;
	for (size_t block = 0; block < c->n_blocks; block++) {
		const Measurement *m = told_of(c, block, 1, &workload);
		if (!m || outcome_is_void(m->outcome))
			continue;
		Fitness f = fitness_of(goals, m);
		failures += !f.feasible || !f.complete;
	}
	return failures >= HOPELESS_FAILURES;
}

int compare_metric(const Compare *c, size_t arm, const char *metric, Interval *ret)
{
	_cleanup_free_ double *x = calloc(c->n_blocks, sizeof(*x));
	if (!x)
		return -ENOMEM;
	size_t n = 0, workload;
	for (size_t block = 0; block < c->n_blocks; block++) {
		const Measurement *m = told_of(c, block, arm, &workload);
		const Metric *found = m ? measurement_get(m, metric) : NULL;
		if (found)
			x[n++] = found->value;
	}
	*ret = (Interval){.mean = stats_mean(x, n), .lo = (double)NAN, .hi = (double)NAN, .n = n};
	if (stats_t_interval(x, n, c->spec.confidence, &ret->lo, &ret->hi) < 0)
		ret->lo = ret->hi = (double)NAN;
	return 0;
}

int compare_effect(const Compare *c, size_t arm, const Goals *goals, WinnerReport *ret)
{
	if (arm == 0 || arm >= c->n_arms)
		return -EINVAL;
	_cleanup_free_ const Measurement **base = calloc(c->n_blocks, sizeof(*base));
	_cleanup_free_ const Measurement **cand = calloc(c->n_blocks, sizeof(*cand));
	_cleanup_free_ size_t *workload = calloc(c->n_blocks, sizeof(*workload));
	if (!base || !cand || !workload)
		return -ENOMEM;
	size_t n = 0;
	for (size_t block = 0; block < c->n_blocks; block++) {
		base[n] = told_of(c, block, 0, &workload[n]);
		cand[n] = told_of(c, block, arm, &workload[n]);
		n += base[n] && cand[n];
	}
	WinnerEvidence e = {
	    .goals = goals,
	    .baseline = base,
	    .candidate = cand,
	    .n_pairs = n,
	    .workload = workload,
	    .workload_names = c->spec.workload_names,
	    .min_pairs = c->spec.min_pairs,
	    .confidence = c->spec.confidence,
	    .exact = c->spec.exact,
	};
	return winner_judge(&e, ret);
}

int compare_judge(const Compare *c, const Goals *goals, WinnerReport *ret)
{
	return compare_effect(c, 1, goals, ret);
}
