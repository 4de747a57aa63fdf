#pragma once
/* One line of the table that `make bench` prints: what, how much, what is promised, and whether it
 * was kept. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

typedef enum RowGoal {
	ROW_NO_GOAL, /* said for comparison */
	ROW_AT_MOST,
	ROW_AT_LEAST,
} RowGoal;

/* Three digits that mean something. */
static inline void row_number(char *out, size_t size, double value, const char *unit)
{
	double a = fabs(value);
	int decimals = a >= 100 ? 0 : a >= 10 ? 1 : a >= 1 ? 2 : 3;
	(void)snprintf(out, size, "%.*f %s", decimals, value, unit);
}

static inline void row(const char *what, double value, const char *unit, RowGoal goal, double bound)
{
	char is[40], wanted[48] = "";
	row_number(is, sizeof(is), value, unit);
	if (goal != ROW_NO_GOAL)
		(void)snprintf(wanted, sizeof(wanted), "%s %g %s",
			       goal == ROW_AT_MOST ? "<=" : ">=", bound, unit);
	bool kept = goal == ROW_NO_GOAL || (goal == ROW_AT_MOST ? value <= bound : value >= bound);
	printf("%-54s %14s  %-14s %s\n", what, is, wanted,
	       goal == ROW_NO_GOAL ? ""
	       : kept		   ? "kept"
				   : "MISSED");
	(void)fflush(stdout);
}
