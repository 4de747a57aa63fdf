#pragma once
/* The folder of a trial's temporary files: it goes with the trial, or, when the trial's process was
 * killed, with whoever looks next. */
#include "base/err.h"

typedef struct TrialDir {
	char *path; /* owned; NULL: none */
	int lock;   /* held as long as it is in use */
} TrialDir;

#define TRIALDIR_NONE ((TrialDir){.lock = -1})

/* In TMPDIR or /tmp, for us alone. */
int trialdir_make(TrialDir *ret, Err *err) _must_check_;
/* With all that is in it. Safe on TRIALDIR_NONE and twice. */
void trialdir_remove(TrialDir *t);
/* Removes those of ours whose maker is dead. */
void trialdir_sweep(void);
