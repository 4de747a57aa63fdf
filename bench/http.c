/* What the HTTP client and server cost. Each measurement is two processes, each on a processor of
 * its own: a server (a bare epoll responder, or ours) and the client. A paced stream sends an event
 * on every connection every 20 ms, all at the same moment, as a model server does that decodes in
 * batches; each event says when it was sent, so that the client's time stamps can be judged. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "row.h"

#include "base/clock.h"
#include "connect/connect.h"
#include "connect/server.h"
#include "http/client.h"
#include "http/server.h"

enum {
	UNARY = 200000,
	CONNECTIONS = 5000, /* one after another leaves a port occupied for a minute */
	IN_FLIGHT = 64,
	PERIOD_US = 20000,
	EVENTS = 150, /* of each stream */
	STREAMS_MAX = 256,
	FDS_MAX = 1024,
};

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "bench-http: %s: %s\n", what, strerror(errno));
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

static double cpu_us(const struct rusage *u)
{
	return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1e6 +
	       (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

static int chunk_of_now(char *out, size_t size)
{
	char event[64];
	int n = snprintf(event, sizeof(event), "data: {\"t\":%lld}\n\n", (long long)now_us());
	return snprintf(out, size, "%x\r\n%s\r\n", (unsigned)n, event);
}

/* --- The bare responder ---------------------------------------------------------------------- */

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
			     "Content-Length: 27\r\n\r\n{\"text\":\"hello\",\"tokens\":1}";
static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n";

static void tell(int fd, const char *text, size_t n)
{
	if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("send");
}

/* A request is one small packet here. Returns whether it asks for a stream. */
static bool respond(int fd)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
	if (n <= 0) {
		(void)close(fd);
		return false;
	}
	buf[n] = '\0';
	if (strncmp(buf, "POST /stream", 12) == 0) {
		tell(fd, stream_head, sizeof(stream_head) - 1);
		return true;
	}
	tell(fd, answer, sizeof(answer) - 1);
	return false;
}

static void emit(int *streams, int *left, size_t *n)
{
	char chunk[96];
	for (size_t i = 0; i < *n;) {
		tell(streams[i], chunk, (size_t)chunk_of_now(chunk, sizeof(chunk)));
		if (--left[i] > 0) {
			i++;
			continue;
		}
		tell(streams[i], "0\r\n\r\n", 5);
		(*n)--;
		streams[i] = streams[*n];
		left[i] = left[*n];
	}
}

static int watch(int ep, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static int make_timer(void)
{
	struct itimerspec every = {.it_value.tv_nsec = PERIOD_US * 1000L,
				   .it_interval.tv_nsec = PERIOD_US * 1000L};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || timerfd_settime(fd, 0, &every, NULL) < 0)
		fail("timerfd");
	return fd;
}

_Noreturn static void bare_server(int listener)
{
	int streams[FDS_MAX], left[FDS_MAX], one = 1;
	size_t n_streams = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC), timer = make_timer();
	if (ep < 0 || watch(ep, listener) < 0 || watch(ep, timer) < 0)
		fail("epoll");
	for (;;) {
		struct epoll_event ready[FDS_MAX];
		int n = epoll_wait(ep, ready, FDS_MAX, -1);
		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			uint64_t ticks;
			if (fd == timer) {
				if (read(timer, &ticks, sizeof(ticks)) > 0)
					emit(streams, left, &n_streams);
			} else if (fd == listener) {
				int c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
				(void)setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				if (c < 0 || watch(ep, c) < 0)
					fail("accept");
			} else if (respond(fd) && n_streams < FDS_MAX) {
				left[n_streams] = EVENTS;
				streams[n_streams++] = fd;
			}
		}
	}
}

/* --- Our server ------------------------------------------------------------------------------ */

typedef struct Ours {
	Incoming *streams[STREAMS_MAX];
	int left[STREAMS_MAX];
	size_t n;
} Ours;

static void ours_serve(void *ctx, Incoming *rq)
{
	static const char body[] = "{\"text\":\"hello\",\"tokens\":1}";
	Ours *o = ctx;
	if (strcmp(incoming_path(rq), "/stream") != 0) {
		(void)incoming_answer(rq, 200, "application/json", body, sizeof(body) - 1);
		return;
	}
	if (incoming_stream(rq, 200, "text/event-stream") < 0 || o->n == STREAMS_MAX)
		fail("stream");
	o->left[o->n] = EVENTS;
	o->streams[o->n++] = rq;
}

static int ours_tick(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	Ours *o = ctx;
	uint64_t ticks;
	(void)s;
	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) <= 0)
		return 0;
	for (size_t i = 0; i < o->n;) {
		char event[64];
		int n =
		    snprintf(event, sizeof(event), "data: {\"t\":%lld}\n\n", (long long)now_us());
		(void)incoming_write(o->streams[i], event, (size_t)n);
		if (--o->left[i] > 0) {
			i++;
			continue;
		}
		incoming_end(o->streams[i]);
		o->n--;
		o->streams[i] = o->streams[o->n];
		o->left[i] = o->left[o->n];
	}
	return 0;
}

