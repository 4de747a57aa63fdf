#pragma once
/* TCP on this machine for a process that has no network of its own. A small program, dream-connect,
 * makes a socket, begins to connect it to an address of loopback, and hands it over; nothing else
 * is ever connected. So the daemon needs no network, and probes, load and trials work all the same.
 *
 * Whoever has the variable DREAM_CONNECT in its environment asks at that socket (dream.service sets
 * it, and what the daemon starts inherits it); without it everything is done here, as always. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

#define CONNECT_VARIABLE "DREAM_CONNECT"
#define CONNECT_SOCKET	 "/run/dream-connect.sock"

enum {
	CONNECT_WAIT_US = 2000000, /* for an answer, where somebody waits for it */
};

/* The path in our environment; NULL: there is none, or it is empty. */
const char *connect_path(void);

/* --- A connection, for an event loop ---------------------------------------------------------- */

/* Asks for one to `to` (AF_INET or AF_INET6). Never blocks. *ret_fd becomes readable with the
 * answer. -EAGAIN: busy; another errno of connect() to a unix socket: it is not there, or we may
 * not; -ENAMETOOLONG: no path of a socket. */
int connect_ask(const char *path, const struct sockaddr *to, int *ret_fd) _must_check_;
/* 0: *ret is a non-blocking TCP socket that is connected or about to be, as after connect(); to
 * whom is to be looked at when it is. Positive: the errno with which that was refused (EACCES: no
 * address of loopback). -EAGAIN: no answer yet. Another negative: it cannot answer (-ECONNRESET: it
 * has ended, -EPERM: we may not ask, -EBADMSG: that was no answer). Leaves `fd` open. */
int connect_answer(int fd, int *ret) _must_check_;
/* What a negative result means, and what to do; a constant sentence. */
const char *connect_why(int error);

/* --- Looking, at once ------------------------------------------------------------------------- */

/* Could a server listen at this TCP port now, on all addresses? 1, 0, or an error. */
int connect_port_free(uint16_t port, Err *err) _must_check_;
/* /proc/net/tcp and then tcp6, as the kernel writes them: the sockets of this machine, whatever
 * network we have. New string; at most 64 MiB. */
int connect_tables(char **ret, size_t *ret_len, Err *err) _must_check_;
