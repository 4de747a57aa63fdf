/* Continuous batching as vLLM's V1 scheduler does it: running sequences first, each one token or a
 * piece of its prompt; then waiting ones while seats, tokens and blocks last. A sequence that gets
 * no block pushes out the youngest, whose tokens are computed again later.
 *
 * Decode steps in which nothing can change are run in one piece: their times form an arithmetic
 * series, because each step reads one more token of KV cache for each sequence. */
#include "twin/llm.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const VllmSettings *settings(const Llm *l)
{
	return &l->service->set.vllm;
}

static int64_t blocks_for(int64_t tokens)
{
	return (tokens + LLM_BLOCK_TOKENS - 1) / LLM_BLOCK_TOKENS;
}

/* --- Sequences ------------------------------------------------------------------------------- */

static Seq *seq_new(Llm *l)
{
	Seq *q = l->spare;
	if (!q)
		return calloc(1, sizeof(*q));
	l->spare = q->next_spare;
	*q = (Seq){0};
	return q;
}

static void seq_drop(Llm *l, Seq *q)
{
	q->next_spare = l->spare;
	l->spare = q;
}

static Seq *waiting_first(const Llm *l)
{
	return l->waiting[l->waiting_at];
}

static int waiting_room(Llm *l)
{
	if (l->n_waiting < l->waiting_cap)
		return 0;
	size_t cap = l->waiting_cap ? 2 * l->waiting_cap : 64;
	Seq **ring = calloc(cap, sizeof(Seq *));
	if (!ring)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_waiting; i++)
		ring[i] = l->waiting[(l->waiting_at + i) & (l->waiting_cap - 1)];
	free(l->waiting);
	l->waiting = ring;
	l->waiting_cap = cap;
	l->waiting_at = 0;
	return 0;
}

static int wait_last(Llm *l, Seq *q)
{
	int r = waiting_room(l);
	if (r == 0)
		l->waiting[(l->waiting_at + l->n_waiting++) & (l->waiting_cap - 1)] = q;
	return r;
}

static int wait_first(Llm *l, Seq *q)
{
	int r = waiting_room(l);
	if (r < 0)
		return r;
	l->waiting_at = (l->waiting_at - 1) & (l->waiting_cap - 1);
	l->waiting[l->waiting_at] = q;
	l->n_waiting++;
	return 0;
}

static Seq *wait_pop(Llm *l)
{
	Seq *q = waiting_first(l);
	l->waiting_at = (l->waiting_at + 1) & (l->waiting_cap - 1);
	l->n_waiting--;
	return q;
}

/* --- One step -------------------------------------------------------------------------------- */

static bool reserve(Llm *l, Seq *q, int64_t tokens)
{
	int64_t more = blocks_for(tokens) - q->blocks;
	if (more > l->free_blocks)
		return false;
	if (more > 0) {
		l->free_blocks -= more;
		q->blocks += more;
	}
	return true;
}

static void release(Llm *l, Seq *q)
{
	l->free_blocks += q->blocks;
	q->blocks = 0;
}

/* The youngest gives its blocks back and starts over. */
static int preempt_youngest(Llm *l)
{
	Seq *q = l->running[--l->n_running];
	release(l, q);
	q->need = q->rq.prompt + q->made;
	q->computed = 0;
	q->take = 0;
	l->preemptions++;
	return wait_first(l, q);
}

static int64_t piece(const Seq *q, int64_t budget)
{
	int64_t left = q->computed < q->need ? q->need - q->computed : 1;
	return left < budget ? left : budget;
}

/* Gives each running sequence its tokens. 1: somebody was pushed out. */
static int schedule_running(Llm *l, int64_t *budget)
{
	int pushed = 0;
	for (size_t i = 0; i<l->n_running && * budget> 0; i++) {
		Seq *q = l->running[i];
		q->take = piece(q, *budget);
		while (!reserve(l, q, q->computed + q->take)) {
			int r = preempt_youngest(l);
			if (r < 0)
				return r;
			pushed = 1;
			if (i >= l->n_running)
				return 1; /* it was the youngest itself */
		}
		*budget -= q->take;
	}
	return pushed;
}

static void schedule_waiting(Llm *l, int64_t *budget)
{
	while (l->n_waiting > 0 && (int64_t)l->n_running<settings(l)->max_num_seqs && * budget> 0) {
		Seq *q = waiting_first(l);
		int64_t take = piece(q, *budget);
		if (!reserve(l, q, take))
			return;
		q->take = take;
		if (q->started_us == 0)
			q->started_us = l->host->sim.now_us;
		*budget -= take;
		l->running[l->n_running++] = wait_pop(l);
	}
}

typedef struct Batch {
	int64_t prefill, decode; /* tokens */
	int64_t context;	 /* tokens in the cache of all sequences in it */
	int64_t seqs;
} Batch;

static Batch batch_of(const Llm *l)
{
	Batch b = {0};
	for (size_t i = 0; i < l->n_running; i++) {
		const Seq *q = l->running[i];
		if (q->take == 0)
			continue;
		b.seqs++;
		b.context += q->computed;
		if (q->computed < q->need)
			b.prefill += q->take;
		else
			b.decode++;
	}
	return b;
}

