#pragma once
/* The highest concurrency that meets a limit, found by bracketing: double until one fails, then
 * bisect. Pure: it says what to try next and is told whether it met the limit. */
#include <stdbool.h>
#include <stdint.h>

typedef struct Capacity {
	int64_t met;	/* highest known to meet the limit; 0: none */
	int64_t failed; /* lowest known to fail; max + 1: none */
	int64_t max;
} Capacity;

Capacity capacity_start(int64_t max);
/* The next level to try, or 0 when `met` is the answer. */
int64_t capacity_next(const Capacity *c);
void capacity_told(Capacity *c, int64_t level, bool met);
