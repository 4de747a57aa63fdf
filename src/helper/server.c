/* The loop of the privileged side: who may speak, packets in and out, one request of a client at a
 * time, one restart on the machine at a time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "helper/server_internal.h"
#include "helper/wire.h"

enum {
	CLIENTS_OF_ONE_MAX = 8, /* connections of one user; so one cannot lock the others out */
};

static int on_client(sd_event_source *src, int fd, uint32_t events, void *ctx);

/* --- What verbs ask --------------------------------------------------------------------------- */

sd_event *server_loop(const Server *s)
{
	return s->loop;
}

const ProductionPlaces *server_places(const Server *s)
{
	return s->places;
}

int server_systemd(Server *s, Systemd **ret, Err *err)
{
	if (s->lost_bus && !s->alone) {
		s->systemd = systemd_close(s->systemd);
		s->lost_bus = false;
	}
	if (!s->systemd) {
		int r = systemd_open(s->loop, s->places->user, &s->systemd, err);
		if (r < 0)
			return r;
	}
	*ret = s->systemd;
	return 0;
}

/* Whoever could write there could have units started with anything. */
static int check_folder(const char *path, Err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT
			   ? err_set(err, -ENOENT, "nothing is adopted here: there is no %s", path)
			   : err_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(err, -EPERM,
			       "%s is not safe: it must be a folder of user %u, and nobody else "
			       "may write in it",
			       path, (unsigned)geteuid());
	return 0;
}

int server_production(const ProductionPlaces *places, Production **ret, Err *err)
{
	int r = check_folder(places->state_dir, err);
	return r < 0 ? r : production_open(&disk_system, places->state_dir, ret, err);
}

