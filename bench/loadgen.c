/* What the load generator costs and how exact it is, side by side with wrk, with a Python client on
 * aiohttp and with the bare least (bare.h), against one server (responder.h) on the other
 * processor. Everything is measured in several short rounds, one client after the other in each,
 * for the machine may not be quiet: medians are printed, with every round's value below, and the
 * ratios are medians of ratios within a round. CPU time is the process's own, user and system. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bare.h"
#include "responder.h"
#include "row.h"

#include "loadgen/traffic.h"
#include "stats/stats.h"

enum {
	STREAMS = 256,
	EVENTS_MAX = STREAMS * RESPONDER_TOKENS * 2,
	AT_ONCE = 64,
	UNARY = 30000,
	UNARY_SLOW = 2000, /* for a client that takes a hundred times as long */
	ROUNDS_DEFAULT = 5,
	ROUNDS_MAX = 50,
};

/* --- Figures by round ------------------------------------------------------------------------ */

typedef enum Metric {
	UNARY_OURS_1,
	UNARY_OURS,
	UNARY_BARE,
	UNARY_WRK,
	UNARY_AIOHTTP,
	EVENT_OURS,
	EVENT_BARE,
	EVENT_AIOHTTP,
	STAMP_P50_OURS,
	STAMP_P99_OURS,
	STAMP_P50_BARE,
	STAMP_P99_BARE,
	STAMP_P50_AIOHTTP,
	STAMP_P99_AIOHTTP,
	RATE_1000,
	LATE_1000,
	RATE_5000,
	LATE_5000,
	METRIC_MAX_,
} Metric;

static const struct {
	const char *what, *unit;
	RowGoal goal;
	double bound;
} metrics[METRIC_MAX_] = {
    [UNARY_OURS_1] = {"CPU of a request, 1 at a time: dream", "us", ROW_NO_GOAL, 0},
    [UNARY_OURS] = {"CPU of a request, 64 at a time: dream", "us", ROW_AT_MOST, 10},
    [UNARY_BARE] = {"  bare epoll", "us", ROW_NO_GOAL, 0},
    [UNARY_WRK] = {"  wrk", "us", ROW_NO_GOAL, 0},
    [UNARY_AIOHTTP] = {"  aiohttp", "us", ROW_NO_GOAL, 0},
    [EVENT_OURS] = {"CPU of a paced event, 256 streams: dream", "us", ROW_AT_MOST, 6.6},
    [EVENT_BARE] = {"  bare epoll", "us", ROW_NO_GOAL, 0},
    [EVENT_AIOHTTP] = {"  aiohttp", "us", ROW_NO_GOAL, 0},
    [STAMP_P50_OURS] = {"time stamp error, 256 streams, p50: dream", "ms", ROW_AT_MOST, 0.1},
    [STAMP_P99_OURS] = {"  p99", "ms", ROW_NO_GOAL, 0},
    [STAMP_P50_BARE] = {"  bare epoll, p50", "ms", ROW_NO_GOAL, 0},
    [STAMP_P99_BARE] = {"  bare epoll, p99", "ms", ROW_NO_GOAL, 0},
    [STAMP_P50_AIOHTTP] = {"  aiohttp, p50", "ms", ROW_NO_GOAL, 0},
    [STAMP_P99_AIOHTTP] = {"  aiohttp, p99", "ms", ROW_NO_GOAL, 0},
    [RATE_1000] = {"delivered rate off by, 1000/s asked", "%", ROW_AT_MOST, 0.1},
    [LATE_1000] = {"  sent later than planned, p99", "ms", ROW_AT_MOST, 1},
    [RATE_5000] = {"delivered rate off by, 5000/s asked", "%", ROW_AT_MOST, 0.1},
    [LATE_5000] = {"  sent later than planned, p99", "ms", ROW_AT_MOST, 1},
};

static const struct {
	const char *what;
	Metric above, below;
} ratios[] = {
    {"CPU of a request: dream / bare epoll", UNARY_OURS, UNARY_BARE},
    {"CPU of a request: dream / wrk", UNARY_OURS, UNARY_WRK},
    {"CPU of a request: aiohttp / dream", UNARY_AIOHTTP, UNARY_OURS},
    {"CPU of an event: dream / bare epoll", EVENT_OURS, EVENT_BARE},
    {"CPU of an event: aiohttp / dream", EVENT_AIOHTTP, EVENT_OURS},
    {"time stamp error, p50: dream / bare epoll", STAMP_P50_OURS, STAMP_P50_BARE},
    {"time stamp error, p50: aiohttp / dream", STAMP_P50_AIOHTTP, STAMP_P50_OURS},
};

