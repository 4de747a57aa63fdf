/* The judge at work: samples go into batches, batches into sequential tests, and the verdict is
 * what their evidence says. docs/judge.md has the reasons. */
#include "watch/judge.h"

#include <math.h>
#include <string.h>

#include "watch/judge_parts.h"

enum {
	/* After so many values the question is asked at every value no more, but whenever their
	 * number has grown by a LOOKS-th: it costs more than a value does. */
	LOOKS = 40,
};

#define MEAN_WEIGHT  0.9
#define FIRST_WEIGHT 0.75 /* of the test from the beginning among those of the mean */
#define SUSPICIOUS   3.0

static const double sizes_mean[] = {.03, .06, .12, .24, .48, .96};
/* Also large ones: to whom only small improvements were known, a large one would be a drift. */
static const double sizes_less[] = {.01, .02, .04, .08, .16, .32, .64, 1.28};
static const double sizes_tail[] = {.25, .5, 1, 2, 4};

#define SIZES(x) .sizes = (x), .n_sizes = sizeof(x) / sizeof(*(x))

const ShiftAsk judge_ask_worse = {SIZES(sizes_mean)};
const ShiftAsk judge_ask_no_worse = {.down = true, SIZES(sizes_less)};
static const ShiftAsk ask_tail = {SIZES(sizes_tail)};
static const ShiftAsk ask_tail_less = {.down = true, SIZES(sizes_tail)};

static int check_spec(const JudgeSpec *s, Err *err)
{
	if (!(s->alpha > 0 && s->alpha < 0.5 && s->alpha_harmless >= 0 && s->alpha_harmless < 0.5))
		return err_set(err, -EINVAL,
			       "a judge's rate of false alarms lies between 0 and 0.5");
	if (!(s->margin >= 0 && s->margin <= 10))
		return err_set(err, -EINVAL, "a judge's margin lies between 0 and 10");
	if (!(s->tail_q >= 0.5 && s->tail_q <= 0.999))
		return err_set(err, -EINVAL, "a judge's tail begins between 0.5 and 0.999");
	if (!(s->load_ratio >= 1.01 && s->load_ratio <= 1000))
		return err_set(err, -EINVAL, "loads are alike within a factor from 1.01 to 1000");
	return 0;
}

int judge_new(const JudgeSpec *spec, const JudgeSample *baseline, size_t n, Judge **ret, Err *err)
{
	int e = check_spec(spec, err);
	if (e < 0)
		return e;
	_cleanup_(judge_freep) Judge *j = calloc(1, sizeof(*j));
	if (!j)
		return err_oom(err);
	j->spec = *spec;
	j->allowed = log1p(spec->margin);
	e = judge_prepare(j, baseline, n);
	if (e < 0)
		return err_oom(err);
	*ret = TAKE_PTR(j);
	return 0;
}

Judge *judge_free(Judge *j)
{
	if (j) {
		free(j->baseline);
		load_model_done(&j->load);
		shift_free(j->mean);
		shift_free(j->tail);
		shift_free(j->ready);
		for (size_t i = 0; i < AGAIN; i++)
			shift_free(j->again[i].test);
		free(j);
	}
	return NULL;
}

bool judge_usable(const JudgeSample *s)
{
	return s->failed || (isfinite(s->value) && s->value > 0);
}

/* A full batch gives its sum and the covariates' means, and is empty again. */
static bool batch_add(Batch *b, double x, const double *covariates, double *ret_sum,
		      double *ret_cov)
{
	b->sum += x;
	for (size_t i = 0; i < SHIFT_COVARIATES_MAX; i++)
		b->covariates[i] += covariates[i];
	if (++b->n < b->full)
		return false;
	*ret_sum = b->sum;
	for (size_t i = 0; i < SHIFT_COVARIATES_MAX; i++)
		ret_cov[i] = b->covariates[i] / (double)b->full;
	*b = (Batch){.full = b->full};
	return true;
}

/* The square root of a count has about the same variance whatever its expectation (Anscombe). */
static double of_count(double k)
{
	return 2 * sqrt(k + 0.375);
}

