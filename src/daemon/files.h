#pragma once
/* Small files of the daemon beside the store: who paused it, what people were told lately, when the
 * last run ended. Each is written whole; none is needed to go back to what ran before. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* The object in state_dir/name; *ret NULL: there is none. -EBADMSG: it cannot be understood. */
int statefile_read(const char *state_dir, const char *name, json_t **ret, Err *err) _must_check_;
int statefile_write(const char *state_dir, const char *name, const json_t *o,
		    Err *err) _must_check_;

/* No new runs and no new rollouts; what is watched stays watched. Holds until somebody resumes,
 * also when the daemon or the machine is started anew. */
typedef struct Pause {
	bool on;
	uid_t uid;
	int64_t at_us;
	char by[64], why[240];
} Pause;

/* A file that cannot be read is a pause that says so: the careful side. */
void pause_read(const char *state_dir, Pause *ret);
/* `on` false takes the file away. */
int pause_write(const char *state_dir, const Pause *p, Err *err) _must_check_;
json_t *pause_json(const Pause *p); /* null where it is not paused; NULL: out of memory */

enum {
	RECENT_MAX = 16
};

/* The newest of what people were told: [{at_us, kind, words}], oldest first. Never fails: an empty
 * array when there is nothing. NULL: out of memory. */
json_t *recent_read(const char *state_dir);
int recent_add(const char *state_dir, int64_t at_us, const char *kind, const char *words,
	       Err *err) _must_check_;
