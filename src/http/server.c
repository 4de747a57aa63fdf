/* libmicrohttpd in its external mode: its epoll set is one source of the loop, and it runs only
 * from there. A request that is not answered at once is suspended, and so is a stream that has
 * nothing to send; each answer or write resumes it and lets libmicrohttpd run in the next turn of
 * the loop. While a connection is suspended libmicrohttpd does not look at its socket, so that a
 * client that goes away is noticed by a second epoll set of our own. */
#include "http/server.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/server_internal.h"

enum {
	BODY_MAX = 64 * 1024 * 1024,
	UNSENT_MAX = 64 * 1024 * 1024, /* bytes of a stream that its client does not take */
	IDLE_S = 120,		       /* a connection that says nothing for so long is closed */
	CONNECTIONS_MAX = 16384,
	GONE_BATCH = 64,
};

/* --- Running libmicrohttpd ------------------------------------------------------------------- */

static void run_soon(HttpServer *s)
{
	(void)sd_event_source_set_enabled(s->soon, SD_EVENT_ONESHOT);
}

/* What it wants to do without an event: at once, or when a connection has been idle for too long.
 * The timer is left where it is when that is late enough. */
static void plan_next(HttpServer *s)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;
	if (MHD_get_timeout(s->daemon, &wait_ms) != MHD_YES)
		return;
	if (wait_ms == 0) {
		run_soon(s);
		return;
	}
	int64_t at_us = clock_mono_us(&clock_system) + (int64_t)wait_ms * 1000;
	if (at_us >= s->armed_us)
		return;
	s->armed_us = at_us;
	(void)sd_event_source_set_time(s->timer, (uint64_t)at_us);
	(void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void run(HttpServer *s)
{
	(void)MHD_run(s->daemon);
	plan_next(s);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	(void)source;
	(void)fd;
	(void)events;
	run(ctx);
	return 0;
}

static int on_soon(sd_event_source *source, void *ctx)
{
	(void)source;
	run(ctx);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	HttpServer *s = ctx;
	(void)source;
	(void)usec;
	s->armed_us = INT64_MAX;
	run(s);
	return 0;
}

/* Lets libmicrohttpd look at the request again. */
static void wake(Incoming *rq)
{
	if (rq->suspended) {
		rq->suspended = false;
		MHD_resume_connection(rq->connection);
	}
	run_soon(rq->server);
}

/* --- Clients that go away -------------------------------------------------------------------- */

static int connection_fd(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	return info ? info->connect_fd : -1;
}

static int on_gone(sd_event_source *source, int watch_fd, uint32_t events, void *ctx)
{
	struct epoll_event gone[GONE_BATCH];
	(void)source;
	(void)events;
	(void)ctx;
	int n = epoll_wait(watch_fd, gone, GONE_BATCH, 0);
	for (int i = 0; i < n; i++) {
		Peer *peer = gone[i].data.ptr;
		peer->gone = true;
		if (peer->rq && peer->rq->suspended)
			wake(peer->rq);
	}
	return 0;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **own,
			  enum MHD_ConnectionNotificationCode code)
{
	HttpServer *s = ctx;
	int fd = connection_fd(connection);
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		Peer *peer = calloc(1, sizeof(*peer));
		struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = peer};
		if (peer && epoll_ctl(s->watch_fd, EPOLL_CTL_ADD, fd, &e) == 0)
			*own = peer; /* without it its requests are not served */
		else
			free(peer);
	} else if (*own) {
		(void)epoll_ctl(s->watch_fd, EPOLL_CTL_DEL, fd, NULL);
		free(*own);
		*own = NULL;
	}
}

static Peer *peer_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

/* --- One request ----------------------------------------------------------------------------- */

static void incoming_free(Incoming *rq)
{
	if (rq->prev)
		rq->prev->next = rq->next;
	else
		rq->server->first = rq->next;
	if (rq->next)
		rq->next->prev = rq->prev;
	rq->peer->rq = NULL;
	free(rq->method);
	free(rq->path);
	free(rq->type);
	str_done(&rq->body);
	str_done(&rq->out);
	free(rq);
}

static Incoming *incoming_new(HttpServer *s, struct MHD_Connection *connection, const char *method,
			      const char *path)
{
	Incoming *rq = calloc(1, sizeof(*rq));
	if (!rq)
		return NULL;
	*rq = (Incoming){
	    .server = s, .connection = connection, .peer = peer_of(connection), .next = s->first};
	if (!rq->peer) {
		free(rq);
		return NULL;
	}
	rq->peer->rq = rq;
	rq->method = strdup(method);
	rq->path = strdup(path);
	if (rq->next)
		rq->next->prev = rq;
	s->first = rq;
	if (rq->method && rq->path)
		return rq;
	incoming_free(rq);
	return NULL;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **own,
			 enum MHD_RequestTerminationCode how)
{
	HttpServer *s = ctx;
	Incoming *rq = *own;
	(void)connection;
	(void)how;
	*own = NULL;
	if (!rq)
		return;
	if (rq->owned && s->closed && !s->stopping)
		s->closed(s->ctx, rq);
	incoming_free(rq);
}

