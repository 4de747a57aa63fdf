#include "responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	CONNECTIONS_MAX = 4096,
};

_Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench-loadgen: %s: %s\n", what, why);
	exit(1);
}

int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* with one processor they share it */
}

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 193\r\n\r\n"
    "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"m\","
    "\"choices\":[{\"index\":0,\"text\":\" hello\",\"finish_reason\":\"length\"}],\"usage\":"
    "{\"prompt_tokens\":40,\"completion_tokens\":1}}  ";
static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n";

static void tell(int fd, const char *text, size_t n)
{
	/* A client may go; one that does not take a few hundred bytes is broken. */
	if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n && errno != EPIPE && errno != ECONNRESET)
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

static void forget(Streams *s, size_t i)
{
	s->n--;
	s->fd[i] = s->fd[s->n];
	s->left[i] = s->left[s->n];
}

static void hang_up(int fd, Streams *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->fd[i] == fd)
			forget(s, i--);
	(void)close(fd);
}

/* A request comes in one packet, or in one for its head and one for its body (aiohttp does that);
 * the body is an object. */
static void respond(int fd, Streams *s)
{
	char buf[8192];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
	if (n <= 0) {
		hang_up(fd, s);
		return;
	}
	buf[n] = '\0';
	if (buf[n - 1] != '}')
		return;
	if (!strstr(buf, "\"stream\":true") || s->n == CONNECTIONS_MAX) {
		tell(fd, answer, sizeof(answer) - 1);
		return;
	}
	tell(fd, stream_head, sizeof(stream_head) - 1);
	s->fd[s->n] = fd;
	s->left[s->n++] = RESPONDER_TOKENS;
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
		forget(s, i);
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
	struct itimerspec every = {.it_value.tv_nsec = RESPONDER_PERIOD_US * 1000L,
				   .it_interval.tv_nsec = RESPONDER_PERIOD_US * 1000L};
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

uint16_t responder_start(int cpu, pid_t *ret)
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
		pin(cpu);
		server(fd);
	}
	(void)close(fd);
	return ntohs(a.sin_port);
}

void responder_stop(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}
