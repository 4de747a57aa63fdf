#pragma once
/* What the files of the client share. A connection has at most one call, a call at most one
 * connection. A connection that is closed while events for it may still be in a batch is only
 * marked, and freed when the batch is over. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "http/client.h"
#include "http/parser.h"

enum {
	READ_SIZE = 64 * 1024,
	READS_AT_ONCE = 16, /* of one connection, before others get their turn */
	ADDRESSES_MAX = 8,
};

typedef struct Conn Conn;
typedef struct Tls Tls;		      /* tls.c: the settings of a client */
typedef struct TlsSession TlsSession; /* and one connection's state */

struct HttpLoop {
	sd_event *event;
	sd_event_source *io, *timer;
	int epfd;
	char *buf;	  /* READ_SIZE: every read goes here */
	HttpCall **heap;  /* the calls, the one that must be woken first on top */
	size_t n, cap;	  /* of the heap; its room is made when a call is */
	size_t calls;	  /* that exist, in use or spare */
	int64_t armed_us; /* when the timer fires; INT64_MAX: it is off */
	Conn *dead;	  /* to be freed when depth is 0 */
	unsigned depth;	  /* of dispatching */
	bool gone;	  /* freed by a handler */
	char *broker;	  /* who connects for us; NULL: nobody */
};

typedef struct Address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un un;
	};
	socklen_t len;
} Address;

struct HttpClient {
	HttpLoop *loop;
	Address addresses[ADDRESSES_MAX];
	size_t n_addresses; /* 0: no such host */
	size_t good;	    /* the address that worked last */
	Tls *tls;	    /* NULL: plain */
	char *base;
	char *fixed; /* the headers that all requests have */
	size_t fixed_len;
	int64_t connect_timeout_us;
	bool close_each;
	Conn *idle; /* the one used last first: its memory is warm */
	Conn *busy;
	HttpCall *calls, *spare;
};

typedef enum ConnState {
	CONN_ASKING, /* `fd` is a connection to the broker */
	CONN_CONNECTING,
	CONN_HANDSHAKE,
	CONN_OPEN,
	CONN_DEAD,
} ConnState;

struct Conn {
	HttpLoop *loop;
	HttpClient *client;
	Conn *prev, *next; /* in the client's idle or busy; next: in the loop's dead */
	HttpCall *call;	   /* NULL: idle */
	TlsSession *tls;
	int fd;
	size_t address; /* of the client's */
	ConnState state;
	bool reused;	/* has answered before */
	bool heard;	/* a byte of this answer */
	bool unwilling; /* a write failed: what comes is the last */
	Parser parser;
};

struct HttpCall {
	HttpClient *client;
	HttpCall *prev, *next; /* in the client's calls; next: in its spare ones */
	Conn *conn;	       /* NULL: it waits to be told its end, or to try again */
	HttpHandler handler;
	void *ctx;
	void (*drop)(void *ctx); /* the owner of ctx learns of a cancel; NULL */
	Str out;		 /* the request, kept until the answer begins */
	size_t sent;
	size_t heap_at;
	int64_t wake_us;     /* the heap's key */
	int64_t deadline_us; /* of the call */
	int64_t connect_by_us;
	size_t first_address, tried; /* how many from there on did not work */
	int unasked; /* negative errno: why the broker gave no connection the last time; 0 */
	bool head_only;
	bool ending; /* its end is known, and is told from the loop */
	HttpEnd end;
};

static inline int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

/* loop.c */
int timers_reserve(HttpLoop *l); /* for one more call */
void timers_add(HttpLoop *l, HttpCall *c, int64_t wake_us);
void timers_move(HttpLoop *l, HttpCall *c, int64_t wake_us);
void timers_remove(HttpLoop *l, HttpCall *c);
void loop_bury(HttpLoop *l, Conn *c); /* frees it when nothing points to it */

/* conn.c */
int conn_begin(HttpCall *call);	   /* on an idle connection or a new one; negative: a shortage */
void conn_connect(HttpCall *call); /* a new one; what fails is told later */
void conn_event(Conn *c, uint32_t events);
void conn_late(Conn *c, int64_t by_us); /* not open yet, and its share of the time is over */
void conn_close(Conn *c);

/* call.c */
void call_end(HttpCall *call, HttpFault fault, int error, const char *why, int64_t at_us);
void call_end_later(HttpCall *call, HttpFault fault, int error, const char *why);
void call_wake(HttpCall *call, int64_t now); /* its time has come */
int call_start(HttpClient *c, const HttpRequest *rq, const HttpHandler *h, void *ctx,
	       void (*drop)(void *ctx), HttpCall **ret, Err *err) _must_check_;

/* address.c */
int addresses_find(const HttpTarget *t, Address *ret, size_t max, size_t *ret_n,
		   Err *err) _must_check_;
void addresses_of_loopback(Address *a, size_t n);	  /* "any" is loopback, as for connect() */
bool addresses_equal(const Address *a, const Address *b); /* of TCP */

/* tls.c: results are bytes, 0 for the end, -EAGAIN, or another negative errno; `why` is a constant
 * text or untouched. */
int tls_new(const HttpClientSpec *spec, Tls **ret, Err *err) _must_check_;
Tls *tls_free(Tls *t);
int tls_open(Tls *t, int fd, TlsSession **ret) _must_check_;
TlsSession *tls_close(TlsSession *s);
int tls_handshake(TlsSession *s, const char **why);
ssize_t tls_read(TlsSession *s, void *p, size_t n);
ssize_t tls_write(TlsSession *s, const void *p, size_t n);
