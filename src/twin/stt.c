#include "twin/stt.h"

#include <errno.h>
#include <math.h>

static const WhisperSettings *settings(const Stt *t)
{
	return &t->service->set.whisper;
}

/* --- Start ----------------------------------------------------------------------------------- */

static int64_t beam_bytes(const Stt *t)
{
	return settings(t)->model->beam_bytes * (settings(t)->beams - 1);
}

static void say_full(Stt *t, int64_t wanted)
{
	Ledger *gpu = &t->host->sim.gpu;
	service_says_oom(t->service, gpu, wanted);
	ledger_give(gpu, t->service->owner, gpu->held[t->service->owner]);
}

static bool take_peak(Stt *t)
{
	Ledger *gpu = &t->host->sim.gpu;
	int64_t context = t->host->box->gpu.context_bytes, load = settings(t)->model->load_bytes;
	int64_t wants = context;
	if (ledger_take(gpu, t->service->owner, context)) {
		wants = load;
		if (ledger_take(gpu, t->service->owner, load))
			return true;
	}
	say_full(t, wants);
	return false;
}

/* What was only needed to load goes; the beams come. */
static bool keep_steady(Stt *t)
{
	const WhisperModel *m = settings(t)->model;
	Ledger *gpu = &t->host->sim.gpu;
	ledger_give(gpu, t->service->owner, m->load_bytes - m->steady_bytes);
	if (ledger_take(gpu, t->service->owner, beam_bytes(t)))
		return true;
	say_full(t, beam_bytes(t));
	return false;
}

static int run_on_cpu(Stt *t)
{
	t->service->on_cpu = true;
	service_say(t->service, "UserWarning: FP16 is not supported on CPU; using FP32 instead");
	return 0;
}

/* Without room on the GPU: the CPU, or the end. */
static int no_room(Stt *t)
{
	const WhisperSpec *w = &t->host->box->whisper;
	if (w->cuda && !w->cpu_when_full)
		return host_fail(t->host, OUTCOME_START_FAILED, "oom",
				 "service %s ran out of GPU memory while it loaded Whisper %s",
				 t->service->name, settings(t)->model->name);
	service_say(t->service, "UserWarning: Performing inference on CPU when CUDA is available");
	return run_on_cpu(t);
}

int stt_load(Stt *t, bool cpu, int64_t *ret_us)
{
	*ret_us = t->service->start_us = settings(t)->model->load_us;
	if (cpu)
		return run_on_cpu(t);
	return t->host->box->whisper.cuda && take_peak(t) ? 0 : no_room(t);
}

int stt_loaded(Stt *t)
{
	int r = t->service->on_cpu || keep_steady(t) ? 0 : no_room(t);
	if (r < 0 || t->host->failed)
		return r;
	bool cuda = !t->service->on_cpu;
	service_say(t->service, "[%s] Loaded %s model on %s", t->host->box->whisper.engine,
		    settings(t)->model->name, cuda ? "cuda" : "cpu");
	t->worker =
	    sim_add_worker(&t->host->sim, stt_work_done, t, cuda ? settings(t)->model->busy : 0);
	return t->worker < 0 ? t->worker : 0;
}

int stt_start(Stt *t)
{
	int64_t us;
	int r = stt_load(t, false, &us);
	return r < 0 || t->host->failed ? r : stt_loaded(t);
}

/* --- Work ------------------------------------------------------------------------------------ */

double stt_alone_us(const Stt *t, int64_t clip_ms)
{
	const WhisperSpec *w = &t->host->box->whisper;
	const WhisperModel *m = settings(t)->model;
	double windows = ceil((double)clip_ms / (double)w->window_ms);
	double tokens = (double)clip_ms / 1000 * w->tokens_per_s;
	double beams = 1 + w->beam_cost * (double)(settings(t)->beams - 1);
	double us = (double)m->fixed_us + windows * (double)m->window_us +
		    tokens * (double)m->token_us * beams;
	return t->service->on_cpu ? us * m->cpu_slowdown : us;
}

double stt_wer_pct(const Stt *t)
{
	/* Each further beam helps less than the one before. */
	double gain =
	    t->host->box->whisper.beam_gain * (1 - 1 / (double)settings(t)->beams) / (1 - 1.0 / 5);
	return settings(t)->model->wer_pct * (1 - fmin(gain, t->host->box->whisper.beam_gain));
}

/* Hard clips are decoded again; which ones is a matter of content, not of the model. */
static double clip_us(Stt *t, const Request *rq)
{
	const WhisperSpec *w = &t->host->box->whisper;
	double us = stt_alone_us(t, rq->clip_ms);
	if (rng_unit(&t->content) < w->retry_share)
		us *= 1 + (double)(1 + rng_below(&t->content, (uint64_t)w->retries_max));
	return us;
}

static int room(Stt *t)
{
	if (t->n < t->cap)
		return 0;
	size_t cap = t->cap ? 2 * t->cap : 16;
	Request *ring = calloc(cap, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++)
		ring[i] = t->queue[(t->at + i) & (t->cap - 1)];
	free(t->queue);
	t->queue = ring;
	t->cap = cap;
	t->at = 0;
	return 0;
}

size_t stt_queued(const void *stt)
{
	const Stt *t = stt;
	return t->n;
}

int stt_send(Sim *s, void *to, const Request *rq)
{
	Stt *t = to;
	int r = room(t);
	if (r < 0)
		return r;
	t->queue[(t->at + t->n++) & (t->cap - 1)] = *rq;
	if (t->n == 1)
		sim_work(s, t->worker, clip_us(t, rq));
	return 0;
}

int stt_work_done(Sim *s, void *owner)
{
	Stt *t = owner;
	Request rq = t->queue[t->at];
	t->at = (t->at + 1) & (t->cap - 1);
	if (--t->n > 0)
		sim_work(s, t->worker, clip_us(t, &t->queue[t->at]));
	else
		sim_rest(s, t->worker);
	if (!t->hear)
		return load_answered(t->load, s, &rq, s->now_us, s->now_us, 0);
	t->hear(t->hear_ctx, &rq);
	return 0;
}

bool stt_abort(Stt *t, const void *own)
{
	for (size_t i = 0; i < t->n; i++) {
		Request *rq = &t->queue[(t->at + i) & (t->cap - 1)];
		if (rq->own != own)
			continue;
		rq->own = NULL;
		for (; i > 0 && i + 1 < t->n; i++)
			t->queue[(t->at + i) & (t->cap - 1)] =
			    t->queue[(t->at + i + 1) & (t->cap - 1)];
		t->n -= i > 0;
		return true;
	}
	return false;
}

void stt_clear(Stt *t)
{
	t->n = 0;
	t->at = 0;
}

void stt_done(Stt *t)
{
	free(t->queue);
}
