/* What the load generator costs and how exact it is. The server is a process of its own on the
 * other processor, which answers at once, or streams a token on every connection every 20 ms, all
 * at the same moment, as a model server does that decodes in batches. Each token says when it was
 * sent, so that our time stamps can be judged. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "row.h"

#include "base/clock.h"
#include "loadgen/traffic.h"
#include "stats/stats.h"

enum {
	PERIOD_US = 20000,
	TOKENS = 100, /* of each stream */
	STREAMS = 256,
	UNARY = 100000,
	CONNECTIONS_MAX = 4096,
};

_Noreturn static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench-traffic: %s: %s\n", what, why);
	exit(1);
}

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* with one processor they share it */
}

/* --- The server ------------------------------------------------------------------------------ */

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 193\r\n\r\n"
    "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"m\","
    "\"choices\":[{\"index\":0,\"text\":\" hello\",\"finish_reason\":\"length\"}],\"usage\":"
    "{\"prompt_tokens\":40,\"completion_tokens\":1}}  ";
static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n";

static void tell(int fd, const char *text, size_t n)
{
	if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("send", strerror(errno));
}

static void tell_token(int fd, bool last)
{
	char event[320], chunk[400];
	int n = snprintf(event, sizeof(event),
			 "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":"
			 "1700000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\" %lld\","
			 "\"logprobs\":null,\"finish_reason\":%s}]}\n\n%s",
			 (long long)now_us(), last ? "\"length\"" : "null",
			 last ? "data: [DONE]\n\n" : "");
	int len = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n%s", (unsigned)n, event,
			   last ? "0\r\n\r\n" : "");
	tell(fd, chunk, (size_t)len);
}

typedef struct Streams {
	int fd[CONNECTIONS_MAX], left[CONNECTIONS_MAX];
	size_t n;
} Streams;

/* A request is one packet here. */
static void respond(int fd, Streams *s)
{
	char buf[8192];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
	if (n <= 0) {
		(void)close(fd);
		return;
	}
	buf[n] = '\0';
	if (!strstr(buf, "\"stream\":true")) {
		tell(fd, answer, sizeof(answer) - 1);
		return;
	}
	tell(fd, stream_head, sizeof(stream_head) - 1);
	s->fd[s->n] = fd;
	s->left[s->n++] = TOKENS;
}

static void emit(Streams *s)
{
	for (size_t i = 0; i < s->n;) {
		bool last = --s->left[i] == 0;
		tell_token(s->fd[i], last);
		if (!last) {
			i++;
			continue;
		}
		s->n--;
		s->fd[i] = s->fd[s->n];
		s->left[i] = s->left[s->n];
	}
}

static void watch(int ep, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("epoll", strerror(errno));
}

static void take_connections(int ep, int listener)
{
	int fd, one = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(ep, fd);
	}
}

_Noreturn static void server(int listener)
{
	static Streams streams;
	struct itimerspec every = {.it_value.tv_nsec = PERIOD_US * 1000L,
				   .it_interval.tv_nsec = PERIOD_US * 1000L};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (ep < 0 || timer < 0 || timerfd_settime(timer, 0, &every, NULL) < 0)
		fail("server", strerror(errno));
	watch(ep, listener);
	watch(ep, timer);
	for (;;) {
		struct epoll_event ready[256];
		int n = epoll_wait(ep, ready, 256, -1);
		for (int i = 0; i < n; i++) {
			uint64_t times;
			if (ready[i].data.fd == listener)
				take_connections(ep, listener);
			else if (ready[i].data.fd != timer)
				respond(ready[i].data.fd, &streams);
			else if (read(timer, &times, sizeof(times)) > 0)
				emit(&streams);
		}
	}
}

static uint16_t start_server(pid_t *ret)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		fail("listen", strerror(errno));
	*ret = fork();
	if (*ret < 0)
		fail("fork", strerror(errno));
	if (*ret == 0) {
		pin(1);
		server(fd);
	}
	(void)close(fd);
	return ntohs(a.sin_port);
}

/* --- The generator --------------------------------------------------------------------------- */

typedef struct Bench {
	sd_event *loop;
	HttpLoop *http;
	HttpClient *client;
	Contents *contents;
	TrafficResult result;
	bool told;
} Bench;

static void told(void *ctx, TrafficResult *r, const Err *err)
{
	Bench *b = ctx;
	if (err)
		fail("traffic", err->msg);
	b->result = *r;
	*r = (TrafficResult){0};
	b->told = true;
}

