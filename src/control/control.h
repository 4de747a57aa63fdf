#pragma once
/* The daemon's socket: requests of people. JSON lines on a unix socket (0660); who asks is told by
 * the kernel. Anybody who can reach it may look; only approvers may decide.
 *
 *   {"do": "status"}
 *   {"do": "approve", "promotion": ID, "reason": "..."}
 *   {"do": "follow"}       events as lines until the client leaves
 *
 * The daemon's other verbs: promotions, promotion, baseline_log, baseline_diff, preview (looking);
 * reject, rollout, rollback, continue, abort, pause, resume, feedback (deciding).
 *
 * An answer is one line: {"ok": true, ...} or {"ok": false, "error": "EPERM", "message": "..."}.
 * Requests on one connection are answered one after another. A client that is silent for long, does
 * not read, sends too long a line, or comes when there are too many is dropped. */
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

enum {
	CONTROL_LINE_MAX = 64 << 10,  /* of a request */
	CONTROL_ANSWER_MAX = 1 << 20, /* of an answer, and of events that wait for a reader */
	CONTROL_CLIENTS_MAX = 32,     /* at once; half as many of one account that is not ours */
	CONTROL_IDLE_US = 10000000,   /* without a whole request, or without reading an answer */
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
	const char *approvers;	  /* a group, copied; NULL: only root and ourselves */
	const ControlVerb *verbs; /* ends with a NULL name; borrowed */
	void *ctx;
	int64_t idle_us; /* 0: CONTROL_IDLE_US */
} ControlSpec;

typedef struct Control Control;
/* -EADDRINUSE: somebody answers there. What nobody answers at is replaced. */
int control_new(sd_event *loop, const ControlSpec *spec, Control **ret, Err *err) _must_check_;
Control *control_free(Control *c); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Control *, control_free)
/* To everybody who follows; consumed. Whoever does not read is dropped. */
void control_tell(Control *c, json_t *event);
/* Another group from now on. -ENOMEM. */
int control_approvers(Control *c, const char *group, Err *err) _must_check_;

/* The other end, for the command line: one request, waiting. -ENOENT, -ECONNREFUSED: no daemon.
 * What the daemon refuses is an error too, its message as it came (its own ENOENT is -ESRCH here,
 * so that the two above always mean that nobody is there); *ret is the answer to what was done. */
int control_ask(const char *path, json_t *request /* consumed */, json_t **ret,
		Err *err) _must_check_;
/* Every event from now on, until fn returns something else than 0, which is returned. -ECONNRESET:
 * the daemon ended or dropped us. */
typedef int ControlEventFn(void *ctx, const json_t *event);
int control_follow(const char *path, ControlEventFn *fn, void *ctx, Err *err) _must_check_;
/* $XDG_RUNTIME_DIR/dream/control.sock, or /run/dream/control.sock as root. New string. */
int control_path(bool user, char **ret, Err *err) _must_check_;
