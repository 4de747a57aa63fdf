/* The socket as a whole: takes connections, as many as there is room for, and tells those who
 * follow. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "control/internal.h"

enum {
	AGAIN_US = 1000000, /* after running out of descriptors */
};

/* One account shall not keep the others out. */
static bool is_room(const Control *c, uid_t uid)
{
	size_t of_uid = 0;
	for (Client *k = c->clients; k; k = client_next(k))
		of_uid += client_uid(k) == uid;
	if (c->n_clients >= CONTROL_CLIENTS_MAX)
		return false;
	return uid == 0 || uid == geteuid() || of_uid < CONTROL_CLIENTS_MAX / 2;
}

static void turn_away(int fd, const char *why)
{
	_cleanup_(str_done) Str out = STR_INIT;
	control_refusal(-EBUSY, why, &out);
	if (!out.failed)
		(void)!send(fd, out.s, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)close(fd);
}

void control_admit(Control *c, int fd)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	Client *k = NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof(peer)) {
		(void)close(fd);
		return;
	}
	if (!is_room(c, peer.uid)) {
		turn_away(fd, "too many connections to the daemon are open; try again later");
		return;
	}
	if (client_new(c, fd, &peer, &k) < 0) {
		turn_away(fd, "the daemon is out of memory");
		return;
	}
	client_link(k, c->clients);
	c->clients = k;
	c->n_clients++;
}

static int on_again(sd_event_source *s, uint64_t at_us, void *userdata)
{
	Control *c = userdata;
	(void)s;
	(void)at_us;
	return sd_event_source_set_enabled(c->io, SD_EVENT_ON);
}

/* Without descriptors the connection stays in the queue and would wake us forever. */
static int rest(Control *c)
{
	int r = sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_time_relative(c->again, AGAIN_US);
	return r < 0 ? r : sd_event_source_set_enabled(c->again, SD_EVENT_ONESHOT);
}

static int on_connection(sd_event_source *s, int listening, uint32_t events, void *userdata)
{
	Control *c = userdata;
	(void)s;
	(void)events;
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		control_admit(c, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		return rest(c);
	return 0;
}

int control_approvers(Control *c, const char *group, Err *err)
{
	char *copy = group ? strdup(group) : NULL;
	if (group && !copy)
		return err_oom(err);
	free(c->approvers);
	c->approvers = copy;
	return 0;
}

int control_bare(sd_event *loop, const ControlSpec *spec, Control **ret, Err *err)
{
	_cleanup_(control_freep) Control *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	c->fd = -1;
	c->loop = sd_event_ref(loop);
	c->verbs = spec->verbs;
	c->ctx = spec->ctx;
	c->idle_us = (uint64_t)(spec->idle_us > 0 ? spec->idle_us : CONTROL_IDLE_US);
	int r = control_approvers(c, spec->approvers, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

/* Only what is still our file is taken away at the end. */
static int remember_file(Control *c, const char *path, Err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %m", path);
	c->path = strdup(path);
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return c->path ? 0 : err_oom(err);
}

static int listen_on(Control *c, const char *path, Err *err)
{
	gid_t group = path && c->approvers ? group_id(c->approvers) : (gid_t)-1;
	if (!path)
		return listen_handed(&c->fd, err);
	int r = listen_at(path, group, &c->fd, err);
	return r < 0 ? r : remember_file(c, path, err);
}

int control_new(sd_event *loop, const ControlSpec *spec, Control **ret, Err *err)
{
	_cleanup_(control_freep) Control *c = NULL;
	int r = control_bare(loop, spec, &c, err);
	if (r < 0 || !c)
		return r < 0 ? r : err_oom(err);
	r = listen_on(c, spec->path, err);
	if (r < 0)
		return r;
	r = sd_event_add_io(loop, &c->io, c->fd, EPOLLIN, on_connection, c);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &c->again, CLOCK_MONOTONIC, AGAIN_US, 0,
					       on_again, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->again, SD_EVENT_OFF);
	if (r < 0)
		return err_set(err, r, "cannot wait for connections: %s", strerror(-r));
	*ret = TAKE_PTR(c);
	return 0;
}

static void take_file_away(const Control *c)
{
	struct stat st;
	if (c->path && lstat(c->path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino)
		(void)unlink(c->path);
}

Control *control_free(Control *c)
{
	if (!c)
		return NULL;
	while (c->clients) {
		Client *k = c->clients;
		c->clients = client_next(k);
		client_free(k);
	}
	take_file_away(c);
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->again);
	if (c->fd >= 0)
		(void)close(c->fd);
	sd_event_unref(c->loop);
	free(c->approvers);
	free(c->path);
	free(c);
	return NULL;
}

/* Nobody who waits for an answer follows, so this may be called while one is being made. */
void control_tell(Control *c, json_t *event)
{
	json_auto_t *owned = event;
	_cleanup_free_ char *text = owned ? json_dumps(owned, JSON_COMPACT) : NULL;
	_cleanup_free_ char *line = text ? str_fmt("%s\n", text) : NULL;
	Client *next;
	if (!line)
		return;
	for (Client *k = c->clients; k; k = next) {
		next = client_next(k);
		if (client_follows(k) && !client_put(k, line, strlen(line)))
			client_drop(k);
	}
}
