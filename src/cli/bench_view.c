/* What `dream bench` says: while it runs, and at the end. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/bench.h"
#include "cli/internal.h"
#include "stats/stats.h"

enum {
	LINE_EVERY_US = 5000000, /* where nobody sees one line change */
};

/* --- Progress -------------------------------------------------------------------------------- */

void bench_progress(Bench *b, const TrafficProgress *p, int64_t level)
{
	bool terminal = isatty(STDERR_FILENO);
	char elapsed[32], at[64] = "";
	if (!terminal && p->elapsed_us >= b->said_us && p->elapsed_us < b->said_us + LINE_EVERY_US)
		return;
	b->said_us = p->elapsed_us;
	time_human(p->elapsed_us, elapsed);
	if (level > 0)
		snprintf(at, sizeof(at), "level %" PRId64 ", ", level);
	fprintf(stderr, "%s%s%s: %" PRId64 " answered", terminal ? "\r\033[K" : "", at, elapsed,
		p->answered);
	if (b->o->duration_us <= 0 || level > 0)
		fprintf(stderr, " of %" PRId64, p->wanted);
	fprintf(stderr, ", %" PRId64 " on their way, %" PRId64 " failed%s", p->in_flight, p->failed,
		terminal ? "" : "\n");
	fflush(stderr);
}

