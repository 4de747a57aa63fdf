#pragma once
/* What the files of this folder share. */
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"
#include "control/control.h"

typedef struct Client Client;

struct Control {
	sd_event *loop;
	const ControlVerb *verbs;
	void *ctx;
	uint64_t idle_us;
	char *approvers, *path; /* NULL: none; not ours */
	dev_t dev;		/* of the socket file that we made */
	ino_t ino;
	int fd; /* listening; -1: none */
	sd_event_source *io, *again;
	Client *clients;
	size_t n_clients;
};

/* Without a listening socket. */
int control_bare(sd_event *loop, const ControlSpec *spec, Control **ret, Err *err) _must_check_;
/* A connection; closed when it cannot be taken. */
void control_admit(Control *c, int fd);

/* --- client.c --------------------------------------------------------------------------------- */

int client_new(Control *c, int fd, const struct ucred *peer, Client **ret) _must_check_;
void client_free(Client *k);
void client_drop(Client *k); /* takes it out of its control's list and frees it */
/* Appends a line; false: it does not read, or we are out of memory. */
bool client_put(Client *k, const char *line, size_t len);
Client *client_next(Client *k);
void client_link(Client *k, Client *next);
bool client_follows(const Client *k);
uid_t client_uid(const Client *k);

/* --- answer.c --------------------------------------------------------------------------------- */

/* The answer to one line, with its newline. *ret_follow: events are wanted. -ENOMEM. */
int control_answer(Control *c, const struct ucred *peer, const char *line, size_t len,
		   bool *ret_follow, Str *out) _must_check_;
/* {"ok": false, ...} as a line. */
void control_refusal(int code, const char *message, Str *out);

/* --- peer.c ----------------------------------------------------------------------------------- */

/* What the account is called and whether it may decide, from the system's files as they are now. */
void peer_look(const struct ucred *peer, const char *approvers, ControlPeer *ret);
/* Pure: `groups` are the account's; `group` is the approvers', (gid_t)-1 for none. */
bool peer_decides(uid_t uid, uid_t own, gid_t group, const gid_t *groups, size_t n);
/* (gid_t)-1: there is no such group. */
gid_t group_id(const char *name);

/* --- listen.c --------------------------------------------------------------------------------- */

int socket_address(const char *path, struct sockaddr_un *ret, Err *err) _must_check_;
/* A listening socket of mode 0660 at `path`, of that group where we may give it. */
int listen_at(const char *path, gid_t group, int *ret, Err *err) _must_check_;
/* The first of the sockets that systemd handed over. */
int listen_handed(int *ret, Err *err) _must_check_;