/* The next bytes of a stream. */
static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
	Incoming *rq = ctx;
	(void)pos;
	size_t n = rq->out.len - rq->out_at;
	if (n > max)
		n = max;
	if (n > 0) {
		memcpy(buf, rq->out.s + rq->out_at, n);
		rq->out_at += n;
		if (rq->out_at == rq->out.len) {
			str_clear(&rq->out);
			rq->out_at = 0;
		}
		return (ssize_t)n;
	}
	if (rq->broken || rq->peer->gone)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (rq->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	rq->suspended = true;
	MHD_suspend_connection(rq->connection);
	return 0;
}

static enum MHD_Result queue(Incoming *rq)
{
	struct MHD_Response *answer;
	if (rq->streaming)
		answer = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * 1024, read_stream,
							   rq, NULL);
	else /* rq lives until the answer is out */
		answer =
		    MHD_create_response_from_buffer(rq->out.len, rq->out.s, MHD_RESPMEM_PERSISTENT);
	if (!answer)
		return MHD_NO;
	enum MHD_Result r = MHD_YES;
	if (rq->type)
		r = MHD_add_response_header(answer, "Content-Type", rq->type);
	if (r == MHD_YES)
		r = MHD_queue_response(rq->connection, (unsigned)rq->status, answer);
	MHD_destroy_response(answer);
	rq->state = INCOMING_QUEUED;
	return r;
}

static enum MHD_Result refuse_length(Incoming *rq)
{
	static const char text[] = "the request is too long\n";
	str_addn(&rq->out, text, sizeof(text) - 1);
	rq->status = 413;
	return rq->out.failed ? MHD_NO : queue(rq);
}

static enum MHD_Result serve(Incoming *rq)
{
	HttpServer *s = rq->server;
	if (rq->too_long)
		return refuse_length(rq);
	if (rq->body.failed)
		return MHD_NO;
	str_addn(&rq->body, "", 0); /* there is text, and a NUL after it */
	rq->state = INCOMING_SERVING;
	rq->owned = true;
	s->serve(s->ctx, rq);
	return MHD_YES;
}

static bool says_too_long(const Incoming *rq)
{
	const char *text = MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_LENGTH);
	return text && strtoull(text, NULL, 10) > rq->server->body_max;
}

/* libmicrohttpd calls this when the head is there, for each piece of the body, after the body, and
 * again whenever a suspended request was resumed. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *n, void **own)
{
	HttpServer *s = ctx;
	Incoming *rq = *own;
	(void)version;
	if (s->stopping)
		return MHD_NO;
	if (!rq) {
		*own = rq = incoming_new(s, connection, method, url);
		if (!rq)
			return MHD_NO;
		return says_too_long(rq) ? refuse_length(rq) : MHD_YES;
	}
	if (*n > 0) {
		if (*n > s->body_max - rq->body.len)
			rq->too_long = true;
		if (!rq->too_long)
			str_addn(&rq->body, data, *n);
		*n = 0;
		return MHD_YES;
	}
	if (rq->state == INCOMING_READING && serve(rq) != MHD_YES)
		return MHD_NO;
	if (rq->state == INCOMING_READY)
		return queue(rq);
	if (rq->broken || rq->peer->gone)
		return MHD_NO;
	if (rq->state == INCOMING_SERVING) {
		rq->suspended = true;
		MHD_suspend_connection(connection);
	}
	return MHD_YES;
}

/* --- What the owner of a request asks and says ----------------------------------------------- */

const char *incoming_method(const Incoming *rq)
{
	return rq->method;
}

const char *incoming_path(const Incoming *rq)
{
	return rq->path;
}

const char *incoming_query(const Incoming *rq, const char *name)
{
	const char *value = NULL;
	size_t n;
	if (MHD_lookup_connection_value_n(rq->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name),
					  &value, &n) != MHD_YES)
		return NULL;
	return value ? value : ""; /* "?name" alone */
}

const char *incoming_header(const Incoming *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name);
}

const char *incoming_body(const Incoming *rq, size_t *ret_len)
{
	if (ret_len)
		*ret_len = rq->body.len;
	return rq->body.s;
}

void incoming_remember(Incoming *rq, void *own)
{
	rq->own = own;
}

void *incoming_own(const Incoming *rq)
{
	return rq->own;
}

static int begin(Incoming *rq, int status, const char *type)
{
	rq->status = status;
	rq->type = type ? strdup(type) : NULL;
	if (type && !rq->type)
		return -ENOMEM;
	rq->state = INCOMING_READY;
	return 0;
}

