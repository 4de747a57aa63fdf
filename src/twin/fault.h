#pragma once
/* What a program of the twin does wrong because somebody asked for it, each as the real failure
 * looks from outside. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct Faults {
	int64_t slow_start_us; /* the start takes that much longer */
	bool hang_start;       /* it never ends */
	bool crash_start;      /* it ends by SIGSEGV */
	int64_t crash_at_us;   /* SIGSEGV that long after it was ready; negative: never */
	int64_t slower_us;     /* after each such time since it was ready it is slower by as much
				  again as it was fast; 0: never */
	bool oom_under_load;   /* the first real step finds no memory */
	bool cpu;	       /* no GPU is found */
	bool wrong_model;      /* another model is served than the one that was asked for */
	bool half_stream;      /* answers break off in the middle */
	bool unavailable;      /* every request is answered 503 */
	bool hang;	       /* requests are taken and never answered */
	bool exits;	       /* the start ends with `exit_code` */
	int64_t exit_code;
} Faults;

#define FAULTS_NONE ((Faults){.crash_at_us = -1})

/* "slow-start=30s" or "slow-start:30s", or several between commas. -EINVAL with a sentence. */
int faults_add(Faults *f, const char *text, Err *err) _must_check_;
/* What --help says of them. */
extern const char faults_help[];
