#include "loadgen/figures.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats/stats.h"

/* A percentile is printed from so many samples on that with this probability two lie beyond it. */
static const double FLOOR_CONFIDENCE = 0.99;
static const double CONFIDENCE = 0.95;

const double figure_percentiles[PERCENTILES] = {0.5, 0.9, 0.95, 0.99, 0.999};

static const Figure no_figure = {
    .value = (double)NAN,
    .lo = (double)NAN,
    .hi = (double)NAN,
};

/* Values in the order in which they were planned; owned. */
typedef struct Values {
	double *x, *sorted;
	size_t n;
} Values;

static void values_done(Values *v)
{
	free(v->x);
	free(v->sorted);
}

static int values_new(size_t cap, Values *ret)
{
	*ret = (Values){.x = calloc(cap ? cap : 1, sizeof(double)),
			.sorted = calloc(cap ? cap : 1, sizeof(double))};
	return ret->x && ret->sorted ? 0 : -ENOMEM;
}

/* --- Distributions --------------------------------------------------------------------------- */

static Figure percentile(const Values *v, double q)
{
	Figure f = no_figure;
	size_t needs = stats_quantile_floor(q, FLOOR_CONFIDENCE), more = 0;
	f.n = (int64_t)v->n;
	f.needs = (int64_t)needs;
	f.n_effective = (double)v->n;
	if (v->n < needs)
		return f;
	double value = stats_quantile(v->sorted, v->n, q);
	f.n_effective = stats_effective_n_below(v->x, v->n, value);
	if (stats_quantile_interval_near(v->sorted, v->n, f.n_effective, q, CONFIDENCE, &f.lo,
					 &f.hi, &more) < 0) {
		/* There are enough of them, but they resemble each other too much. */
		f.needs = (int64_t)(more > v->n ? more : v->n + 1);
		return f;
	}
	f.value = value;
	f.needs = 0;
	return f;
}

static Figure mean_of(const Values *v)
{
	Figure f = no_figure;
	f.n = (int64_t)v->n;
	f.needs = 2;
	if (v->n < 2)
		return f;
	f.needs = 0;
	f.value = stats_mean(v->x, v->n);
	f.n_effective = stats_effective_n(v->x, v->n);
	if (f.n_effective < 2)
		return f;
	double half = stats_t_quantile(0.5 + CONFIDENCE / 2, f.n_effective - 1) *
		      stats_sd(v->x, v->n) / sqrt(f.n_effective);
	f.lo = f.value - half;
	f.hi = f.value + half;
	return f;
}

static Distribution distribution_of(Values *v)
{
	Distribution d = {.n = (int64_t)v->n, .min = (double)NAN, .max = (double)NAN};
	memcpy(v->sorted, v->x, v->n * sizeof(double));
	stats_sort(v->sorted, v->n);
	for (size_t i = 0; i < PERCENTILES; i++)
		d.p[i] = percentile(v, figure_percentiles[i]);
	d.mean = mean_of(v);
	if (v->n > 0) {
		d.min = v->sorted[0];
		d.max = v->sorted[v->n - 1];
	}
	return d;
}

void figure_insufficient(const Figure *f, char *ret)
{
	snprintf(ret, 64, "insufficient (n=%" PRId64 ", needs %" PRId64 ")", f->n, f->needs);
}

/* --- What one exchange says ------------------------------------------------------------------ */

/* NAN: it does not say that. */
typedef double ExchangeValue(const Exchange *e);

static bool answered(const Exchange *e)
{
	return e->failed == EXCHANGE_OK;
}

static double e2e_ms(const Exchange *e)
{
	return answered(e) ? (double)(e->end_us - e->planned_us) / 1e3 : (double)NAN;
}

static double e2e_from_send_ms(const Exchange *e)
{
	return answered(e) && e->sent_us > 0 ? (double)(e->end_us - e->sent_us) / 1e3 : (double)NAN;
}

static double queue_ms(const Exchange *e)
{
	return e->sent_us > 0 ? (double)(e->sent_us - e->planned_us) / 1e3 : (double)NAN;
}

static double ttft_ms(const Exchange *e)
{
	return answered(e) && e->chunks > 0 && e->first_us > 0
		   ? (double)(e->first_us - e->planned_us) / 1e3
		   : (double)NAN;
}

/* With the tokens that the server counted: a chunk may carry none or several. */
static double tpot_ms(const Exchange *e)
{
	return answered(e) && e->chunks > 1 && e->tokens_out > 1 && e->first_us > 0
		   ? (double)(e->last_us - e->first_us) / 1e3 / (double)(e->tokens_out - 1)
		   : (double)NAN;
}

