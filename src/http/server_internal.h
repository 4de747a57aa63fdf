#pragma once
/* What the files of the server share. */
#include <microhttpd.h>
#include <systemd/sd-event.h>

#include "base/str.h"
#include "http/server.h"

struct HttpServer {
	sd_event *event;
	sd_event_source *ready, *soon, *timer, *watched;
	struct MHD_Daemon *daemon;
	int listen_fd, watch_fd;
	uint16_t port;
	size_t body_max;
	void (*serve)(void *ctx, Incoming *rq);
	void (*closed)(void *ctx, Incoming *rq);
	void *ctx;
	char *socket; /* to be unlinked */
	int64_t armed_us;
	Incoming *first; /* all that are not gone */
	bool stopping;
};

typedef enum IncomingState {
	INCOMING_READING,
	INCOMING_SERVING, /* the owner has it, and has not answered */
	INCOMING_READY,	  /* an answer is to be queued */
	INCOMING_QUEUED,  /* libmicrohttpd has the answer, or asks for its parts */
} IncomingState;

/* One connection of a client. */
typedef struct Peer {
	Incoming *rq; /* the request it is at; NULL */
	bool gone;    /* it closed, or will say no more */
} Peer;

struct Incoming {
	HttpServer *server;
	Peer *peer;
	struct MHD_Connection *connection;
	Incoming *prev, *next;
	IncomingState state;
	bool owned;	/* by the one who serves it: told when the client goes */
	bool suspended; /* waits for us */
	bool streaming, ended;
	bool broken;   /* to be closed without a proper end */
	bool too_long; /* its body */
	int status;
	char *method, *path, *type;
	Str body; /* of the request */
	Str out;  /* of the answer: what is not sent yet begins at out_at */
	size_t out_at;
	void *own;
};

/* listen.c */
int server_listen_at(const HttpServerSpec *spec, int *ret_fd, uint16_t *ret_port,
		     Err *err) _must_check_;
