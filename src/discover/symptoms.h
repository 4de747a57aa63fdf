#pragma once
/* What may be wrong with this machine, as far as measuring and tuning are concerned. The looking
 * (symptoms_look) and the judging (diagnose) are apart; the judging is pure. */
#include "base/str.h"
#include "discover/machine.h"

typedef struct Leftover {
	char *what; /* "unit dream-trial-7.service" */
	char *mend;
} Leftover;

typedef struct Symptoms {
	const Machine *machine; /* with health pages asked */
	int64_t now_us;		/* monotonic */
	int journal;		/* journal_access() */
	char journal_why[480];
	int restart;		  /* may units be restarted? 1 yes, 0 no, -1 not known */
	const char *device_order; /* CUDA_DEVICE_ORDER of our environment; NULL: not set */
	Leftover *leftovers;
	size_t n_leftovers;
	bool run_goes_on;   /* somebody alive holds a GPU lease: what is there may be in use */
	const char *config; /* the configuration's path; NULL: there is none */
	size_t config_errors, config_warnings;
	const char *config_first; /* the first of them, in words; NULL */
} Symptoms;

/* `state_dir`: where downtime's account and intent are kept. `machine` and the configuration's
 * members are the caller's. */
int symptoms_look(const Machine *m, const char *state_dir, Symptoms *ret, Err *err) _must_check_;
void symptoms_done(Symptoms *s);

typedef enum FindingLevel {
	FINDING_OK,
	FINDING_UNKNOWN,
	FINDING_PROBLEM,
} FindingLevel;

const char *finding_level_name(FindingLevel l); /* "ok", "unknown", "problem" */

typedef struct DoctorFinding {
	const char *check; /* "driver", "ports": what was looked at */
	FindingLevel level;
	char *what; /* a sentence without full stop */
	char *mend; /* how to mend it, or ""; a sentence without full stop */
} DoctorFinding;

typedef struct DoctorFindings {
	DoctorFinding *list;
	size_t n;
	bool failed;
} DoctorFindings;

/* Pure. Every check gives at least one finding, in a fixed order. */
int diagnose(const Symptoms *s, DoctorFindings *ret) _must_check_;
void findings_done(DoctorFindings *f);
size_t findings_count(const DoctorFindings *f, FindingLevel l);

/* Pure: the lowest compute capability (major * 10 + minor) that the wheels of a PyTorch version
 * ("2.8.0+cu128") have code for; 0: not known. */
int torch_lowest(const char *version);
