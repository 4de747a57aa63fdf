/* Where a server is. A name is looked up once, when its client is made, and that may block for as
 * long as the resolver takes: a server that is measured is named by number or is this machine. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "http/internal.h"

static int unix_address(const char *path, Address *ret, Err *err)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	if (n >= sizeof(un.sun_path))
		return err_set(err, -ENAMETOOLONG, "the socket's path is too long: %s", path);
	memcpy(un.sun_path, path, n + 1);
	ret->un = un;
	ret->len = (socklen_t)sizeof(un);
	return 0;
}

static size_t add_v4(Address *a, in_addr_t host, uint16_t port)
{
	a->v4 = (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = host};
	a->len = sizeof(a->v4);
	return 1;
}

static size_t add_v6(Address *a, const struct in6_addr *host, uint16_t port)
{
	a->v6 = (struct sockaddr_in6){
	    .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *host};
	a->len = sizeof(a->v6);
	return 1;
}

static size_t look_up(const HttpTarget *t, Address *ret, size_t max)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	char port[8];
	size_t n = 0;
	(void)snprintf(port, sizeof(port), "%u", (unsigned)t->port);
	if (getaddrinfo(t->host, port, &hints, &list) != 0)
		return 0;
	for (const struct addrinfo *a = list; a && n < max; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(ret->v6))
			continue;
		memcpy(&ret[n].any, a->ai_addr, a->ai_addrlen);
		ret[n++].len = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return n;
}

void addresses_of_loopback(Address *a, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i].any.sa_family == AF_INET && a[i].v4.sin_addr.s_addr == htonl(INADDR_ANY))
			a[i].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (a[i].any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a[i].v6.sin6_addr))
			a[i].v6.sin6_addr = in6addr_loopback;
	}
}

bool addresses_equal(const Address *a, const Address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_port == b->v4.sin_port &&
		       a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->any.sa_family == AF_INET6 && a->v6.sin6_port == b->v6.sin6_port &&
	       memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

int addresses_find(const HttpTarget *t, Address *ret, size_t max, size_t *ret_n, Err *err)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (t->socket) {
		*ret_n = 1;
		return unix_address(t->socket, ret, err);
	}
	if (inet_pton(AF_INET, t->host, &v4) == 1) {
		*ret_n = add_v4(ret, v4.s_addr, t->port);
	} else if (inet_pton(AF_INET6, t->host, &v6) == 1) {
		*ret_n = add_v6(ret, &v6, t->port);
	} else if (strcasecmp(t->host, "localhost") == 0) {
		*ret_n = add_v4(&ret[0], htonl(INADDR_LOOPBACK), t->port);
		*ret_n += add_v6(&ret[1], &in6addr_loopback, t->port);
	} else {
		*ret_n = look_up(t, ret, max);
	}
	return 0;
}
