#pragma once
/* What a lease file says: who holds it, since when, for what, and which process groups it started.
 * Written only by the holder of the lock; anybody may read it at any moment, so half a file or an
 * older holder's is an ordinary thing to find. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "gpu/procid.h"

enum {
	LEASE_CHILDREN_MAX = 256,
	LEASE_PURPOSE_MAX = 160,
	LEASE_FILE_MAX = 32768,
};

typedef struct LeaseInfo {
	char boot_id[BOOT_ID_SIZE];
	ProcId leader;
	bool released; /* the leader gave it up; whoever still holds the lock was left behind */
	char since[32];
	char purpose[LEASE_PURPOSE_MAX];
	ProcId children[LEASE_CHILDREN_MAX]; /* leaders of process groups */
	size_t n_children;
} LeaseInfo;

/* -EBADMSG: not (yet) such a text. */
int leaseinfo_parse(const char *text, size_t len, LeaseInfo *ret);
int leaseinfo_read(int fd, LeaseInfo *ret);
int leaseinfo_write(int fd, const LeaseInfo *info);
