#pragma once
/* One file a verb. A verb is a Command: its options are rows of a table, and the rows give parsing,
 * --help, the man page's OPTIONS and shell completion. */
#include <stdbool.h>
#include <stddef.h>

typedef enum OptType {
	OPT_FLAG,     /* bool */
	OPT_STRING,   /* const char *, borrowed from argv */
	OPT_STRINGS,  /* OptStrings: may be given several times */
	OPT_INT,      /* int64_t, within [min, max] when min < max */
	OPT_SEED,     /* OptSeed */
	OPT_DURATION, /* int64_t microseconds; a bare number is seconds */
} OptType;

enum {
	OPT_STRINGS_MAX = 32
};

typedef struct OptStrings {
	const char *items[OPT_STRINGS_MAX];
	size_t n;
} OptStrings;

typedef struct OptSeed {
	bool given;
	unsigned long long value;
} OptSeed;

typedef struct Option {
	const char *name;    /* "epochs-per-cycle" */
	char letter;	     /* 0: none */
	const char *metavar; /* NULL for flags */
	OptType type;
	size_t offset;	       /* in the verb's options struct */
	const char *otherwise; /* the default, as text; NULL: zero bytes */
	double min, max;
	const char *
	    complete; /* "file", "dir", "experiment", or words separated by blanks; NULL: nothing */
	const char *help; /* without full stop */
} Option;

typedef struct Command {
	const char *name;
	const char *args;	/* "[PARAM=VALUE...]"; "" */
	const char *summary;	/* one line */
	const char *about;	/* a paragraph or two for --help and the man page */
	const Option *options;	/* ends with a NULL name; --help is added to all */
	size_t options_size;	/* of the struct that offsets point into */
	int min_args, max_args; /* positional; -1: any number */
	/* Takes the command line (argv[0] is the verb) as it is when it names a program with flags
	 * of its own, and gives the exit code. NULL: never. */
	bool (*program)(int argc, char **argv, int *ret);
	int (*run)(const void *options, int argc,
		   char **argv); /* the positional ones; returns an ExitCode */
} Command;

typedef enum ExitCode {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,		 /* usage or configuration error */
	EXIT_NOTHING_BETTER = 3, /* nothing better than the baseline was found */
	EXIT_INTERRUPTED = 4,	 /* and resumable */
} ExitCode;

extern const Command cmd_init, cmd_doctor, cmd_check, cmd_run, cmd_eval, cmd_predict, cmd_trials,
    cmd_show, cmd_plot, cmd_lineage, cmd_promotions, cmd_promotion, cmd_approve, cmd_reject,
    cmd_adopt, cmd_rollout, cmd_rollback, cmd_ab, cmd_baseline, cmd_feedback, cmd_status,
    cmd_daemon, cmd_pause, cmd_resume, cmd_bench, cmd_gpu, cmd_twin;
extern const Command *const commands[]; /* NULL-terminated, in the order of the help */

int cli_main(int argc, char **argv);

/* --- For the verbs --------------------------------------------------------------------------- */

#include <jansson.h>

#include "base/diag.h"
#include "base/err.h"
#include "config/config.h"
#include "store/store.h"

/* "dream VERB: message" on stderr; returns `exit_code`. */
int cli_fail(int exit_code, const Err *err);
int cli_failf(int exit_code, const char *fmt, ...) _printf_(2, 3);
/* Loads the plan, printing every diagnostic on stderr. 0, or the exit code to return. */
int cli_plan(const char *path, DiagLevel missing, Plan **ret);
/* The configuration's file when --config was not given: ./dream.yaml, else
 * $XDG_CONFIG_HOME/dream/dream.yaml, else /etc/dream/dream.yaml. 0, or the exit code to return. */
int cli_config_path(const char *given, char **ret);
/* The same for verbs whose only argument may name it instead of --config. */
int cli_named_config(const char *option, int argc, char **argv, char **ret);
/* Is there one in those places? */
bool cli_has_config(void);
/* The configuration that a command line means: --config, else a first argument that is no
 * PARAM=VALUE, which is taken away; else NULL. */
const char *cli_take_config(const char *given, int *argc, char ***argv);
/* cli_config_path() and the plan in it, for verbs that only read: mistakes are printed, warnings
 * are left to `dream check`. 0, or the exit code to return. */
int cli_open(const char *given, Plan **ret);
/* Where the store of a plan is (NULL: of no plan, the mode's default). 0, or the exit code to
 * return. */
int cli_store_path(const Plan *plan, char **ret);
/* Opens the store that a plan names. STORE_READ of a store that does not exist yet gives *ret NULL.
 * 0, or the exit code to return. */
int cli_store(const Plan *plan, StoreMode mode, Store **ret);
/* The same by a path that somebody gave: one that is not there is a mistake. */
int cli_open_store(const char *path, StoreMode mode, Store **ret);
/* The signing key of a plan, made on first use. 0, or the exit code to return. */
int cli_key(const Plan *plan, SignKey **ret);
/* Where that is, whether or not there is one. */
int cli_key_path(const Plan *plan, char **ret);
/* Says that the store is empty; returns exit_code. */
int cli_nothing_yet(int exit_code);
/* The one experiment that is meant: `name`, or the only (enabled) one of the plan. 0, or the exit
 * code to return. */
int cli_experiment(const Plan *plan, const char *name, const Experiment **ret);
/* "a=1 b=small" arguments as params; values are YAML scalars. 0, or the exit code to return. */
int cli_params(int argc, char **argv, json_t **ret);
/* The candidate that "a=1 b=small" arguments name; what they leave out is the baseline's. It is a
 * point of the space. 0, or the exit code to return. */
int cli_candidate(const Experiment *x, int argc, char **argv, json_t **ret);
/* The workload of that name, or the first. 0, or the exit code to return. */
int cli_workload(const Experiment *x, const char *name, const Workload **ret);
/* Pretty JSON on stdout and a newline; consumes v. Returns an ExitCode. */
int cli_print_json(json_t *v);
/* Writes everything to stdout; a closed or full stdout is EXIT_FAILED with a message. */
int cli_print(const char *text);
size_t cli_width(void); /* of the terminal; 0: not a terminal */
