/* The side that asks: packets out and in, answers matched to questions by their order. A
 * connection that was lost is made anew for the next question; what was under way then is answered
 * with an error, for nobody knows how far it came. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "helper/packet.h"
#include "helper/wire.h"

enum {
	CLOSE_WAIT_MS = 2000, /* for a helper of ours to finish what it does */
};

typedef struct Question Question;
struct Question {
	Helper *h;
	Question *next;
	char *packet; /* not sent yet; NULL */
	sd_event_source *timer;
	HelperDone *done; /* NULL: nobody waits for it (any more); the answer is dropped */
	void *ctx;
};

struct Helper {
	sd_event *loop;
	char *socket, *program; /* one of them */
	int fd;			/* -1: not connected */
	sd_event_source *io;
	sd_event_source *later; /* to fail what was never sent, from the loop */
	Proc proc;
	Question *first, **last; /* in the order of asking */
	Err lost;		 /* for `later` */
	int busy;		 /* inside a done() */
	bool closed;
};

/* --- Questions -------------------------------------------------------------------------------- */

static void question_free(Question *q)
{
	sd_event_source_disable_unref(q->timer);
	free(q->packet);
	free(q);
}

static Question *pop(Helper *h)
{
	Question *q = h->first;
	if (q) {
		h->first = q->next;
		if (!h->first)
			h->last = &h->first;
	}
	return q;
}

static void push(Helper *h, Question *q)
{
	*h->last = q;
	h->last = &q->next;
}

static void helper_free(Helper *h)
{
	for (Question *q; (q = pop(h));)
		question_free(q);
	sd_event_source_disable_unref(h->io);
	sd_event_source_disable_unref(h->later);
	if (h->fd >= 0)
		close(h->fd);
	/* It ends by itself when nobody is at the other end; killed in the middle of something it
	 * would leave that to whoever comes next. */
	struct pollfd p = {.fd = h->proc.pidfd, .events = POLLIN};
	if (h->proc.guard > 0)
		(void)poll(&p, 1, CLOSE_WAIT_MS);
	proc_done(&h->proc);
	sd_event_unref(h->loop);
	free(h->socket);
	free(h->program);
	free(h);
}

/* Calls done(), which may close us. False: it did, and `h` is gone. */
static bool tell(Helper *h, HelperDone *done, void *ctx, const json_t *reply, const Err *err)
{
	h->busy++;
	if (done)
		done(ctx, reply, err);
	if (--h->busy > 0 || !h->closed)
		return !h->closed;
	helper_free(h);
	return false;
}

static bool answer_first(Helper *h, const json_t *reply, const Err *err)
{
	Question *q = pop(h);
	HelperDone *done = q->done;
	void *ctx = q->ctx;
	question_free(q);
	return tell(h, done, ctx, reply, err);
}

/* --- Losing the connection -------------------------------------------------------------------- */

static void disconnect(Helper *h)
{
	h->io = sd_event_source_disable_unref(h->io);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	proc_done(&h->proc);
}

/* Everything that was asked until now is answered with the error. */
static void lose(Helper *h, int code, const char *words)
{
	Err err = ERR_INIT;
	size_t n = 0;
	err_set(&err, code, "%s", words);
	disconnect(h);
	for (Question *q = h->first; q; q = q->next)
		n++;
	while (n-- > 0)
		if (!answer_first(h, NULL, &err))
			return;
}

static int on_later(sd_event_source *src, void *ctx)
{
	Helper *h = ctx;
	(void)src;
	h->later = sd_event_source_disable_unref(h->later);
	lose(h, h->lost.code, h->lost.msg);
	return 0;
}

static void lose_later(Helper *h, int code, const char *words)
{
	err_set(&h->lost, code, "%s", words);
	if (!h->later && sd_event_add_defer(h->loop, &h->later, on_later, h) < 0)
		disconnect(h); /* no memory: the timeouts of the questions tell */
}

/* --- Packets ---------------------------------------------------------------------------------- */

/* Sends what can be sent; -errno when the connection is no good. */
static int send_waiting(Helper *h)
{
	bool more = false;
	for (Question *q = h->first; q && !more; q = q->next) {
		if (!q->packet)
			continue;
		ssize_t n = send(h->fd, q->packet, strlen(q->packet), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0)
			more = true;
		else
			free(TAKE_PTR(q->packet));
	}
	return sd_event_source_set_io_events(h->io, EPOLLIN | (more ? EPOLLOUT : 0));
}

