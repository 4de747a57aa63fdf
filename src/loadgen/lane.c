/* One stream: its requests are sent when they are planned, and each leaves an Exchange behind. */
#include <errno.h>
#include <string.h>

#include "loadgen/engine.h"
#include "loadgen/figures.h"

enum {
	/* How far a stream may run on while another is measured, in multiples of its own size. */
	RUN_ON_MAX = 20,
	/* Sent in one go when several are due, so that answers are not left lying. */
	BATCH = 64,
	TIMEOUT_S = 300,
};

/* Makes room for one more of `size` bytes. */
static int grow(void *list, size_t n, size_t *cap, size_t size)
{
	void **at = list;
	if (n < *cap)
		return 0;
	size_t more = *cap ? 2 * *cap : 256;
	void *p = reallocarray(*at, more, size);
	if (!p)
		return -ENOMEM;
	*at = p;
	*cap = more;
	return 0;
}

/* --- Begin and end --------------------------------------------------------------------------- */

int64_t lane_wanted(const Lane *l)
{
	return l->spec.load->warmup + l->spec.load->requests;
}

static bool sends_more(const Lane *l)
{
	if (l->sent < lane_wanted(l))
		return true;
	return l->spec.goes_on && l->sent < RUN_ON_MAX * lane_wanted(l) + 1000;
}

static int check_spec(const TrafficStream *s, Err *err)
{
	if (!s->client || !s->load || s->load->requests < 1 || s->load->warmup < 0)
		return err_set(err, -EINVAL, "the stream %s has no server or nothing to send",
			       s->name);
	if (s->load->arrivals == ARRIVALS_CLOSED && s->load->users < 1)
		return err_set(err, -EINVAL, "the stream %s has no users", s->name);
	if (s->protocol != PROTOCOL_HTTP && !s->contents)
		return err_set(err, -EINVAL, "the stream %s has neither prompts nor clips",
			       s->name);
	if (protocol_is_stt(s->protocol) && contents_clips(s->contents) == 0 &&
	    s->load->clip_ms.max > MADE_CLIP_MS_MAX)
		return err_set(err, -EINVAL,
			       "the stream %s has clips of more than %d s; such are not made up: "
			       "give it a folder of clips, or a smaller clip_ms.max",
			       s->name, MADE_CLIP_MS_MAX / 1000);
	return 0;
}

int lane_init(Lane *l, Traffic *t, const TrafficStream *s, Err *err)
{
	*l = (Lane){.traffic = t, .spec = *s, .next_us = INT64_MAX};
	int r = check_spec(s, err);
	if (r == 0)
		r = form_new(s, &l->form, err);
	if (r == 0 && s->load->trace)
		r = trace_read(s->load->trace, &l->trace, err);
	if (r < 0)
		return r;
	r = schedule_init(&l->schedule, s->load, l->trace.n > 0 ? &l->trace : NULL,
			  protocol_is_stt(s->protocol), rng_derive(s->seed, "gaps", 0),
			  rng_derive(s->seed, "sizes", 0));
	if (r < 0)
		return err_set(err, r, "the stream %s has no rate, or no trace", s->name);
	l->cap = (size_t)lane_wanted(l);
	l->exchanges = calloc(l->cap, sizeof(*l->exchanges));
	return l->exchanges ? 0 : err_oom(err);
}

static void active_free(Active *a)
{
	answer_done(&a->answer);
	free(a);
}

void lane_done(Lane *l)
{
	for (size_t i = 0; i < l->n_active + l->n_idle; i++)
		active_free(l->active[i]);
	for (size_t i = 0; i < l->n; i++)
		free(l->exchanges[i].text);
	free(l->active);
	free(l->exchanges);
	free(l->gaps_us);
	free(l->lates_us);
	free(l->wakes.at_us);
	form_done(&l->form);
	trace_done(&l->trace);
}

/* --- Requests on their way ------------------------------------------------------------------- */

static int take_active(Lane *l, Active **ret)
{
	if (l->n_idle == 0) {
		int r = grow(&l->active, l->n_active, &l->cap_active, sizeof(*l->active));
		Active *a = r == 0 ? calloc(1, sizeof(*a)) : NULL;
		if (!a)
			return -ENOMEM;
		l->active[l->n_active] = a;
		l->n_idle++;
	}
	Active *a = l->active[l->n_active];
	a->lane = l;
	a->place = l->n_active++;
	a->late = false;
	a->call = NULL;
	l->n_idle--;
	*ret = a;
	return 0;
}

/* Those on their way stay together at the front. */
static void give_active(Lane *l, Active *a)
{
	Active *last = l->active[--l->n_active];
	l->active[a->place] = last;
	last->place = a->place;
	l->active[l->n_active] = a;
	a->call = NULL;
	l->n_idle++;
}

void lane_cancel(Lane *l)
{
	while (l->n_active > 0) {
		Active *a = l->active[l->n_active - 1];
		if (a->call)
			http_cancel(a->call);
		l->exchanges[a->exchange].failed = EXCHANGE_UNFINISHED;
		give_active(l, a);
	}
}

