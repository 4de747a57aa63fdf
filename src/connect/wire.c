#include "connect/wire.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	ERRNO_MAX = 4095, /* the kernel's own limit */
};

/* --- Writing ---------------------------------------------------------------------------------- */

int wire_question(const WireQuestion *q, char *ret, size_t *ret_len)
{
	char address[INET6_ADDRSTRLEN];
	int n;
	if (q->verb == WIRE_TABLES) {
		n = snprintf(ret, WIRE_PACKET_MAX, "tables");
	} else if (q->verb == WIRE_FREE) {
		n = snprintf(ret, WIRE_PACKET_MAX, "free %u", (unsigned)q->port);
	} else {
		bool v4 = q->to.any.sa_family == AF_INET;
		const void *host = v4 ? (const void *)&q->to.v4.sin_addr : &q->to.v6.sin6_addr;
		if (!v4 && q->to.any.sa_family != AF_INET6)
			return -EAFNOSUPPORT;
		if (!inet_ntop(q->to.any.sa_family, host, address, sizeof(address)))
			return -errno;
		n = snprintf(ret, WIRE_PACKET_MAX, "connect %s %u", address,
			     (unsigned)ntohs(v4 ? q->to.v4.sin_port : q->to.v6.sin6_port));
	}
	*ret_len = (size_t)n;
	return 0;
}

size_t wire_answer(int error, char *ret)
{
	int n = error == 0  ? snprintf(ret, WIRE_PACKET_MAX, "ok")
		: error < 0 ? snprintf(ret, WIRE_PACKET_MAX, "no")
			    : snprintf(ret, WIRE_PACKET_MAX, "error %d", error);
	return (size_t)n;
}

/* --- Reading ---------------------------------------------------------------------------------- */

typedef struct Text {
	const char *at;
	size_t left;
} Text;

/* The bytes up to the next space, which is taken too; all of the rest where there is none. */
static Text word(Text *t)
{
	const char *space = memchr(t->at, ' ', t->left);
	Text w = {.at = t->at, .left = space ? (size_t)(space - t->at) : t->left};
	size_t taken = w.left + (space ? 1 : 0);
	t->at += taken;
	t->left -= taken;
	return w;
}

static bool is(Text w, const char *name)
{
	return w.left == strlen(name) && memcmp(w.at, name, w.left) == 0;
}

/* 1 to `max`, in the one way in which it can be written. 0: it is none. */
static unsigned number(Text w, unsigned max)
{
	unsigned v = 0;
	if (w.left == 0 || w.left > 5 || w.at[0] == '0')
		return 0;
	for (size_t i = 0; i < w.left; i++) {
		if (w.at[i] < '0' || w.at[i] > '9')
			return 0;
		v = 10 * v + (unsigned)(w.at[i] - '0');
	}
	return v <= max ? v : 0;
}

static int read_address(Text host, uint16_t port, WireQuestion *q)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;
	if (host.left >= sizeof(text) || memchr(host.at, '\0', host.left))
		return -EBADMSG;
	memcpy(text, host.at, host.left);
	text[host.left] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1) {
		q->to.v4 = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = v4};
		return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET ? 0 : -EACCES;
	}
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return -EBADMSG;
	q->to.v6 = (struct sockaddr_in6){
	    .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = v6};
	return IN6_IS_ADDR_LOOPBACK(&v6) ? 0 : -EACCES;
}

int wire_read_question(const char *text, size_t len, WireQuestion *ret)
{
	Text t = {.at = text, .left = len};
	*ret = (WireQuestion){0};
	if (len > WIRE_PACKET_MAX)
		return -EBADMSG;
	if (is(t, "tables")) {
		ret->verb = WIRE_TABLES;
		return 0;
	}
	Text verb = word(&t);
	if (is(verb, "free")) {
		ret->verb = WIRE_FREE;
		ret->port = (uint16_t)number(t, UINT16_MAX);
		return ret->port ? 0 : -EBADMSG;
	}
	if (!is(verb, "connect"))
		return -EBADMSG;
	ret->verb = WIRE_CONNECT;
	Text host = word(&t);
	uint16_t port = (uint16_t)number(t, UINT16_MAX);
	return port ? read_address(host, port, ret) : -EBADMSG;
}

int wire_read_answer(const char *text, size_t len)
{
	Text t = {.at = text, .left = len};
	if (is(t, "ok"))
		return 0;
	if (is(t, "no"))
		return -EPERM;
	Text verb = word(&t);
	unsigned error = is(verb, "error") ? number(t, ERRNO_MAX) : 0;
	return error ? (int)error : -EBADMSG;
}
