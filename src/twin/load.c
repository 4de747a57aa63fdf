#include "twin/load.h"

#include <errno.h>
#include <stdlib.h>

enum {
	/* How far a stream may run on while another is measured, in multiples of its own size. */
	RUN_ON_MAX = 20,
};

int load_init(Load *l, const Stream *stream, bool speech, uint64_t seed, LoadSend *send, void *to)
{
	const char *label = speech ? "twin stt" : "twin llm";
	*l = (Load){.stream = *stream, .speech = speech, .send = send, .to = to, .misses_max = -1};
	l->gaps = rng_derive(seed, label, 1);
	l->sizes = rng_derive(0, label, 2);
	l->samples = calloc((size_t)stream->requests, sizeof(*l->samples));
	return l->samples ? 0 : -ENOMEM;
}

void load_done(Load *l)
{
	free(l->samples);
	l->samples = NULL;
}

static Request next_request(Load *l, int64_t now_us)
{
	Request rq = {.number = l->sent++, .planned_us = now_us};
	if (l->speech) {
		rq.clip_ms = lengths_draw(&l->stream.clip_ms, &l->sizes);
	} else {
		rq.prompt = lengths_draw(&l->stream.prompt, &l->sizes);
		rq.output = lengths_draw(&l->stream.output, &l->sizes);
	}
	return rq;
}

static int64_t wanted(const Load *l)
{
	return l->stream.warmup + l->stream.requests;
}

static bool sends_more(const Load *l)
{
	if (l->sent < wanted(l))
		return true;
	return l->goes_on && l->sent < RUN_ON_MAX * wanted(l) + 1000;
}

static int due(Sim *s, void *owner, uint32_t mark)
{
	(void)mark;
	Load *l = owner;
	if (!sends_more(l))
		return 0;
	Request rq = next_request(l, s->now_us);
	/* The next gap runs from the planned time, whatever the service does. */
	if (l->stream.arrivals != ARRIVALS_CLOSED) {
		int r = sim_timer(s, l->timer, s->now_us + stream_gap_us(&l->stream, &l->gaps), 0);
		if (r < 0)
			return r;
	}
	return l->send(s, l->to, &rq);
}

int load_begin(Load *l, Sim *s, int64_t *unfinished)
{
	l->unfinished = unfinished;
	l->timer = sim_add_timer(s, due, l);
	if (l->timer < 0)
		return l->timer;
	bool closed = l->stream.arrivals == ARRIVALS_CLOSED;
	int64_t first = closed ? l->stream.users : 1;
	int64_t at = s->now_us + (closed ? 0 : stream_gap_us(&l->stream, &l->gaps));
	for (int64_t i = 0; i < first; i++) {
		int r = sim_timer(s, l->timer, at, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

bool load_meets(const Load *l, const Sample *sample)
{
	int64_t limit = l->stream.limit_us;
	return sample->answered && (limit <= 0 || sample->end_us - sample->planned_us <= limit);
}

static int answered(Load *l, Sim *s, const Request *rq, const Sample *sample)
{
	int64_t slot = rq->number - l->stream.warmup;
	if (slot >= 0 && slot < l->stream.requests) {
		l->samples[slot] = *sample;
		l->misses += !load_meets(l, sample);
		if (l->misses_max >= 0 && l->misses > l->misses_max)
			sim_halt(s);
		if (++l->measured == l->stream.requests && !l->background && --*l->unfinished == 0)
			sim_halt(s);
	}
	if (l->stream.arrivals != ARRIVALS_CLOSED)
		return 0;
	return sim_timer(s, l->timer, sample->end_us + stream_gap_us(&l->stream, &l->gaps), 0);
}

int load_answered(Load *l, Sim *s, const Request *rq, int64_t first_us, int64_t end_us,
		  int64_t tokens)
{
	const Sample sample = {true, rq->planned_us, first_us, end_us, tokens};
	return answered(l, s, rq, &sample);
}

int load_refused(Load *l, Sim *s, const Request *rq)
{
	const Sample sample = {false, rq->planned_us, s->now_us, s->now_us, 0};
	return answered(l, s, rq, &sample);
}
