/* When requests come, and how long they are. */
#include <math.h>

#include "loadgen/workload.h"

enum {
	GAP_MAX_S = 86400, /* a gap beyond a day is a mistake of the rate, not load */
};

/* In units of the mean gap. */
static double gap_shape(const Stream *s, Rng *rng)
{
	switch ((Arrivals)s->arrivals) {
	case ARRIVALS_POISSON:
		return rng_exponential(rng);
	case ARRIVALS_GAMMA: {
		double shape = 1 / (s->cv * s->cv);
		return rng_gamma(rng, shape) / shape;
	}
	case ARRIVALS_CONSTANT:
	case ARRIVALS_CLOSED:
		break;
	}
	return 1;
}

int64_t stream_gap_us(const Stream *s, Rng *rng)
{
	if (s->arrivals == ARRIVALS_CLOSED)
		return s->think_us;
	double gap = gap_shape(s, rng) * 1e6 / s->rate;
	return (int64_t)llround(fmin(gap, GAP_MAX_S * 1e6));
}

int64_t lengths_draw(const Lengths *l, Rng *rng)
{
	double v = l->sigma > 0 ? rng_lognormal(rng, l->median, l->sigma) : l->median;
	if (v <= (double)l->min)
		return l->min;
	if (v >= (double)l->max)
		return l->max;
	return (int64_t)llround(v);
}

bool workload_is_bursty(const Workload *w)
{
	const Stream *streams[] = {w->llm, w->stt};
	for (int i = 0; i < 2; i++)
		if (streams[i] && streams[i]->arrivals == ARRIVALS_GAMMA && streams[i]->cv > 1)
			return true;
	return false;
}