/* --- Users who think ------------------------------------------------------------------------- */

static int wakes_add(Wakes *w, int64_t at_us)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;
		int64_t *ring = calloc(cap, sizeof(*ring));
		if (!ring)
			return -ENOMEM;
		for (size_t i = 0; i < w->n; i++)
			ring[i] = w->at_us[(w->first + i) % w->cap];
		free(w->at_us);
		*w = (Wakes){ring, 0, w->n, cap};
	}
	w->at_us[(w->first + w->n++) % w->cap] = at_us;
	return 0;
}

static int64_t wakes_take(Wakes *w)
{
	int64_t at = w->at_us[w->first];
	w->first = (w->first + 1) % w->cap;
	w->n--;
	return at;
}

int64_t lane_due_us(const Lane *l)
{
	if (l->wakes.n > 0)
		return l->wakes.at_us[l->wakes.first];
	return l->next_us;
}

/* --- Answers --------------------------------------------------------------------------------- */

static void on_head(void *ctx, int status, const char *type)
{
	Active *a = ctx;
	answer_head(&a->answer, status, type);
}

static void on_data(void *ctx, const char *p, size_t n, int64_t at_us)
{
	Active *a = ctx;
	answer_data(&a->answer, p, n, at_us);
}

static int keep_gaps(Lane *l, const Answer *a, Exchange *e)
{
	if (!e->measured || a->n_gaps == 0 || l->n_gaps + a->n_gaps > UINT32_MAX)
		return 0;
	while (l->n_gaps + a->n_gaps > l->cap_gaps) {
		int r = grow(&l->gaps_us, l->cap_gaps, &l->cap_gaps, sizeof(*l->gaps_us));
		if (r < 0)
			return r;
	}
	memcpy(l->gaps_us + l->n_gaps, a->gaps_us, a->n_gaps * sizeof(*a->gaps_us));
	e->gaps_at = (uint32_t)l->n_gaps;
	e->n_gaps = (uint32_t)a->n_gaps;
	l->n_gaps += a->n_gaps;
	return 0;
}

static int record(Lane *l, Answer *a, const HttpEnd *end, Exchange *e)
{
	answer_end(a, end);
	e->sent_us = end->sent_us;
	e->end_us = end->end_us;
	e->first_us = a->first_us;
	e->last_us = a->last_us;
	e->server_load_us = a->load_us;
	e->server_prompt_us = a->prompt_us;
	e->server_output_us = a->output_us;
	e->chunks = a->chunks;
	e->tokens_in = a->tokens_in;
	e->tokens_out = a->tokens_out;
	e->status = (int16_t)end->status;
	e->fault = (uint8_t)end->fault;
	e->failed = (uint8_t)a->failed;
	if (a->failed != EXCHANGE_OK && l->first_error[0] == '\0')
		memcpy(l->first_error, a->why, sizeof(a->why));
	if (l->spec.keep_text && a->failed == EXCHANGE_OK &&
	    !(e->text = strdup(a->text.s ? a->text.s : "")))
		return -ENOMEM;
	return a->no_memory ? -ENOMEM : keep_gaps(l, a, e);
}

static bool missed(const Lane *l, const Exchange *e)
{
	return !exchange_meets(l->spec.load, e);
}

static void count_miss(Lane *l)
{
	l->misses++;
	if (l->spec.misses_max < 0 || l->misses <= l->spec.misses_max || l->traffic->over)
		return;
	l->stopped_early = true;
	traffic_over(l->traffic, NULL);
}

static void count(Lane *l, const Active *a, const Exchange *e)
{
	if (e->failed == EXCHANGE_OK)
		l->answered++;
	else
		l->failed++;
	if (!e->measured)
		return;
	l->measured++;
	if (!a->late && missed(l, e))
		count_miss(l);
	if (l->measured == l->spec.load->requests && !l->spec.background &&
	    --l->traffic->unfinished == 0 && !l->traffic->over)
		traffic_over(l->traffic, NULL);
}

/* What is over its limit while it is still on its way has missed it already. */
void lane_look(Lane *l, int64_t now_us)
{
	int64_t limit = l->spec.load->limit_us;
	if (limit <= 0 || l->spec.misses_max < 0)
		return;
	for (size_t i = 0; i < l->n_active; i++) {
		Active *a = l->active[i];
		const Exchange *e = &l->exchanges[a->exchange];
		if (a->late || !e->measured || now_us - e->planned_us <= limit)
			continue;
		a->late = true;
		count_miss(l);
	}
}

/* --- Sending --------------------------------------------------------------------------------- */

static void on_done(void *ctx, const HttpEnd *end);

static const HttpHandler handler = {.head = on_head, .data = on_data, .done = on_done};

