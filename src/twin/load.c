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
	if (stream->trace) {
		int r = trace_read(stream->trace, &l->trace, NULL);
		if (r < 0)
			return r;
	}
	l->samples = calloc((size_t)stream->requests, sizeof(*l->samples));
	if (!l->samples)
		return -ENOMEM;
	return schedule_init(&l->schedule, stream, l->trace.n > 0 ? &l->trace : NULL, speech,
			     rng_derive(seed, label, 1), rng_derive(0, label, 2));
}

void load_done(Load *l)
{
	free(l->samples);
	l->samples = NULL;
	trace_done(&l->trace);
}

static Request next_request(Load *l, int64_t now_us)
{
	Request rq = {.number = l->sent++, .planned_us = now_us};
	Size size;
	schedule_size(&l->schedule, &size);
	rq.clip_ms = size.clip_ms;
	rq.prompt = size.prompt;
	rq.output = size.output;
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
	/* Planned from the beginning, whatever the service does. */
	if (!schedule_is_closed(&l->schedule)) {
		int r = sim_timer(s, l->timer, l->began_us + schedule_next_us(&l->schedule), 0);
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
	l->began_us = s->now_us;
	bool closed = schedule_is_closed(&l->schedule);
	int64_t first = closed ? l->stream.users : 1;
	int64_t at = l->began_us + (closed ? 0 : schedule_next_us(&l->schedule));
	for (int64_t i = 0; i < first; i++) {
		int r = sim_timer(s, l->timer, at, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

bool load_meets(const Load *l, const Sample *sample)
{
	return sample->answered && stream_met(&l->stream, sample->planned_us, sample->first_us,
					      sample->end_us, sample->end_us, sample->tokens);
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
	if (!schedule_is_closed(&l->schedule))
		return 0;
	return sim_timer(s, l->timer, sample->end_us + l->stream.think_us, 0);
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
