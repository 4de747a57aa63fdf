#pragma once
/* A disk on which one sync, that would do something, does nothing and says that it did. */
#include <stdio.h>

#include "simdisk.h"

typedef struct Liar {
	SimDisk *s;
	uint64_t lies_at, syncs; /* of those that would do something */
	bool lied;
	char about[64];
} Liar;

static inline int liar_sync(void *ctx, int fd)
{
	SimDisk *s = ctx;
	Liar *l = sim_user(s);
	if (sim_unsynced(s, fd) && ++l->syncs == l->lies_at) {
		l->lied = true;
		(void)snprintf(l->about, sizeof(l->about), "%s", sim_name(s, fd));
		return 0;
	}
	return sim_disk(s).sync(s, fd);
}

static inline Disk liar_disk(Liar *l, SimDisk *s, uint64_t lies_at)
{
	Disk d = sim_disk(s);
	*l = (Liar){.s = s, .lies_at = lies_at};
	sim_set_user(s, l);
	d.sync = liar_sync;
	return d;
}
