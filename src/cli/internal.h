#pragma once
/* What the files of this folder share beyond cli.h. */
#include <jansson.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "config/scan.h"
#include "footprint/footprint.h"
#include "report/report.h"
#include "search/search.h"

/* For the shell, the build and units; not listed. */
extern const Command cmd_completion, cmd_man, cmd_worker, cmd_trial_exec;

/* The verb whose name stands in front of messages. */
void cli_set_verb(const char *name);

/* The store to read: of `database`, else of the configuration, else the default one; and the
 * configuration if there is one (*ret_plan may stay NULL). *ret NULL: nothing recorded yet. 0, or
 * the exit code to return. */
int cli_read(const char *config, const char *database, Plan **ret_plan, Store **ret);

/* "out of memory", for the end of a chain of appends; returns EXIT_FAILED. */
int cli_oom(void);

void json_pretty(json_t *v, Str *out);
int cli_print_table(const Table *t); /* to the terminal's width */

/* --- view.c: a trial for people and programs ------------------------------------------------- */

void param_value_text(const json_t *v, Str *out); /* a text without its quotes */
void params_text(json_t *params, Str *out);	  /* "a=0.5 b=small" */
void change_text(json_t *mutations, Str *out);	  /* "a 0.5 -> 0.55, b tiny -> small" */
/* "mutation", "confirm: baseline", "eval": where a trial came from. */
void origin_text(const StoreTrial *t, Str *out);
/* The plan's experiment of that name, else NULL; `plan` may be NULL. */
const Experiment *find_experiment(const Plan *plan, const char *name);

/* --- show.c: records -------------------------------------------------------------------------- */

/* How a trial ended and its fitness, as lines; the metrics as a table. */
void outcome_text(const StoreTrial *t, Str *out);
/* `goals` says what should have been measured; may be NULL. */
void metrics_text(const Measurement *measured, const Goals *goals, Str *out);
/* The body as YAML after a line about the record, or as JSON. Returns an ExitCode. */
int record_print(const Record *r, const json_t *body, bool json);
/* Is `id` its number or the "id" in its body? */
bool record_is(const Record *r, const json_t *body, const char *id);
