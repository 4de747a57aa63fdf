#pragma once
/* The exclusive right to measure on one GPU: a kernel lock (flock) on a file named after its UUID.
 * The descriptor is inherited by the worker and its services, so the lock lives exactly as long as
 * they do. The file says who holds it; a new holder first reclaims what a dead one left running. */
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct Lease Lease;

/* 1: taken; 0: somebody else holds it, *ret_holder (owned by the caller, may be NULL) says who in
 * words. When the holder's leader is dead but processes it started still hold the lock, they are
 * killed (by pid, start time and boot id, never by name) and the lease is taken. `dir` is created.
 */
int lease_take(const char *dir, const char *gpu_uuid, const char *purpose, Lease **ret,
	       char **ret_holder, Err *err) _must_check_;
Lease *lease_release(Lease *l); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Lease *, lease_release)

/* The lease that our parent took and we inherited as this descriptor, so that our own children can
 * be noted in it. It stays the parent's: lease_forget() only closes our copy. */
int lease_adopt(int fd, Lease **ret, Err *err) _must_check_;
Lease *lease_forget(Lease *l); /* accepts NULL, returns NULL */

/* The descriptor that children inherit (ProcSpec.keep_fds). */
int lease_fd(const Lease *l);
/* Remembers a child (a process group) in the file, before it can do anything: what a later holder
 * reclaims. */
int lease_note_child(Lease *l, pid_t pgid, Err *err) _must_check_;

/* Where leases live: /run/dream for root, else /tmp/dream-UID (mode 0700, checked), so that all
 * runs of one user meet there; two users do not. An XDG_RUNTIME_DIR that is not that of a login
 * session
 * (/run/user/UID) moves it. */
int lease_default_dir(char **ret, Err *err) _must_check_;
