#include "rollout/figures.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	BEFORE_MAX = 200000, /* samples of one figure */
	TAIL_SAMPLES = 100,  /* of a watch, on average, beyond the quantile */
};

/* In that of the spacing that is wanted. */
#define SPACING_MIN 0.8
#define SPACING_MAX 3.0

/* --- What was before -------------------------------------------------------------------------- */

Figure *figures_find(Figures *f, const char *service, const char *metric, bool add)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->list[i].service, service) == 0 &&
		    strcmp(f->list[i].metric, metric) == 0)
			return &f->list[i];
	if (f->n == FIGURES_MAX || !add)
		return NULL;
	Figure *new = &f->list[f->n];
	*new = (Figure){.service = str_fmt("%s", service), .metric = str_fmt("%s", metric)};
	if (!new->service || !new->metric) {
		free(new->service);
		free(new->metric);
		return NULL;
	}
	f->n++;
	return new;
}

int before_add(Before *b, const JudgeSample *s)
{
	if (b->n == BEFORE_MAX)
		return 0;
	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 256;
		JudgeSample *more = reallocarray(b->list, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		b->list = more;
		b->cap = cap;
	}
	b->list[b->n++] = *s;
	return 0;
}

size_t samples_spaced(JudgeSample *list, size_t n, int64_t every_us)
{
	size_t kept = 0;
	int64_t last_us = INT64_MIN / 2;
	for (size_t i = 0; i < n; i++) {
		double apart = (double)list[i].at_us - (double)last_us;
		if (apart < SPACING_MIN * (double)every_us)
			continue;
		last_us = list[i].at_us;
		if (apart <= SPACING_MAX * (double)every_us)
			list[kept++] = list[i];
	}
	return kept;
}

void figures_forget(Figures *f)
{
	for (size_t i = 0; i < f->n; i++)
		f->list[i].close.n = f->list[i].coarse.n = 0;
}

/* --- Judges ----------------------------------------------------------------------------------- */

/* The slow ones are looked at where a watch has enough of them to be compared: the slowest
 * twentieth of a long one, the slowest quarter of a short one. */
static double tail_of(int64_t for_us, int64_t every_us)
{
	double samples = (double)for_us / (double)every_us;
	return fmax(0.75, fmin(0.95, 1 - TAIL_SAMPLES / samples));
}

/* Half an hour at one look every two seconds says nothing of what a day does, and nothing of it can
 * be said from looks that are a minute apart to looks that are not. So where a watch lasts much
 * longer than the close samples do, every thirtieth of its looks is compared with those. */
static bool needs_coarse(const Figure *g, int64_t for_us)
{
	double every = (double)g->coarse_every_us;
	return (double)for_us >= COARSE_SAMPLES_MIN * every && (double)for_us > 2 * g->close_us &&
	       (double)g->coarse.n * every > 2 * g->close_us;
}

static int begin(Figure *g, const RolloutConfig *c, int64_t for_us, double alpha, Err *err)
{
	if (g->close.n == 0)
		return 0; /* known of old, and not measured any more */
	g->close_us = (double)g->close.n * (double)c->probe_every_us;
	bool coarse = needs_coarse(g, for_us);
	JudgeSpec spec = JUDGE_SPEC_DEFAULT;
	spec.alpha = coarse ? alpha / 2 : alpha;
	spec.alpha_harmless = c->false_alarms;
	spec.margin = c->max_regression;
	spec.tail_q = tail_of(c->watch_us, c->probe_every_us);
	int r = judge_new(&spec, g->close.list, g->close.n, &g->judge, err);
	if (r < 0 || !coarse)
		return r;
	spec.tail_q = tail_of(for_us, g->coarse_every_us);
	return judge_new(&spec, g->coarse.list, g->coarse.n, &g->slow, err);
}

/* The one whose word counts in the end. */
static const Judge *speaker(const Figure *g)
{
	return g->slow ? g->slow : g->judge;
}

static size_t n_counted(const Figure *g)
{
	JudgeReport report = {0};
	if (g->judge)
		judge_report(speaker(g), &report);
	return report.n;
}

/* Everything else that leads to a watch has changed production before it. */
bool figures_go_on(const Machine *m)
{
	return m->last == EVENT_INCONCLUSIVE || m->last == EVENT_NO_DATA ||
	       m->last == EVENT_ERROR || m->last == EVENT_CONTINUE;
}

