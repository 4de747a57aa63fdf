#pragma once
/* `dream daemon`: scheduled runs in their windows (as child processes), rollouts, watching,
 * requests of people, on one event loop. Holds no power of its own: what changes the machine goes
 * through the helper. */
#include <stdbool.h>

#include "base/err.h"

typedef struct DaemonOptions {
	const char *config;  /* the file; read again on SIGHUP */
	const char *socket;  /* NULL: the one systemd handed over, else as control_path() says */
	const char *helper;  /* a socket; NULL: the system's, or a process of ours in user mode */
	const char *program; /* what scheduled runs execute; NULL: the running program */
	bool user;
} DaemonOptions;

/* Until SIGTERM or SIGINT. Tells systemd when it is ready, that it lives (WatchdogSec=), and what
 * it does (STATUS=). -EALREADY: another one runs with this store. */
int daemon_run(const DaemonOptions *o, Err *err) _must_check_;
