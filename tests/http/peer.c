#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "connect/connect.h"
#include "test.h"

enum {
	SEND_PRIORITY = 100,
	PATIENCE_US = 10 * 1000 * 1000,
};

struct PeerConn {
	Peer *peer;
	PeerConn *next;
	const Script *script;
	sd_event_source *io, *send;
	int fd;
	size_t piece, at;
	bool done; /* closed */
	Str request;
};

static void conn_drop(PeerConn *c, bool reset)
{
	if (c->done)
		return;
	struct linger hard = {.l_onoff = 1};
	if (reset)
		CHECK_OK(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
	c->done = true;
	c->io = sd_event_source_disable_unref(c->io);
	c->send = sd_event_source_disable_unref(c->send);
	close(c->fd);
}

static void answered(PeerConn *c)
{
	c->piece = c->at = 0;
	if (c->script->end == PEER_CLOSES || c->script->end == PEER_RESETS)
		conn_drop(c, c->script->end == PEER_RESETS);
}

static int on_send(sd_event_source *s, void *ctx)
{
	PeerConn *c = ctx;
	const char *const *pieces = c->script->pieces;
	const char *piece = pieces ? pieces[c->piece] : NULL;
	if (!piece) {
		answered(c);
		return 0;
	}
	size_t left = strlen(piece + c->at), n = c->script->cut && left > 0 ? 1 : left;
	ssize_t r = send(c->fd, piece + c->at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (r < 0 && errno != EAGAIN) { /* the client has gone */
		conn_drop(c, false);
		return 0;
	}
	c->at += r > 0 ? (size_t)r : 0;
	if (piece[c->at] == '\0') {
		c->piece++;
		c->at = 0;
	}
	if (!pieces[c->piece] && c->script->end == PEER_STAYS) {
		c->piece = 0; /* the next request may come before we are called again */
		return 0;
	}
	CHECK_OK(sd_event_source_set_enabled(s, SD_EVENT_ONESHOT));
	return 0;
}

/* Requests of these tests have no body that looks like a head. */
static bool take_request(PeerConn *c)
{
	const char *gap = c->request.s ? strstr(c->request.s, "\r\n\r\n") : NULL;
	if (!gap)
		return false;
	const char *length = strstr(c->request.s, "Content-Length: ");
	size_t whole = (size_t)(gap - c->request.s) + 4;
	whole += length && length < gap ? strtoul(length + 16, NULL, 10) : 0;
	if (c->request.len < whole)
		return false;
	str_clear(&c->request);
	c->peer->requests++;
	return true;
}

static int on_read(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	PeerConn *c = ctx;
	char buf[65536];
	(void)s;
	(void)events;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n <= 0) {
		if (n < 0 && errno == EAGAIN)
			return 0;
		conn_drop(c, false);
		return 0;
	}
	str_addn(&c->request, buf, (size_t)n);
	str_addn(&c->peer->heard, buf, (size_t)n);
	if (take_request(c) && (c->script->pieces || c->script->end != PEER_SILENT))
		CHECK_OK(sd_event_source_set_enabled(c->send, SD_EVENT_ONESHOT));
	return 0;
}

static int on_accept(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	Peer *p = ctx;
	int one = 1;
	(void)s;
	(void)events;
	PeerConn *c = calloc(1, sizeof(*c));
	size_t n = p->connections < p->n_scripts ? p->connections : p->n_scripts - 1;
	CHECK(c);
	*c = (PeerConn){.peer = p, .next = p->first, .script = &p->scripts[n]};
	p->first = c;
	p->connections++;
	c->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK(c->fd >= 0);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!p->deaf)
		CHECK_OK(sd_event_add_io(p->loop, &c->io, c->fd, EPOLLIN, on_read, c));
	CHECK_OK(sd_event_add_defer(p->loop, &c->send, on_send, c));
	CHECK_OK(sd_event_source_set_priority(c->send, SEND_PRIORITY));
	CHECK_OK(sd_event_source_set_enabled(c->send,
					     c->script->unasked ? SD_EVENT_ONESHOT : SD_EVENT_OFF));
	return 0;
}

void peer_listen(Peer *p)
{
	CHECK_OK(sd_event_add_io(p->loop, &p->listener, p->fd, EPOLLIN, on_accept, p));
}

void peer_start(Peer *p, sd_event *loop, const char *socket_path, const Script *scripts, size_t n)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr *a = (struct sockaddr *)&in;
	socklen_t len = sizeof(in);
	if (socket_path) {
		(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", socket_path);
		a = (struct sockaddr *)&un;
		len = sizeof(un);
	}
	p->loop = loop;
	p->scripts = scripts;
	p->n_scripts = n;
	p->fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(p->fd >= 0 && bind(p->fd, a, len) == 0 && listen(p->fd, 1024) == 0);
	CHECK(getsockname(p->fd, a, &len) == 0);
	p->port = socket_path ? 0 : ntohs(in.sin_port);
	peer_listen(p);
}