/* What starts well may get worse: the test begins anew, with the same basis, every AGAIN_EVERY
 * values, and lives for AGAIN times as long. What came in between it knows nothing of. */
static void begin_again(Judge *j)
{
	if (j->mean_values == 0 || j->mean_values % AGAIN_EVERY != 0)
		return;
	size_t k = j->mean_values / AGAIN_EVERY;
	Again *a = &j->again[k % AGAIN];
	shift_assign(a->test, j->ready);
	shift_gap(a->test, (double)j->mean_values);
	a->running = true;
	a->log_evidence = 0;
	a->weight = (1 - FIRST_WEIGHT) / ((double)k * (double)(k + 1)); /* their sum is the rest */
}

static void feed_mean(Judge *j, double value, const double *covariates)
{
	if (j->ready)
		begin_again(j);
	shift_add(j->mean, value, covariates);
	for (size_t i = 0; i < AGAIN; i++)
		if (j->again[i].running)
			shift_add(j->again[i].test, value, covariates);
}

bool judge_feed(Judge *j, const JudgeSample *s, double threshold)
{
	double off =
	    s->failed ? (double)INFINITY : log(s->value) - load_expected(&j->load, s->load);
	double clipped = fmin(fmax(off, j->clip_lo), j->clip_hi);
	double covariates[SHIFT_COVARIATES_MAX], sum, means[SHIFT_COVARIATES_MAX];
	bool beyond = s->failed || off > threshold;
	load_covariates(&j->load, s->load, covariates);
	j->n_tail += beyond;
	if (batch_add(&j->tail_batch, beyond, covariates, &sum, means)) {
		shift_add(j->tail, of_count(sum), means);
		j->tail_values++;
	}
	if (!batch_add(&j->mean_batch, clipped, covariates, &sum, means))
		return false;
	feed_mean(j, sum / (double)j->mean_batch.full, means);
	return true;
}

/* A time without samples is time for the slow part to move on. */
static void pass_time(Judge *j, int64_t at_us)
{
	double missed =
	    j->interval_us > 0
		? ((double)at_us - (double)j->last_counted_us) / (double)j->interval_us - 1
		: 0;
	if (missed < (double)j->mean_batch.full)
		return;
	shift_gap(j->mean, missed / (double)j->mean_batch.full);
	shift_gap(j->tail, missed / (double)j->tail_batch.full);
	for (size_t i = 0; i < AGAIN; i++)
		if (j->again[i].running)
			shift_gap(j->again[i].test, missed / (double)j->mean_batch.full);
}

/* The same value over and over is what a stuck exporter gives. Those beyond what the baseline had
 * do not count. */
static bool stuck(Judge *j, const JudgeSample *s)
{
	double value = s->failed ? -1 : s->value;
	j->run = value == j->run_value ? j->run + 1 : 1;
	j->run_value = value;
	return !s->failed && j->run > j->run_limit;
}

static void histogram_add(Judge *j, const JudgeSample *s)
{
	double at = s->failed
			? HISTOGRAM
			: (log(s->value) - j->load.coef[0]) * HISTOGRAM / 16 + HISTOGRAM / 2.0;
	j->histogram[(size_t)fmin(fmax(at, 0), HISTOGRAM - 1)]++;
}

/* Does it count? The counters say why not. A clock that was set back costs one sample. */
static bool counts(Judge *j, const JudgeSample *s)
{
	bool back = j->any && s->at_us <= j->last_us;
	j->any = true;
	j->last_us = s->at_us;
	if (back)
		return j->n_back++, false;
	if (!judge_usable(s))
		return j->n_bad++, false;
	if (!load_alike(&j->load, s->load))
		return j->n_unlike++, false;
	if (stuck(j, s))
		return j->n_stuck++, false;
	return true;
}

static double ask(const Shift *s, ShiftAsk a, double null)
{
	a.null = null;
	return shift_evidence(s, &a);
}

static double watch_effective(const Judge *j)
{
	return j->n_baseline > 0 ? (double)j->n * j->n_effective / (double)j->n_baseline : 0;
}

