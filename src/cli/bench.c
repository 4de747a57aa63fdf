/* dream bench: loads one server and says how it did. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/internal.h"

/* --- The end --------------------------------------------------------------------------------- */

static void stop_loop(Bench *b)
{
	b->done = true;
	bench_progress_end();
	(void)sd_event_exit(b->event, 0);
}

static void on_done(void *ctx, TrafficResult *r, const Err *err)
{
	Bench *b = ctx;
	if (err)
		b->err = *err;
	b->result = *r;
	*r = (TrafficResult){0};
	stop_loop(b);
}

static void on_capacity(void *ctx, const CapacityResult *r, const Err *err)
{
	Bench *b = ctx;
	if (err)
		b->err = *err;
	b->capacity = *r;
	stop_loop(b);
}

static void on_progress(void *ctx, const TrafficProgress *p)
{
	bench_progress(ctx, p, 0);
}

static void on_level_progress(void *ctx, int64_t level, const TrafficProgress *p)
{
	bench_progress(ctx, p, level);
}

/* Ends the load and keeps what there is of it. */
static void cut_short(Bench *b)
{
	if (b->done)
		return;
	if (b->traffic)
		b->traffic = traffic_stop(b->traffic, true);
	else
		stop_loop(b);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *ctx)
{
	Bench *b = ctx;
	(void)s;
	(void)si;
	b->interrupted = true;
	cut_short(b);
	return 0;
}

static int on_time(sd_event_source *s, uint64_t at_us, void *ctx)
{
	Bench *b = ctx;
	(void)s;
	(void)at_us;
	b->over = true;
	cut_short(b);
	return 0;
}

/* --- Running --------------------------------------------------------------------------------- */

static int watch(Bench *b)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int r = sd_event_default(&b->event);
	if (r >= 0)
		r = sd_event_add_signal(b->event, NULL, SIGINT, on_signal, b);
	if (r >= 0)
		r = sd_event_add_signal(b->event, NULL, SIGTERM, on_signal, b);
	/* At a rate the number of requests says when it is over. */
	bool timed = b->o->duration_us > 0 &&
		     (b->load.arrivals == ARRIVALS_CLOSED || b->load.arrivals == ARRIVALS_REPLAY);
	if (r >= 0 && timed)
		r = sd_event_add_time_relative(b->event, NULL, CLOCK_MONOTONIC,
					       (uint64_t)b->o->duration_us, 1000, on_time, b);
	return r < 0 ? cli_failf(EXIT_FAILED, "cannot start an event loop: %s", strerror(-r)) : 0;
}

static int begin(Bench *b)
{
	static const TrafficHandler handler = {.done = on_done, .progress = on_progress};
	Err err = ERR_INIT;
	int r;
	if (b->o->capacity > 0) {
		bool by_rate = b->o->rate || b->o->poisson || b->o->constant || b->o->gamma;
		CapacityRunSpec spec = {.stream = &b->stream,
					.max = b->o->capacity,
					.share = b->share,
					.by_rate = by_rate,
					.progress = on_level_progress};
		r = capacity_run_start(b->event, &spec, on_capacity, b, &b->search, &err);
	} else {
		r = traffic_start(b->event, &b->stream, 1, &handler, b, &b->traffic, &err);
	}
	if (r < 0)
		return cli_fail(
		    r == -EINVAL || r == -ENOENT || r == -EBADMSG ? EXIT_USAGE : EXIT_FAILED, &err);
	r = sd_event_loop(b->event);
	if (r < 0)
		return cli_failf(EXIT_FAILED, "the event loop failed: %s", strerror(-r));
	return b->err.code < 0 ? cli_fail(EXIT_FAILED, &b->err) : 0;
}

/* --- Word errors ----------------------------------------------------------------------------- */

static int errors_of_clip(const Bench *b, const Exchange *e, WordErrors *ret)
{
	const char *said = contents_clip_text(b->contents, e->clip);
	_cleanup_(str_done) Str reference = STR_INIT, heard = STR_INIT;
	int r = normalise(b->normaliser, said, strlen(said), &reference);
	if (r >= 0)
		r = normalise(b->normaliser, e->text, strlen(e->text), &heard);
	if (r >= 0)
		r = word_errors(reference.s ? reference.s : "", heard.s ? heard.s : "", ret);
	return r;
}

