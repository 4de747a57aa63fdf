#pragma once
/* What the programs beside the daemon (dream-connect, dream-helper) have in common: each is started
 * for a socket, and the daemon's own user may ask it. */
#include <sys/types.h>

#include "base/err.h"

#define DAEMON_USER "dream"

/* The N of "--fd N": an open descriptor that is none of the standard three. -EINVAL: no such
 * number. */
int fd_from_text(const char *text, int *ret) _must_check_;
/* 1: *ret is the account's; 0: there is no such account. */
int user_find(const char *name, uid_t *ret, Err *err) _must_check_;