typedef struct Bench {
	sd_event *loop;
	HttpLoop *http;
	HttpClient *client;
	Contents *contents;
	TrafficResult result;
	bool told;
	uint16_t port;
	const char *script; /* of the Python client */
	double *late_us;    /* EVENTS_MAX */
	double round[METRIC_MAX_][ROUNDS_MAX];
	size_t rounds;
} Bench;

static double median(const double *x, size_t n)
{
	double sorted[ROUNDS_MAX];
	memcpy(sorted, x, n * sizeof(*x));
	stats_sort(sorted, n);
	return stats_median(sorted, n);
}

static void say_metric(const Bench *b, Metric m)
{
	const double *x = b->round[m];
	if (!isfinite(x[0])) {
		printf("%-54s %14s\n", metrics[m].what, "not installed");
		return;
	}
	row(metrics[m].what, median(x, b->rounds), metrics[m].unit, metrics[m].goal,
	    metrics[m].bound);
	printf("      rounds:");
	for (size_t i = 0; i < b->rounds; i++)
		printf(" %.3g", x[i]);
	printf("\n");
}

static void say_ratios(const Bench *b)
{
	for (size_t i = 0; i < sizeof(ratios) / sizeof(*ratios); i++) {
		double x[ROUNDS_MAX];
		for (size_t k = 0; k < b->rounds; k++)
			x[k] = b->round[ratios[i].above][k] / b->round[ratios[i].below][k];
		if (isfinite(x[0]))
			row(ratios[i].what, median(x, b->rounds), "times", ROW_NO_GOAL, 0);
	}
}

static void stamps_of(Bench *b, size_t n, double *p50_ms, double *p99_ms)
{
	stats_sort(b->late_us, n);
	*p50_ms = stats_quantile(b->late_us, n, 0.5) / 1e3;
	*p99_ms = stats_quantile(b->late_us, n, 0.99) / 1e3;
}

/* --- Ours ------------------------------------------------------------------------------------ */

static void told(void *ctx, TrafficResult *r, const Err *err)
{
	Bench *b = ctx;
	if (err)
		fail("traffic", err->msg);
	b->result = *r;
	*r = (TrafficResult){0};
	b->told = true;
}

static const StreamResult *measure(Bench *b, const Stream *load, bool streaming)
{
	static const TrafficHandler handler = {.done = told};
	Err err = ERR_INIT;
	Traffic *t = NULL;
	TrafficStream s = {.name = "llm",
			   .client = b->client,
			   .protocol = PROTOCOL_OPENAI_COMPLETIONS,
			   .model = "m",
			   .streaming = streaming,
			   .load = load,
			   .contents = b->contents,
			   .misses_max = -1,
			   .keep_text = streaming};
	traffic_result_done(&b->result);
	b->told = false;
	if (traffic_start(b->loop, &s, 1, &handler, b, &t, &err) < 0)
		fail("start", err.msg);
	while (!b->told)
		if (sd_event_run(b->loop, UINT64_MAX) < 0)
			fail("loop", "failed");
	traffic_stop(t, false);
	const StreamResult *r = &b->result.streams[0];
	for (size_t i = 0; i < r->n; i++)
		if (r->exchanges[i].measured && r->exchanges[i].failed != EXCHANGE_OK)
			fail("exchange", r->first_error);
	return r;
}

static Stream users(int64_t n, int64_t warmup, int64_t requests)
{
	return (Stream){.arrivals = ARRIVALS_CLOSED,
			.users = n,
			.warmup = warmup,
			.requests = requests,
			.prompt = {.median = 1, .min = 1, .max = 1},
			.output = {.median = RESPONDER_TOKENS,
				   .min = RESPONDER_TOKENS,
				   .max = RESPONDER_TOKENS}};
}

/* The CPU share is over the measured time, from the first planned to the last answered. */
static double measured_cpu_us(const Bench *b, const StreamResult *r)
{
	int64_t first = INT64_MAX, last = 0;
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (!e->measured)
			continue;
		first = e->planned_us < first ? e->planned_us : first;
		last = e->end_us > last ? e->end_us : last;
	}
	return b->result.cpu_share * (double)(last - first);
}