void peer_close_all(Peer *p)
{
	for (PeerConn *c = p->first; c; c = c->next)
		conn_drop(c, false);
}

void peer_answer_now(Peer *p, const char *text)
{
	for (PeerConn *c = p->first; c; c = c->next)
		CHECK(send(c->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

void peer_stop(Peer *p)
{
	peer_close_all(p);
	while (p->first) {
		PeerConn *c = p->first;
		p->first = c->next;
		str_done(&c->request);
		free(c);
	}
	p->listener = sd_event_source_disable_unref(p->listener);
	close(p->fd);
	str_done(&p->heard);
}

/* --- The client's side ----------------------------------------------------------------------- */

static void on_head(void *ctx, int status, const char *type)
{
	Rig *r = ctx;
	r->status = status;
	(void)snprintf(r->type, sizeof(r->type), "%s", type);
}

static void on_data(void *ctx, const char *p, size_t n, int64_t at_us)
{
	Rig *r = ctx;
	CHECK(n > 0 && at_us > 0);
	str_addn(&r->body, p, n);
	r->pieces++;
}

static void on_done(void *ctx, const HttpEnd *end)
{
	Rig *r = ctx;
	r->end = *end;
	CHECK(end->began_us > 0 && end->end_us >= end->began_us);
	r->done++;
}

const HttpHandler rig_handler = {.head = on_head, .data = on_data, .done = on_done};

void rig_broker(Rig *r, bool answers)
{
	r->brokered = true;
	if (!r->loop)
		CHECK_OK(sd_event_new(&r->loop));
	bed_start(&r->broker);
	if (answers)
		CHECK_OK(
		    connectserver_new(r->loop, r->broker.listener, (uid_t)-1, &r->server, NULL));
	CHECK_OK(setenv(CONNECT_VARIABLE, r->broker.path, 1));
}

static void broker_stop(Rig *r)
{
	r->server = connectserver_free(r->server);
	if (r->brokered)
		bed_stop(&r->broker);
	r->brokered = false;
	CHECK_OK(unsetenv(CONNECT_VARIABLE));
}

void rig_start(Rig *r, const HttpClientSpec *more, const char *socket_path, const Script *scripts,
	       size_t n)
{
	HttpTarget t;
	Err err = ERR_INIT;
	HttpClientSpec spec = more ? *more : (HttpClientSpec){0};
	char url[160];
	if (getenv("HTTP_TEST_BROKER"))
		rig_broker(r, true);
	if (!r->loop)
		CHECK_OK(sd_event_new(&r->loop));
	peer_start(&r->peer, r->loop, socket_path, scripts, n);
	if (socket_path)
		(void)snprintf(url, sizeof(url), "unix:%s:/base", socket_path);
	else
		(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/base/",
			       (unsigned)r->peer.port);
	CHECK_OK(httptarget_parse(url, &t, &err));
	CHECK_OK(httploop_new(r->loop, &r->http, &err));
	spec.target = &t;
	CHECK_OK(httpclient_new(r->http, &spec, &r->client, &err));
	httptarget_done(&t);
}

void rig_stop(Rig *r)
{
	r->client = httpclient_free(r->client);
	r->http = httploop_free(r->http);
	peer_stop(&r->peer);
	broker_stop(r);
	str_done(&r->body);
	r->loop = sd_event_unref(r->loop);
}

HttpCall *rig_call(Rig *r, const char *method, const char *path, int64_t timeout_us)
{
	HttpRequest rq = {.method = method, .path = path, .timeout_us = timeout_us};
	HttpCall *call = NULL;
	Err err = ERR_INIT;
	CHECK_OK(http_call(r->client, &rq, &rig_handler, r, &call, &err));
	return call;
}

static int on_patience(sd_event_source *s, uint64_t usec, void *ctx)
{
	(void)s;
	(void)usec;
	(void)ctx;
	test_fail(__FILE__, __LINE__, "nothing happens");
}

/* sd_event_loop() ends for good; this one can be run again. */
void rig_loop(Rig *r)
{
	sd_event_source *patience = NULL;
	CHECK_OK(sd_event_add_time_relative(r->loop, &patience, CLOCK_MONOTONIC, PATIENCE_US, 1000,
					    on_patience, NULL));
	while (r->done < r->to_come)
		CHECK_OK(sd_event_run(r->loop, UINT64_MAX));
	sd_event_source_disable_unref(patience);
}

void rig_get(Rig *r, const char *method, int64_t timeout_us)
{
	r->done = 0;
	r->pieces = 0;
	r->status = 0;
	str_clear(&r->body);
	(void)rig_call(r, method, "/x", timeout_us);
	CHECK_INT(r->done, 0); /* never from inside */
	rig_loop(r);
	str_addn(&r->body, "", 0);
}
