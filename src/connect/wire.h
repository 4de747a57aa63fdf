#pragma once
/* What is said to dream-connect, and what it says. Pure. One connection (SOCK_SEQPACKET), one
 * question, one answer, each a packet of text:
 *
 *   connect ADDRESS PORT   -> ok, with a TCP socket to it
 *   free PORT              -> ok, or error 98 (EADDRINUSE)
 *   tables                 -> ok, with one or two files: /proc/net/tcp and, where there is IPv6,
 * tcp6
 *
 *   ok | error ERRNO | no    (no: this user may not ask) */
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	WIRE_PACKET_MAX = 64, /* bytes of a question or an answer */
	WIRE_FILES_MAX = 2,
};

typedef enum WireVerb {
	WIRE_CONNECT,
	WIRE_FREE,
	WIRE_TABLES,
} WireVerb;

typedef struct WireQuestion {
	WireVerb verb;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to;	       /* of connect: an address of loopback with its port */
	uint16_t port; /* of free */
} WireQuestion;

/* -EAFNOSUPPORT: neither AF_INET nor AF_INET6. `ret` holds WIRE_PACKET_MAX bytes. */
int wire_question(const WireQuestion *q, char *ret, size_t *ret_len) _must_check_;
/* Only loopback and ports that there are come out. -EBADMSG: no question; -EACCES: one for another
 * address. */
int wire_read_question(const char *text, size_t len, WireQuestion *ret) _must_check_;

/* `error`: 0 for ok, an errno, or negative for no. How many bytes of `ret` (WIRE_PACKET_MAX). */
size_t wire_answer(int error, char *ret);
/* 0, the errno of an error; -EPERM for no; -EBADMSG: no answer. */
int wire_read_answer(const char *text, size_t len) _must_check_;
