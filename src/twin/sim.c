#include "twin/sim.h"

#include <errno.h>
#include <math.h>

enum {
	EVENT_WORK,
	EVENT_TIMER,
	EVENT_NOISE,
};

int sim_add_worker(Sim *s, WorkDone *done, void *owner, double busy)
{
	if (s->n_workers == SIM_WORKERS_MAX)
		return -E2BIG;
	s->workers[s->n_workers] = (Worker){.done = done, .owner = owner, .busy = busy};
	return (int)s->n_workers++;
}

int sim_add_timer(Sim *s, TimerDue *due, void *owner)
{
	if (s->n_timers == SIM_TIMERS_MAX)
		return -E2BIG;
	s->timers[s->n_timers] = (Timer){due, owner};
	return (int)s->n_timers++;
}

/* Takes the time that has passed off the work that is left. */
static void advance(const Sim *s, Worker *w)
{
	if (w->since_us == s->now_us)
		return;
	w->left_us = fmax(0, w->left_us - (double)(s->now_us - w->since_us) / w->stretch);
	w->since_us = s->now_us;
}

void sim_work(Sim *s, int worker, double alone_us)
{
	Worker *w = &s->workers[worker];
	if (!w->active)
		s->shares_changed = true;
	w->active = true;
	w->left_us = alone_us;
	w->since_us = s->now_us;
	w->fresh = true;
}

void sim_rest(Sim *s, int worker)
{
	Worker *w = &s->workers[worker];
	if (w->active)
		s->shares_changed = true;
	w->active = false;
	w->fresh = false;
	w->mark++;
}

double sim_left_us(Sim *s, int worker)
{
	advance(s, &s->workers[worker]);
	return s->workers[worker].left_us;
}

void sim_set_left(Sim *s, int worker, double alone_us)
{
	Worker *w = &s->workers[worker];
	w->left_us = alone_us;
	w->since_us = s->now_us;
	w->fresh = true;
}

int sim_timer(Sim *s, int timer, int64_t at_us, uint32_t mark)
{
	return events_add(&s->events, at_us < s->now_us ? s->now_us : at_us, EVENT_TIMER,
			  (uint32_t)timer, mark);
}

static double stretch(const Sim *s, const Worker *w, double all_busy, int on_gpu)
{
	if (w->busy <= 0)
		return 1 / s->speed;
	double others = all_busy - w->busy, switches = s->switch_cost * (on_gpu - 1);
	return ((1 - w->busy) + w->busy * (1 + others) * (1 + switches)) / s->speed;
}

static int queue_end(Sim *s, uint32_t who)
{
	Worker *w = &s->workers[who];
	w->fresh = false;
	w->mark++;
	if (isinf(w->left_us))
		return 0;
	int64_t end = s->now_us + (int64_t)ceil(w->left_us * w->stretch);
	return events_add(&s->events, end, EVENT_WORK, who, w->mark);
}

double sim_busy(const Sim *s)
{
	double busy = 0;
	for (uint32_t i = 0; i < s->n_workers; i++)
		if (s->workers[i].active && s->workers[i].busy > 0)
			busy += s->workers[i].busy;
	return busy;
}

static int share_anew(Sim *s)
{
	double all_busy = s->outside_busy + sim_busy(s);
	int on_gpu = s->outside;
	for (uint32_t i = 0; i < s->n_workers; i++)
		on_gpu += s->workers[i].active && s->workers[i].busy > 0;
	s->shares_changed = false;
	for (uint32_t i = 0; i < s->n_workers; i++) {
		Worker *w = &s->workers[i];
		if (!w->active)
			continue;
		if (!w->fresh)
			advance(s, w);
		w->stretch = stretch(s, w, all_busy, on_gpu);
		int r = queue_end(s, i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* After each event: the ends of work that began, or of all work when the shares changed. */
static int settle(Sim *s)
{
	if (s->shares_changed)
		return share_anew(s);
	for (uint32_t i = 0; i < s->n_workers; i++) {
		if (!s->workers[i].fresh)
			continue;
		int r = queue_end(s, i);
		if (r < 0)
			return r;
	}
	return 0;
}

int sim_begin(Sim *s)
{
	s->speed = noise_tick(&s->noise, s->now_us);
	return events_add(&s->events, s->now_us + NOISE_TICK_US, EVENT_NOISE, 0, 0);
}

static int handle(Sim *s, const Event *e)
{
	if (e->kind == EVENT_NOISE) {
		s->shares_changed = true;
		return sim_begin(s);
	}
	if (e->kind == EVENT_TIMER)
		return s->timers[e->who].due(s, s->timers[e->who].owner, e->mark);
	Worker *w = &s->workers[e->who];
	if (!w->active || w->mark != e->mark)
		return 0; /* replaced by a later one */
	w->left_us = 0;
	w->since_us = s->now_us;
	return w->done(s, w->owner);
}

int sim_step(Sim *s, int64_t until_us)
{
	int r = settle(s);
	if (r < 0)
		return r;
	if (s->halted || s->events.n == 0 || s->events.heap[0].at_us > until_us) {
		if (!s->halted && until_us > s->now_us)
			s->now_us = until_us;
		return 0;
	}
	Event e;
	events_next(&s->events, &e);
	s->now_us = e.at_us;
	r = handle(s, &e);
	return r < 0 ? r : 1;
}

int sim_next(Sim *s, int64_t *ret_at_us)
{
	int r = settle(s);
	if (r == 0)
		*ret_at_us = s->events.n > 0 ? s->events.heap[0].at_us : INT64_MAX;
	return r;
}

void sim_halt(Sim *s)
{
	s->halted = true;
}

int sim_clear(Sim *s)
{
	for (uint32_t i = 0; i < s->n_workers; i++)
		sim_rest(s, (int)i);
	events_clear(&s->events);
	s->n_timers = 0;
	s->halted = false;
	return sim_begin(s);
}