_Noreturn static void our_server(int told)
{
	static Ours ours;
	sd_event *loop = NULL;
	HttpServer *s = NULL;
	Err err = ERR_INIT;
	HttpServerSpec spec = {.host = "127.0.0.1", .serve = ours_serve, .ctx = &ours};
	if (sd_event_new(&loop) < 0 || httpserver_new(loop, &spec, &s, &err) < 0 ||
	    sd_event_add_io(loop, NULL, make_timer(), EPOLLIN, ours_tick, &ours) < 0)
		fail(err.msg);
	uint16_t port = httpserver_port(s);
	if (write(told, &port, sizeof(port)) != sizeof(port))
		fail("write");
	(void)sd_event_loop(loop);
	exit(0);
}

/* --- Two processes --------------------------------------------------------------------------- */

typedef struct Peer {
	pid_t pid;
	uint16_t port;
} Peer;

static Peer start_bare(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		fail("listen");
	Peer p = {.pid = fork(), .port = ntohs(a.sin_port)};
	if (p.pid < 0)
		fail("fork");
	if (p.pid == 0) {
		pin(0);
		bare_server(fd);
	}
	(void)close(fd);
	return p;
}

static Peer start_ours(void)
{
	int told[2];
	if (pipe2(told, O_CLOEXEC) < 0)
		fail("pipe");
	Peer p = {.pid = fork()};
	if (p.pid < 0)
		fail("fork");
	if (p.pid == 0) {
		pin(0);
		our_server(told[1]);
	}
	if (read(told[0], &p.port, sizeof(p.port)) != sizeof(p.port))
		fail("read");
	(void)close(told[0]);
	(void)close(told[1]);
	return p;
}

/* Returns the CPU time it took. */
static double stop(Peer *p)
{
	struct rusage u;
	(void)kill(p->pid, SIGKILL);
	if (wait4(p->pid, NULL, 0, &u) < 0)
		fail("wait");
	return cpu_us(&u);
}

/* --- The client ------------------------------------------------------------------------------ */

typedef struct Bench {
	sd_event *loop;
	HttpClient *client;
	const char *path;
	bool close_each;
	int64_t to_start, running, failed;
	int64_t events;
	double *errors_us; /* of the time stamps */
	int64_t n_errors;
} Bench;

static void start_one(Bench *b);

static void on_data(void *ctx, const char *p, size_t n, int64_t at_us)
{
	Bench *b = ctx;
	const char *t = memmem(p, n, "\"t\":", 4);
	b->events++;
	if (t && b->errors_us)
		b->errors_us[b->n_errors++] = (double)(at_us - strtoll(t + 4, NULL, 10));
}

static void on_done(void *ctx, const HttpEnd *end)
{
	Bench *b = ctx;
	b->failed += end->fault != HTTP_FINE || end->status != 200;
	b->running--;
	if (b->to_start > 0)
		start_one(b);
	else if (b->running == 0)
		(void)sd_event_exit(b->loop, 0);
}

static void start_one(Bench *b)
{
	static const char body[] = "{\"model\":\"m\",\"prompt\":\"hello\",\"max_tokens\":1}";
	static const HttpHandler handler = {.data = on_data, .done = on_done};
	HttpRequest rq = {.method = "POST",
			  .path = b->path,
			  .type = "application/json",
			  .body = body,
			  .body_len = sizeof(body) - 1,
			  .timeout_us = 60000000};
	HttpCall *call;
	Err err = ERR_INIT;
	b->to_start--;
	b->running++;
	if (http_call(b->client, &rq, &handler, b, &call, &err) < 0)
		fail(err.msg);
}

typedef struct Cost {
	double client_us, server_us, wall_us; /* CPU, CPU, time */
} Cost;

static Cost measure(Bench *b, Peer (*start)(void), int64_t calls, int at_once)
{
	Peer peer = start();
	HttpTarget target;
	HttpLoop *http = NULL;
	Err err = ERR_INIT;
	char url[64];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)peer.port);
	if (sd_event_new(&b->loop) < 0 || httptarget_parse(url, &target, &err) < 0 ||
	    httploop_new(b->loop, &http, &err) < 0)
		fail(err.msg);
	HttpClientSpec spec = {.target = &target, .close_each = b->close_each};
	if (httpclient_new(http, &spec, &b->client, &err) < 0)
		fail(err.msg);

	struct rusage before, after;
	Cost c;
	b->to_start = calls;
	(void)getrusage(RUSAGE_SELF, &before);
	int64_t began_us = now_us();
	for (int i = 0; i < at_once; i++)
		start_one(b);
	(void)sd_event_loop(b->loop);
	c.wall_us = (double)(now_us() - began_us);
	(void)getrusage(RUSAGE_SELF, &after);
	c.client_us = cpu_us(&after) - cpu_us(&before);
	(void)httpclient_free(b->client);
	(void)httploop_free(http);
	httptarget_done(&target);
	(void)sd_event_unref(b->loop);
	c.server_us = stop(&peer);
	if (b->failed > 0)
		fail("a call failed");
	return c;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void bench_unary(Peer (*start)(void), bool ours)
{
	Bench b = {.path = "/v1/completions"};
	Cost c = measure(&b, start, UNARY, IN_FLIGHT);
	if (ours) {
		row("our server: CPU of a request", c.server_us / UNARY, "us", ROW_NO_GOAL, 0);
		return;
	}
	row("client: CPU of a request, 64 at once", c.client_us / UNARY, "us", ROW_AT_MOST, 10);
	row("client: requests a second", UNARY / (c.wall_us / 1e6), "/s", ROW_NO_GOAL, 0);
	row("client: its processor was busy", 100 * c.client_us / c.wall_us, "%", ROW_NO_GOAL, 0);
}

