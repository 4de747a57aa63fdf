#pragma once
/* What the daemon may ask of the privileged part, and nothing else. One message a packet
 * (SOCK_SEQPACKET), JSON, at most 64 KiB; one answer for each, in order. Never a command, a path or
 * the name of a variable: units and parameters by name, values checked against what root wrote when
 * the unit was adopted.
 *
 *   {"do": "status"}                            -> current, values, change, good, units
 *   {"do": "prepare", "values": {"p": "v"}}     -> generation; parameters left out stay as they are
 *   {"do": "begin", "rollout": "R", "from": G}  -> {}
 *   {"do": "flip", "rollout": "R", "to": G}     -> {}
 *   {"do": "restart", "unit": "U"}              -> result, words, state, took_us
 *   {"do": "cold", "units": ["U"]}              -> results: {"U": as of restart}; all stopped,
 *                                                  then started together
 *   {"do": "readback", "unit": "U"}             -> readback: readback_json(), state
 *   {"do": "commit", "rollout": "R"}            -> {}
 *   {"do": "undo"}                              -> moved, current
 *   {"do": "cancel"}                            -> {}
 *
 * One request may be sent ahead while another is at work. When that is "cancel", a restart or cold
 * start which is at work is answered at once, with the result "canceled"; so is one whose client
 * has left. The job of the manager goes on until the next one of its unit takes its place.
 *
 * An answer is {"ok": true, ...} or {"ok": false, "error": "EPERM", "message": "..."}.
 *
 *   current   a generation's id; "" when nothing is adopted yet
 *   values    {"unit": {"parameter": "value"}} of the current generation, or null
 *   change    null, or {"rollout", "from", "to", "began_at_us"}; to: "" before the first flip
 *   good      ids known to start, newest first
 *   units     {"U": {"state": state, "drift": "" or a sentence, "after": ["U2"],
 *             "targets": [{"parameter", "kind", "name", "path" or null, "original" or null}]}}
 *   state     {"load", "active", "sub", "result", "invocation", "main_pid", "exit_code",
 *             "exit_status", "restarts", "active_since_us", "started_in_us", "needs_reload"};
 *             null when there is no manager to ask
 *   result    systemd's word for how the job ended ("done", "failed", "timeout", "dependency",
 *             ...), or "refused": there was no job, because the unit is masked, gone or broken.
 *             Only "done" is good, and it is no proof: see readback
 *   words     what that means and what to do about it */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "production/adoption.h"

#define HELPER_SOCKET "/run/dream-helper.sock"

enum {
	HELPER_PACKET_MAX = 64 << 10,
};

/* --- For those who ask ------------------------------------------------------------------------ */

typedef struct Helper Helper;

typedef struct HelperAddress {
	const char *socket;  /* NULL: HELPER_SOCKET */
	const char *program; /* started with one end of a socket pair instead, with our rights (user
				mode, root in the foreground); NULL: the socket */
} HelperAddress;

int helper_connect(sd_event *loop, const HelperAddress *a, Helper **ret, Err *err) _must_check_;
Helper *
helper_close(Helper *h); /* accepts NULL, returns NULL; done() of open calls is not called */
DEFINE_CLEANUP(Helper *, helper_close)

/* `reply` is borrowed; NULL with `err`: refused (its errno), -ECONNRESET, -EBADMSG, -ETIMEDOUT.
 * From the loop, never from inside helper_call(). */
typedef void HelperDone(void *ctx, const json_t *reply, const Err *err);
/* Consumes the request. `done` may be NULL: nobody wants to know. */
int helper_call(Helper *h, json_t *request, int64_t timeout_us, HelperDone *done, void *ctx,
		Err *err) _must_check_;
/* done() of what was asked with this ctx is not called any more: before whatever it points to goes.
 * What was asked may still happen. */
void helper_forget(Helper *h, const void *ctx);
/* The same as helper_call(), waiting: for verbs of the command line. The reply is new. */
int helper_ask(Helper *h, json_t *request, int64_t timeout_us, json_t **ret, Err *err) _must_check_;
/* Beside the running program: "dream-helper" of the same folder, else of libexec. New string. */
int helper_program(char **ret, Err *err) _must_check_;

/* --- The privileged side ---------------------------------------------------------------------- */

/* dream-helper [--fd N | --recover | (socket activation)]. The exit status. */
int helper_main(int argc, char **argv);
