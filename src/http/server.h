#pragma once
/* An HTTP/1.1 server on the caller's event loop (libmicrohttpd behind it). A request comes whole,
 * with its body bounded, and is answered now or later, at once or as a stream. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct HttpServer HttpServer;
typedef struct Incoming
    Incoming; /* one request; lives until it is answered to the end or closed() was called */

typedef struct HttpServerSpec {
	const char *host;   /* "127.0.0.1", "::", ... */
	uint16_t port;	    /* 0: any free one */
	const char *socket; /* a unix socket instead; NULL */
	size_t body_max;    /* longer is answered 413; 0: 64 MiB */
	void (*serve)(void *ctx, Incoming *rq);
	/* The client went away before the answer was complete: the request is gone after this. May
	 * be NULL. A client that closes its half of the connection counts as gone. */
	void (*closed)(void *ctx, Incoming *rq);
	void *ctx;
} HttpServerSpec;

/* -EADDRINUSE: somebody listens there already. */
int httpserver_new(sd_event *loop, const HttpServerSpec *spec, HttpServer **ret,
		   Err *err) _must_check_;
/* Drops what is not answered, without calling closed(). Not from inside serve() or closed().
 * Accepts NULL, returns NULL. */
HttpServer *httpserver_free(HttpServer *s);
DEFINE_CLEANUP(HttpServer *, httpserver_free)
uint16_t httpserver_port(const HttpServer *s);

const char *incoming_method(const Incoming *rq);
const char *incoming_path(const Incoming *rq);			   /* without the query */
const char *incoming_query(const Incoming *rq, const char *name);  /* NULL: not there */
const char *incoming_header(const Incoming *rq, const char *name); /* NULL: not there */
const char *incoming_body(const Incoming *rq, size_t *ret_len);	   /* NUL-terminated */
void incoming_remember(Incoming *rq, void *own);		   /* the caller's own pointer */
void *incoming_own(const Incoming *rq);

/* Whole answers. The request is gone when this returns. */
int incoming_answer(Incoming *rq, int status, const char *type, const void *body, size_t len);
/* A stream: begin, any number of writes (each goes out in the next turn of the loop), end. A write
 * fails with -ENOBUFS when the client has left 64 MiB untaken; the request is still the caller's.
 */
int incoming_stream(Incoming *rq, int status, const char *type);
int incoming_write(Incoming *rq, const void *data, size_t len);
void incoming_end(Incoming *rq);
/* Closes the connection in the middle of an answer, or without one. */
void incoming_abort(Incoming *rq);

/* The parts of a multipart/form-data body: pointers into it. -EBADMSG: it is none; -E2BIG: more
 * than `max` parts. */
typedef struct Part {
	const char *name, *file_name; /* not NUL-terminated; NULL: absent */
	size_t name_len, file_name_len;
	const char *data;
	size_t len;
} Part;
int multipart_parse(const char *content_type, const char *body, size_t len, Part *ret, size_t max,
		    size_t *ret_n);