/* Returns the CPU time of all of it. */
static double measure(Bench *b, const Stream *load, Protocol protocol, bool streaming)
{
	static const TrafficHandler handler = {.done = told};
	Err err = ERR_INIT;
	Traffic *t = NULL;
	TrafficStream s = {.name = "llm",
			   .client = b->client,
			   .protocol = protocol,
			   .path = "/v1/completions",
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
	return b->result.cpu_share * (double)(b->result.ended_us - b->result.began_us);
}

static Stream users(int64_t n, int64_t warmup, int64_t requests)
{
	return (Stream){.arrivals = ARRIVALS_CLOSED,
			.users = n,
			.warmup = warmup,
			.requests = requests,
			.prompt = {.median = 40, .min = 40, .max = 40},
			.output = {.median = TOKENS, .min = TOKENS, .max = TOKENS}};
}

static void bench_unary(Bench *b)
{
	static const int64_t at_once[] = {1, 8, 64};
	for (size_t i = 0; i < 3; i++) {
		char what[80];
		Stream l = users(at_once[i], 1000, UNARY);
		double cpu = measure(b, &l, PROTOCOL_OPENAI_COMPLETIONS, false);
		(void)snprintf(what, sizeof(what), "CPU of a unary request, %lld at a time",
			       (long long)at_once[i]);
		row(what, cpu / UNARY, "us", i == 2 ? ROW_AT_MOST : ROW_NO_GOAL, 10);
	}
	Stream l = users(64, 1000, UNARY);
	row("CPU of a plain GET, 64 at a time", measure(b, &l, PROTOCOL_HTTP, false) / UNARY, "us",
	    ROW_NO_GOAL, 0);
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
		for (uint32_t k = 0; k <= e->n_gaps; k++) {
			ret[n++] = (double)(at - strtoll(p, &p, 10));
			if (k < e->n_gaps)
				at += r->gaps_us[e->gaps_at + k];
		}
	}
	return n;
}

static void bench_streams(Bench *b)
{
	Stream l = users(STREAMS, STREAMS, 2 * STREAMS);
	double cpu = measure(b, &l, PROTOCOL_OPENAI_COMPLETIONS, true);
	const StreamResult *r = &b->result.streams[0];
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++)
		n += r->exchanges[i].measured ? r->exchanges[i].n_gaps + 1 : 0;
	double *errors = calloc(n, sizeof(*errors));
	if (!errors)
		fail("memory", "out of it");
	/* The share is over the measured time alone, the events are those of the measured. */
	int64_t first = INT64_MAX, last = 0;
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *e = &r->exchanges[i];
		if (!e->measured)
			continue;
		first = e->planned_us < first ? e->planned_us : first;
		last = e->end_us > last ? e->end_us : last;
	}
	(void)cpu;
	row("CPU of a paced event, 256 streams every 20 ms",
	    b->result.cpu_share * (double)(last - first) / (double)n, "us", ROW_AT_MOST, 6.6);
	n = stamp_errors(r, errors);
	stats_sort(errors, n);
	row("time stamp error of a token, median", stats_quantile(errors, n, 0.5) / 1e3, "ms",
	    ROW_AT_MOST, 0.1);
	row("time stamp error of a token, p99", stats_quantile(errors, n, 0.99) / 1e3, "ms",
	    ROW_NO_GOAL, 0);
	free(errors);
}

static void bench_rate(Bench *b, double rate)
{
	char what[80];
	Stream l = users(0, 200, (int64_t)(rate * 4));
	l.arrivals = ARRIVALS_CONSTANT;
	l.rate = rate;
	(void)measure(b, &l, PROTOCOL_OPENAI_COMPLETIONS, false);
	const StreamResult *r = &b->result.streams[0];
	const Exchange *first = &r->exchanges[200], *last = &r->exchanges[r->n - 1];
	double delivered = (double)(r->n - 201) * 1e6 / (double)(last->sent_us - first->sent_us);
	(void)snprintf(what, sizeof(what), "delivered rate off by, %.0f/s asked", rate);
	row(what, 100 * fabs(delivered / rate - 1), "%", ROW_AT_MOST, 0.1);
	(void)snprintf(what, sizeof(what), "sent later than planned, %.0f/s, p50", rate);
	row(what, (double)b->result.late_p50_us, "us", ROW_NO_GOAL, 0);
	(void)snprintf(what, sizeof(what), "sent later than planned, %.0f/s, p99", rate);
	row(what, (double)b->result.late_p99_us, "us", ROW_AT_MOST, 1000);
	(void)snprintf(what, sizeof(what), "CPU of a planned request, %.0f/s", rate);
	row(what, b->result.cpu_share * 1e6 / rate, "us", ROW_NO_GOAL, 0);
}

int main(void)
{
	Bench b = {0};
	Err err = ERR_INIT;
	char url[64];
	HttpTarget target = {0};
	pid_t peer = 0;
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", start_server(&peer));
	pin(0);
	if (sd_event_new(&b.loop) < 0 || httptarget_parse(url, &target, &err) < 0 ||
	    httploop_new(b.loop, &b.http, &err) < 0 ||
	    httpclient_new(b.http, &(HttpClientSpec){.target = &target}, &b.client, &err) < 0 ||
	    contents_new(&(ContentsSpec){.seed = 1}, &b.contents, &err) < 0)
		fail("set up", err.msg);
	bench_streams(&b);
	bench_rate(&b, 1000);
	bench_rate(&b, 5000);
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	row("memory, 256 streams and 20,000 requests", (double)u.ru_maxrss / 1024, "MiB",
	    ROW_AT_MOST, 20);
	bench_unary(&b);
	traffic_result_done(&b.result);
	contents_free(b.contents);
	httpclient_free(b.client);
	httploop_free(b.http);
	httptarget_done(&target);
	sd_event_unref(b.loop);
	(void)kill(peer, SIGKILL);
	(void)waitpid(peer, NULL, 0);
	return 0;
}
