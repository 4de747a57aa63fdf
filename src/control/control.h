#pragma once
/* The daemon's socket: requests of people. JSON lines on a unix socket (0660); who asks is told by
 * the kernel. Anybody who can reach it may look; only approvers may decide.
 *
 *   {"do": "status"}
 *   {"do": "approve", "promotion": ID, "reason": "..."}      reject, rollout, rollback, pause,
 * resume, continue, abort
 *   {"do": "follow"}                                          events as lines until the client
 * leaves
 *
 * An answer is one line: {"ok": true, ...} or {"ok": false, "error": "EPERM", "message": "..."}. */
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

enum {
	CONTROL_LINE_MAX = 64 << 10,
	CONTROL_CLIENTS_MAX = 32,
};

typedef struct ControlPeer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	char name[64]; /* of the account; "uid 1003" when it has none */
	bool approver;
} ControlPeer;

typedef struct ControlVerb {
	const char *name;
	bool decides; /* only for approvers */
	/* *ret: the members of the answer, or NULL for none. A negative result is the answer "not
	 * ok".
	 */
	int (*run)(void *ctx, const ControlPeer *peer, const json_t *request, json_t **ret,
		   Err *err);
} ControlVerb;

typedef struct ControlSpec {
	const char *path;	  /* NULL: the first socket that systemd handed over */
	const char *approvers;	  /* a group; NULL: only root and ourselves */
	const ControlVerb *verbs; /* ends with a NULL name */
	void *ctx;
} ControlSpec;

typedef struct Control Control;
int control_new(sd_event *loop, const ControlSpec *spec, Control **ret, Err *err) _must_check_;
Control *control_free(Control *c); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Control *, control_free)
/* To everybody who follows; consumed. Whoever does not read is dropped. */
void control_tell(Control *c, json_t *event);

/* The other end, for the command line: one request, waiting. -ENOENT, -ECONNREFUSED: no daemon. */
int control_ask(const char *path, json_t *request /* consumed */, json_t **ret,
		Err *err) _must_check_;
/* $XDG_RUNTIME_DIR/dream/control.sock, or /run/dream/control.sock as root. New string. */
int control_path(bool user, char **ret, Err *err) _must_check_;