void bench_progress_end(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* --- The table ------------------------------------------------------------------------------- */

static void label(const char *name, Str *out)
{
	str_addf(out, "%-13s", name);
}

/* Four figures, whatever the size; `ret` holds 32 bytes. */
static void four(double v, char *ret)
{
	double size = fabs(v);
	int places = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;
	if (isfinite(v))
		snprintf(ret, 32, "%.*f", places, v);
	else
		snprintf(ret, 32, "-");
}

static void figure_row(const char *what, const char *which, const Figure *f, Str *out)
{
	char value[32], lo[32], hi[32], none[64];
	str_addf(out, "%-24s %-6s ", what, which);
	if (!isfinite(f->value)) {
		figure_insufficient(f, none);
		str_addf(out, "%s\n", none);
		return;
	}
	four(f->value, value);
	four(f->lo, lo);
	four(f->hi, hi);
	str_addf(out, "%10s   ", value);
	if (isfinite(f->lo))
		str_addf(out, "%10s to %s\n", lo, hi);
	else
		str_addf(out, "%10s\n", "unknown");
}

/* All percentiles, or only those that people mostly look at. */
static void distribution_rows(const char *what, const Distribution *d, bool all, Str *out)
{
	static const char *const names[PERCENTILES] = {"p50", "p90", "p95", "p99", "p99.9"};
	static const bool often[PERCENTILES] = {true, false, true, true, false};
	const char *title = what;
	if (d->n == 0)
		return;
	for (size_t i = 0; i < PERCENTILES; i++) {
		if (!all && !often[i])
			continue;
		figure_row(title, names[i], &d->p[i], out);
		title = "";
	}
	if (all && d->n > 1)
		figure_row("", "mean", &d->mean, out);
	if (all) {
		char value[32];
		four(d->max, value);
		str_addf(out, "%-24s %-6s %10s\n", "", "max", value);
	}
}

static void latency_table(const Bench *b, Str *out)
{
	const StreamFigures *f = &b->figures;
	if (f->e2e_ms.n == 0)
		return;
	str_addf(out, "\n%-24s %-6s %10s   %s\n", "", "", "value", "95 % interval");
	distribution_rows("end to end, ms", &f->e2e_ms, true, out);
	distribution_rows("first token, ms", &f->ttft_ms, false, out);
	distribution_rows("per further token, ms", &f->tpot_ms, false, out);
	distribution_rows("between chunks, ms", &f->gap_ms, false, out);
	distribution_rows("work per audio second", &f->real_time, false, out);
	distribution_rows("waited to be sent, ms", &f->queue_ms, false, out);
	distribution_rows("from sending to end, ms", &f->e2e_from_send_ms, false, out);
}

/* --- The lines around it --------------------------------------------------------------------- */

static void load_words(const Bench *b, Str *out)
{
	const Stream *s = &b->load;
	const char *requests = s->rate == 1 ? "request" : "requests";
	char think[32];
	switch ((Arrivals)s->arrivals) {
	case ARRIVALS_CLOSED:
		str_addf(out, "%" PRId64 " user%s at a time", s->users, s->users == 1 ? "" : "s");
		time_human(s->think_us, think);
		if (s->think_us > 0)
			str_addf(out, ", a pause of %s", think);
		break;
	case ARRIVALS_CONSTANT:
		str_addf(out, "%g %s a second, evenly", s->rate, requests);
		break;
	case ARRIVALS_POISSON:
		str_addf(out, "%g %s a second, poisson", s->rate, requests);
		break;
	case ARRIVALS_GAMMA:
		str_addf(out, "%g %s a second, in clumps (cv %g)", s->rate, requests, s->cv);
		break;
	case ARRIVALS_RAMP:
		str_addf(out, "from %g to %g requests a second", s->rate, s->rate_to);
		break;
	case ARRIVALS_REPLAY:
		str_add(out, "the trace ");
		str_add_safe(out, s->trace, strlen(s->trace), 60);
		break;
	case ARRIVALS_MAX_:
		break;
	}
}

static void head(const Bench *b, Str *out)
{
	label("server", out);
	str_add_safe(out, b->url, strlen(b->url), 60);
	str_addc(out, '\n');
	label("asked", out);
	str_add(out, protocol_name(b->stream.protocol));
	if (b->o->model) {
		str_add(out, ", model ");
		str_add_safe(out, b->o->model, strlen(b->o->model), 40);
	}
	str_addc(out, '\n');
	label("load", out);
	load_words(b, out);
	str_addc(out, '\n');
}

static void counts(const Bench *b, Str *out)
{
	const StreamFigures *f = &b->figures;
	char took[32];
	time_human(b->result.ended_us - b->result.began_us, took);
	label("answered", out);
	str_addf(out, "%" PRId64 " of %" PRId64 " in %s, after %" PRId64 " of warm-up\n",
		 f->answered, f->sent, took, f->warmup);
	if (f->unfinished > 0) {
		label("", out);
		str_addf(out, "%" PRId64 " %s and count nowhere\n", f->unfinished,
			 f->unfinished == 1 ? "was still on its way" : "were still on their way");
	}
	if (b->o->duration_us > 0 && !b->over && !b->interrupted &&
	    b->load.requests >= bench_requests_max(&b->load)) {
		label("", out);
		str_addf(out, "it ended early: no more than %" PRId64 " requests are kept\n",
			 b->load.requests);
	}
}

/* Beside a label, in as many lines as it takes. */
static void wrapped(const Str *text, Str *out)
{
	if (text->failed || !text->s)
		str_addc(out, '\n');
	else
		text_wrap(text->s, 13, 13, 80, out);
}

static void failures(const Bench *b, Str *out)
{
	const StreamFigures *f = &b->figures;
	const char *first = b->result.streams[0].first_error;
	const char *between = "";
	if (f->failed == 0)
		return;
	label("failed", out);
	_cleanup_(str_done) Str kinds = STR_INIT;
	str_addf(&kinds, "%" PRId64 ": ", f->failed);
	for (int i = 0; i < EXCHANGE_FAILURE_MAX_; i++) {
		if (i == EXCHANGE_OK || i == EXCHANGE_TRANSPORT || f->failures[i] == 0)
			continue;
		str_addf(&kinds, "%s%" PRId64 " %s", between, f->failures[i],
			 exchange_failure_name((ExchangeFailure)i));
		between = ", ";
	}
	for (int i = 0; i < HTTP_FAULT_MAX_; i++) {
		if (f->faults[i] == 0)
			continue;
		str_addf(&kinds, "%s%" PRId64 " %s", between, f->faults[i],
			 http_fault_name((HttpFault)i));
		between = ", ";
	}
	wrapped(&kinds, out);
	if (f->answered > 0) {
		label("", out);
		str_add(out, "all latencies are of those that were answered\n");
	}
	if (*first) {
		label("first error", out);
		text_wrap(first, 13, 13, 80, out);
	}
}

static void steadiness(const Bench *b, Str *out)
{
	const StreamFigures *f = &b->figures;
	const Figure *p50 = &f->e2e_ms.p[0];
	if (f->e2e_ms.n == 0)
		return;
	if (!f->steady) {
		label("not steady", out);
		text_wrap("latency kept drifting to the end, as it does when a queue grows; the "
			  "figures say how this load went, not what the server does",
			  13, 13, 80, out);
	} else if (f->unsteady > 0) {
		label("steady", out);
		str_addf(out, "after the first %" PRId64 " requests, which are left out\n",
			 f->unsteady);
	}
	if (isfinite(p50->value) && p50->n_effective < 0.9 * (double)p50->n) {
		_cleanup_(str_done) Str text = STR_INIT;
		str_addf(&text,
			 "neighbours are alike (%.2f): %" PRId64 " count as %.0f independent ones",
			 f->autocorrelation, p50->n, p50->n_effective);
		label("resemblance", out);
		wrapped(&text, out);
	}
}

static void limit_words(const char *what, int64_t limit_us, const char **between, Str *out)
{
	char text[32];
	if (limit_us <= 0)
		return;
	time_human(limit_us, text);
	str_addf(out, "%s%s %s", *between, text, what);
	*between = ", ";
}

static void good(const Bench *b, Str *out)
{
	const StreamFigures *f = &b->figures;
	const char *between = "";
	label("good", out);
	str_addf(out, "%.1f %% of the requests", 100 * f->goodput_share);
	if (isfinite(f->goodput_lo))
		str_addf(out, " (95 %% interval %.1f to %.1f)", 100 * f->goodput_lo,
			 100 * f->goodput_hi);
	str_addc(out, '\n');
	_cleanup_(str_done) Str text = STR_INIT;
	if (isfinite(f->goodput_rate))
		str_addf(&text, "%.2f/s, ", f->goodput_rate);
	str_add(&text, "within ");
	limit_words("end to end", b->load.limit_us, &between, &text);
	limit_words("to the first token", b->load.ttft_limit_us, &between, &text);
	limit_words("per further token", b->load.tpot_limit_us, &between, &text);
	label("", out);
	wrapped(&text, out);
}

static void rates(const Bench *b, Str *out)
{
	const StreamFigures *f = &b->figures;
	label("rate", out);
	if (isfinite(f->asked_rate))
		str_addf(out, "asked %.2f/s, sent %.2f/s\n", f->asked_rate, f->delivered_rate);
	else if (isfinite(f->delivered_rate))
		str_addf(out, "%.2f answers/s\n", f->delivered_rate);
	else
		str_add(out, "unknown: it takes more requests than these\n");
	if (isfinite(f->tokens_s) || isfinite(f->chunks_s)) {
		label("tokens", out);
		if (isfinite(f->tokens_s))
			str_addf(out, "%.1f/s written", f->tokens_s);
		else
			str_addf(out, "the server does not count them; %.1f chunks/s", f->chunks_s);
		if (isfinite(f->tokens_in_s))
			str_addf(out, ", %.1f/s read", f->tokens_in_s);
		str_addc(out, '\n');
	}
	if (isfinite(f->goodput_share))
		good(b, out);
}

static void speech(const Bench *b, Str *out)
{
	if (b->kind != BENCH_STT || b->figures.answered == 0)
		return;
	label("word errors", out);
	if (!b->has_wer) {
		str_add(out, b->o->clips ? "unknown: no answered clip has a .txt of what is said "
					   "beside it\n"
					 : "unknown: the clips were made up; give --clips DIR\n");
		return;
	}
	_cleanup_(str_done) Str text = STR_INIT;
	if (!isfinite(b->wer.pct))
		str_add(&text, "no rate: the references have no words");
	else
		str_addf(&text, "%.2f %% (%ld of %ld words in %zu clip%s)", b->wer.pct,
			 b->wer.errors, b->wer.words, b->wer.clips, b->wer.clips == 1 ? "" : "s");
	if (isfinite(b->wer.lo))
		str_addf(&text, ", 95 %% interval %.2f to %.2f", b->wer.lo, b->wer.hi);
	wrapped(&text, out);
	label("", out);
	str_addf(out, "words compared by the rules \"%s\"\n", normaliser_name(b->normaliser));
}

static void generator(const Bench *b, Str *out)
{
	const TrafficResult *r = &b->result;
	label("generator", out);
	if (b->load.arrivals != ARRIVALS_CLOSED) {
		str_addf(out, "sent %.2f ms late (median), %.2f (p99), %.2f (most)\n",
			 (double)r->late_p50_us / 1e3, (double)r->late_p99_us / 1e3,
			 (double)r->late_max_us / 1e3);
		label("", out);
	}
	str_addf(out, "used %.1f %% of a core\n", 100 * r->cpu_share);
}

static int verdict(const Bench *b)
{
	if (b->figures.answered == 0)
		return cli_failf(b->interrupted ? EXIT_INTERRUPTED : EXIT_FAILED,
				 "nothing was measured: %s",
				 b->figures.sent == 0 ? "no request came to its end"
						      : "no request was answered");
	if (b->result.limited_by_client)
		return cli_failf(EXIT_FAILED, "these are not the server's numbers: %s",
				 b->result.limited_why);
	return b->interrupted ? EXIT_INTERRUPTED : EXIT_DONE;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *text_or_null(const char *s)
{
	return s ? js_text(s) : json_null();
}

static json_t *load_json(const Bench *b)
{
	const Stream *s = &b->load;
	bool failed = false, closed = s->arrivals == ARRIVALS_CLOSED;
	bool rated = !closed && s->arrivals != ARRIVALS_REPLAY;
	json_t *o = json_object();
	js_set(o, "arrivals", json_string(arrivals_name(s->arrivals)), &failed);
	js_set(o, "users", closed ? json_integer(s->users) : json_null(), &failed);
	js_set(o, "think_us", closed ? json_integer(s->think_us) : json_null(), &failed);
	js_set(o, "rate", rated ? js_number(s->rate) : json_null(), &failed);
	js_set(o, "rate_to", s->arrivals == ARRIVALS_RAMP ? js_number(s->rate_to) : json_null(),
	       &failed);
	js_set(o, "cv", s->arrivals == ARRIVALS_GAMMA ? js_number(s->cv) : json_null(), &failed);
	js_set(o, "trace", text_or_null(s->trace), &failed);
	js_set(o, "limit_us", json_integer(s->limit_us), &failed);
	js_set(o, "ttft_limit_us", json_integer(s->ttft_limit_us), &failed);
	js_set(o, "tpot_limit_us", json_integer(s->tpot_limit_us), &failed);
	if (!failed && o)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *wer_json(const Bench *b)
{
	bool failed = false;
	if (!b->has_wer)
		return json_null();
	json_t *o = json_object();
	js_set(o, "pct", js_number(b->wer.pct), &failed);
	js_set(o, "ci95",
	       isfinite(b->wer.lo) ? json_pack("[ff]", b->wer.lo, b->wer.hi) : json_null(),
	       &failed);
	js_set(o, "errors", json_integer(b->wer.errors), &failed);
	js_set(o, "words", json_integer(b->wer.words), &failed);
	js_set(o, "clips", json_integer((json_int_t)b->wer.clips), &failed);
	js_set(o, "normaliser", json_string(normaliser_name(b->normaliser)), &failed);
	if (!failed && o)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *common_json(const Bench *b, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "schema", json_string("dream.bench/v1"), failed);
	js_set(o, "kind", json_string(b->stream.name), failed);
	js_set(o, "url", js_text(b->url), failed);
	js_set(o, "protocol", json_string(protocol_name(b->stream.protocol)), failed);
	js_set(o, "model", text_or_null(b->o->model), failed);
	js_set(o, "load", load_json(b), failed);
	js_set(o, "interrupted", json_boolean(b->interrupted), failed);
	return o;
}

static int print_common(json_t *o, bool failed)
{
	if (!failed)
		return cli_print_json(o);
	json_decref(o);
	return cli_oom();
}

static int print_json(const Bench *b)
{
	bool failed = false;
	const char *first = b->result.streams[0].first_error;
	json_t *o = common_json(b, &failed);
	js_set(o, "figures", stream_figures_json(&b->figures), &failed);
	js_set(o, "first_error", text_or_null(*first ? first : NULL), &failed);
	js_set(o, "generator", traffic_json(&b->result), &failed);
	js_set(o, "wer", wer_json(b), &failed);
	js_set(o, "capacity", json_null(), &failed);
	return print_common(o, failed);
}

int bench_print(const Bench *b)
{
	_cleanup_(str_done) Str out = STR_INIT;
	int r;
	if (b->o->json) {
		r = print_json(b);
	} else {
		head(b, &out);
		counts(b, &out);
		failures(b, &out);
		rates(b, &out);
		speech(b, &out);
		steadiness(b, &out);
		generator(b, &out);
		latency_table(b, &out);
		r = cli_print(out.failed ? NULL : out.s);
	}
	return r ? r : verdict(b);
}

/* --- Capacity -------------------------------------------------------------------------------- */

static int print_capacity_json(const Bench *b)
{
	const CapacityResult *c = &b->capacity;
	bool failed = false;
	json_t *o = common_json(b, &failed), *answer = json_object();
	js_set(answer, "value", json_integer(c->capacity), &failed);
	js_set(answer, "ci95", isfinite(c->lo) ? json_pack("[ff]", c->lo, c->hi) : json_null(),
	       &failed);
	js_set(answer, "share", js_number(b->share), &failed);
	js_set(answer, "n", json_integer(c->n), &failed);
	js_set(answer, "levels", json_integer((json_int_t)c->levels), &failed);
	js_set(answer, "words", js_text(c->words), &failed);
	js_set(o, "figures", json_null(), &failed);
	js_set(o, "first_error", json_null(), &failed);
	js_set(o, "generator", json_null(), &failed);
	js_set(o, "wer", json_null(), &failed);
	js_set(o, "capacity", answer, &failed);
	return print_common(o, failed);
}

int bench_print_capacity(const Bench *b)
{
	_cleanup_(str_done) Str out = STR_INIT;
	const CapacityResult *c = &b->capacity;
	if (b->interrupted)
		return cli_failf(EXIT_INTERRUPTED, "interrupted before the capacity was found");
	if (c->limited_by_client)
		return cli_failf(EXIT_FAILED, "there is no capacity to tell: %s", c->words);
	if (b->o->json)
		return print_capacity_json(b);
	label("server", &out);
	str_add_safe(&out, b->url, strlen(b->url), 60);
	str_addf(&out, ", %s\n", protocol_name(b->stream.protocol));
	label("capacity", &out);
	str_addf(&out, "%" PRId64, c->capacity);
	if (c->capacity > 0 && isfinite(c->lo))
		str_addf(&out, ", 95 %% interval %.1f to %.1f", c->lo, c->hi);
	str_addc(&out, '\n');
	label("", &out);
	text_wrap(c->words, 13, 13, 80, &out);
	return cli_print(out.failed ? NULL : out.s);
}
