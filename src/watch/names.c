/* What is called how. */
#include "watch/watch.h"

static const char *const event_names[] = {
    [HARD_NONE] = "none",
    [HARD_START_FAILED] = "start_failed",
    [HARD_RESTARTED] = "restarted",
    [HARD_DIED] = "died",
    [HARD_OOM] = "oom",
    [HARD_CPU] = "cpu_fallback",
    [HARD_UNHEALTHY] = "unhealthy",
    [HARD_XID] = "xid",
    [HARD_READBACK] = "readback",
};

const char *hard_event_name(HardEvent e)
{
	return event_names[e];
}

static const char *const verdict_names[] = {
    [JUDGE_INCONCLUSIVE] = "inconclusive",
    [JUDGE_NO_WORSE] = "no_worse",
    [JUDGE_BETTER] = "better",
    [JUDGE_WORSE] = "worse",
};

const char *judge_verdict_name(JudgeVerdict v)
{
	return verdict_names[v];
}
