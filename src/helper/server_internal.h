#pragma once
/* Between server.c (connections, packets in and out) and calls.c (what is done for them, in which
 * order). */
#include "helper/server.h"

typedef struct Client Client;
struct Client {
	Server *s;
	Client *next;
	int fd;
	uid_t uid;
	sd_event_source *io;
	Call *call;  /* what it waits for */
	char *reply; /* not taken by the socket yet; NULL */
	char *held;  /* the request after the one that is at work; NULL */
	size_t held_len;
	bool gone;
};

struct Call {
	Server *s;
	Client *client; /* NULL: it left */
	const Verb *verb;
	json_t *request;
	uid_t uid;
	bool running;
	void *data; /* the verb's, while it runs */
	Call *next; /* in s->waiting */
};

struct Server {
	sd_event *loop;
	ServerSpec spec;
	const ProductionPlaces *places;
	sd_event_source *listening, *idle;
	Systemd *systemd;
	Client *clients;
	Call *alone;	 /* the one that restarts units */
	Call *waiting;	 /* those that want to, in order */
	bool ending;	 /* SIGTERM */
	bool lost_bus;	 /* the manager's connection is to be made anew */
	int64_t flip_us; /* CLOCK_BOOTTIME of the last move of the link by us; 0: none */
};

/* --- server.c --------------------------------------------------------------------------------- */

void client_drop(Client *c);
void client_listen(Client *c);
void client_answer(Client *c, const json_t *members, const Err *why);
/* After everything that happened: the next one in line, those who left, and whether anybody is
 * still there. */
void server_settle(Server *s);

/* --- calls.c ---------------------------------------------------------------------------------- */

/* What a packet asks for. The request is new; `verb` is one of ours. */
int call_parse(const char *text, size_t len, const Verb **ret_verb, json_t **ret_request,
	       Err *err) _must_check_;
/* Consumes the request. Does it at once, or when its turn comes. */
int call_new(Client *client, const Verb *verb, json_t *request) _must_check_;
void call_run(Call *c);
/* The next one that waits for its turn and may have it; NULL: none. */
Call *call_next(Server *s);
/* A request that is not waited for any more: a restart or cold start ends here and now, one whose
 * turn has not come is not done. What else is at work ends by itself, soon. */
void call_give_up(Call *c);