static double unary_ours(Bench *b, int64_t at_once)
{
	Stream l = users(at_once, 1000, UNARY);
	return measured_cpu_us(b, measure(b, &l, false)) / UNARY;
}

/* How much later than its own stamp each token was seen. */
static size_t stamp_errors(const StreamResult *r, double *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (!e->measured)
			continue;
		int64_t at = e->first_us;
		char *p = e->text;
		for (uint32_t k = 0; k <= e->n_gaps && n < EVENTS_MAX; k++) {
			ret[n++] = (double)(at - strtoll(p, &p, 10));
			if (k < e->n_gaps)
				at += r->gaps_us[e->gaps_at + k];
		}
	}
	return n;
}

static void streams_ours(Bench *b, size_t i)
{
	Stream l = users(STREAMS, STREAMS, STREAMS);
	const StreamResult *r = measure(b, &l, true);
	size_t n = stamp_errors(r, b->late_us);
	if (n != (size_t)STREAMS * RESPONDER_TOKENS)
		fail("streams", "events were lost");
	b->round[EVENT_OURS][i] = measured_cpu_us(b, r) / (double)n;
	stamps_of(b, n, &b->round[STAMP_P50_OURS][i], &b->round[STAMP_P99_OURS][i]);
}

static void rate_ours(Bench *b, double rate, double *off_pct, double *late_ms)
{
	Stream l = users(0, 200, (int64_t)(rate * 2));
	l.arrivals = ARRIVALS_CONSTANT;
	l.rate = rate;
	const StreamResult *r = measure(b, &l, false);
	const Exchange *first = &r->exchanges[200], *last = &r->exchanges[r->n - 1];
	double delivered = (double)(r->n - 201) * 1e6 / (double)(last->sent_us - first->sent_us);
	*off_pct = 100 * fabs(delivered / rate - 1);
	*late_ms = (double)b->result.late_p99_us / 1e3;
}

/* --- Others ---------------------------------------------------------------------------------- */

