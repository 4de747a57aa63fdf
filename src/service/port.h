#pragma once
/* Ports for trials: free now, and none that production uses. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* A free port on loopback outside `taken`, from the range that is nobody's (20000 to 29999). */
int port_pick(const uint16_t *taken, size_t n_taken, uint16_t *ret, Err *err) _must_check_;
/* Does somebody listen there? *ret_pid: who, 0 when it cannot be told. */
bool port_is_taken(uint16_t port, pid_t *ret_pid);

/* Does a program of this name listen for others, mostly for what runs in a container? */
bool port_is_forwarder(const char *program);

typedef struct Listener {
	uint16_t port;
	bool loopback; /* not reachable from outside */
	bool every;    /* at every address */
	char host[46]; /* where it answers this machine: "127.0.0.1", "192.168.1.5", "::1" */
	pid_t pid;     /* 0: cannot be told */
} Listener;
/* Every listening TCP socket of the host, from /proc. New array. */
int listeners(Listener **ret, size_t *ret_n, Err *err) _must_check_;
