/* The one event source of all connections, and the one timer of all calls. The timer is only ever
 * set earlier: a call that ended leaves it where it is, and when it fires for nothing it is set to
 * what is next. So a call costs no system call for its timeout. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "connect/connect.h"
#include "http/internal.h"

enum {
	BATCH = 256,
	BATCHES = 8,	     /* before the loop's other sources get their turn */
	TIMER_SLACK_US = 500 /* an end by timeout may be this late */
};

static void heap_put(HttpLoop *l, size_t at, HttpCall *c)
{
	l->heap[at] = c;
	c->heap_at = at;
}

static void heap_up(HttpLoop *l, size_t at, HttpCall *c)
{
	while (at > 0 && l->heap[(at - 1) / 2]->wake_us > c->wake_us) {
		heap_put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(l, at, c);
}

static void heap_down(HttpLoop *l, size_t at, HttpCall *c)
{
	for (;;) {
		size_t child = 2 * at + 1;
		if (child + 1 < l->n && l->heap[child + 1]->wake_us < l->heap[child]->wake_us)
			child++;
		if (child >= l->n || l->heap[child]->wake_us >= c->wake_us)
			break;
		heap_put(l, at, l->heap[child]);
		at = child;
	}
	heap_put(l, at, c);
}

static void arm(HttpLoop *l, int64_t at_us)
{
	if (at_us >= l->armed_us)
		return;
	l->armed_us = at_us;
	(void)sd_event_source_set_time(l->timer, (uint64_t)at_us);
	(void)sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

int timers_reserve(HttpLoop *l)
{
	if (l->calls < l->cap) {
		l->calls++;
		return 0;
	}
	size_t cap = l->cap ? 2 * l->cap : 64;
	HttpCall **heap = reallocarray(l->heap, cap, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	l->heap = heap;
	l->cap = cap;
	l->calls++;
	return 0;
}

void timers_add(HttpLoop *l, HttpCall *c, int64_t wake_us)
{
	c->wake_us = wake_us;
	heap_up(l, l->n++, c);
	arm(l, wake_us);
}

void timers_move(HttpLoop *l, HttpCall *c, int64_t wake_us)
{
	bool earlier = wake_us < c->wake_us;
	c->wake_us = wake_us;
	if (earlier)
		heap_up(l, c->heap_at, c);
	else
		heap_down(l, c->heap_at, c);
	arm(l, wake_us);
}

void timers_remove(HttpLoop *l, HttpCall *c)
{
	HttpCall *last = l->heap[--l->n];
	if (last == c)
		return;
	size_t at = c->heap_at;
	if (at > 0 && l->heap[(at - 1) / 2]->wake_us > last->wake_us)
		heap_up(l, at, last);
	else
		heap_down(l, at, last);
}

static void bury_all(HttpLoop *l)
{
	while (l->dead) {
		Conn *c = l->dead;
		l->dead = c->next;
		parser_done(&c->parser);
		free(c);
	}
}

void loop_bury(HttpLoop *l, Conn *c)
{
	c->next = l->dead;
	l->dead = c;
	if (l->depth == 0)
		bury_all(l);
}

static void loop_destroy(HttpLoop *l)
{
	bury_all(l);
	if (l->epfd >= 0)
		(void)close(l->epfd);
	free(l->heap);
	free(l->broker);
	free(l->buf);
	free(l);
}

static void leave(HttpLoop *l)
{
	if (--l->depth > 0)
		return;
	if (l->gone)
		loop_destroy(l);
	else
		bury_all(l);
}

static void serve_ready(HttpLoop *l)
{
	struct epoll_event ready[BATCH];
	for (int round = 0; round < BATCHES && !l->gone; round++) {
		int n = epoll_wait(l->epfd, ready, BATCH, 0);
		for (int i = 0; i < n; i++) {
			Conn *c = ready[i].data.ptr;
			if (c->state != CONN_DEAD)
				conn_event(c, ready[i].events);
		}
		if (n < BATCH)
			return;
	}
}

static int on_ready(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	HttpLoop *l = ctx;
	(void)s;
	(void)fd;
	(void)events;
	l->depth++;
	serve_ready(l);
	leave(l);
	return 0;
}

/* An answer that arrived before its time was over is not too late because we were busy: what is
 * readable is read first. */
static int on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	HttpLoop *l = ctx;
	(void)s;
	(void)usec;
	l->armed_us = INT64_MAX;
	l->depth++;
	serve_ready(l);
	int64_t now = now_us();
	/* Those that a handler adds with a time that is over wait for the next turn. */
	for (size_t left = l->n; left > 0 && l->n > 0 && l->heap[0]->wake_us <= now; left--)
		call_wake(l->heap[0], now);
	if (!l->gone && l->n > 0)
		arm(l, l->heap[0]->wake_us);
	leave(l);
	return 0;
}

static int loop_open(HttpLoop *l, Err *err)
{
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0)
		return err_set(err, -errno, "cannot make an epoll set: %s", strerror(errno));
	int r = sd_event_add_io(l->event, &l->io, l->epfd, EPOLLIN, on_ready, l);
	if (r >= 0)
		r = sd_event_add_time(l->event, &l->timer, CLOCK_MONOTONIC, UINT64_MAX,
				      TIMER_SLACK_US, on_timer, l);
	if (r >= 0)
		r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	if (r < 0)
		return err_set(err, r, "cannot add the HTTP client to the event loop: %s",
			       strerror(-r));
	return 0;
}

int httploop_new(sd_event *loop, HttpLoop **ret, Err *err)
{
	_cleanup_(httploop_freep) HttpLoop *l = calloc(1, sizeof(*l));
	if (!l)
		return err_oom(err);
	l->epfd = -1;
	l->armed_us = INT64_MAX;
	l->event = sd_event_ref(loop);
	l->buf = malloc(READ_SIZE);
	if (!l->buf)
		return err_oom(err);
	if (connect_path() && !(l->broker = strdup(connect_path())))
		return err_oom(err);
	int r = loop_open(l, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

HttpLoop *httploop_free(HttpLoop *l)
{
	if (!l)
		return NULL;
	l->io = sd_event_source_disable_unref(l->io);
	l->timer = sd_event_source_disable_unref(l->timer);
	l->event = sd_event_unref(l->event);
	l->gone = true;
	if (l->depth == 0)
		loop_destroy(l);
	return NULL;
}
