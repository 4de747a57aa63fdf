/* Names of outcomes and stages: what files, records and people see. */
#include <string.h>

#include "trial/trial.h"

static const char *const outcome_names[OUTCOME_MAX_] = {
    [OUTCOME_OK] = "ok",
    [OUTCOME_OUT_OF_BOUNDS] = "out_of_bounds",
    [OUTCOME_INFEASIBLE] = "infeasible",
    [OUTCOME_START_FAILED] = "start_failed",
    [OUTCOME_OOM] = "oom",
    [OUTCOME_CPU_FALLBACK] = "cpu_fallback",
    [OUTCOME_CONTENDED] = "contended",
    [OUTCOME_CRASHED] = "crashed",
    [OUTCOME_UNHEALTHY] = "unhealthy",
    [OUTCOME_TIMEOUT] = "timeout",
    [OUTCOME_HARDWARE_FAULT] = "hardware_fault",
    [OUTCOME_MEASURE_FAILED] = "measure_failed",
};

static const char *const stage_names[STAGE_MAX_] = {
    [STAGE_PREDICTED] = "predicted", [STAGE_TWIN] = "twin",
    [STAGE_OBSERVED] = "observed",   [STAGE_ISOLATED] = "isolated",
    [STAGE_COLOCATED] = "colocated", [STAGE_PRODUCTION] = "production",
};

static int find_name(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; name && i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -ENOENT;
}

const char *outcome_name(Outcome o)
{
	return (unsigned)o < OUTCOME_MAX_ ? outcome_names[o] : "unknown";
}

bool outcome_from_name(const char *name, Outcome *ret)
{
	int i = find_name(outcome_names, OUTCOME_MAX_, name);
	if (i >= 0)
		*ret = (Outcome)i;
	return i >= 0;
}

bool outcome_is_void(Outcome o)
{
	return o == OUTCOME_CONTENDED || o == OUTCOME_HARDWARE_FAULT;
}

const char *stage_name(Stage s)
{
	return (unsigned)s < STAGE_MAX_ ? stage_names[s] : "unknown";
}

bool stage_from_name(const char *name, Stage *ret)
{
	int i = find_name(stage_names, STAGE_MAX_, name);
	if (i >= 0)
		*ret = (Stage)i;
	return i >= 0;
}
