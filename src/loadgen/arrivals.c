/* When requests come, and how long they are. */
#include "loadgen/arrivals.h"

#include <errno.h>
#include <math.h>

enum {
	GAP_MAX_S = 86400, /* a gap beyond a day is a mistake of the rate, not load */
};

static const double gap_max_us = GAP_MAX_S * 1e6;

int64_t lengths_draw(const Lengths *l, Rng *rng)
{
	double v = l->sigma > 0 ? rng_lognormal(rng, l->median, l->sigma) : l->median;
	if (v <= (double)l->min)
		return l->min;
	if (v >= (double)l->max)
		return l->max;
	return (int64_t)llround(v);
}

int schedule_init(Schedule *s, const Stream *stream, const Trace *trace, bool speech, Rng gaps,
		  Rng sizes)
{
	if (stream->arrivals == ARRIVALS_REPLAY && (!trace || trace->n == 0))
		return -EINVAL;
	if (stream->arrivals != ARRIVALS_REPLAY && stream->arrivals != ARRIVALS_CLOSED &&
	    !(stream->rate > 0))
		return -EINVAL;
	if (stream->arrivals == ARRIVALS_RAMP && !(stream->rate_to > 0))
		return -EINVAL;
	*s = (Schedule){
	    .stream = *stream, .trace = trace, .speech = speech, .gaps = gaps, .sizes = sizes};
	return 0;
}

bool schedule_is_closed(const Schedule *s)
{
	return s->stream.arrivals == ARRIVALS_CLOSED;
}

/* --- Planned times --------------------------------------------------------------------------- */

/* A gap drawn in units of the mean gap. */
static int64_t drawn_us(double gap, double rate)
{
	return (int64_t)llround(fmin(gap * 1e6 / rate, gap_max_us));
}

/* The time of number n (from 1) at an even rate, from the definition, so that rounding never adds
 * up. */
static double even_us(double n, double rate)
{
	return fmin(n * 1e6 / rate, n * gap_max_us);
}

/* The warm-up comes evenly at the first rate. Then the rate is r0 + (r1 - r0) t / T, so that after
 * a time t there were r0 t + (r1 - r0) t^2 / (2 T) requests; T is what it takes for all of them.
 * What comes after the measured ones keeps the last rate. */
static double ramp_us(const Stream *s, double n)
{
	double warmup = (double)s->warmup, requests = (double)s->requests;
	if (n <= warmup || requests < 1)
		return even_us(n, s->rate);
	double begin = even_us(warmup, s->rate), r0 = s->rate, r1 = s->rate_to;
	double k = fmin(n - warmup, requests);
	double whole_s = 2 * requests / (r0 + r1);
	/* Solved for t in the form that stays exact when both rates are the same. */
	double root = sqrt(fmax(r0 * r0 + 2 * (r1 - r0) * k / whole_s, 0));
	double t = 2 * k / (r0 + root);
	double rest = n - warmup - k;
	return begin + fmin(t * 1e6, k * gap_max_us) + even_us(rest, r1);
}

/* A trace that has come to its end starts over, one mean gap after its last request. */
static double replay_us(const Schedule *s, int64_t number)
{
	const Trace *t = s->trace;
	int64_t turn = number / (int64_t)t->n;
	const TraceRow *row = &t->rows[number % (int64_t)t->n];
	double span = (double)t->rows[t->n - 1].at_us;
	double pause = t->n > 1 ? span / (double)(t->n - 1) : 1e6;
	if (pause <= 0)
		pause = 1; /* all at once: the next turn is a microsecond later */
	double speed = s->stream.speed > 0 ? s->stream.speed : 1;
	return ((double)turn * (span + pause) + (double)row->at_us) / speed;
}

int64_t schedule_next_us(Schedule *s)
{
	const Stream *l = &s->stream;
	int64_t number = s->planned++;
	switch ((Arrivals)l->arrivals) {
	case ARRIVALS_POISSON:
		return s->at_us += drawn_us(rng_exponential(&s->gaps), l->rate);
	case ARRIVALS_GAMMA: {
		double shape = 1 / (l->cv * l->cv);
		return s->at_us += drawn_us(rng_gamma(&s->gaps, shape) / shape, l->rate);
	}
	case ARRIVALS_CONSTANT:
		return s->at_us = (int64_t)llround(even_us((double)number + 1, l->rate));
	case ARRIVALS_RAMP:
		return s->at_us = (int64_t)llround(ramp_us(l, (double)number + 1));
	case ARRIVALS_REPLAY:
		return s->at_us = (int64_t)llround(replay_us(s, number));
	case ARRIVALS_CLOSED:
	case ARRIVALS_MAX_:
		break;
	}
	return s->at_us;
}

/* --- Lengths --------------------------------------------------------------------------------- */

/* The trace's number, kept within what a request can ask. */
static int64_t said_or(int64_t said, int64_t drawn)
{
	return said >= 0 ? (said > 0 ? said : 1) : drawn;
}

void schedule_size(Schedule *s, Size *ret)
{
	const Stream *l = &s->stream;
	int64_t number = s->sized++;
	*ret = (Size){0};
	if (s->speech) {
		ret->clip_ms = lengths_draw(&l->clip_ms, &s->sizes);
	} else {
		ret->prompt = lengths_draw(&l->prompt, &s->sizes);
		ret->output = lengths_draw(&l->output, &s->sizes);
	}
	if (!s->trace || s->trace->n == 0)
		return;
	const TraceRow *row = &s->trace->rows[number % (int64_t)s->trace->n];
	if (s->speech) {
		ret->clip = trace_clip(s->trace, row);
	} else {
		ret->prompt = said_or(row->prompt, ret->prompt);
		ret->output = said_or(row->output, ret->output);
	}
}

/* --- Limits ---------------------------------------------------------------------------------- */

bool stream_has_limits(const Stream *s)
{
	return s->limit_us > 0 || s->ttft_limit_us > 0 || s->tpot_limit_us > 0;
}

bool stream_met(const Stream *s, int64_t planned_us, int64_t first_us, int64_t last_us,
		int64_t end_us, int64_t tokens)
{
	if (s->limit_us > 0 && end_us - planned_us > s->limit_us)
		return false;
	/* Of an answer that came whole only its end is known: no token came later than that. */
	if (s->ttft_limit_us > 0 &&
	    (first_us > 0 ? first_us : end_us) - planned_us > s->ttft_limit_us)
		return false;
	if (s->tpot_limit_us > 0 && first_us > 0 && tokens > 1 &&
	    (double)(last_us - first_us) > (double)s->tpot_limit_us * (double)(tokens - 1))
		return false;
	return true;
}

bool workload_is_bursty(const Workload *w)
{
	const Stream *streams[] = {w->llm, w->stt};
	for (int i = 0; i < 2; i++)
		if (streams[i] && streams[i]->arrivals == ARRIVALS_GAMMA && streams[i]->cv > 1)
			return true;
	return false;
}
