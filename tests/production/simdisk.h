#pragma once
/* A disk in memory that loses power. Programs see what they wrote at once (the cache); what is on
 * the disk is only what was synced, and of the rest a power loss leaves anything that a file system
 * may leave:
 *
 * - Each write and truncation of a file since its last sync is there, or is not, or is in part: a
 *   prefix, or some of its sectors. Where the file grew and the data did not follow there are
 *   zeros, noise, or what another file had there before.
 * - Each name that was made, moved or removed since the last sync of its folder is as it was or as
 *   it became, whatever happened to the others: so a new name may be there without the file's data,
 *   and a later step without an earlier one. A rename is never half done, and no file gets two
 *   names.
 * - Syncing a file says nothing about its name; syncing a folder says nothing about what its files
 *   contain.
 * - A failed sync of a file may have written anything, and what it did not write the next one
 *   leaves out too, while programs still read it.
 *
 * Sectors of 512 bytes are atomic: what was in one before a write behind it stays. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/rng.h"

typedef struct SimDisk SimDisk;

typedef struct SimCall {
	const char *name; /* "open", "sync" ... */
	const char *path;
	uint64_t number; /* from 1 */
} SimCall;

/* Called before each call that can change what is on the disk, while nothing of it was done. */
typedef void SimHook(void *ctx, SimDisk *s, const SimCall *call);

typedef struct SimFault {
	uint64_t at; /* the number of the call that fails; 0: none */
	int code;    /* what it fails with: EIO, ENOSPC, EROFS */
	bool on;     /* and so does each call after it that changes something */
} SimFault;

SimDisk *sim_new(void);
/* As a killed process leaves it: nothing is open, everything that was written can be read. No hook,
 * no fault. */
SimDisk *sim_clone(const SimDisk *s);
SimDisk *sim_free(SimDisk *s); /* returns NULL */
/* Valid as long as `s`. */
Disk sim_disk(SimDisk *s);

void sim_power_loss(SimDisk *s, Rng *rng);

void sim_hook(SimDisk *s, SimHook *hook, void *ctx);
void sim_fault(SimDisk *s, SimFault f, uint64_t seed);
uint64_t sim_calls(const SimDisk *s);
/* Did the call that was to fail come? */
bool sim_failed(const SimDisk *s);
size_t sim_open_files(const SimDisk *s);
/* Would syncing it make a difference to what is on the disk? */
bool sim_unsynced(const SimDisk *s, int fd);
/* The last part of the path under which it was opened. */
const char *sim_name(const SimDisk *s, int fd);
/* For whoever puts a table of his own in front of sim_disk(). */
void sim_set_user(SimDisk *s, void *user);
void *sim_user(const SimDisk *s);