/* Where the server does not count its tokens, its chunks stand for them: a chunk has one token or
 * more, so that no request is called good which is not. */
bool exchange_meets(const Stream *load, const Exchange *e)
{
	return answered(e) && stream_met(load, e->planned_us, e->first_us, e->last_us, e->end_us,
					 e->tokens_out > 0 ? e->tokens_out : e->chunks);
}

/* --- Which of them count --------------------------------------------------------------------- */

static bool counts(const Exchange *e)
{
	return e->measured && e->end_us > 0 && e->failed != EXCHANGE_UNFINISHED;
}

/* Only a language model's answer has tokens to wait for. */
static bool has_tokens(Protocol p)
{
	return p == PROTOCOL_OPENAI_CHAT || p == PROTOCOL_OPENAI_COMPLETIONS ||
	       p == PROTOCOL_OLLAMA_CHAT || p == PROTOCOL_OLLAMA_GENERATE;
}

/* The values of `r` from exchange `from` on. */
static Distribution distribution(const StreamResult *r, size_t from, ExchangeValue *value,
				 Values *v)
{
	v->n = 0;
	for (size_t i = from; i < r->n; i++) {
		double x = counts(&r->exchanges[i]) ? value(&r->exchanges[i]) : (double)NAN;
		if (isfinite(x))
			v->x[v->n++] = x;
	}
	return distribution_of(v);
}

static int gaps(const StreamResult *r, size_t from, Distribution *ret)
{
	_cleanup_(values_done) Values v = {0};
	if (values_new(r->n_gaps, &v) < 0)
		return -ENOMEM;
	for (size_t i = from; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (!counts(e) || !answered(e) || e->gaps_at > r->n_gaps ||
		    e->n_gaps > r->n_gaps - e->gaps_at)
			continue;
		for (uint32_t k = 0; k < e->n_gaps && v.n < r->n_gaps; k++)
			v.x[v.n++] = r->gaps_us[e->gaps_at + k] / 1e3;
	}
	*ret = distribution_of(&v);
	return 0;
}

/* The first exchange of the steady part; the end-to-end latency says where that is. */
static int find_steady(const StreamResult *r, StreamFigures *f, size_t *ret_from)
{
	_cleanup_(values_done) Values v = {0};
	_cleanup_free_ double *scratch = NULL;
	_cleanup_free_ size_t *at = NULL;
	if (values_new(r->n, &v) < 0)
		return -ENOMEM;
	scratch = calloc(2 * r->n + 1, sizeof(*scratch));
	at = calloc(r->n + 1, sizeof(*at));
	if (!scratch || !at)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++) {
		double x = counts(&r->exchanges[i]) ? e2e_ms(&r->exchanges[i]) : (double)NAN;
		if (isfinite(x)) {
			at[v.n] = i;
			v.x[v.n++] = x;
		}
	}
	size_t cut = 0;
	f->steady = stats_settled(v.x, v.n, scratch, &cut);
	f->autocorrelation = stats_autocorrelation(v.x + cut, v.n - cut);
	*ret_from = cut > 0 ? at[cut] : 0;
	for (size_t i = 0; i < *ret_from; i++)
		f->unsteady += counts(&r->exchanges[i]);
	return 0;
}

static void count(const StreamResult *r, StreamFigures *f)
{
	bool begun = false;
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		begun = begun || e->measured;
		f->warmup += !begun;
		f->unfinished += e->measured && !counts(e);
		if (!counts(e))
			continue;
		f->sent++;
		f->answered += answered(e);
		f->failed += !answered(e);
		if (e->failed < EXCHANGE_FAILURE_MAX_)
			f->failures[e->failed]++;
		if (e->failed == EXCHANGE_TRANSPORT && e->fault < HTTP_FAULT_MAX_)
			f->faults[e->fault]++;
	}
}

/* --- Rates ----------------------------------------------------------------------------------- */

typedef struct Sums {
	int64_t n, sent, met, answered, tokens_out, tokens_in, chunks;
	int64_t said_out, said_in; /* answers whose server said how many tokens there were */
	int64_t planned_first, planned_last, sent_first, sent_last, end_last;
} Sums;

static void widen(int64_t at, int64_t *first, int64_t *last)
{
	*first = at < *first ? at : *first;
	*last = at > *last ? at : *last;
}