/* Each clip once: asking again gives the same answer, not new evidence. */
static int judge_speech(Bench *b)
{
	const StreamResult *r = &b->result.streams[0];
	size_t clips = contents_clips(b->contents), n = 0;
	_cleanup_free_ WordErrors *errors = calloc(clips + 1, sizeof(*errors));
	_cleanup_free_ bool *seen = calloc(clips + 1, sizeof(*seen));
	Err err = ERR_INIT;
	Rng rng = rng_derive(1, "bench wer", 0);
	if (!errors || !seen)
		return cli_oom();
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (e->failed != EXCHANGE_OK || !e->text || e->clip >= clips || seen[e->clip] ||
		    !contents_clip_text(b->contents, e->clip))
			continue;
		int k = errors_of_clip(b, e, &errors[n]);
		if (k == -ENOMEM)
			return cli_oom();
		if (k < 0) /* no text, or a text without end */
			continue;
		seen[e->clip] = true;
		n++;
	}
	if (n == 0)
		return 0;
	b->has_wer = true;
	return wer_of(errors, n, &rng, &b->wer, &err) < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

/* --- The verb -------------------------------------------------------------------------------- */

static int judge(Bench *b)
{
	Err err = ERR_INIT;
	const StreamResult *r = &b->result.streams[0];
	if (b->result.n_streams != 1)
		return cli_failf(EXIT_FAILED, "nothing was measured");
	int k = stream_figures(r, &b->figures, &err);
	if (k >= 0 && b->kind == BENCH_STT)
		k = stream_figures_add_clips(&b->figures, r, &err);
	if (k < 0)
		return cli_fail(EXIT_FAILED, &err);
	return b->kind == BENCH_STT ? judge_speech(b) : 0;
}

static int bench(Bench *b)
{
	int r = bench_load(b);
	if (r == 0)
		r = watch(b);
	if (r == 0)
		r = bench_open(b);
	if (r == 0)
		r = begin(b);
	if (r)
		return r;
	if (b->o->capacity > 0)
		return bench_print_capacity(b);
	r = judge(b);
	return r ? r : bench_print(b);
}

static void bench_done(Bench *b)
{
	capacity_run_stop(b->search);
	traffic_stop(b->traffic, false);
	traffic_result_done(&b->result);
	contents_free(b->contents);
	httpclient_free(b->client);
	httploop_free(b->http);
	httptarget_done(&b->target);
	json_decref(b->extra);
	if (b->token)
		explicit_bzero(b->token, strlen(b->token));
	free(b->token);
	free(b->path);
	free(b->load.trace);
	sd_event_unref(b->event);
}

static int run(const void *options, int argc, char **argv)
{
	static const char *const kinds[] = {"llm", "stt", "http"};
	Bench b = {.o = options};
	(void)argc;
	for (int i = 0; i < 3; i++) {
		if (strcmp(argv[0], kinds[i]) != 0)
			continue;
		b.kind = (BenchKind)i;
		b.url = argv[1];
		int r = bench(&b);
		bench_done(&b);
		return r;
	}
	return cli_failf(EXIT_USAGE,
			 "'%s' is no kind of server; it is llm, stt or http, and then the URL",
			 argv[0]);
}

#define AT(member) offsetof(BenchOptions, member)

