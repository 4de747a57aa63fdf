#pragma once
/* Asking the daemon from the command line. */
#include <jansson.h>

#include "base/err.h"
#include "control/control.h"

/* The socket at `given`; else the machine's daemon for root and the user's own for others, and the
 * other one where that is not there. The request is consumed. -ENOENT, -ECONNREFUSED: none runs;
 * the message says what to do. */
int cli_ask_daemon(const char *given, json_t *request, json_t **ret, Err *err) _must_check_;
/* The socket that cli_ask_daemon() would reach. New string. */
int cli_find_daemon(const char *given, char **ret, Err *err) _must_check_;
/* What the daemon says that it does now (`otherwise`: where it said nothing), and where to look. */
int cli_print_begun(const json_t *reply, const char *otherwise);