/* Not at every value: what they look for is large, or the long test finds it. */
static void look_again(Judge *j)
{
	for (size_t i = 0; i < AGAIN && j->mean_values % 3 == 0; i++)
		if (j->again[i].running)
			j->again[i].log_evidence =
			    ask(j->again[i].test, judge_ask_worse, j->allowed);
}

/* The weighted average of several kinds of evidence is evidence, so that looking at the tail and
 * for later changes too costs no error. The mean has most of the weight: it is what is asked for,
 * and counts of rare events in a drift are less like the model than means are. */
static double together(const Judge *j)
{
	double most = fmax(j->log_mean, j->log_tail), sum = 0;
	for (size_t i = 0; i < AGAIN; i++)
		most = fmax(most, j->again[i].log_evidence);
	sum = FIRST_WEIGHT * exp(j->log_mean - most);
	for (size_t i = 0; i < AGAIN; i++)
		if (j->again[i].running)
			sum += j->again[i].weight * exp(j->again[i].log_evidence - most);
	return most + log(MEAN_WEIGHT * sum + (1 - MEAN_WEIGHT) * exp(j->log_tail - most));
}

/* Something speaks for "worse", though not enough. */
static bool suspicious(const Judge *j)
{
	bool found = together(j) > 0;
	for (size_t i = 0; i < AGAIN; i++)
		found = found || (j->again[i].running && j->again[i].log_evidence > SUSPICIOUS);
	return found;
}

/* What was compared speaks for the whole only if it was most of it. */
static bool mostly_compared(const Judge *j)
{
	return j->n >= j->n_unlike + j->n_bad + j->n_stuck + j->n_back;
}

/* Both parts have to exclude what is not allowed, each at the stated error: then so does the whole.
 */
static JudgeVerdict harmless(const Judge *j)
{
	double enough = -log(j->spec.alpha_harmless > 0 ? j->spec.alpha_harmless : j->spec.alpha);
	if (watch_effective(j) < (double)j->spec.min_samples ||
	    ask(j->mean, judge_ask_no_worse, j->allowed) < enough ||
	    ask(j->tail, ask_tail_less, j->tail_allowed) < enough)
		return JUDGE_INCONCLUSIVE;
	return ask(j->mean, judge_ask_no_worse, 0) >= enough ? JUDGE_BETTER : JUDGE_NO_WORSE;
}

static void look(Judge *j)
{
	j->log_mean = ask(j->mean, judge_ask_worse, j->allowed);
	if (j->tail_known && j->tail_values > j->tail_asked)
		j->log_tail = ask(j->tail, ask_tail, 0);
	j->tail_asked = j->tail_values;
	j->harmless = harmless(j);
}

static void conclude(Judge *j)
{
	double evidence = together(j);
	j->verdict = suspicious(j) ? JUDGE_INCONCLUSIVE : j->harmless;
	if (evidence < -log(j->spec.alpha))
		return;
	j->verdict = JUDGE_WORSE;
	j->by_tail = log(1 - MEAN_WEIGHT) + j->log_tail > evidence - M_LN2;
}

int judge_add(Judge *j, const JudgeSample *s)
{
	if (j->no_basis != BASIS_OK || !counts(j, s))
		return 0;
	pass_time(j, s->at_us);
	j->last_counted_us = s->at_us;
	j->n++;
	j->n_failed += s->failed;
	j->load_sum += j->load.known ? load_log(&j->load, s->load) : 0;
	histogram_add(j, s);
	if (!judge_feed(j, s, j->tail_at + j->allowed))
		return 0;
	j->mean_values++;
	if (j->verdict == JUDGE_WORSE)
		return 0;
	look_again(j);
	if (j->mean_values >= j->next_look) {
		j->next_look = j->mean_values + 1 + j->mean_values / LOOKS;
		look(j);
	}
	conclude(j);
	return 0;
}

JudgeVerdict judge_verdict(const Judge *j)
{
	bool doubtful = j->run > j->run_limit || !mostly_compared(j);
	return doubtful && j->verdict != JUDGE_WORSE ? JUDGE_INCONCLUSIVE : j->verdict;
}
