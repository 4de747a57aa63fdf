#pragma once
/* A server that does what a test says, byte for byte, and the client's side of a test. Both are on
 * one event loop; the peer's sends have the lowest priority, so that the client has read each piece
 * before the next is sent. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "../connect/bed.h"
#include "base/str.h"
#include "connect/server.h"
#include "http/client.h"

typedef enum PeerEnd {
	PEER_STAYS, /* waits for the next request, answered the same */
	PEER_CLOSES,
	PEER_RESETS,
	PEER_SILENT, /* says nothing more, whatever comes */
} PeerEnd;

typedef struct Script {
	const char *const *pieces; /* NULL-terminated; each goes out by itself. NULL: nothing */
	bool cut;		   /* every byte by itself */
	bool unasked;		   /* at once, without a request */
	PeerEnd end;
} Script;

#define PIECES(...) ((const char *const[]){__VA_ARGS__, NULL})

typedef struct PeerConn PeerConn;

typedef struct Peer {
	sd_event *loop;
	sd_event_source *listener;
	int fd;
	uint16_t port;
	const Script
	    *scripts; /* of the first, second, ... connection; the last is for all others */
	size_t n_scripts;
	size_t connections;
	size_t requests;
	Str heard; /* all that came */
	PeerConn *first;
	bool deaf; /* reads nothing */
} Peer;

void peer_start(Peer *p, sd_event *loop, const char *socket, const Script *scripts, size_t n);
void peer_listen(Peer *p); /* with another socket in `fd` */
void peer_stop(Peer *p);
void peer_close_all(Peer *p); /* the connections */

void peer_answer_now(Peer *p, const char *text); /* on all connections, whatever was asked */

typedef struct Rig {
	sd_event *loop;
	HttpLoop *http;
	HttpClient *client;
	Peer peer;
	/* Of the last call. */
	HttpEnd end;
	int done; /* how many */
	int status;
	char type[64];
	Str body;
	int pieces;
	int to_come; /* the loop ends after so many */
	/* Who connects for the client: with HTTP_TEST_BROKER in the environment, for all tests. */
	bool brokered;
	Bed broker;
	ConnectServer *server; /* NULL: it listens, and does not answer */
} Rig;

#define RIG_INIT ((Rig){.to_come = 1})

void rig_start(Rig *r, const HttpClientSpec *more, const char *socket, const Script *scripts,
	       size_t n);
void rig_stop(Rig *r);
void rig_broker(Rig *r, bool answers); /* before rig_start(): there is one */
extern const HttpHandler rig_handler;  /* ctx is the Rig */
HttpCall *rig_call(Rig *r, const char *method, const char *path, int64_t timeout_us);
void rig_loop(Rig *r); /* until `to_come` calls have ended; a test that hangs fails */
void rig_get(Rig *r, const char *method, int64_t timeout_us); /* both */