/* What leaks makes every step longer, the longer it runs. 1: nothing does. */
static double worn(const Llm *l)
{
	if (l->slower_us <= 0)
		return 1;
	return 1 + (double)(l->host->sim.now_us - l->slower_from_us) / (double)l->slower_us;
}

/* The larger of reading (weights and cache) and computing, and the engine's own time. */
static double step_time(const Llm *l, const Batch *b, double *ret_growth)
{
	const LlmModel *m = settings(l)->model;
	const GpuSpec *g = &l->host->box->gpu;
	double wear = worn(l), slower = wear * (settings(l)->fp8 ? m->fp8_slowdown : 1);
	double bytes_per_us = g->bandwidth_gb_s * 1e3 * g->memory_share;
	double read = ((double)m->weight_bytes + (double)llm_token_bytes(l) * (double)b->context) /
		      bytes_per_us;
	double compute = 2 * m->params_b * 1e9 * (double)(b->prefill + b->decode) /
			 (g->tflops * 1e6 * g->compute_share);
	double engine = (double)(settings(l)->eager ? m->eager_step_us : m->step_us) +
			(double)m->seq_us * (double)b->seqs;
	*ret_growth = read > compute
			  ? slower * (double)llm_token_bytes(l) * (double)b->seqs / bytes_per_us
			  : 0;
	return slower * fmax(read, compute) + wear * engine;
}

/* --- Many equal steps ------------------------------------------------------------------------ */

static double series(const Llm *l, int64_t steps)
{
	double k = (double)steps;
	return k * l->step_us + l->step_growth_us * k * (k - 1) / 2;
}

/* The first step's end at or after `us` of work. */
static int64_t steps_after(const Llm *l, double us)
{
	double a = l->step_us, g = l->step_growth_us, k = us / a;
	if (g > 0) {
		double b = a - g / 2;
		k = (sqrt(b * b + 2 * g * us) - b) / g;
	}
	int64_t steps = (int64_t)k;
	while (steps < l->steps && series(l, steps) < us)
		steps++;
	return steps < 1 ? 1 : steps > l->steps ? l->steps : steps;
}

static int64_t blocks_after(const Llm *l, int64_t steps)
{
	int64_t more = 0;
	for (size_t i = 0; i < l->n_running; i++)
		more += blocks_for(l->running[i]->computed + steps) - l->running[i]->blocks;
	return more;
}