static Sums sum_up(const StreamResult *r, size_t from)
{
	Sums s = {.planned_first = INT64_MAX, .sent_first = INT64_MAX};
	for (size_t i = from; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (!counts(e))
			continue;
		s.n++;
		s.met += exchange_meets(&r->load, e);
		widen(e->planned_us, &s.planned_first, &s.planned_last);
		s.end_last = e->end_us > s.end_last ? e->end_us : s.end_last;
		if (e->sent_us > 0) {
			s.sent++;
			widen(e->sent_us, &s.sent_first, &s.sent_last);
		}
		if (!answered(e))
			continue;
		s.answered++;
		s.chunks += e->chunks;
		s.said_out += e->tokens_out >= 0;
		s.said_in += e->tokens_in >= 0;
		s.tokens_out += e->tokens_out > 0 ? e->tokens_out : 0;
		s.tokens_in += e->tokens_in > 0 ? e->tokens_in : 0;
	}
	return s;
}

static double per_second(int64_t n, int64_t over_us)
{
	return over_us > 0 ? (double)n * 1e6 / (double)over_us : (double)NAN;
}

/* Room for one number an exchange is in `v`. */
static void good_share(const StreamResult *r, size_t from, const Sums *s, Values *v,
		       StreamFigures *f)
{
	f->goodput_share = (double)s->met / (double)s->n;
	v->n = 0;
	for (size_t i = from; i < r->n; i++)
		if (counts(&r->exchanges[i]))
			v->x[v->n++] = exchange_meets(&r->load, &r->exchanges[i]) ? 1 : 0;
	if (stats_share_interval_near(f->goodput_share, stats_effective_n(v->x, v->n), CONFIDENCE,
				      &f->goodput_lo, &f->goodput_hi) < 0)
		f->goodput_lo = f->goodput_hi = (double)NAN;
}

/* Asked and delivered are both counted from the first to the last of the same requests, so that
 * they differ only by what the generator was late. */
static void rates(const StreamResult *r, size_t from, Values *v, StreamFigures *f)
{
	Sums s = sum_up(r, from);
	int64_t span_us = s.end_last - s.planned_first;
	f->asked_rate = f->delivered_rate = f->goodput_share = f->goodput_rate = (double)NAN;
	f->goodput_lo = f->goodput_hi = (double)NAN;
	f->tokens_s = f->tokens_in_s = f->chunks_s = (double)NAN;
	if (s.n == 0)
		return;
	if (r->load.arrivals == ARRIVALS_CLOSED) {
		f->delivered_rate = per_second(s.answered, span_us);
	} else {
		f->asked_rate = per_second(s.n - 1, s.planned_last - s.planned_first);
		if (s.sent > 0)
			f->delivered_rate = per_second(s.sent - 1, s.sent_last - s.sent_first);
	}
	/* The tokens of some answers only would be a rate that nobody had. */
	if (s.answered > 0 && s.said_out == s.answered)
		f->tokens_s = per_second(s.tokens_out, span_us);
	if (s.answered > 0 && s.said_in == s.answered)
		f->tokens_in_s = per_second(s.tokens_in, span_us);
	if (s.chunks > 0)
		f->chunks_s = per_second(s.chunks, span_us);
	if (stream_has_limits(&r->load)) {
		good_share(r, from, &s, v, f);
		f->goodput_rate = per_second(s.met, span_us);
	}
}

int stream_figures(const StreamResult *r, StreamFigures *ret, Err *err)
{
	_cleanup_(values_done) Values v = {0};
	StreamFigures f = {0};
	size_t from = 0;
	if (values_new(r->n, &v) < 0 || find_steady(r, &f, &from) < 0 ||
	    gaps(r, from, &f.gap_ms) < 0)
		return err_oom(err);
	count(r, &f);
	f.e2e_ms = distribution(r, from, e2e_ms, &v);
	f.e2e_from_send_ms = distribution(r, from, e2e_from_send_ms, &v);
	f.queue_ms = distribution(r, from, queue_ms, &v);
	v.n = 0;
	f.real_time = f.ttft_ms = f.tpot_ms = distribution_of(&v);
	if (has_tokens(r->protocol)) {
		f.ttft_ms = distribution(r, from, ttft_ms, &v);
		f.tpot_ms = distribution(r, from, tpot_ms, &v);
	}
	rates(r, from, &v, &f);
	*ret = f;
	return 0;
}

int stream_figures_add_clips(StreamFigures *f, const StreamResult *r, Err *err)
{
	_cleanup_(values_done) Values v = {0};
	int64_t skip = f->unsteady;
	if (values_new(r->n, &v) < 0)
		return err_oom(err);
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (!counts(e) || skip-- > 0)
			continue;
		if (answered(e) && e->sent_us > 0 && e->clip_ms > 0)
			v.x[v.n++] = (double)(e->end_us - e->sent_us) / (1e3 * e->clip_ms);
	}
	f->real_time = distribution_of(&v);
	return 0;
}
