#pragma once
/* What of a server is worth tuning, with values around those it has now. Pure. */
#include "discover/machine.h"

enum {
	TUNES_MAX = 4, /* of one server */
};

typedef struct Tune {
	char *param;	     /* "judge_gpu_memory_utilization" */
	const char *setting; /* "gpu_memory_utilization" */
	json_t *values;	     /* an array with the present one in it */
	json_t *present;
	json_t *texts; /* value -> the text that the server gets; NULL: the value itself */
	bool ordered;
	bool assumed;			/* the command does not say it: the server's own default */
	char *unit, *flag, *env, *file; /* where production sets it; unit "": nowhere we know. With
					   `file`, env is the key */
} Tune;

/* Up to TUNES_MAX; none for a server that a trial cannot be made of. */
int server_tunes(const FoundServer *s, Tune *ret, size_t *ret_n, Err *err) _must_check_;
void tunes_done(Tune *t, size_t n);
/* Can a trial start it: has it a unit or a command of this machine? */
bool server_is_tunable(const FoundServer *s);