static int64_t now_us(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

void server_flipped(Server *s)
{
	s->flip_us = now_us(CLOCK_BOOTTIME);
}

int64_t server_flipped_at_us(const Server *s)
{
	struct stat st;
	if (s->flip_us)
		return s->flip_us + now_us(CLOCK_REALTIME) - now_us(CLOCK_BOOTTIME);
	_cleanup_free_ char *link = str_fmt("%s/current", s->places->state_dir);
	if (!link || lstat(link, &st) < 0)
		return 0;
	return st.st_mtim.tv_sec * INT64_C(1000000) + st.st_mtim.tv_nsec / 1000;
}

/* --- Answers ---------------------------------------------------------------------------------- */

void client_drop(Client *c)
{
	if (c->gone)
		return;
	c->gone = true;
	c->io = sd_event_source_disable_unref(c->io);
	close(c->fd);
	c->fd = -1;
	if (c->call)
		c->call->client = NULL;
	c->call = NULL;
}

void client_listen(Client *c)
{
	uint32_t events = c->reply ? EPOLLOUT : c->held ? 0 : EPOLLIN;
	if (!c->gone && sd_event_source_set_io_events(c->io, events) < 0)
		client_drop(c);
}

/* What the socket does not take now waits until it does; nothing more is read from this client
 * meanwhile. */
static void client_send(Client *c)
{
	ssize_t n = send(c->fd, c->reply, strlen(c->reply), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		client_listen(c);
		return;
	}
	free(TAKE_PTR(c->reply));
	if (n < 0)
		client_drop(c);
	else
		client_listen(c);
}

void client_answer(Client *c, const json_t *members, const Err *why)
{
	int r = why ? packet_refusal(why, &c->reply) : packet_reply(members, &c->reply);
	if (r < 0)
		client_drop(c); /* no memory for one packet: nothing can be said */
	else
		client_send(c);
}

/* --- Clients ---------------------------------------------------------------------------------- */

static void client_packet(Client *c, const char *text, size_t len)
{
	const Verb *verb;
	json_t *request = NULL;
	Err why = ERR_INIT;
	if (call_parse(text, len, &verb, &request, &why) < 0) {
		client_answer(c, NULL, &why);
	} else if (call_new(c, verb, request) < 0) {
		json_decref(request);
		client_drop(c);
	}
}

static bool asks_to_cancel(const char *text, size_t len)
{
	const Verb *verb = NULL;
	json_auto_t *request = NULL;
	Err unheard = ERR_INIT;
	return call_parse(text, len, &verb, &request, &unheard) >= 0 && verb == &verb_cancel;
}

/* One request ahead is read, for it may say that the one which is at work is given up. */
static void client_hold(Client *c, const char *text, size_t len)
{
	c->held = malloc(len + 1);
	if (!c->held) {
		client_drop(c);
		return;
	}
	memcpy(c->held, text, len);
	c->held_len = len;
	client_listen(c);
	if (asks_to_cancel(text, len))
		call_give_up(c->call);
}

/* Its turn has come. Nothing new is begun when we are to end. */
static void client_go_on(Client *c)
{
	_cleanup_free_ char *text = TAKE_PTR(c->held);
	if (c->s->ending)
		client_drop(c);
	else
		client_packet(c, text, c->held_len);
}

static void client_read(Client *c)
{
	_cleanup_free_ char *buf = malloc(HELPER_PACKET_MAX + 1);
	if (!buf) {
		client_drop(c);
		return;
	}
	/* No room for descriptors is given, so none can be sent along. With MSG_TRUNC the whole
	 * length is told, however little was taken. */
	ssize_t n = recv(c->fd, buf, HELPER_PACKET_MAX + 1, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_drop(c);
	} else if (n > HELPER_PACKET_MAX && c->call) {
		client_drop(c); /* its answer would come out of turn */
	} else if (n > HELPER_PACKET_MAX) {
		Err why = ERR_INIT;
		err_set(&why, -EMSGSIZE, "a request has at most %d bytes", HELPER_PACKET_MAX);
		client_answer(c, NULL, &why);
	} else if (c->call) {
		client_hold(c, buf, (size_t)n);
	} else {
		client_packet(c, buf, (size_t)n);
	}
}

static int on_client(sd_event_source *src, int fd, uint32_t events, void *ctx)
{
	Client *c = ctx;
	Server *s = c->s;

	(void)src;
	(void)fd;
	/* Whoever left is not there for the answer, so what it still asked is not done. */
	if (events & (EPOLLHUP | EPOLLERR))
		client_drop(c);
	else if ((events & EPOLLOUT) && c->reply)
		client_send(c);
	else if ((events & EPOLLIN) && !c->held && !c->reply)
		client_read(c);
	server_settle(s);
	return 0;
}

static size_t clients_of(const Server *s, uid_t uid)
{
	size_t n = 0;
	for (const Client *c = s->clients; c; c = c->next)
		n += !c->gone && c->uid == uid;
	return n;
}

/* Takes the descriptor. */
static int client_add(Server *s, int fd, uid_t uid)
{
	Client *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	*c = (Client){.s = s, .next = s->clients, .fd = fd, .uid = uid};
	int r = sd_event_add_io(s->loop, &c->io, fd, EPOLLIN, on_client, c);
	if (r < 0) {
		close(fd);
		free(c);
		return r;
	}
	s->clients = c;
	return 0;
}

/* One who is not heard is told why, if the socket takes it at once. */
static void turn_away(int fd, int code, const char *words)
{
	_cleanup_free_ char *text = NULL;
	Err why = ERR_INIT;
	err_set(&why, code, "%s", words);
	if (packet_refusal(&why, &text) >= 0)
		(void)!send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static bool may_ask(const Server *s, uid_t uid)
{
	return uid == geteuid() || (s->spec.has_second && uid == s->spec.second);
}

static int on_connection(sd_event_source *src, int fd, uint32_t events, void *ctx)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	Server *s = ctx;

	(void)src;
	(void)events;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client < 0)
		return 0;
	if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		close(client);
	else if (!may_ask(s, peer.uid))
		turn_away(client, -EACCES, "this user may not ask dream-helper for anything");
	else if (clients_of(s, peer.uid) >= CLIENTS_OF_ONE_MAX)
		turn_away(client, -EBUSY, "this user has too many connections to dream-helper");
	else
		(void)client_add(s, client, peer.uid);
	server_settle(s);
	return 0;
}

