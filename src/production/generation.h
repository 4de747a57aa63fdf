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
#include <sys/types.h>

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
	mode_t mode;	   /* 0: 0644. A copy is as private as what it was copied from */
} GenerationFile;

/* `values` as above: every parameter of every adopted unit must be there, each allowed (-EPERM),
 * and nothing else (-EINVAL). `read_file` gives the file whose copy carries a key. */
int generation_render(const Adoption *units, size_t n, const json_t *values,
		      int (*read_file)(void *ctx, const char *path, char **ret, Err *err),
		      void *ctx, char ret_id[GENERATION_ID_SIZE], GenerationFile **ret,
		      size_t *ret_n, Err *err) _must_check_;
void generationfiles_free(GenerationFile *files, size_t n);

/* --- On the disk ------------------------------------------------------------------------------ */

/* Each of these calls that changes something waits for its turn among processes, reads the log anew
 * and returns when what it did is on the disk; so a Production may be kept open for long, and what
 * it says is what was true when it was last asked to do something. After a failure the state is the
 * one before the call or the one after it, and the next call finds out which. After a power cut at
 * any instant it is one of these two as well, and production_recover() makes of it what was
 * committed: `from` of an open change, or what the commit said.
 *
 * -EINVAL: `id` is not 16 hex digits; nothing else ever becomes a part of a path. -EBUSY: another
 * process is at it, for seconds. */
typedef struct Production Production;

/* What an open change is: the machine is in the middle of it. */
typedef struct OpenChange {
	bool open;
	char rollout[64];	       /* whose it is */
	char from[GENERATION_ID_SIZE]; /* what to go back to */
	char to[GENERATION_ID_SIZE];   /* the newest that was flipped to; "" before */
	int64_t began_at_us;
} OpenChange;

bool generation_id_ok(const char *id);

/* Reads the intent log. Nothing is changed, and nothing need be there. -EBADMSG: the log or the
 * link cannot be understood (a link that leads nowhere is none of our business while a change is
 * open, for undoing the change mends it). */
int production_open(const Disk *disk, const char *state_dir, Production **ret,
		    Err *err) _must_check_;
Production *production_close(Production *p); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Production *, production_close)

const char *production_current(const Production *p); /* "" when there is none yet */
const OpenChange *production_change(const Production *p);
/* -ENOENT; -EBADMSG: its values are no values. */
int production_read(Production *p, const char *id, Generation *ret, Err *err) _must_check_;
/* Generations that were committed or adopted, newest first: known to start. Only those that have a
 * value for everything that is adopted. */
size_t production_good(const Production *p, const char *ret[GOOD_MAX]);

/* Writes a generation, durably; 0 too when it is there already (its content is compared: -EEXIST
 * when it is another). Makes the folders. `files` has "values.json". */
int production_write(Production *p, const char *id, const GenerationFile *files, size_t n,
		     Err *err) _must_check_;
/* Opens a change. -EBUSY: one is open; -ESTALE: `from` is not the current one. `rollout`: up to 63
 * characters, none of them a space. */
int production_begin(Production *p, const char *rollout, const char *from, int64_t at_us,
		     Err *err) _must_check_;
/* -EPERM without an open change of that name; -ENOENT: no such generation. Durable when it returns.
 */
int production_flip(Production *p, const char *rollout, const char *to, Err *err) _must_check_;
/* What is current is kept, and counts as known to start. -EPERM; -ESTALE: what is current is not
 * what was flipped to last (a flip failed, or somebody else moved the link). */
int production_commit(Production *p, const char *rollout, Err *err) _must_check_;
/* Back to `from` of the open change, which ends it. *ret_moved: the link was changed. 0 too when no
 * change is open, so that it can be asked for again. */
int production_undo(Production *p, bool *ret_moved, Err *err) _must_check_;
/* The first generation, and one for units that were adopted or given back since: outside of any
 * change (-EBUSY), and only when each unit that stays has the values that it had (-EPERM). */
int production_adopt(Production *p, const char *id, Err *err) _must_check_;
/* At boot, before any unit starts: what was open is undone. 1: something was; 0: nothing. */
int production_recover(Production *p, Err *err) _must_check_;
/* Generations that are neither current nor good are removed, and what unfinished calls left. While
 * a change is open generations stay: one may be meant for the next flip. */
int production_sweep(Production *p, Err *err) _must_check_;
