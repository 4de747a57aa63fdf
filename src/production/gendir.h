#pragma once
/* The folders of generations: STATE/gen/<id>. Each comes into being whole, in one rename, and goes
 * in one rename, so that a folder with an id for a name is complete at any instant. Callers have
 * checked the ids. */
#include "base/disk.h"
#include "production/generation.h"

/* The folder STATE with all above it, and STATE/gen. */
int gendir_make_folders(const Disk *d, const char *state_dir, Err *err) _must_check_;
int gendir_write(const Disk *d, const char *state_dir, const char *id, const GenerationFile *files,
		 size_t n, Err *err) _must_check_;
/* -ENOENT, -EBADMSG. */
int gendir_read(const Disk *d, const char *state_dir, const char *id, json_t **ret_values,
		Err *err) _must_check_;
/* That the folder is there. -ENOENT. */
int gendir_check(const Disk *d, const char *state_dir, const char *id, Err *err) _must_check_;
/* What was renamed into STATE/gen stays there. */
int gendir_sync(const Disk *d, const char *state_dir, Err *err) _must_check_;
/* Removes what `keep` does not want, and what unfinished calls left. */
int gendir_sweep(const Disk *d, const char *state_dir, bool (*keep)(void *ctx, const char *id),
		 void *ctx, Err *err) _must_check_;
