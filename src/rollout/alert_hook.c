/* The hook programs: a few at once, the others wait. Everything is driven by one function, work(),
 * which does what can be done without waiting; the event loop calls it, and so does the end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "rollout/alert_internal.h"

enum {
	SAID_MAX = 160, /* of what a hook wrote to its standard error, the end */
	LAST_CHANCE_US = 5000000,
};

typedef struct Hook {
	Hooks *hooks;
	bool running, late;
	AlertKind kind;
	Proc proc;
	char *text;
	size_t len, sent;
	char said[SAID_MAX + 1];
	size_t n_said;
	sd_event_source *in, *err, *end, *limit;
} Hook;

typedef struct Waiting {
	AlertKind kind;
	char *text;
} Waiting;

struct Hooks {
	sd_event *loop; /* borrowed */
	char **argv;
	int64_t limit_us;
	Hook running[ALERT_HOOKS_MAX];
	Waiting queue[ALERT_QUEUE_MAX]; /* oldest first */
	size_t n_queue;
};

static void failed(AlertKind k, const char *fmt, ...) _printf_(2, 3);
static void failed(AlertKind k, const char *fmt, ...)
{
	_cleanup_(str_done) Str s = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	alert_hook_failed(k, s.s ? s.s : "the alert hook failed");
}

/* --- One program ------------------------------------------------------------------------------ */

static void hook_clear(Hook *k)
{
	sd_event_source_disable_unref(k->in);
	sd_event_source_disable_unref(k->err);
	sd_event_source_disable_unref(k->end);
	sd_event_source_disable_unref(k->limit);
	proc_done(&k->proc);
	free(k->text);
	*k = (Hook){.hooks = k->hooks, .proc = PROC_INIT};
}

static void close_input(Hook *k)
{
	k->in = sd_event_source_disable_unref(k->in);
	if (k->proc.in >= 0)
		(void)close(k->proc.in);
	k->proc.in = -1;
}

/* A hook that does not want to read all of it need not. */
static void feed(Hook *k)
{
	while (k->proc.in >= 0 && k->sent < k->len) {
		ssize_t n = proc_write(&k->proc, k->text + k->sent, k->len - k->sent);
		if (n == 0)
			return;
		k->sent = n < 0 ? k->len : k->sent + (size_t)n;
	}
	close_input(k);
}

/* The end of what it says is kept, so that it can be quoted; the rest is read and forgotten, so
 * that it can go on. */
static void listen_to(Hook *k)
{
	char buf[SAID_MAX];
	for (int i = 0; i < 64 && k->proc.err >= 0; i++) {
		ssize_t n = read(k->proc.err, buf, sizeof(buf));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			k->err = sd_event_source_disable_unref(k->err);
			(void)close(k->proc.err);
			k->proc.err = -1;
			return;
		}
		size_t keep = (size_t)n < SAID_MAX ? k->n_said : 0;
		if (keep + (size_t)n > SAID_MAX) {
			size_t drop = keep + (size_t)n - SAID_MAX;
			memmove(k->said, k->said + drop, keep - drop);
			keep -= drop;
		}
		memcpy(k->said + keep, buf, (size_t)n);
		k->n_said = keep + (size_t)n;
	}
}

static void conclude(Hook *k, const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED && si->si_status == 0)
		return;
	char how[48];
	proc_describe(si, how);
	_cleanup_(str_done) Str said = STR_INIT;
	while (k->n_said > 0 && k->said[k->n_said - 1] == '\n')
		k->n_said--;
	str_add_safe(&said, k->said, k->n_said, SAID_MAX);
	const char *program = k->hooks->argv[0];
	if (k->late)
		failed(k->kind, "the alert hook %s did not end within its time and was killed (%s)",
		       program, alert_name(k->kind));
	else
		failed(k->kind, "the alert hook %s ended with %s (%s)%s%s", program, how,
		       alert_name(k->kind), k->n_said ? ": " : "", said.s ? said.s : "");
}