static void bench_stream(Peer (*start)(void), bool ours, int streams)
{
	static double errors[STREAMS_MAX * EVENTS * 2];
	Bench b = {.path = "/stream", .errors_us = errors};
	char what[80];
	Cost c = measure(&b, start, streams, streams);
	if (b.n_errors != (int64_t)streams * EVENTS)
		fail("events were lost");
	if (ours) {
		snprintf(what, sizeof(what), "our server: CPU of an event, %d streams", streams);
		row(what, c.server_us / (double)b.n_errors, "us", ROW_AT_MOST, 15);
		return;
	}
	snprintf(what, sizeof(what), "client: CPU of an event, %d paced streams", streams);
	row(what, c.client_us / (double)b.events, "us", streams >= 32 ? ROW_AT_MOST : ROW_NO_GOAL,
	    6.6);
	qsort(errors, (size_t)b.n_errors, sizeof(*errors), by_value);
	/* Half of it is how fast this server writes to all of them at once. What is promised is of
	 * tokens, and bench-loadgen measures it in rounds with bare epoll beside it. */
	snprintf(what, sizeof(what), "client: time stamp late, %d streams, p50", streams);
	row(what, errors[b.n_errors / 2] / 1e3, "ms", ROW_NO_GOAL, 0);
	snprintf(what, sizeof(what), "client: time stamp late, %d streams, p99", streams);
	row(what, errors[b.n_errors * 99 / 100] / 1e3, "ms", ROW_NO_GOAL, 0);
}

/* Who connects for the client, as dream-connect does for the daemon; on the server's processor. */
static Peer start_broker(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, SOMAXCONN) < 0)
		fail("listen");
	Peer p = {.pid = fork()};
	if (p.pid < 0)
		fail("fork");
	if (p.pid == 0) {
		sd_event *loop;
		ConnectServer *s;
		pin(0);
		if (sd_event_new(&loop) < 0 || connectserver_new(loop, fd, (uid_t)-1, &s, NULL) < 0)
			fail("broker");
		(void)sd_event_loop(loop);
		_exit(0);
	}
	(void)close(fd);
	return p;
}

/* A connection for each request, made by ourselves and then by another. */
static void bench_connections(void)
{
	char dir[] = "/tmp/dream-bench-XXXXXX", path[64];
	Bench b = {.path = "/v1/completions", .close_each = true};
	if (!mkdtemp(dir))
		fail("mkdtemp");
	snprintf(path, sizeof(path), "%s/socket", dir);
	Cost own = measure(&b, start_bare, CONNECTIONS, 1);
	Peer broker = start_broker(path);
	if (setenv(CONNECT_VARIABLE, path, 1) < 0)
		fail("setenv");
	Cost brokered = measure(&b, start_bare, CONNECTIONS, 1);
	double broker_us = stop(&broker);
	(void)unsetenv(CONNECT_VARIABLE);
	(void)unlink(path);
	(void)rmdir(dir);
	row("a request on a new connection", own.wall_us / CONNECTIONS, "us", ROW_NO_GOAL, 0);
	row("  the client's CPU", own.client_us / CONNECTIONS, "us", ROW_NO_GOAL, 0);
	row("the same through dream-connect", brokered.wall_us / CONNECTIONS, "us", ROW_AT_MOST,
	    500);
	row("  the client's CPU", brokered.client_us / CONNECTIONS, "us", ROW_NO_GOAL, 0);
	row("  dream-connect's CPU", broker_us / CONNECTIONS, "us", ROW_NO_GOAL, 0);
}

int main(void)
{
	struct rusage u;
	pin(1);
	bench_unary(start_bare, false);
	for (int n = 8; n <= STREAMS_MAX; n *= n == 8 ? 4 : 8)
		bench_stream(start_bare, false, n);
	(void)getrusage(RUSAGE_SELF, &u);
	row("client: most memory", (double)u.ru_maxrss / 1024, "MiB", ROW_AT_MOST, 20);
	bench_unary(start_ours, true);
	bench_stream(start_ours, true, 32);
	bench_stream(start_ours, true, 256);
	bench_connections();
	return 0;
}
