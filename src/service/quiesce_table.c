/* `quiesce:` as it stands in dream.yaml. */
#include <stddef.h>

#include "service/quiesce.h"

#define AT(member) offsetof(QuiesceSpec, member)
static const ConfField quiesce_fields[] = {
    {.name = "units",
     .type = CONF_T_STRINGS,
     .offset = AT(units),
     .required = true,
     .help = "Which production units may be stopped for a trial, in the order in which they start "
	     "again"},
    {.name = "window",
     .type = CONF_T_STRING,
     .offset = AT(window),
     .required = true,
     .help = "When: 03:00-07:00, local time; the end is outside"},
    {.name = "budget",
     .type = CONF_T_DURATION,
     .offset = AT(budget_us),
     .otherwise = "60 s",
     .min = 1,
     .max = 86400,
     .help = "How much downtime there may be in 24 hours, for everything that costs any"},
    {.name = "idle",
     .type = CONF_T_DURATION,
     .offset = AT(idle_us),
     .otherwise = "5 min",
     .min = 0,
     .max = 86400,
     .help = "For how long nobody may have asked anything"},
    {.name = "idle_url",
     .type = CONF_T_STRING,
     .offset = AT(idle_url),
     .help = "A metrics page that counts requests running and waiting; absent: connections are "
	     "counted"},
    {.name = "drain",
     .type = CONF_T_DURATION,
     .offset = AT(drain_us),
     .otherwise = "30 s",
     .min = 0,
     .max = 3600,
     .help = "How long requests in flight may take to end"},
    {.name = NULL},
};
#undef AT

static void quiesce_check(const ConfNode *n, void *target, Diags *d)
{
	const QuiesceSpec *q = target;
	const ConfNode *window = conf_get(n, "window"), *units = conf_get(n, "units");
	int from, to;

	if (q->window && !quiesce_window_parse(q->window, &from, &to))
		conf_fault(window ? window : n, d, "\"03:00-07:00\", local time",
			   "'%s' is no window", q->window);
	if (q->units.n == 0)
		conf_fault(units ? units : n, d, "the units that hold the GPU",
			   "no unit is named that may be stopped");
}

const ConfTable quiesce_table = {
    .name = "quiesce",
    .help = "Which production units may be stopped for a trial, and when",
    .size = sizeof(QuiesceSpec),
    .fields = quiesce_fields,
    .check = quiesce_check,
};