static void reap(Hook *k)
{
	siginfo_t si = {0};
	int r = proc_reap(&k->proc, &si);
	if (r == 0)
		return;
	if (r > 0) {
		listen_to(k);
		conclude(k, &si);
	}
	hook_clear(k);
}

static void start_waiting(Hooks *h);

static void work(Hook *k)
{
	if (k->running) {
		feed(k);
		listen_to(k);
		reap(k);
	}
	start_waiting(k->hooks);
}

static int on_ready(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	(void)s;
	(void)fd;
	(void)events;
	work(ctx);
	return 0;
}

static int on_limit(sd_event_source *s, uint64_t at_us, void *ctx)
{
	(void)s;
	(void)at_us;
	Hook *k = ctx;
	k->late = true;
	proc_kill(&k->proc); /* its end is told like any other */
	return 0;
}

static int attach(Hook *k)
{
	sd_event *loop = k->hooks->loop;
	int r = sd_event_add_io(loop, &k->in, k->proc.in, EPOLLOUT, on_ready, k);
	if (r >= 0)
		r = sd_event_add_io(loop, &k->err, k->proc.err, EPOLLIN, on_ready, k);
	if (r >= 0)
		r = sd_event_add_io(loop, &k->end, k->proc.pidfd, EPOLLIN, on_ready, k);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &k->limit, CLOCK_MONOTONIC,
					       (uint64_t)k->hooks->limit_us, 100000, on_limit, k);
	return r;
}

/* Without what systemd tells us alone, and a copy of which would speak for us. */
static int spawn(Hook *k, Err *err)
{
	char kind[48];
	snprintf(kind, sizeof(kind), "DREAM_ALERT=%s", alert_name(k->kind));
	const char *env[] = {kind,	   "NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID",
			     "LISTEN_FDS", "LISTEN_PID",    "LISTEN_FDNAMES", NULL};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0)
		return err_set(err, -errno, "cannot open /dev/null: %m");
	const ProcSpec spec = {.argv = (const char *const *)k->hooks->argv,
			       .env = env,
			       .own_session = true,
			       .cwd = "/",
			       .stdout_fd = null,
			       .stderr_fd = -1};
	int r = proc_spawn(&spec, &k->proc, err);
	(void)close(null);
	if (r < 0)
		return r;
	r = attach(k);
	return r < 0 ? err_set(err, r, "cannot watch it: %s", strerror(-r)) : 0;
}

/* --- All of them ------------------------------------------------------------------------------ */

static void start(Hook *k, const Waiting *w)
{
	Err err = ERR_INIT;
	k->kind = w->kind;
	k->text = w->text;
	k->len = strlen(w->text);
	k->running = true;
	if (spawn(k, &err) == 0) {
		feed(k);
		return;
	}
	failed(k->kind, "the alert hook %s could not be started (%s): %s", k->hooks->argv[0],
	       alert_name(k->kind), err.msg);
	hook_clear(k);
}

static Hook *idle_hook(Hooks *h)
{
	for (size_t i = 0; i < ALERT_HOOKS_MAX; i++)
		if (!h->running[i].running)
			return &h->running[i];
	return NULL;
}

static Waiting queue_remove(Hooks *h, size_t i)
{
	Waiting w = h->queue[i];
	h->n_queue--;
	memmove(&h->queue[i], &h->queue[i + 1], (h->n_queue - i) * sizeof(h->queue[0]));
	return w;
}

static void start_waiting(Hooks *h)
{
	Hook *k;
	while (h->n_queue > 0 && (k = idle_hook(h))) {
		Waiting w = queue_remove(h, 0);
		start(k, &w);
	}
}

/* The oldest of the least urgent. */
static size_t least_urgent(const Hooks *h)
{
	size_t found = 0;
	for (size_t i = 1; i < h->n_queue; i++)
		if (alert_priority(h->queue[i].kind) > alert_priority(h->queue[found].kind))
			found = i;
	return found;
}