static int add_exchange(Lane *l, int64_t planned_us, const Filled *filled)
{
	int r = grow(&l->exchanges, l->n, &l->cap, sizeof(*l->exchanges));
	if (r < 0)
		return r;
	l->exchanges[l->n] = (Exchange){
	    .planned_us = planned_us,
	    .server_load_us = -1,
	    .server_prompt_us = -1,
	    .server_output_us = -1,
	    .tokens_in = -1,
	    .tokens_out = -1,
	    .asked_tokens = (int32_t)filled->tokens,
	    .prompt_words = (int32_t)filled->words,
	    .measured = l->sent >= l->spec.load->warmup && l->sent < lane_wanted(l),
	    .clip = (uint32_t)filled->clip,
	    .clip_ms = (uint32_t)filled->clip_ms,
	};
	return 0;
}

static int keep_late(Lane *l, int64_t late_us)
{
	int r = grow(&l->lates_us, l->n_lates, &l->cap_lates, sizeof(*l->lates_us));
	if (r == 0)
		l->lates_us[l->n_lates++] = late_us < 0		   ? 0
					    : late_us > UINT32_MAX ? UINT32_MAX
								   : (uint32_t)late_us;
	own_saw_lag(l->traffic, late_us);
	return r;
}

static int call(Lane *l, Active *a, Err *err)
{
	const Str *body = &l->traffic->body;
	const HttpRequest rq = {
	    .method = l->form.method,
	    .path = l->form.path,
	    .type = body->len > 0 ? l->form.type : NULL,
	    .body = body->s,
	    .body_len = body->len,
	    .timeout_us =
		l->spec.timeout_us > 0 ? l->spec.timeout_us : TIMEOUT_S * INT64_C(1000000),
	};
	return http_call(l->spec.client, &rq, &handler, a, &a->call, err);
}

static int send_one(Lane *l, int64_t planned_us, Err *err)
{
	Size size;
	Filled filled;
	Active *a = NULL;
	schedule_size(&l->schedule, &size);
	int r = form_fill(&l->form, l->spec.contents, &size, &l->traffic->body, &filled);
	if (r == -ENOENT)
		return err_set(err, r, "there is no clip '%s', which the trace names",
			       size.clip ? size.clip : "");
	if (r == 0)
		r = add_exchange(l, planned_us, &filled);
	if (r == 0)
		r = take_active(l, &a);
	if (r < 0 || !a)
		return err_oom(err);
	a->exchange = l->n++;
	bool measured = l->exchanges[a->exchange].measured;
	if (measured && !l->spec.background)
		own_begin(l->traffic);
	l->sent++;
	answer_begin(&a->answer, l->spec.protocol, l->spec.streaming, l->spec.keep_text);
	if (measured && !schedule_is_closed(&l->schedule) &&
	    keep_late(l, traffic_now_us() - planned_us) < 0)
		return err_oom(err);
	return call(l, a, err);
}

/* A fault of ours ends everything: what is measured after it would not be what was asked. */
static int send(Lane *l, int64_t planned_us)
{
	Err err = ERR_INIT;
	int r = send_one(l, planned_us, &err);
	if (r < 0)
		traffic_over(l->traffic, &err);
	return r;
}

int lane_send_due(Lane *l, int64_t now_us)
{
	for (int i = 0; i < BATCH && lane_due_us(l) <= now_us && !l->traffic->over; i++) {
		int64_t planned;
		if (schedule_is_closed(&l->schedule)) {
			planned = wakes_take(&l->wakes);
			if (!sends_more(l))
				continue;
		} else {
			planned = l->next_us;
			l->next_us = INT64_MAX;
			if (l->sent + 1 < lane_wanted(l) || l->spec.goes_on)
				l->next_us = l->traffic->began_us + schedule_next_us(&l->schedule);
			if (!sends_more(l)) {
				l->next_us = INT64_MAX;
				continue;
			}
		}
		int r = send(l, planned);
		if (r < 0)
			return r;
	}
	return 0;
}

int lane_begin(Lane *l, int64_t at_us)
{
	if (!schedule_is_closed(&l->schedule)) {
		l->next_us = at_us + schedule_next_us(&l->schedule);
		return 0;
	}
	for (int64_t i = 0; i < l->spec.load->users && i < lane_wanted(l); i++) {
		int r = wakes_add(&l->wakes, at_us);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A user who was answered thinks, and sends again. */
static void next_of_user(Lane *l, int64_t answered_us)
{
	int64_t planned = answered_us + l->spec.load->think_us;
	if (!sends_more(l))
		return;
	if (l->spec.load->think_us <= 0 && l->wakes.n == 0) {
		(void)send(l, planned);
		return;
	}
	if (wakes_add(&l->wakes, planned) < 0) {
		Err err = ERR_INIT;
		err_oom(&err);
		traffic_over(l->traffic, &err);
	}
	traffic_arm(l->traffic);
}

static void on_done(void *ctx, const HttpEnd *end)
{
	Active *a = ctx;
	Lane *l = a->lane;
	Exchange *e = &l->exchanges[a->exchange];
	int r = record(l, &a->answer, end, e);
	give_active(l, a);
	if (r < 0) {
		Err err = ERR_INIT;
		err_oom(&err);
		traffic_over(l->traffic, &err);
		return;
	}
	count(l, a, e);
	if (!l->traffic->over && schedule_is_closed(&l->schedule))
		next_of_user(l, end->end_us);
}
