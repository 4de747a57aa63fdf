/* One connection: connects, sends, reads. Its socket is in the inner epoll set once, edge-triggered
 * for both directions: a call that sends at once and is answered in one read costs send(),
 * epoll_wait() and recv(). */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "connect/connect.h"
#include "http/internal.h"

enum {
	BACKLOG_WAIT_US = 2000, /* a unix socket whose backlog is full says so at once */
	BROKER_WAIT_US = 20000, /* one that ended is started again by the next question */
	EDGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	BROKER_EDGES = EPOLLIN | EPOLLET,
};

static void list_add(Conn **list, Conn *c)
{
	c->prev = NULL;
	c->next = *list;
	if (*list)
		(*list)->prev = c;
	*list = c;
}

static void list_remove(Conn **list, Conn *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		*list = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

void conn_close(Conn *c)
{
	list_remove(c->call ? &c->client->busy : &c->client->idle, c);
	if (c->call)
		c->call->conn = NULL;
	c->call = NULL;
	c->state = CONN_DEAD;
	c->tls = tls_close(c->tls);
	/* Not left to close(): a process that was forked meanwhile may hold the socket too. */
	(void)epoll_ctl(c->loop->epfd, EPOLL_CTL_DEL, c->fd, NULL);
	(void)close(c->fd);
	loop_bury(c->loop, c);
}

static void give_to(Conn *c, HttpCall *call)
{
	list_add(&c->client->busy, c);
	c->call = call;
	c->heard = false;
	call->conn = c;
	call->sent = 0;
	call->end.sent_us = 0;
	call->end.reused = c->reused;
	parser_start(&c->parser, call->head_only);
}

/* The end of a call that is on a connection which cannot go on. */
static void fail(Conn *c, HttpFault fault, int error, const char *why, int64_t at_us)
{
	HttpCall *call = c->call;
	conn_close(c);
	call_end(call, fault, error, why, at_us);
}

static ssize_t raw_send(Conn *c, const void *p, size_t n)
{
	if (c->tls)
		return tls_write(c->tls, p, n);
	ssize_t r;
	do
		r = send(c->fd, p, n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static ssize_t raw_read(Conn *c, void *p, size_t n)
{
	if (c->tls)
		return tls_read(c->tls, p, n);
	ssize_t r;
	do
		r = recv(c->fd, p, n, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* What is already there is no new edge: with this it is reported again. */
static void ask_for_event(Conn *c)
{
	struct epoll_event e = {.events = EDGES, .data.ptr = c};
	(void)epoll_ctl(c->loop->epfd, EPOLL_CTL_MOD, c->fd, &e);
}

/* A write that fails is not yet the end: the server may have answered before it closed, and reading
 * tells what happened. */
static void send_rest(Conn *c)
{
	HttpCall *call = c->call;
	while (call->sent < call->out.len && !c->unwilling) {
		ssize_t n = raw_send(c, call->out.s + call->sent, call->out.len - call->sent);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			c->unwilling = true;
			ask_for_event(c);
			return;
		}
		call->sent += (size_t)n;
		if (call->sent == call->out.len)
			call->end.sent_us = now_us();
	}
}

/* --- Connecting ------------------------------------------------------------------------------ */

static Conn *conn_new(HttpClient *client, int fd, ConnState state)
{
	Conn *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	*c = (Conn){.loop = client->loop, .client = client, .fd = fd, .state = state};
	struct epoll_event e = {.events = state == CONN_ASKING ? BROKER_EDGES : EDGES,
				.data.ptr = c};
	if (epoll_ctl(client->loop->epfd, EPOLL_CTL_ADD, fd, &e) < 0) {
		free(c);
		return NULL;
	}
	return c;
}

/* A connection to a port of this machine where nobody listens can get that port as its own, and is
 * then connected to itself; and while it is, no server can take the port. */
static bool is_mirror(const Conn *c)
{
	Address own = {.len = sizeof(own.un)};
	return getsockname(c->fd, &own.any, &own.len) == 0 &&
	       addresses_equal(&own, &c->client->addresses[c->address]);
}

/* A broker that was taken over could hand over anything: what is said here, tokens included, is for
 * the server alone. */
static bool is_foreign(const Conn *c)
{
	const Address *a = &c->client->addresses[c->address];
	Address peer = {.len = sizeof(peer.un)};
	return c->loop->broker && a->any.sa_family != AF_UNIX &&
	       (getpeername(c->fd, &peer.any, &peer.len) < 0 || !addresses_equal(&peer, a));
}

/* Connected as far as the socket goes. */
static int opened(Conn *c)
{
	HttpClient *client = c->client;
	client->good = c->address;
	if (client->tls) {
		c->state = CONN_HANDSHAKE;
		return tls_open(client->tls, c->fd, &c->tls);
	}
	c->state = CONN_OPEN;
	return 0;
}

static void set_quick(int fd)
{
	int one = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* As try_address(), from the broker. That it is not there may pass, and is no word of the server's.
 */
static int ask_broker(HttpCall *call, size_t address)
{
	HttpClient *client = call->client;
	int fd;
	int r = connect_ask(client->loop->broker, &client->addresses[address].any, &fd);
	if (r == -EAFNOSUPPORT)
		return EAFNOSUPPORT;
	if (r < 0) {
		call->unasked = r;
		return err_is_shortage(r) ? r : -EAGAIN;
	}
	Conn *c = conn_new(client, fd, CONN_ASKING);
	if (!c) {
		(void)close(fd);
		return -ENOMEM;
	}
	c->address = address;
	give_to(c, call);
	if (call->unasked != -EBADMSG && call->unasked != -EPERM)
		call->unasked = -ETIMEDOUT; /* unless it answers; else what it last said is told */
	return 0;
}

/* 0: under way; -EAGAIN: later again; positive: errno of the server; other negative: a shortage. */
static int try_address(HttpCall *call, size_t address)
{
	HttpClient *client = call->client;
	const Address *a = &client->addresses[address];
	if (client->loop->broker && a->any.sa_family != AF_UNIX)
		return ask_broker(call, address);
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno == EAFNOSUPPORT ? EAFNOSUPPORT : -errno;
	if (a->any.sa_family != AF_UNIX)
		set_quick(fd);
	int error = connect(fd, &a->any, a->len) < 0 ? errno : 0;
	if (error != 0 && error != EINPROGRESS) {
		(void)close(fd);
		return error == EAGAIN ? -EAGAIN : error;
	}
	Conn *c = conn_new(client, fd, CONN_CONNECTING);
	if (!c) {
		(void)close(fd);
		return -ENOMEM;
	}
	c->address = address;
	give_to(c, call);
	if (error == EINPROGRESS)
		return 0;
	int r = opened(c);
	if (r < 0) {
		conn_close(c);
		return r;
	}
	if (c->state == CONN_OPEN)
		send_rest(c);
	return 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void start_over(HttpCall *call)
{
	call->first_address = call->client->good;
	call->tried = 0;
	call->unasked = 0;
	call->end.error = 0;
	call->connect_by_us = now_us() + call->client->connect_timeout_us;
}

/* Of several addresses that do not work the first one's reason is told. */
static void remember_error(HttpCall *call, int error)
{
	if (call->end.error == 0)
		call->end.error = error;
}

static int64_t later(const HttpCall *call)
{
	return call->unasked && call->unasked != -EAGAIN ? BROKER_WAIT_US : BACKLOG_WAIT_US;
}

/* The broker connects to nothing else, whatever the system would allow. */
static const char *why_not(const HttpCall *call)
{
	return call->client->loop->broker && call->end.error == EACCES
		   ? "dream-connect connects to this machine's loopback only (127.0.0.0/8, ::1)"
		   : NULL;
}

/* Until when this address may take: one that swallows what is sent to it leaves time for the
 * others.
 */
static int64_t connect_until(const HttpCall *call)
{
	int64_t now = now_us(), by = earlier(call->connect_by_us, call->deadline_us);
	bool asking = call->conn->state == CONN_ASKING;
	size_t left = asking ? 1 : call->client->n_addresses - call->tried;
	return by > now ? now + (by - now) / (int64_t)left : by;
}

/* Whoever makes a connection for each request can use up the ports that the kernel gives out: that
 * is no word of the server's. */
static HttpFault fault_of(int error)
{
	return error == EADDRNOTAVAIL ? HTTP_NO_PORT : HTTP_CONNECT;
}

/* From the address that worked last around to the one before it. */
static int connect_any(HttpCall *call)
{
	HttpClient *client = call->client;
	if (client->n_addresses == 0) {
		call_end_later(call, HTTP_RESOLVE, 0, "there is no such host");
		return 0;
	}
	for (; call->tried < client->n_addresses; call->tried++) {
		int r =
		    try_address(call, (call->first_address + call->tried) % client->n_addresses);
		if (r == 0) {
			bool open = call->conn->state == CONN_OPEN;
			timers_move(client->loop, call,
				    open ? call->deadline_us : connect_until(call));
			return 0;
		}
		if (r == -EAGAIN) {
			timers_move(client->loop, call, now_us() + later(call));
			return 0;
		}
		if (r < 0)
			return r;
		remember_error(call, r);
	}
	call_end_later(call, fault_of(call->end.error), call->end.error, why_not(call));
	return 0;
}

void conn_connect(HttpCall *call)
{
	int r = connect_any(call);
	if (r < 0)
		call_end_later(call, HTTP_CONNECT, -r, NULL);
}

int conn_begin(HttpCall *call)
{
	Conn *c = call->client->idle;
	if (!c) {
		start_over(call);
		return connect_any(call);
	}
	list_remove(&call->client->idle, c);
	give_to(c, call);
	send_rest(c);
	return 0;
}

/* This address did not work; is there another? */
static void refused(Conn *c, int error)
{
	HttpCall *call = c->call;
	conn_close(c);
	remember_error(call, error);
	call->tried++;
	if (call->tried < call->client->n_addresses)
		conn_connect(call);
	else
		call_end(call, fault_of(call->end.error), call->end.error, why_not(call), now_us());
}

void conn_late(Conn *c, int64_t by_us)
{
	HttpCall *call = c->call;
	if (c->state == CONN_CONNECTING && call->tried + 1 < call->client->n_addresses)
		refused(c, ETIMEDOUT);
	else
		timers_move(c->loop, call, by_us);
}

/* The connection goes on with the socket that the broker has made. */
static int take_socket(Conn *c, int fd)
{
	struct epoll_event e = {.events = EDGES, .data.ptr = c};
	(void)epoll_ctl(c->loop->epfd, EPOLL_CTL_DEL, c->fd, NULL);
	(void)close(c->fd);
	c->fd = fd;
	c->state = CONN_CONNECTING;
	if (c->call->unasked != -EBADMSG) /* the last one was wrong, and so may this one be */
		c->call->unasked = 0;
	timers_move(c->loop, c->call, connect_until(c->call));
	set_quick(fd);
	return epoll_ctl(c->loop->epfd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* It gave no connection, or a wrong one; it may be another one by the next time. */
static void unasked(Conn *c, int r)
{
	HttpCall *call = c->call;
	conn_close(c);
	call->unasked = r;
	timers_move(call->client->loop, call, now_us() + BROKER_WAIT_US);
}

static void hear_broker(Conn *c)
{
	int fd;
	int r = connect_answer(c->fd, &fd);
	if (r == 0) {
		r = take_socket(c, fd);
		if (r < 0)
			fail(c, HTTP_CONNECT, -r, NULL, now_us());
	} else if (r > 0) {
		refused(c, r);
	} else if (r != -EAGAIN) {
		unasked(c, r);
	}
}

/* --- The answer ------------------------------------------------------------------------------ */

static void finished(Conn *c, bool keep, int64_t at_us)
{
	HttpCall *call = c->call;
	if (keep && call->sent == call->out.len) {
		HttpClient *client = c->client;
		list_remove(&client->busy, c);
		c->call = NULL;
		call->conn = NULL;
		c->reused = true;
		list_add(&client->idle, c);
	} else {
		conn_close(c);
	}
	call_end(call, HTTP_FINE, 0, NULL, at_us);
}

/* Gives the pieces of one read to the handler. False: the connection has nothing more to read for
 * this call, or is gone. */
static bool feed(Conn *c, const char *p, size_t n, bool more, int64_t at_us)
{
	HttpCall *call = c->call;
	const char *data = NULL;
	size_t len = 0;
	c->heard = true;
	if (call->end.first_us == 0)
		call->end.first_us = at_us;
	for (;;) {
		switch (parser_next(&c->parser, &p, &n, &data, &len)) {
		case PARSER_MORE:
			return true;
		case PARSER_INTERIM:
			call->end.first_us = n > 0 ? at_us : 0;
			break;
		case PARSER_HEAD:
			call->end.status = c->parser.status;
			if (call->handler.head)
				call->handler.head(call->ctx, c->parser.status, c->parser.type);
			break;
		case PARSER_DATA:
			call->end.body_bytes += len;
			if (call->handler.data)
				call->handler.data(call->ctx, data, len, at_us);
			break;
		case PARSER_END:
			finished(c, c->parser.keep && !c->client->close_each && !more && n == 0,
				 at_us);
			return false;
		case PARSER_BAD:
		default:
			fail(c, HTTP_GARBAGE, 0, c->parser.why, at_us);
			return false;
		}
		if (c->state == CONN_DEAD)
			return false;
	}
}

/* The server closed (error 0) or the connection broke. A connection that was kept alive may have
 * been closed just before the request reached it: the request was not read, and is sent once more
 * on a new one. */
static void closed(Conn *c, int error, int64_t at_us)
{
	HttpCall *call = c->call;
	if (!call) {
		conn_close(c);
	} else if (!c->heard && c->reused) {
		conn_close(c);
		start_over(call);
		conn_connect(call);
	} else if (!c->heard) {
		fail(c, HTTP_CLOSED, error, NULL, at_us);
	} else if (error == 0 && parser_closed(&c->parser)) {
		finished(c, false, at_us);
	} else {
		fail(c, HTTP_TRUNCATED, error, NULL, at_us);
	}
}

static void read_answer(Conn *c, bool closing)
{
	HttpLoop *l = c->loop;
	for (int i = 0; i < READS_AT_ONCE; i++) {
		ssize_t n = raw_read(c, l->buf, READ_SIZE);
		if (n == -EAGAIN) {
			/* Nothing to read, nowhere to write: that is the end. */
			if (c->call && c->unwilling)
				closed(c, EPIPE, now_us());
			return;
		}
		int64_t at_us = now_us();
		if (n <= 0) {
			closed(c, (int)-n, at_us);
			return;
		}
		if (!c->call) { /* nobody asked */
			conn_close(c);
			return;
		}
		/* A short read took everything: the next byte is a new edge. */
		bool all = !c->tls && n < READ_SIZE && !closing && !c->unwilling;
		if (!feed(c, l->buf, (size_t)n, closing || n == READ_SIZE, at_us) || all)
			return;
	}
	ask_for_event(c); /* there may be more */
}

/* False: not now, or never. */
static bool make_open(Conn *c, uint32_t events)
{
	HttpCall *call = c->call;
	if (c->state == CONN_CONNECTING) {
		int error = 0;
		socklen_t len = sizeof(error);
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return false;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		if (error == 0 && is_mirror(c))
			error = ECONNREFUSED;
		if (error != 0) {
			refused(c, error);
			return false;
		}
		if (is_foreign(c)) {
			unasked(c, -EBADMSG);
			return false;
		}
		call->unasked = 0;
		int r = opened(c);
		if (r < 0) {
			fail(c, HTTP_TLS, -r, "no memory for TLS", now_us());
			return false;
		}
	}
	if (c->state == CONN_HANDSHAKE) {
		const char *why = NULL;
		int r = tls_handshake(c->tls, &why);
		if (r == -EAGAIN)
			return false;
		if (r < 0) {
			fail(c, HTTP_TLS, -r, why, now_us());
			return false;
		}
		c->state = CONN_OPEN;
	}
	timers_move(c->loop, call, call->deadline_us);
	return true;
}

void conn_event(Conn *c, uint32_t events)
{
	if (c->state == CONN_ASKING) {
		hear_broker(c);
		return;
	}
	if (c->state != CONN_OPEN && !make_open(c, events))
		return;
	if (c->call && c->call->sent < c->call->out.len)
		send_rest(c);
	bool closing = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	if (closing || c->unwilling || c->tls || events & EPOLLIN)
		read_answer(c, closing);
}
