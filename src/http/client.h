#pragma once
/* An HTTP/1.1 client for measuring: keep-alive, chunked bodies as they arrive, TLS, unix sockets,
 * and a time stamp taken right after the read that brought the bytes. All connections of a process
 * share one inner epoll set that is one source of the caller's event loop and is served in batches,
 * so that an event costs a system call or two and no heap operation. Everything that comes from a
 * server is hostile and bounded. Times are CLOCK_MONOTONIC microseconds. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

/* "http://host:port/base", "https://...", "unix:/run/x.sock" or "unix:/run/x.sock:/base". */
typedef struct HttpTarget {
	bool tls;
	char *socket; /* a unix socket's path; NULL */
	char *host;
	uint16_t port;
	char *base; /* "" or "/v1": no slash at the end */
} HttpTarget;

int httptarget_parse(const char *url, HttpTarget *ret, Err *err) _must_check_;
void httptarget_done(HttpTarget *t);

typedef struct HttpLoop HttpLoop;

/* Connections over TCP come from dream-connect where the environment names it (connect/connect.h).
 */
int httploop_new(sd_event *loop, HttpLoop **ret, Err *err) _must_check_;
HttpLoop *httploop_free(HttpLoop *l); /* after its clients; accepts NULL, returns NULL */
DEFINE_CLEANUP(HttpLoop *, httploop_free)

/* The connections to one target. A host that is no number is looked up once, in httpclient_new(),
 * which may block as long as the resolver takes; without an answer every call ends in HTTP_RESOLVE.
 * Several addresses are tried in turn. */
typedef struct HttpClient HttpClient;

typedef struct HttpClientSpec {
	const HttpTarget *target; /* copied */
	const char *token;	  /* bearer token, copied; never in a message or log; NULL: none */
	const char *ca_file;	  /* TLS: NULL: the system's */
	bool insecure;		  /* TLS: any certificate */
	bool close_each;	  /* no keep-alive */
	int64_t connect_timeout_us; /* of all addresses together; 0: 10 s */
} HttpClientSpec;

int httpclient_new(HttpLoop *loop, const HttpClientSpec *spec, HttpClient **ret,
		   Err *err) _must_check_;
HttpClient *httpclient_free(HttpClient *c); /* cancels its calls; accepts NULL, returns NULL */
DEFINE_CLEANUP(HttpClient *, httpclient_free)

typedef enum HttpFault {
	HTTP_FINE,    /* a whole answer came; its status may still be 500 */
	HTTP_RESOLVE, /* no such host */
	HTTP_CONNECT, /* refused, unreachable */
	HTTP_TLS,
	HTTP_TIMEOUT,	/* no whole answer within the call's time */
	HTTP_CLOSED,	/* the server closed before an answer began */
	HTTP_TRUNCATED, /* or in the middle of it */
	HTTP_GARBAGE,	/* it is not HTTP, or exceeds a limit */
	HTTP_BROKER,	/* the server was never asked: dream-connect gave no connection */
	HTTP_NO_PORT,	/* nor here: no address or port of this machine is left to ask from */
	HTTP_FAULT_MAX_,
} HttpFault;

const char *http_fault_name(HttpFault f); /* "connect" */

typedef struct HttpEnd {
	HttpFault fault;
	int error;	  /* errno > 0 where there is one */
	const char *why;  /* what is wrong with the answer or the certificate; a constant; NULL */
	int status;	  /* 0: none came */
	int64_t began_us; /* http_call() */
	int64_t sent_us;  /* the last byte of the request was handed to the kernel; 0: never */
	int64_t first_us; /* the first byte of the answer; 0: none */
	int64_t end_us;
	bool reused; /* on a connection that was there */
	uint64_t body_bytes;
} HttpEnd;

/* Called from the loop. After done() the call does not exist any more. A handler may start other
 * calls and cancel this one. */
typedef struct HttpHandler {
	void (*head)(void *ctx, int status, const char *content_type); /* may be NULL */
	void (*data)(void *ctx, const char *p, size_t n,
		     int64_t at_us); /* body bytes as they come; may be NULL */
	void (*done)(void *ctx, const HttpEnd *end);
} HttpHandler;

typedef struct HttpRequest {
	const char *method; /* "POST" */
	const char *path;   /* after the target's base: "/v1/completions" */
	const char *type;   /* of the body; NULL: none */
	const char *accept; /* NULL: any */
	const void *body;   /* copied before http_call() returns, or sent already */
	size_t body_len;
	int64_t timeout_us; /* from http_call() to the end of the answer; 0: 1 h */
} HttpRequest;

typedef struct HttpCall HttpCall;

/* Negative: no call was made and no handler will be called (out of memory, descriptors). A server
 * that refuses is a fault in done(), never here. done() is never called from inside http_call(). */
int http_call(HttpClient *c, const HttpRequest *rq, const HttpHandler *h, void *ctx, HttpCall **ret,
	      Err *err) _must_check_;
void http_cancel(HttpCall *call); /* nothing is called any more */

/* A whole answer in memory, for probes and metrics: `body` is NUL-terminated (not counted) and
 * valid during the callback; longer than `max` is HTTP_GARBAGE. */
typedef void HttpFetched(void *ctx, const HttpEnd *end, const char *body, size_t len);
int http_fetch(HttpClient *c, const HttpRequest *rq, size_t max, HttpFetched *done, void *ctx,
	       HttpCall **ret, Err *err) _must_check_;