int incoming_answer(Incoming *rq, int status, const char *type, const void *body, size_t len)
{
	str_addn(&rq->out, body, len);
	int r = rq->out.failed ? -ENOMEM : begin(rq, status, type);
	rq->owned = false;
	if (r < 0)
		rq->broken = true;
	wake(rq);
	return r;
}

int incoming_stream(Incoming *rq, int status, const char *type)
{
	int r = begin(rq, status, type);
	if (r < 0)
		return r;
	rq->streaming = true;
	wake(rq);
	return 0;
}

int incoming_write(Incoming *rq, const void *data, size_t len)
{
	if (len > UNSENT_MAX - (rq->out.len - rq->out_at))
		return -ENOBUFS;
	/* A client that is always a little behind never empties it. */
	if (rq->out_at >= rq->out.len - rq->out_at && rq->out_at > 0) {
		rq->out.len -= rq->out_at;
		memmove(rq->out.s, rq->out.s + rq->out_at, rq->out.len);
		rq->out_at = 0;
	}
	str_addn(&rq->out, data, len);
	if (rq->out.failed)
		return -ENOMEM;
	wake(rq);
	return 0;
}

void incoming_end(Incoming *rq)
{
	rq->ended = true;
	rq->owned = false;
	wake(rq);
}

void incoming_abort(Incoming *rq)
{
	rq->broken = true;
	rq->owned = false;
	wake(rq);
}

/* --- The server ------------------------------------------------------------------------------ */

static int server_start(HttpServer *s, Err *err)
{
	s->daemon =
	    MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s,
			     MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_NOTIFY_COMPLETED,
			     on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
			     MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
			     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
	if (!s->daemon)
		return err_set(err, -EIO, "cannot start the HTTP server");
	s->listen_fd = -1; /* its own now */
	return 0;
}

static int server_attach(HttpServer *s, Err *err)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int r = sd_event_add_io(s->event, &s->ready, info->epoll_fd, EPOLLIN, on_ready, s);
	if (r >= 0)
		r = sd_event_add_io(s->event, &s->watched, s->watch_fd, EPOLLIN, on_gone, s);
	if (r >= 0)
		r = sd_event_add_defer(s->event, &s->soon, on_soon, s);
	if (r >= 0)
		r = sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, 100000,
				      on_timer, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	if (r < 0)
		return err_set(err, r, "cannot add the HTTP server to the event loop: %s",
			       strerror(-r));
	return 0;
}

static int server_open(HttpServer *s, const HttpServerSpec *spec, Err *err)
{
	s->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->watch_fd < 0)
		return err_set(err, -errno, "cannot make an epoll set: %s", strerror(errno));
	int r = server_listen_at(spec, &s->listen_fd, &s->port, err);
	if (r < 0)
		return r;
	if (spec->socket) {
		s->socket = strdup(spec->socket);
		if (!s->socket)
			return err_oom(err);
	}
	r = server_start(s, err);
	return r < 0 ? r : server_attach(s, err);
}

int httpserver_new(sd_event *loop, const HttpServerSpec *spec, HttpServer **ret, Err *err)
{
	_cleanup_(httpserver_freep) HttpServer *s = calloc(1, sizeof(*s));
	if (!s)
		return err_oom(err);
	*s = (HttpServer){.event = sd_event_ref(loop),
			  .listen_fd = -1,
			  .watch_fd = -1,
			  .body_max = spec->body_max ? spec->body_max : BODY_MAX,
			  .serve = spec->serve,
			  .closed = spec->closed,
			  .ctx = spec->ctx,
			  .armed_us = INT64_MAX};
	int r = server_open(s, spec, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

static void stop(HttpServer *s)
{
	/* It must not be stopped with suspended connections. */
	s->stopping = true;
	for (Incoming *rq = s->first; rq; rq = rq->next) {
		rq->broken = true;
		if (rq->suspended) {
			rq->suspended = false;
			MHD_resume_connection(rq->connection);
		}
	}
	(void)MHD_run(s->daemon);
	MHD_stop_daemon(s->daemon);
}

HttpServer *httpserver_free(HttpServer *s)
{
	if (!s)
		return NULL;
	s->ready = sd_event_source_disable_unref(s->ready);
	s->soon = sd_event_source_disable_unref(s->soon);
	s->timer = sd_event_source_disable_unref(s->timer);
	s->watched = sd_event_source_disable_unref(s->watched);
	if (s->daemon)
		stop(s);
	if (s->listen_fd >= 0)
		(void)close(s->listen_fd);
	if (s->watch_fd >= 0)
		(void)close(s->watch_fd);
	if (s->socket)
		(void)unlink(s->socket);
	free(s->socket);
	s->event = sd_event_unref(s->event);
	free(s);
	return NULL;
}

uint16_t httpserver_port(const HttpServer *s)
{
	return s->port;
}
