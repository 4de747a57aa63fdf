#pragma once
/* What is done where the network is: in dream-connect, or here where nobody has to be asked. */
#include <stddef.h>
#include <stdint.h>

#include "connect/wire.h"

/* 0: *ret is non-blocking, and connected or about to be; else an errno. */
int local_connect(const WireQuestion *q, int *ret) _must_check_;
/* 0: a server could listen there, on all addresses; else an errno. */
int local_free(uint16_t port) _must_check_;
/* The kernel's tables of TCP sockets, open for reading; 0 or an errno. */
int local_tables(int ret[WIRE_FILES_MAX], size_t *ret_n) _must_check_;