/* --- Ending ----------------------------------------------------------------------------------- */

static void free_gone(Server *s)
{
	for (Client **at = &s->clients; *at;) {
		Client *c = *at;
		if (!c->gone) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		free(c->reply);
		free(c->held);
		free(c);
	}
}

static int on_idle(sd_event_source *src, uint64_t usec, void *ctx)
{
	Server *s = ctx;
	(void)src;
	(void)usec;
	if (!s->clients && !s->alone)
		sd_event_exit(s->loop, 0);
	return 0;
}

static void wait_idle(Server *s)
{
	bool nobody = !s->clients && !s->alone && !s->waiting;
	if (nobody && (s->ending || s->spec.listen_fd < 0)) {
		sd_event_exit(s->loop, 0);
		return;
	}
	(void)sd_event_source_set_time_relative(s->idle, (uint64_t)s->spec.idle_us);
	(void)sd_event_source_set_enabled(s->idle, nobody ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static Client *client_waiting(const Server *s)
{
	Client *c = s->clients;
	while (c && (c->gone || !c->held || c->call || c->reply))
		c = c->next;
	return c;
}

void server_settle(Server *s)
{
	Call *c = call_next(s);
	if (c) {
		call_run(c); /* comes back here when it ends at once */
		return;
	}
	for (Client *held; (held = client_waiting(s));)
		client_go_on(held);
	wait_idle(s);
}

static int on_swept(sd_event_source *src, void *ctx)
{
	(void)src;
	free_gone(ctx);
	wait_idle(ctx);
	return 0;
}

/* What was begun is done to its end (units must not stay stopped), nothing new is begun. */
static int on_signal(sd_event_source *src, const struct signalfd_siginfo *si, void *ctx)
{
	Server *s = ctx;
	(void)src;
	(void)si;
	s->ending = true;
	s->listening = sd_event_source_disable_unref(s->listening);
	for (Client *c = s->clients; c; c = c->next)
		if (!c->call || !c->call->running)
			client_drop(c);
	server_settle(s);
	return 0;
}

/* --- Running ---------------------------------------------------------------------------------- */

static int listen_signals(Server *s)
{
	static const int signals[] = {SIGTERM, SIGINT};
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < 2; i++)
		sigaddset(&mask, signals[i]);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < 2; i++) {
		int r = sd_event_add_signal(s->loop, NULL, signals[i], on_signal, s);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_up(Server *s)
{
	int r = sd_event_new(&s->loop);
	if (r >= 0)
		r = listen_signals(s);
	if (r >= 0)
		r = sd_event_add_post(s->loop, NULL, on_swept, s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->loop, &s->idle, CLOCK_MONOTONIC,
					       (uint64_t)s->spec.idle_us, 0, on_idle, s);
	if (r >= 0 && s->spec.listen_fd >= 0)
		r = sd_event_add_io(s->loop, &s->listening, s->spec.listen_fd, EPOLLIN,
				    on_connection, s);
	if (r >= 0 && s->spec.client_fd >= 0)
		r = client_add(s, s->spec.client_fd, geteuid());
	return r;
}

static void take_down(Server *s)
{
	for (Client *c = s->clients; c; c = c->next)
		client_drop(c);
	free_gone(s);
	s->systemd = systemd_close(s->systemd);
	sd_event_source_disable_unref(s->listening);
	sd_event_source_disable_unref(s->idle);
	sd_event_unref(s->loop);
}

int server_run(const ServerSpec *spec, const ProductionPlaces *places, Err *err)
{
	_cleanup_(take_down) Server s = {.spec = *spec, .places = places};
	int r = set_up(&s);
	if (r >= 0)
		r = sd_event_loop(s.loop);
	return r < 0 ? err_set(err, r, "dream-helper's loop ended: %s", strerror(-r)) : 0;
}
