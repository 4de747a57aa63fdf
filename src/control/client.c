/* One connection: bytes become lines, lines become answers, one after another. Everything it can
 * make us keep is bounded, in size and in time. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/internal.h"

struct Client {
	Control *control; /* borrowed */
	Client *next;
	int fd;
	struct ucred peer;
	sd_event_source *io, *idle;
	char *in; /* CONTROL_LINE_MAX bytes and one, made when something comes */
	size_t in_len;
	Str out;
	size_t out_at; /* bytes of it that are written */
	bool follows;
	bool last;  /* closed when `out` is written */
	bool moved; /* a request was answered or bytes were taken: its time begins anew */
};

Client *client_next(Client *k)
{
	return k->next;
}

void client_link(Client *k, Client *next)
{
	k->next = next;
}

bool client_follows(const Client *k)
{
	return k->follows;
}

uid_t client_uid(const Client *k)
{
	return k->peer.uid;
}

void client_free(Client *k)
{
	sd_event_source_disable_unref(k->io);
	sd_event_source_disable_unref(k->idle);
	if (k->fd >= 0)
		(void)close(k->fd);
	free(k->in);
	str_done(&k->out);
	free(k);
}

void client_drop(Client *k)
{
	Control *c = k->control;
	Client *before = NULL;
	for (Client *at = c->clients; at && at != k; at = at->next)
		before = at;
	if (before)
		before->next = k->next;
	else
		c->clients = k->next;
	c->n_clients--;
	client_free(k);
}

/* What is waited for next, and for how long at most. */
static int wait_on(Client *k)
{
	bool pending = k->out.len > k->out_at, moved = k->moved;
	uint32_t events = pending ? EPOLLOUT : 0;
	k->moved = false;
	if (k->follows || !pending)
		events |= EPOLLIN;
	int r = sd_event_source_set_io_events(k->io, events);
	if (r < 0)
		return r;
	if (k->follows && !pending)
		return sd_event_source_set_enabled(k->idle, SD_EVENT_OFF);
	if (!moved)
		return 0;
	r = sd_event_source_set_time_relative(k->idle, k->control->idle_us);
	return r < 0 ? r : sd_event_source_set_enabled(k->idle, SD_EVENT_ONESHOT);
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* False: it is gone. */
static bool write_some(Client *k)
{
	while (k->out_at < k->out.len) {
		ssize_t n = send(k->fd, k->out.s + k->out_at, k->out.len - k->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		k->out_at += (size_t)n;
		k->moved = true;
	}
	str_done(&k->out);
	k->out = STR_INIT;
	k->out_at = 0;
	return true;
}

/* Events that were read by the client make room for others. */
static void forget_written(Client *k)
{
	if (k->out_at < k->out.len / 2 || k->out_at == 0)
		return;
	memmove(k->out.s, k->out.s + k->out_at, k->out.len - k->out_at + 1);
	k->out.len -= k->out_at;
	k->out_at = 0;
}

bool client_put(Client *k, const char *line, size_t len)
{
	bool waited = k->out.len > k->out_at;
	forget_written(k);
	if (k->out.len - k->out_at + len > CONTROL_ANSWER_MAX)
		return false;
	str_addn(&k->out, line, len);
	if (k->out.failed || !write_some(k))
		return false;
	/* A reader that stands still is not given more time by every event. */
	k->moved |= !waited;
	return wait_on(k) >= 0;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static bool answer_line(Client *k, size_t len)
{
	bool follow = false;
	if (control_answer(k->control, &k->peer, k->in, len, &follow, &k->out) < 0)
		return false;
	k->follows |= follow;
	k->moved = true;
	return true;
}

/* Lines that are here already, until an answer has to wait for its reader. */
static bool take_lines(Client *k)
{
	for (;;) {
		char *end = k->in_len ? memchr(k->in, '\n', k->in_len) : NULL;
		if (k->out.len > k->out_at || k->last || k->follows)
			return true;
		if (!end && k->in_len > CONTROL_LINE_MAX) {
			control_refusal(-EMSGSIZE, "the request is too long", &k->out);
			k->last = true;
			return !k->out.failed && write_some(k);
		}
		if (!end)
			return true;
		size_t len = (size_t)(end - k->in);
		if (!answer_line(k, len) || !write_some(k))
			return false;
		k->in_len -= len + 1;
		memmove(k->in, end + 1, k->in_len);
	}
}

/* Whoever follows has nothing more to say: what comes is thrown away, its end is noticed. */
static ssize_t read_some(Client *k)
{
	char nothing[4096];
	if (k->follows)
		return recv(k->fd, nothing, sizeof(nothing), MSG_DONTWAIT);
	if (!k->in)
		k->in = malloc(CONTROL_LINE_MAX + 1);
	if (!k->in) {
		errno = ENOMEM;
		return -1;
	}
	return recv(k->fd, k->in + k->in_len, CONTROL_LINE_MAX + 1 - k->in_len, MSG_DONTWAIT);
}

static bool on_readable(Client *k)
{
	ssize_t n = read_some(k);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0 && k->follows)
		return false;
	if (n == 0)
		k->last = true;
	else if (!k->follows)
		k->in_len += (size_t)n;
	return take_lines(k);
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
	Client *k = userdata;
	bool alive = true;
	(void)s;
	(void)fd;
	if (events & EPOLLOUT)
		alive = write_some(k) && take_lines(k);
	if (alive && (events & EPOLLIN))
		alive = on_readable(k);
	else if (alive && (events & (EPOLLHUP | EPOLLERR)))
		alive = false;
	if (alive && k->last && k->out.len == k->out_at)
		alive = false;
	if (!alive || wait_on(k) < 0)
		client_drop(k);
	return 0;
}

static int on_idle(sd_event_source *s, uint64_t at_us, void *userdata)
{
	(void)s;
	(void)at_us;
	client_drop(userdata);
	return 0;
}

int client_new(Control *c, int fd, const struct ucred *peer, Client **ret)
{
	Client *k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->control = c;
	k->fd = -1;
	k->peer = *peer;
	int r = sd_event_add_io(c->loop, &k->io, fd, EPOLLIN, on_io, k);
	if (r >= 0)
		r = sd_event_add_time_relative(c->loop, &k->idle, CLOCK_MONOTONIC, c->idle_us,
					       100000, on_idle, k);
	if (r < 0) {
		client_free(k);
		return r;
	}
	k->fd = fd;
	*ret = k;
	return 0;
}