static const Option rows[] = {
    {"protocol", 'p', "NAME", OPT_STRING, AT(protocol),
     .complete = "openai-chat openai-completions ollama-chat ollama-generate openai-stt "
		 "whispercpp http",
     .help = "how to ask (default: openai-chat, openai-stt or http)"},
    {"model", 'm', "NAME", OPT_STRING, AT(model), .help = "the model to name in requests"},
    {"path", 0, "PATH", OPT_STRING, AT(path), .help = "instead of the protocol's own path"},
    {"users", 'u', "N", OPT_INT, AT(users), .min = 1, .max = 100000,
     .help = "N at a time, each waits for its answer (default: 1)"},
    {"think", 0, "TIME", OPT_DURATION, AT(think_us),
     .help = "pause of a user between an answer and the next request"},
    {"rate", 'r', "R", OPT_STRING, AT(rate),
     .help = "R requests a second, whether or not answers come (poisson)"},
    {"poisson", 0, NULL, OPT_FLAG, AT(poisson), .help = "with --rate: independent of each other"},
    {"constant", 0, NULL, OPT_FLAG, AT(constant), .help = "with --rate: evenly"},
    {"gamma", 0, "CV", OPT_STRING, AT(gamma),
     .help = "with --rate: in clumps; CV is the coefficient of variation of the gaps, 1 is "
	     "poisson"},
    {"ramp", 0, "R1..R2", OPT_STRING, AT(ramp), .help = "evenly, from rate R1 to rate R2"},
    {"replay", 0, "FILE", OPT_STRING, AT(replay), .complete = "file",
     .help = "when and as long as the trace says (CSV)"},
    {"speed", 0, "X", OPT_STRING, AT(speed), .help = "with --replay: X times as fast"},
    {"requests", 'n', "N", OPT_INT, AT(requests), .min = 1, .max = 1000000,
     .help = "measure N requests (default: 200; a 95th percentile takes 130, a 99th 662)"},
    {"duration", 'd', "TIME", OPT_DURATION, AT(duration_us),
     .help = "measure this long, warm-up included"},
    {"warmup", 'w', "N", OPT_INT, AT(warmup), .otherwise = "10", .min = 0, .max = 100000,
     .help = "send N requests first that do not count"},
    {"prompt-tokens", 0, "N[:SIGMA]", OPT_STRING, AT(prompt_tokens), .otherwise = "128",
     .help = "llm: length of the prompts that are made up, about; with SIGMA a median"},
    {"output-tokens", 0, "N[:SIGMA]", OPT_STRING, AT(output_tokens), .otherwise = "128",
     .help = "llm: the most tokens to answer with"},
    {"prompts", 0, "FILE", OPT_STRING, AT(prompts), .complete = "file",
     .help = "llm: prompts, one a line or JSON lines with \"prompt\""},
    {"repeat", 0, NULL, OPT_FLAG, AT(repeat),
     .help = "llm: the same prompt may come again, to measure a prefix cache on purpose"},
    {"no-stream", 0, NULL, OPT_FLAG, AT(whole),
     .help = "llm: ask for whole answers; there is then no time to first token"},
    {"clips", 'c', "DIR", OPT_STRING, AT(clips), .complete = "dir",
     .help = "stt: .wav files, each with a .txt of what is said for the word error rate "
	     "(default: quiet noise, which has none)"},
    {"clip-ms", 0, "MS[:SIGMA]", OPT_STRING, AT(clip_ms), .otherwise = "3000",
     .help = "stt: length of the clips that are made up; with SIGMA a median"},
    {"language", 0, "CODE", OPT_STRING, AT(language),
     .help = "stt: language to name in requests; also chooses how words are compared (default: "
	     "as in English)"},
    {"extra", 0, "JSON", OPT_STRING, AT(extra),
     .help = "members to add to each request, such as '{\"ignore_eos\": true}'"},
    {"limit", 'l', "TIME", OPT_DURATION, AT(limit_us),
     .help = "a good request ends within this time of its planned sending"},
    {"ttft-limit", 0, "TIME", OPT_DURATION, AT(ttft_limit_us),
     .help = "and has its first token within this"},
    {"tpot-limit", 0, "TIME", OPT_DURATION, AT(tpot_limit_us),
     .help = "and takes at most this for each further token"},
    {"capacity", 0, "MAX", OPT_INT, AT(capacity), .min = 1, .max = 100000,
     .help = "find the most users at once, up to MAX, of whom enough get good answers; with "
	     "--poisson, --constant or --gamma the highest rate"},
    {"share", 0, "PCT", OPT_STRING, AT(share), .otherwise = "95",
     .help = "with --capacity: how many are enough, in percent"},
    {"timeout", 't', "TIME", OPT_DURATION, AT(timeout_us),
     .help = "give a request up after this (default: 5 min)"},
    {"token-file", 0, "FILE", OPT_STRING, AT(token_file), .complete = "file",
     .help = "the bearer token is the first line of FILE"},
    {"token-env", 0, "NAME", OPT_STRING, AT(token_env),
     .help = "the bearer token is in the environment variable NAME"},
    {"ca-file", 0, "FILE", OPT_STRING, AT(ca_file), .complete = "file",
     .help = "trust these certificates instead of the system's"},
    {"insecure", 0, NULL, OPT_FLAG, AT(insecure), .help = "accept any certificate"},
    {"new-connections", 0, NULL, OPT_FLAG, AT(new_connections),
     .help = "a connection for each request"},
    {"seed", 0, "N", OPT_SEED, AT(seed), .help = "of lengths, gaps and prompts (default: 1)"},
    {"json", 'j', NULL, OPT_FLAG, AT(json), .help = "print JSON"},
    {0},
};

const Command cmd_bench = {
    .name = "bench",
    .args = "llm|stt|http URL",
    .summary = "load one server and measure its latency, rate and errors",
    .about =
	"Sends requests to a language model, a speech recogniser or any HTTP server and prints "
	"percentiles with their 95 % intervals, rates, errors and what the load generator itself "
	"got wrong. Every latency counts from the time at which a request was planned, so that a "
	"server that stalls cannot hide it. URL is http://, https:// or unix:/path/of/socket. "
	"Ctrl-C ends the load and prints what was measured so far.\n\n"
	"Exit status 0 when there is something to believe, 1 when no request was answered or the "
	"load generator was the bottleneck, 4 after Ctrl-C.",
    .options = rows,
    .options_size = sizeof(BenchOptions),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
