#pragma once
/* The side that has the network, on the caller's event loop. It keeps nothing of what it is asked.
 */
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct ConnectServer ConnectServer;

/* `listen_fd`: a listening SOCK_SEQPACKET socket of ours, non-blocking; it stays the caller's.
 * Root, our own user and `user` (-1: nobody) may ask. */
int connectserver_new(sd_event *loop, int listen_fd, uid_t user, ConnectServer **ret,
		      Err *err) _must_check_;
ConnectServer *connectserver_free(ConnectServer *s); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(ConnectServer *, connectserver_free)
