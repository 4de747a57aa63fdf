#pragma once
/* What trials on real services cost the machine they run on, for verbs that start them. */
#include <jansson.h>

#include "config/config.h"
#include "run/run.h"

/* What a killed run left is put right first: its units are stopped, production is started again.
 * 0, or the exit code to return. */
int cli_recover(const Plan *plan, const Experiment *x);

/* Appends what a run would take: start-up times, the time of a trial, which production units would
 * be stopped and for how long. Starts and stops nothing. `o` gets the same as "time" and
 * "downtime". `store` NULL: nothing was measured yet. */
int cli_cost(const Plan *plan, const RunPreview *p, Store *store, int all_services, Str *out,
	     json_t *o, Err *err) _must_check_;