/* How many decode steps nothing interrupts: until the first answer ends, or the blocks do. */
static int64_t free_run(const Llm *l)
{
	int64_t most = INT64_MAX;
	for (size_t i = 0; i < l->n_running; i++) {
		int64_t left = l->running[i]->rq.output - l->running[i]->made;
		most = left < most ? left : most;
	}
	if (blocks_after(l, most) <= l->free_blocks)
		return most;
	int64_t lo = 1, hi = most; /* one step is reserved already */
	while (hi - lo > 1) {
		int64_t mid = lo + (hi - lo) / 2;
		if (blocks_after(l, mid) <= l->free_blocks)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Workspace grows to the largest step yet and stays. 1: it fits. */
static int take_workspace(Llm *l, const Batch *b)
{
	Ledger *gpu = &l->host->sim.gpu;
	int64_t bytes = settings(l)->model->load_token_bytes * (b->prefill + b->decode);
	int64_t more = bytes - l->workspace_bytes;
	if (more <= 0 && !l->starved)
		return 1;
	if (l->starved || !ledger_take(gpu, l->service->owner, more)) {
		service_says_oom(l->service, gpu, more);
		service_say(l->service, "vllm.v1.engine.exceptions.EngineDeadError: EngineCore "
					"encountered an issue. See stack trace (above) for the "
					"root cause.");
		int r =
		    host_fail(l->host, OUTCOME_OOM, "oom",
			      "service %s ran out of GPU memory under load: %.2f GiB more for a "
			      "step of %lld tokens, %.2f GiB free",
			      l->service->name, gib(more), (long long)(b->prefill + b->decode),
			      gib(ledger_free_bytes(gpu)));
		return r < 0 ? r : 0;
	}
	l->workspace_bytes = bytes;
	return 1;
}

/* Begins the next step, or run of steps, or rests. */
static int begin(Llm *l)
{
	int64_t budget = settings(l)->max_num_batched_tokens;
	for (size_t i = 0; i < l->n_running; i++)
		l->running[i]->take = 0;
	int r = schedule_running(l, &budget);
	if (r < 0)
		return r;
	if (r == 0)
		schedule_waiting(l, &budget);
	Batch b = batch_of(l);
	l->steps = 0;
	if (b.seqs == 0) {
		sim_rest(&l->host->sim, l->worker);
		return 0;
	}
	r = take_workspace(l, &b);
	if (r <= 0)
		return r;
	l->step_us = step_time(l, &b, &l->step_growth_us);
	bool alone = l->hear || b.prefill > 0 || b.seqs < (int64_t)l->n_running;
	l->steps = alone ? 1 : free_run(l);
	l->work_us = series(l, l->steps);
	sim_work(&l->host->sim, l->worker, l->work_us);
	return 0;
}

/* --- Ends ------------------------------------------------------------------------------------ */

static int finish(Llm *l, Seq *q)
{
	int64_t front = settings(l)->model->request_us, now = l->host->sim.now_us;
	release(l, q);
	int r = l->hear ? 0
			: load_answered(l->load, &l->host->sim, &q->rq, q->first_us + front,
					now + front, q->made);
	seq_drop(l, q);
	return r;
}

/* What `steps` steps did to one sequence. True: its answer is complete. */
static bool stepped(Llm *l, Seq *q, int64_t steps)
{
	if (q->take == 0)
		return false;
	bool decodes = q->computed >= q->need;
	q->computed += decodes ? steps : q->take;
	if (q->computed < q->need)
		return false;
	if (decodes)
		reserve(l, q, q->computed); /* of a run; free_run() saw to it that it fits */
	q->made += decodes ? steps : 1;
	if (q->first_us == 0)
		q->first_us = l->host->sim.now_us;
	return q->made >= q->rq.output;
}

int llm_work_done(Sim *s, void *owner)
{
	(void)s;
	Llm *l = owner;
	int64_t steps = l->steps;
	size_t kept = 0, n = l->n_running;
	int r = 0;
	/* The queue is whole again before anybody is told, for telling may send. */
	l->steps = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		Seq *q = l->running[i];
		int64_t before = q->made;
		bool complete = stepped(l, q, steps);
		if (l->hear && q->made > before)
			l->hear(l->hear_ctx, q, complete);
		if (complete)
			r = finish(l, q);
		else
			l->running[kept++] = q;
	}
	l->n_running = kept;
	return r < 0 ? r : begin(l);
}

/* A request that comes while equal steps run: it is seen at the end of the step in progress. */
static void cut_run(Llm *l)
{
	if (l->steps <= 1 || (int64_t)l->n_running >= settings(l)->max_num_seqs)
		return;
	double past = l->work_us - sim_left_us(&l->host->sim, l->worker);
	int64_t steps = steps_after(l, past);
	if (steps >= l->steps)
		return;
	l->steps = steps;
	l->work_us = series(l, steps);
	sim_set_left(&l->host->sim, l->worker, fmax(0, l->work_us - past));
}

static int refuse(Llm *l, const Request *rq)
{
	service_say(
	    l->service,
	    "ValueError: This model's maximum context length is %lld tokens. However, your "
	    "request has %lld input tokens. Please reduce the length of the input messages.",
	    (long long)settings(l)->max_model_len, (long long)rq->prompt);
	return load_refused(l->load, &l->host->sim, rq);
}

size_t llm_queued(const void *llm)
{
	const Llm *l = llm;
	return l->n_running + l->n_waiting;
}

int llm_send(Sim *s, void *to, const Request *rq)
{
	(void)s;
	Llm *l = to;
	int64_t room = settings(l)->max_model_len - rq->prompt;
	if (room < 1)
		return refuse(l, rq);
	Seq *q = seq_new(l);
	if (!q)
		return -ENOMEM;
	q->rq = *rq;
	q->rq.output = rq->output < room ? rq->output : room;
	q->need = rq->prompt;
	int r = wait_last(l, q);
	if (r < 0) {
		seq_drop(l, q);
		return r;
	}
	if (l->steps == 0)
		return begin(l);
	if (l->n_waiting == 1)
		cut_run(l);
	return 0;
}

static bool abort_running(Llm *l, const void *own)
{
	for (size_t i = 0; i < l->n_running; i++) {
		Seq *q = l->running[i];
		if (q->rq.own != own)
			continue;
		release(l, q);
		seq_drop(l, q);
		l->n_running--;
		memmove(&l->running[i], &l->running[i + 1], (l->n_running - i) * sizeof(Seq *));
		return true;
	}
	return false;
}

bool llm_abort(Llm *l, const void *own)
{
	if (abort_running(l, own))
		return true;
	/* Turned once around, the ring has the others in their old order. */
	bool found = false;
	for (size_t n = l->n_waiting; n > 0; n--) {
		Seq *q = wait_pop(l);
		if (q->rq.own != own) {
			/* There is room: one was just taken out. */
			l->waiting[(l->waiting_at + l->n_waiting++) & (l->waiting_cap - 1)] = q;
			continue;
		}
		seq_drop(l, q);
		found = true;
	}
	return found;
}

void llm_clear(Llm *l)
{
	for (size_t i = 0; i < l->n_running; i++)
		seq_drop(l, l->running[i]);
	l->n_running = 0;
	while (l->n_waiting > 0)
		seq_drop(l, wait_pop(l));
	l->free_blocks = l->kv_blocks;
	l->steps = 0;
	l->preemptions = 0;
}

void llm_done(Llm *l)
{
	llm_clear(l);
	while (l->spare) {
		Seq *q = l->spare;
		l->spare = q->next_spare;
		free(q);
	}
	free(l->running);
	free(l->waiting);
}
