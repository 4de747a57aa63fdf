#pragma once
/* What production runs: a set of immutable generations, folders that hold the data files of every
 * adopted unit, and one link, `current`, that says which counts. Changing production is replacing
 * that link in one rename.
 *
 *   gen/0123456789abcdef/values.json          {"unit": {"parameter": "value"}}, canonical
 *   gen/0123456789abcdef/judge.service.env    DREAM_VLLM_MEMORY_UTIL=0.50
 *   gen/0123456789abcdef/judge.service.file0  an env file or --config file with the key replaced
 *   current -> gen/0123456789abcdef
 *   intent.log                                what is being done to it
 *
 * A generation is named by the hash of its content, so the same values are the same generation. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/disk.h"
#include "base/err.h"
#include "production/adoption.h"

enum {
	GENERATION_ID_SIZE = 17, /* 16 hex digits and NUL */
	GOOD_MAX = 8,		 /* how many generations known to start are remembered */
};

typedef struct Generation {
	char id[GENERATION_ID_SIZE];
	json_t *values; /* {unit: {parameter: text}} */
} Generation;

void generation_done(Generation *g);

/* --- Content: pure ---------------------------------------------------------------------------- */

typedef struct GenerationFile {
	char *name, *text; /* "judge.service.env" */
} GenerationFile;

/* `values` as above: every parameter of every adopted unit must be there, each allowed (-EPERM),
 * and nothing else (-EINVAL). `read_file` gives the file whose copy carries a key. */
int generation_render(const Adoption *units, size_t n, const json_t *values,
		      int (*read_file)(void *ctx, const char *path, char **ret, Err *err),
		      void *ctx, char ret_id[GENERATION_ID_SIZE], GenerationFile **ret,
		      size_t *ret_n, Err *err) _must_check_;
void generationfiles_free(GenerationFile *files, size_t n);

/* --- On the disk ------------------------------------------------------------------------------ */

typedef struct Production Production;

/* What an open change is: the machine is in the middle of it. */
typedef struct OpenChange {
	bool open;
	char rollout[64];	       /* whose it is */
	char from[GENERATION_ID_SIZE]; /* what to go back to */
	char to[GENERATION_ID_SIZE];   /* the newest that was flipped to; "" before */
	int64_t began_at_us;
} OpenChange;

/* Reads the intent log. Nothing is changed. -EBADMSG: the log or the link cannot be understood. */
int production_open(const Disk *disk, const char *state_dir, Production **ret,
		    Err *err) _must_check_;
Production *production_close(Production *p); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Production *, production_close)

const char *production_current(const Production *p); /* "" when there is none yet */
const OpenChange *production_change(const Production *p);
int production_read(Production *p, const char *id, Generation *ret, Err *err) _must_check_;
/* Generations that were committed, newest first: known to start. */
size_t production_good(const Production *p, const char *ret[GOOD_MAX]);

/* Writes a generation, durably; 0 too when it is there already (its content is compared). */
int production_write(Production *p, const char *id, const GenerationFile *files, size_t n,
		     Err *err) _must_check_;
/* Opens a change. -EBUSY: one is open; -ESTALE: `from` is not the current one. */
int production_begin(Production *p, const char *rollout, const char *from, int64_t at_us,
		     Err *err) _must_check_;
/* -EPERM without an open change of that name. Durable when it returns. */
int production_flip(Production *p, const char *rollout, const char *to, Err *err) _must_check_;
/* What is current is kept, and counts as known to start. */
int production_commit(Production *p, const char *rollout, Err *err) _must_check_;
/* Back to `from` of the open change, which ends it. *ret_moved: the link was changed. */
int production_undo(Production *p, bool *ret_moved, Err *err) _must_check_;
/* The first generation, and one for units that were adopted or given back since: outside of any
 * change, and only when each unit that stays has the values that it had. */
int production_adopt(Production *p, const char *id, Err *err) _must_check_;
/* At boot, before any unit starts: what was open is undone. 1: something was; 0: nothing. */
int production_recover(Production *p, Err *err) _must_check_;
/* Generations that are neither current, nor open, nor good are removed. */
int production_sweep(Production *p, Err *err) _must_check_;
