/* Ports, from the kernel's tables of TCP sockets and the descriptors of processes. A socket that
 * several processes share (a server with workers) is told by the process that was found first. */
#include "service/port.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strings.h"
#include "connect/connect.h"

enum {
	PORT_FIRST = 20000,
	PORT_COUNT = 10000,
	SOCKETS_MAX = 65536,
	STATE_LISTEN = 0x0a,
};

typedef struct Socket {
	Listener l;
	unsigned long inode;
} Socket;

typedef struct Sockets {
	Socket *list;
	size_t n, cap;
} Sockets;

static int sockets_add(Sockets *s, const Socket *one)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 32;
		if (cap > SOCKETS_MAX)
			return -E2BIG;
		Socket *list = realloc(s->list, cap * sizeof(*list));
		if (!list)
			return -ENOMEM;
		s->list = list;
		s->cap = cap;
	}
	s->list[s->n++] = *one;
	return 0;
}

/* --- The tables ------------------------------------------------------------------------------ */

/* The kernel writes addresses as 32-bit words in the order of this machine. */
static bool is_loopback(const char *hex, size_t len)
{
	const uint16_t probe = 1;
	bool little = *(const unsigned char *)&probe == 1;

	if (len == 8)
		return strncmp(little ? hex + 6 : hex, "7F", 2) == 0;
	if (len != 32)
		return false;
	const char *one =
	    little ? "00000000000000000000000001000000" : "00000000000000000000000000000001";
	const char *mapped = little ? "0000000000000000FFFF0000" : "00000000000000000000FFFF";
	return strncmp(hex, one, 32) == 0 || (strncmp(hex, mapped, 24) == 0 &&
					      strncmp(little ? hex + 30 : hex + 24, "7F", 2) == 0);
}

static void note_host(const char *hex, size_t len, Listener *l)
{
	uint32_t word[4] = {0};
	struct in6_addr a;
	for (size_t i = 0; i < 4 && 8 * i < len; i++)
		if (sscanf(hex + 8 * i, "%8x", &word[i]) != 1)
			return;
	memcpy(&a, word, sizeof(a));
	l->every = len == 8 ? word[0] == 0 : IN6_IS_ADDR_UNSPECIFIED(&a);
	if (l->every) /* of IPv6 mostly means IPv4, too, and "localhost" is both */
		snprintf(l->host, sizeof(l->host), len == 8 ? "127.0.0.1" : "localhost");
	else if (len == 8)
		(void)inet_ntop(AF_INET, &word[0], l->host, sizeof(l->host));
	else if (IN6_IS_ADDR_V4MAPPED(&a))
		(void)inet_ntop(AF_INET, &word[3], l->host, sizeof(l->host));
	else
		(void)inet_ntop(AF_INET6, &a, l->host, sizeof(l->host));
}

/* "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 12345 ..."
 */
static bool read_row(const char *line, Socket *ret)
{
	char address[40];
	unsigned port, state;
	unsigned long inode;

	if (sscanf(line, " %*u: %39[0-9A-F]:%4x %*[0-9A-F]:%*4x %2x %*s %*s %*s %*u %*u %lu",
		   address, &port, &state, &inode) != 4)
		return false;
	if (state != STATE_LISTEN || port == 0 || port > UINT16_MAX)
		return false;
	*ret = (Socket){
	    .l = {.port = (uint16_t)port, .loopback = is_loopback(address, strlen(address))},
	    .inode = inode};
	note_host(address, strlen(address), &ret->l);
	return true;
}

/* `only` 0: every port. */
static int read_tables(uint16_t only, Sockets *out, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = connect_tables(&text, &len, err);
	if (r < 0)
		return r;
	for (char *at = text, *next; at; at = next) {
		next = strchr(at, '\n');
		if (next)
			*next++ = '\0';
		Socket one;
		if (!read_row(at, &one) || (only && one.l.port != only))
			continue;
		r = sockets_add(out, &one);
		if (r < 0)
			return err_set(err, r, "cannot hold the table of sockets: %s",
				       strerror(-r));
	}
	return 0;
}

/* --- Who holds them -------------------------------------------------------------------------- */

static void note_owner(Sockets *s, unsigned long inode, pid_t pid)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].inode == inode && s->list[i].l.pid == 0)
			s->list[i].l.pid = pid;
}

static void scan_descriptors(Sockets *s, const char *pid_text)
{
	char path[64], target[64];

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid_text);
	DIR *d = opendir(path);
	if (!d)
		return; /* gone, or another user's */
	for (struct dirent *e; (e = readdir(d));) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		unsigned long inode;
		if (sscanf(target, "socket:[%lu]", &inode) == 1)
			note_owner(s, inode, (pid_t)strtol(pid_text, NULL, 10));
	}
	closedir(d);
}

static bool all_known(const Sockets *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].l.pid == 0)
			return false;
	return true;
}

static void find_owners(Sockets *s)
{
	DIR *d = opendir("/proc");
	if (!d)
		return;
	for (struct dirent *e; !all_known(s) && (e = readdir(d));)
		if (isdigit((unsigned char)e->d_name[0]))
			scan_descriptors(s, e->d_name);
	closedir(d);
}

/* --- Questions ------------------------------------------------------------------------------- */

bool port_is_taken(uint16_t port, pid_t *ret_pid)
{
	Sockets s = {0};
	Err err = ERR_INIT;

	int r = read_tables(port, &s, &err);
	bool taken = r >= 0 && s.n > 0;
	if (taken && ret_pid)
		find_owners(&s);
	if (ret_pid)
		*ret_pid = taken ? s.list[0].l.pid : 0;
	for (size_t i = 1; taken && ret_pid && *ret_pid == 0 && i < s.n; i++)
		*ret_pid = s.list[i].l.pid;
	free(s.list);
	return taken;
}

bool port_is_forwarder(const char *program)
{
	static const char *const names[] = {"docker-proxy", "rootlessport", "pasta",
					    "pasta.avx2",   "slirp4netns",  NULL};
	return words_have(names, program);
}

int listeners(Listener **ret, size_t *ret_n, Err *err)
{
	Sockets s = {0};

	int r = read_tables(0, &s, err);
	Listener *list = r < 0 ? NULL : calloc(s.n + 1, sizeof(*list));
	if (list) {
		find_owners(&s);
		for (size_t i = 0; i < s.n; i++)
			list[i] = s.list[i].l;
		*ret_n = s.n;
		*ret = list;
	} else if (r >= 0) {
		r = err_oom(err);
	}
	free(s.list);
	return r < 0 ? r : 0;
}

static bool is_among(const uint16_t *list, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == port)
			return true;
	return false;
}

/* Two runs on one machine begin at different places, so that they seldom want the same one between
 * the look and the server's own bind. */
int port_pick(const uint16_t *taken, size_t n_taken, uint16_t *ret, Err *err)
{
	unsigned begin = (unsigned)getpid() * 101u;

	for (unsigned i = 0; i < PORT_COUNT; i++) {
		uint16_t port = (uint16_t)(PORT_FIRST + (begin + i) % PORT_COUNT);
		int r = is_among(taken, n_taken, port) ? 0 : connect_port_free(port, err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		*ret = port;
		return 0;
	}
	return err_set(err, -EADDRINUSE, "no port between %d and %d is free", PORT_FIRST,
		       PORT_FIRST + PORT_COUNT - 1);
}