static void receive(Helper *h)
{
	_cleanup_free_ char *buf = malloc(HELPER_PACKET_MAX + 1);
	json_auto_t *reply = NULL;
	Err err = ERR_INIT;
	if (!buf) {
		lose(h, -ENOMEM, "out of memory");
		return;
	}
	ssize_t n = recv(h->fd, buf, HELPER_PACKET_MAX + 1, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(h, -ECONNRESET, "dream-helper has ended; what it was doing may be half done");
		return;
	}
	if (n > HELPER_PACKET_MAX || !h->first || h->first->packet) {
		lose(h, -EBADMSG, "dream-helper answers what it was not asked");
		return;
	}
	int r = packet_answer(buf, (size_t)n, &reply, &err);
	/* Refused is not lost: the next answer belongs to the next question. */
	(void)answer_first(h, reply, r < 0 ? &err : NULL);
}

static int on_io(sd_event_source *src, int fd, uint32_t events, void *ctx)
{
	Helper *h = ctx;
	(void)src;
	(void)fd;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(h);
	else if (events & EPOLLOUT) {
		int r = send_waiting(h);
		if (r < 0)
			lose(h, -ECONNRESET, "dream-helper cannot be asked any more");
	}
	return 0;
}

/* --- Connecting ------------------------------------------------------------------------------- */

static int connect_socket(const char *path, int *ret, Err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s is too long for a socket", path);
	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		int r = -errno;
		close(fd);
		return err_set(err, r, "cannot reach dream-helper at %s: %s%s", path, strerror(-r),
			       r == -EACCES ? "; only root and the user of dream.service may"
			       : r == -ENOENT || r == -ECONNREFUSED
				   ? "; is dream-helper.socket started?"
				   : "");
	}
	*ret = fd;
	return 0;
}

static int start_program(Helper *h, int *ret, Err *err)
{
	int pair[2];
	char number[16];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	snprintf(number, sizeof(number), "%d", pair[1]);
	const ProcSpec spec = {.argv = (const char *const[]){h->program, "--fd", number, NULL},
			       .own_session = true, /* Ctrl-C is for us; it ends when we do */
			       .keep_fds = &pair[1],
			       .n_keep_fds = 1,
			       .stdin_path = "/dev/null",
			       .stdout_fd = 2,
			       .stderr_fd = 2};
	int r = proc_spawn(&spec, &h->proc, err);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return err_wrap(err, r, "cannot start %s", h->program);
	}
	*ret = pair[0];
	return 0;
}

static int connect_now(Helper *h, Err *err)
{
	int r = h->program ? start_program(h, &h->fd, err) : connect_socket(h->socket, &h->fd, err);
	if (r < 0)
		return r;
	r = sd_event_add_io(h->loop, &h->io, h->fd, EPOLLIN, on_io, h);
	if (r < 0) {
		disconnect(h);
		return err_set(err, r, "cannot listen to dream-helper: %s", strerror(-r));
	}
	return 0;
}