/* Runs a program on our processor. Returns the CPU time of all of it, NAN when it is not there. */
static double other(const char *const *argv, char *out, size_t size)
{
	int ends[2], status;
	struct rusage u;
	if (pipe(ends) < 0)
		fail("pipe", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		fail("fork", strerror(errno));
	if (pid == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		(void)close(ends[0]);
		(void)close(ends[1]);
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	(void)close(ends[1]);
	size_t n = 0;
	for (ssize_t r; n < size - 1 && (r = read(ends[0], out + n, size - 1 - n)) > 0;)
		n += (size_t)r;
	out[n] = '\0';
	(void)close(ends[0]);
	if (wait4(pid, &status, 0, &u) < 0)
		fail("wait", strerror(errno));
	if (status != 0)
		return (double)NAN;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* The number after `mark`. */
static double number_after(const char *text, const char *mark)
{
	const char *p = strstr(text, mark);
	return p ? strtod(p + strlen(mark), NULL) : (double)NAN;
}

/* wrk's script only sets the request, which it then keeps: it costs nothing a request. */
static double unary_wrk(const Bench *b)
{
	char script[] = "/tmp/dream-bench-XXXXXX", url[80], out[2048];
	int fd = mkstemp(script);
	if (fd < 0 || dprintf(fd,
			      "wrk.method = 'POST'\nwrk.body = '%s'\n"
			      "wrk.headers['Content-Type'] = 'application/json'\n",
			      RESPONDER_BODY("false")) < 0)
		fail("wrk", strerror(errno));
	(void)close(fd);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/completions", b->port);
	double used =
	    other((const char *const[]){"wrk", "-t1", "-c64", "-d1s", "-s", script, url, NULL}, out,
		  sizeof(out));
	(void)unlink(script);
	const char *said = strstr(out, " requests in ");
	while (said && said > out && said[-1] >= '0' && said[-1] <= '9')
		said--;
	return said ? used / strtod(said, NULL) : (double)NAN;
}

static double aiohttp(const Bench *b, const char *kind, const char *body, int64_t n, int64_t m,
		      char *out, size_t size)
{
	char port[16], many[24], more[24];
	(void)snprintf(port, sizeof(port), "%u", b->port);
	(void)snprintf(many, sizeof(many), "%lld", (long long)n);
	(void)snprintf(more, sizeof(more), "%lld", (long long)m);
	const char *const argv[] = {
	    "/usr/bin/python3", b->script, kind, port, body, many, more, NULL};
	return isfinite(other(argv, out, size)) ? number_after(out, "cpu_us=") : (double)NAN;
}

static void unary_others(Bench *b, size_t i)
{
	static const char body[] = RESPONDER_BODY("false");
	char out[2048];
	b->round[UNARY_BARE][i] = bare_unary(b->port, UNARY, AT_ONCE);
	b->round[UNARY_WRK][i] = unary_wrk(b);
	b->round[UNARY_AIOHTTP][i] =
	    aiohttp(b, "unary", body, UNARY_SLOW, AT_ONCE, out, sizeof(out));
}

static void streams_others(Bench *b, size_t i)
{
	static const char body[] = RESPONDER_BODY("true");
	char out[2048] = "";
	size_t n = 0;
	b->round[EVENT_BARE][i] = bare_stream(b->port, STREAMS, b->late_us, &n);
	stamps_of(b, n, &b->round[STAMP_P50_BARE][i], &b->round[STAMP_P99_BARE][i]);
	b->round[EVENT_AIOHTTP][i] =
	    aiohttp(b, "stream", body, STREAMS, RESPONDER_TOKENS, out, sizeof(out));
	b->round[STAMP_P50_AIOHTTP][i] = number_after(out, "late_p50_us=") / 1e3;
	b->round[STAMP_P99_AIOHTTP][i] = number_after(out, "late_p99_us=") / 1e3;
}

/* --- All of it ------------------------------------------------------------------------------- */

static void run_round(Bench *b, size_t i)
{
	b->round[UNARY_OURS_1][i] = unary_ours(b, 1);
	b->round[UNARY_OURS][i] = unary_ours(b, AT_ONCE);
	unary_others(b, i);
	streams_ours(b, i);
	streams_others(b, i);
	rate_ours(b, 1000, &b->round[RATE_1000][i], &b->round[LATE_1000][i]);
	rate_ours(b, 5000, &b->round[RATE_5000][i], &b->round[LATE_5000][i]);
}

static void set_up(Bench *b, HttpTarget *target)
{
	char url[64];
	Err err = ERR_INIT;
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", b->port);
	if (sd_event_new(&b->loop) < 0 || httptarget_parse(url, target, &err) < 0 ||
	    httploop_new(b->loop, &b->http, &err) < 0 ||
	    httpclient_new(b->http, &(HttpClientSpec){.target = target}, &b->client, &err) < 0 ||
	    contents_new(&(ContentsSpec){.seed = 1}, &b->contents, &err) < 0)
		fail("set up", err.msg);
}

/* usage: bench-loadgen loadgen-aiohttp.py [ROUNDS] */
int main(int argc, char *argv[])
{
	static Bench b;
	HttpTarget target = {0};
	pid_t peer = 0;
	struct rusage u;
	if (argc < 2)
		fail("usage", "bench-loadgen loadgen-aiohttp.py [ROUNDS]");
	b.script = argv[1];
	long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : ROUNDS_DEFAULT;
	b.rounds = rounds > 0 && rounds <= ROUNDS_MAX ? (size_t)rounds : ROUNDS_DEFAULT;
	b.late_us = calloc(EVENTS_MAX, sizeof(*b.late_us));
	b.port = responder_start(1, &peer);
	pin(0);
	set_up(&b, &target);
	for (size_t i = 0; b.late_us && i < b.rounds; i++)
		run_round(&b, i);
	for (size_t m = 0; m < METRIC_MAX_; m++)
		say_metric(&b, (Metric)m);
	(void)getrusage(RUSAGE_SELF, &u);
	row("most memory of all of it: dream", (double)u.ru_maxrss / 1024, "MiB", ROW_AT_MOST, 20);
	say_ratios(&b);
	traffic_result_done(&b.result);
	contents_free(b.contents);
	httpclient_free(b.client);
	httploop_free(b.http);
	httptarget_done(&target);
	sd_event_unref(b.loop);
	free(b.late_us);
	responder_stop(peer);
	return 0;
}