static void give_up(Waiting w)
{
	failed(w.kind, "too many alerts wait for the hook: it is not told of one (%s)",
	       alert_name(w.kind));
	free(w.text);
}

void hooks_tell(Hooks *h, AlertKind k, char *text)
{
	if (!text) {
		failed(k, "there is no memory to tell the alert hook (%s)", alert_name(k));
		return;
	}
	Waiting w = {k, text};
	if (h->n_queue == ALERT_QUEUE_MAX) {
		size_t i = least_urgent(h);
		if (alert_priority(k) > alert_priority(h->queue[i].kind)) {
			give_up(w);
			return;
		}
		give_up(queue_remove(h, i));
	}
	h->queue[h->n_queue++] = w;
	start_waiting(h);
}

static int copy_argv(const char *const *argv, char ***ret)
{
	size_t n = 0;
	while (argv[n])
		n++;
	char **copy = *ret = calloc(n + 1, sizeof(char *));
	for (size_t i = 0; copy && i < n; i++)
		if (!(copy[i] = strdup(argv[i])))
			return -ENOMEM;
	return copy ? 0 : -ENOMEM;
}

int hooks_new(sd_event *loop, const char *const *argv, Hooks **ret, Err *err)
{
	_cleanup_(hooks_freep) Hooks *h = calloc(1, sizeof(*h));
	if (!h)
		return err_oom(err);
	for (size_t i = 0; i < ALERT_HOOKS_MAX; i++)
		h->running[i] = (Hook){.hooks = h, .proc = PROC_INIT};
	h->loop = loop;
	h->limit_us = ALERT_HOOK_LIMIT_US;
	if (copy_argv(argv, &h->argv) < 0)
		return err_oom(err);
	*ret = TAKE_PTR(h);
	return 0;
}

void hooks_limit(Hooks *h, int64_t limit_us)
{
	h->limit_us = limit_us;
}

/* What is being waited for: input that can be written, words, the end. Fewer than `max`. */
static nfds_t interests(const Hooks *h, struct pollfd *ret)
{
	nfds_t n = 0;
	for (size_t i = 0; i < ALERT_HOOKS_MAX; i++) {
		const Proc *p = &h->running[i].proc;
		if (!h->running[i].running)
			continue;
		ret[n++] = (struct pollfd){.fd = p->pidfd, .events = POLLIN};
		ret[n++] = (struct pollfd){.fd = p->in, .events = POLLOUT};
		ret[n++] = (struct pollfd){.fd = p->err, .events = POLLIN};
	}
	return n;
}

static void last_chance(Hooks *h)
{
	struct pollfd fds[3 * ALERT_HOOKS_MAX];
	int64_t until = clock_mono_us(&clock_system) + LAST_CHANCE_US;
	for (nfds_t n; (n = interests(h, fds)) > 0;) {
		int64_t left_ms = (until - clock_mono_us(&clock_system)) / 1000;
		if (left_ms <= 0 || (poll(fds, n, (int)left_ms) < 0 && errno != EINTR))
			break;
		for (size_t i = 0; i < ALERT_HOOKS_MAX; i++)
			work(&h->running[i]);
	}
}

/* What is still there is said to be, and given up. */
static void abandon(Hooks *h)
{
	for (size_t i = 0; i < ALERT_HOOKS_MAX; i++) {
		Hook *k = &h->running[i];
		if (k->running)
			failed(k->kind, "the alert hook %s was killed because we end (%s)",
			       h->argv[0], alert_name(k->kind));
		hook_clear(k);
	}
	while (h->n_queue > 0) {
		Waiting w = queue_remove(h, 0);
		failed(w.kind, "we end before the alert hook could be told (%s)",
		       alert_name(w.kind));
		free(w.text);
	}
}

Hooks *hooks_free(Hooks *h)
{
	if (!h)
		return NULL;
	last_chance(h);
	abandon(h);
	for (char **arg = h->argv; arg && *arg; arg++)
		free(*arg);
	free(h->argv);
	free(h);
	return NULL;
}