int helper_connect(sd_event *loop, const HelperAddress *a, Helper **ret, Err *err)
{
	_cleanup_(helper_closep) Helper *h = calloc(1, sizeof(*h));
	if (!h)
		return err_oom(err);
	*h = (Helper){.loop = sd_event_ref(loop), .fd = -1, .proc = PROC_INIT};
	h->last = &h->first;
	if (a->program)
		h->program = strdup(a->program);
	else
		h->socket = strdup(a->socket ? a->socket : HELPER_SOCKET);
	if (!h->program && !h->socket)
		return err_oom(err);
	int r = connect_now(h, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(h);
	return 0;
}

Helper *helper_close(Helper *h)
{
	if (!h)
		return NULL;
	h->closed = true;
	if (h->busy == 0)
		helper_free(h);
	return NULL;
}

/* --- Asking ----------------------------------------------------------------------------------- */

static int on_timeout(sd_event_source *src, uint64_t usec, void *ctx)
{
	Question *q = ctx;
	HelperDone *done = TAKE_PTR(q->done);
	Err err = ERR_INIT;

	(void)src;
	(void)usec;
	q->timer = sd_event_source_disable_unref(q->timer);
	err_set(&err, -ETIMEDOUT,
		"dream-helper has not answered in time; what it was asked may still happen");
	(void)tell(q->h, done, q->ctx, NULL, &err);
	return 0;
}

static int request_text(json_t *request, char **ret, Err *err)
{
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(request, &text);
	if (text.len > HELPER_PACKET_MAX)
		return err_set(err, -EMSGSIZE, "a request to dream-helper has at most %d bytes",
			       HELPER_PACKET_MAX);
	return str_take(&text, ret) < 0 ? err_oom(err) : 0;
}

static int question_new(Helper *h, json_t *request, int64_t timeout_us, Question **ret, Err *err)
{
	Question *q = calloc(1, sizeof(*q));
	if (!q)
		return err_oom(err);
	q->h = h;
	int r = request_text(request, &q->packet, err);
	if (r >= 0) {
		r = sd_event_add_time_relative(h->loop, &q->timer, CLOCK_MONOTONIC,
					       (uint64_t)timeout_us, 0, on_timeout, q);
		if (r < 0)
			err_set(err, r, "cannot wait for dream-helper: %s", strerror(-r));
	}
	if (r < 0)
		question_free(q);
	else
		*ret = q;
	return r < 0 ? r : 0;
}

int helper_call(Helper *h, json_t *request, int64_t timeout_us, HelperDone *done, void *ctx,
		Err *err)
{
	json_auto_t *owned = request;
	Question *q = NULL;
	/* What was lost is told first, so that answers keep their order. */
	int r = h->fd < 0 && !h->later ? connect_now(h, err) : 0;
	if (r >= 0)
		r = question_new(h, owned, timeout_us, &q, err);
	if (r < 0 || !q)
		return r < 0 ? r : err_oom(err);
	q->done = done;
	q->ctx = ctx;
	push(h, q);
	if (!h->later && send_waiting(h) < 0)
		lose_later(h, -ECONNRESET, "dream-helper has ended; it did not hear the question");
	return 0;
}

/* What was asked is not asked back: when the answer comes it is dropped. */
void helper_forget(Helper *h, const void *ctx)
{
	for (Question *q = h->first; q; q = q->next)
		if (q->ctx == ctx)
			q->done = NULL;
}

typedef struct Asked {
	bool over;
	json_t *reply;
	Err err;
} Asked;

static void on_asked(void *ctx, const json_t *reply, const Err *err)
{
	Asked *a = ctx;
	a->over = true;
	a->reply = reply ? json_incref((json_t *)(uintptr_t)reply) : NULL;
	if (err)
		a->err = *err;
}

static bool is_waiting_to_send(const Helper *h)
{
	for (const Question *q = h->first; q; q = q->next)
		if (q->packet)
			return true;
	return false;
}

/* The connection alone is waited on, not the loop: we may have been called by it, and it cannot
 * turn inside of itself. */
static int wait_once(Helper *h, int64_t left_us, Err *err)
{
	if (h->later) {
		(void)on_later(NULL, h);
		return 0;
	}
	if (h->fd < 0)
		return err_set(err, -ECONNRESET, "dream-helper has ended");
	struct pollfd p = {.fd = h->fd,
			   .events = (short)(POLLIN | (is_waiting_to_send(h) ? POLLOUT : 0))};
	int n = left_us > 0 ? poll(&p, 1, (int)(left_us / 1000) + 1) : 0;
	if (n < 0)
		return errno == EINTR ? 0
				      : err_set(err, -errno, "cannot wait for dream-helper: %m");
	if (n == 0 && left_us <= 0)
		return err_set(err, -ETIMEDOUT,
			       "dream-helper has not answered in time; what it was asked may still "
			       "happen");
	if (n > 0)
		(void)on_io(NULL, h->fd,
			    (uint32_t)(p.revents & POLLIN    ? EPOLLIN
				       : p.revents & POLLOUT ? EPOLLOUT
							     : EPOLLHUP),
			    h);
	return 0;
}

int helper_ask(Helper *h, json_t *request, int64_t timeout_us, json_t **ret, Err *err)
{
	Asked a = {0};
	int64_t until_us = clock_mono_us(&clock_system) + timeout_us;
	int r = helper_call(h, request, timeout_us, on_asked, &a, err);
	while (r >= 0 && !a.over)
		r = wait_once(h, until_us - clock_mono_us(&clock_system), err);
	if (r < 0) {
		helper_forget(h, &a);
		return r;
	}
	if (!a.reply)
		return err_set(err, a.err.code, "%s", a.err.msg);
	*ret = a.reply;
	return 0;
}