static bool all_begun(const Figures *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->list[i].close.n > 0 && !f->list[i].judge)
			return false;
	return true;
}

/* The rate of false alarms is one watch's, so the figures share it. That all of them are no worse
 * is wrong only when one of them is, so there each may have it whole. */
int figures_judge(Figures *f, const RolloutConfig *c, int64_t for_us, bool go_on, Err *err)
{
	double alpha = c->false_alarms / (double)(f->n > 0 ? f->n : 1);
	if (go_on && all_begun(f)) {
		for (size_t i = 0; i < f->n; i++)
			f->list[i].n_seen = n_counted(&f->list[i]);
		return 0;
	}
	figures_stop(f);
	for (size_t i = 0; i < f->n; i++) {
		int r = begin(&f->list[i], c, for_us, alpha, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool add(Judge *j, const JudgeSample *s)
{
	return judge_add(j, s) >= 0 && judge_verdict(j) == JUDGE_WORSE;
}

const Judge *figure_add(Figure *g, const JudgeSample *s)
{
	if (!g->judge)
		return NULL;
	if (g->began_us == 0)
		g->began_us = s->at_us;
	/* Of what takes longer than the close samples lasted they know nothing. */
	bool known = !g->slow || (double)s->at_us - (double)g->began_us <= g->close_us;
	if (known && add(g->judge, s))
		return g->judge;
	if (!g->slow || (double)s->at_us - (double)g->slow_us < (double)g->coarse_every_us)
		return NULL;
	g->slow_us = s->at_us;
	return add(g->slow, s) ? g->slow : NULL;
}

/* --- What they say ---------------------------------------------------------------------------- */

static MachineEvent event_of(JudgeVerdict v)
{
	switch (v) {
	case JUDGE_WORSE:
		return EVENT_WORSE;
	case JUDGE_NO_WORSE:
		return EVENT_NO_WORSE;
	case JUDGE_BETTER:
		return EVENT_BETTER;
	case JUDGE_INCONCLUSIVE:
		break;
	}
	return EVENT_INCONCLUSIVE;
}

/* Figures of the servers' own pages are those of real requests, which nobody asked to be alike:
 * they may show harm, and need not show that there is none. What we ask ourselves must. */
static bool must_be_known(const Figure *g)
{
	return strncmp(g->metric, "server_", 7) != 0;
}

/* The least good word counts: everything must be no worse, and something better to be better. */
static MachineEvent together(MachineEvent a, MachineEvent b)
{
	static const MachineEvent order[] = {EVENT_WORSE, EVENT_NO_DATA, EVENT_INCONCLUSIVE};
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return a == EVENT_BETTER || b == EVENT_BETTER ? EVENT_BETTER : EVENT_NO_WORSE;
}

static MachineEvent verdict_of(const Figure *g, Str *words)
{
	JudgeReport report;
	judge_report(speaker(g), &report);
	bool nothing = report.n == g->n_seen && report.verdict != JUDGE_WORSE;
	str_addf(words, "%s %s: %s%s", g->service, g->metric,
		 nothing && g->n_seen > 0 ? "no sample since it was looked at last; until then: "
					  : "",
		 report.words);
	return nothing ? EVENT_NO_DATA : event_of(report.verdict);
}

MachineEvent figures_verdict(const Figures *f, Str *words)
{
	MachineEvent all = EVENT_NO_DATA;
	size_t n = 0;
	for (size_t i = 0; i < f->n; i++) {
		const Figure *g = &f->list[i];
		if (!must_be_known(g) || !g->judge)
			continue;
		str_add(words, n == 0 ? "" : "; ");
		MachineEvent one = verdict_of(g, words);
		all = n == 0 ? one : together(all, one);
		n++;
	}
	if (n == 0)
		str_add(words, "nothing was measured before the change");
	return all;
}

/* --- The end ---------------------------------------------------------------------------------- */

void figures_stop(Figures *f)
{
	for (size_t i = 0; i < f->n; i++) {
		Figure *g = &f->list[i];
		g->judge = judge_free(g->judge);
		g->slow = judge_free(g->slow);
		g->n_seen = 0;
		g->began_us = g->slow_us = 0;
	}
}

void figures_done(Figures *f)
{
	figures_stop(f);
	for (size_t i = 0; i < f->n; i++) {
		free(f->list[i].service);
		free(f->list[i].metric);
		free(f->list[i].close.list);
		free(f->list[i].coarse.list);
	}
	f->n = 0;
}
