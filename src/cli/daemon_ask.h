#pragma once
/* Asking the daemon from the command line. */
#include <jansson.h>

#include "base/err.h"
#include "config/config.h"
#include "control/control.h"

/* The socket at `given`; else the machine's daemon for root and the user's own for others, and the
 * other one where that is not there. The request is consumed; NULL: there was no memory for it. */
int cli_ask_daemon(const char *given, json_t *request, json_t **ret, Err *err) _must_check_;
/* Does this result say that no daemon runs? Its message says what to do. */
bool cli_no_daemon(int r);
/* For a verb that looks: where the store of this configuration (NULL: none) is there and may not be
 * read, the daemon that has it is asked, and *ret is its answer without "ok"; NULL: look into the
 * store, for it may be read, or nobody could be asked. The request, of which the daemon is told
 * which store is meant, is consumed. 0, or the exit code to return. */
int cli_ask_instead(const Plan *plan, const char *socket, json_t *request, json_t **ret);
/* On standard error, where the daemon's answer says that it has more than it tells. */
void cli_say_left_out(const json_t *view);
/* The socket that cli_ask_daemon() would reach. New string. */
int cli_find_daemon(const char *given, char **ret, Err *err) _must_check_;
/* What the daemon says that it does now (`otherwise`: where it said nothing), and where to look. */
int cli_print_begun(const json_t *reply, const char *otherwise);
