/* Who asks is told by the kernel. What is asked is answered at once and the connection closed, so
 * that there is nothing to keep: who has not said it yet waits in a short queue, for a short time.
 */
#include "connect/server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connect/local.h"
#include "connect/wire.h"

enum {
	AT_ONCE = 16,	  /* connections, before the loop's other sources get their turn */
	WAITING_MAX = 64, /* who comes then takes the place of the one that has waited longest */
	SAY_WITHIN_US = 2000000,
};

/* Somebody who has connected and not asked yet. */
typedef struct Visitor {
	ConnectServer *s;
	struct Visitor *next; /* who came later */
	int fd;
	bool may; /* ask */
	sd_event_source *io, *timer;
} Visitor;

struct ConnectServer {
	sd_event *loop;
	sd_event_source *listening;
	uid_t user;
	Visitor *first, **last; /* in the order in which they came */
	size_t n;
};

/* --- One question ----------------------------------------------------------------------------- */

/* A socket that was just made takes one packet. Who does not want it has gone. */
static void answer(int fd, int error, const int *files, size_t n)
{
	char text[WIRE_PACKET_MAX];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(WIRE_FILES_MAX * sizeof(int))];
	} control = {0};
	struct iovec io = {.iov_base = text, .iov_len = wire_answer(error, text)};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	if (n > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *c = &control.head;
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), files, n * sizeof(int));
	}
	(void)sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	for (size_t i = 0; i < n; i++)
		(void)close(files[i]);
}

static void serve(int fd, const char *text, size_t len)
{
	int files[WIRE_FILES_MAX];
	size_t n = 0;
	WireQuestion q;
	int r = wire_read_question(text, len, &q);
	if (r < 0) {
		answer(fd, -r, NULL, 0);
		return;
	}
	switch (q.verb) {
	case WIRE_CONNECT:
		r = local_connect(&q, files);
		n = r == 0;
		break;
	case WIRE_FREE:
		r = local_free(q.port);
		break;
	case WIRE_TABLES:
		r = local_tables(files, &n);
		break;
	}
	answer(fd, r, files, n);
}

/* False: nothing was said yet. Also of who may not ask: a connection that is closed before it was
 * read tells nobody why. No room for descriptors is given, so none can be sent along; with
 * MSG_TRUNC the whole length is told, however little was taken. */
static bool hear(int fd, bool may)
{
	char text[WIRE_PACKET_MAX];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0 && !may)
		answer(fd, -1, NULL, 0);
	else if (n > (ssize_t)sizeof(text))
		answer(fd, EMSGSIZE, NULL, 0);
	else if (n > 0)
		serve(fd, text, (size_t)n);
	return true;
}

/* --- Those who wait --------------------------------------------------------------------------- */

static void visitor_drop(Visitor *v)
{
	ConnectServer *s = v->s;
	for (Visitor **at = &s->first; *at; at = &(*at)->next)
		if (*at == v) {
			*at = v->next;
			if (s->last == &v->next)
				s->last = at;
			break;
		}
	s->n--;
	sd_event_source_disable_unref(v->io);
	sd_event_source_disable_unref(v->timer);
	(void)close(v->fd);
	free(v);
}

static int on_said(sd_event_source *src, int fd, uint32_t events, void *ctx)
{
	Visitor *v = ctx;
	(void)src, (void)events;
	if (hear(fd, v->may))
		visitor_drop(v);
	return 0;
}

static int on_late(sd_event_source *src, uint64_t usec, void *ctx)
{
	(void)src, (void)usec;
	visitor_drop(ctx);
	return 0;
}

/* Takes the descriptor. */
static void visitor_add(ConnectServer *s, int fd, bool may)
{
	Visitor *v = calloc(1, sizeof(*v));
	if (!v) {
		(void)close(fd);
		return;
	}
	*v = (Visitor){.s = s, .fd = fd, .may = may};
	*s->last = v;
	s->last = &v->next;
	s->n++;
	int r = sd_event_add_io(s->loop, &v->io, fd, EPOLLIN, on_said, v);
	if (r >= 0)
		r = sd_event_add_time_relative(s->loop, &v->timer, CLOCK_MONOTONIC, SAY_WITHIN_US,
					       0, on_late, v);
	if (r < 0)
		visitor_drop(v);
	else if (s->n > WAITING_MAX)
		visitor_drop(s->first);
}

/* --- Those who come --------------------------------------------------------------------------- */

static bool may_ask(const ConnectServer *s, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid() || peer.uid == s->user);
}

static void receive(ConnectServer *s, int fd)
{
	bool may = may_ask(s, fd);
	if (hear(fd, may))
		(void)close(fd);
	else
		visitor_add(s, fd, may);
}

static int on_connection(sd_event_source *src, int listener, uint32_t events, void *ctx)
{
	ConnectServer *s = ctx;
	(void)src, (void)events;
	for (int i = 0; i < AT_ONCE; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			receive(s, fd);
		else if (errno != ECONNABORTED && errno != EINTR)
			break;
	}
	return 0;
}

ConnectServer *connectserver_free(ConnectServer *s)
{
	if (!s)
		return NULL;
	while (s->first)
		visitor_drop(s->first);
	sd_event_source_disable_unref(s->listening);
	sd_event_unref(s->loop);
	free(s);
	return NULL;
}

int connectserver_new(sd_event *loop, int listen_fd, uid_t user, ConnectServer **ret, Err *err)
{
	_cleanup_(connectserver_freep) ConnectServer *s = calloc(1, sizeof(*s));
	if (!s)
		return err_oom(err);
	*s = (ConnectServer){.loop = sd_event_ref(loop), .user = user};
	s->last = &s->first;
	int r = sd_event_add_io(loop, &s->listening, listen_fd, EPOLLIN, on_connection, s);
	if (r < 0)
		return err_set(err, r, "cannot listen: %s", strerror(-r));
	*ret = TAKE_PTR(s);
	return 0;
}
