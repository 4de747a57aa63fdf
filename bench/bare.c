#include "bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "responder.h"

enum {
	READY = 256,
	PACKET = 16384,
};

#define REQUEST(stream)                                                                          \
	"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" \
	"Content-Length: %zu\r\n\r\n%s",                                                         \
	    sizeof(RESPONDER_BODY(stream)) - 1, RESPONDER_BODY(stream)

static double cpu_us(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int connected(int ep, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				.sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("connect", strerror(errno));
	return fd;
}

static void ask(int fd, const char *request, size_t n)
{
	if (send(fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("send", strerror(errno));
}

static int *all_connected(int ep, uint16_t port, int n)
{
	int *fds = calloc((size_t)n, sizeof(*fds));
	if (!fds)
		fail("memory", "out of it");
	for (int i = 0; i < n; i++)
		fds[i] = connected(ep, port);
	return fds;
}

static void close_all(int ep, int *fds, int n)
{
	for (int i = 0; i < n; i++)
		(void)close(fds[i]);
	free(fds);
	(void)close(ep);
}

double bare_unary(uint16_t port, int64_t requests, int at_once)
{
	char request[512], buf[PACKET];
	size_t len = (size_t)snprintf(request, sizeof(request), REQUEST("false"));
	int ep = epoll_create1(EPOLL_CLOEXEC), *fds = all_connected(ep, port, at_once);
	int64_t asked = 0, answered = 0;
	double began = cpu_us();
	for (; asked < at_once; asked++)
		ask(fds[asked], request, len);
	while (answered < requests) {
		struct epoll_event ready[READY];
		int n = epoll_wait(ep, ready, READY, -1);
		for (int i = 0; i < n; i++) {
			if (recv(ready[i].data.fd, buf, sizeof(buf), 0) <= 0)
				fail("recv", strerror(errno));
			answered++;
			if (asked++ < requests)
				ask(ready[i].data.fd, request, len);
		}
	}
	double used = cpu_us() - began;
	close_all(ep, fds, at_once);
	return used / (double)requests;
}

/* Several tokens may have come in one packet. */
static size_t stamps(const char *p, size_t n, double *ret)
{
	static const char mark[] = "\"text\":\" ";
	int64_t at = now_us();
	size_t found = 0;
	for (const char *end = p + n, *t; (t = memmem(p, (size_t)(end - p), mark, 9)); found++) {
		p = t + 9;
		ret[found] = (double)(at - strtoll(p, NULL, 10));
	}
	return found;
}

double bare_stream(uint16_t port, int streams, double *ret_late_us, size_t *ret_n)
{
	char request[512], buf[PACKET];
	size_t len = (size_t)snprintf(request, sizeof(request), REQUEST("true"));
	int ep = epoll_create1(EPOLL_CLOEXEC), *fds = all_connected(ep, port, streams);
	size_t wanted = (size_t)streams * RESPONDER_TOKENS, got = 0;
	for (int i = 0; i < streams; i++)
		ask(fds[i], request, len);
	double began = cpu_us();
	while (got < wanted) {
		struct epoll_event ready[READY];
		int n = epoll_wait(ep, ready, READY, -1);
		for (int i = 0; i < n; i++) {
			ssize_t r = recv(ready[i].data.fd, buf, sizeof(buf) - 1, 0);
			if (r <= 0)
				fail("recv", strerror(errno));
			buf[r] = '\0';
			got += stamps(buf, (size_t)r, ret_late_us + got);
		}
	}
	double used = cpu_us() - began;
	close_all(ep, fds, streams);
	*ret_n = got;
	return used / (double)got;
}
