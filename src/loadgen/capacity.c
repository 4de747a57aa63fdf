#include "loadgen/capacity.h"

Capacity capacity_start(int64_t max)
{
	if (max < 0)
		max = 0;
	if (max == INT64_MAX)
		max--; /* an open end stands one beyond the highest level that may be tried */
	return (Capacity){.met = 0, .failed = max + 1, .max = max};
}

int64_t capacity_next(const Capacity *c)
{
	if (c->failed <= c->met + 1 || c->met >= c->max)
		return 0;
	if (c->failed <= c->max) /* bracketed: bisect */
		return c->met + (c->failed - c->met) / 2;
	if (c->met == 0)
		return 1;
	return c->met > c->max / 2 ? c->max : 2 * c->met;
}

void capacity_told(Capacity *c, int64_t level, bool met)
{
	if (met && level > c->met)
		c->met = level < c->max ? level : c->max;
	if (!met && level < c->failed)
		c->failed = level > 0 ? level : 1;
	/* Noise can contradict itself. The failure wins: a capacity is a promise. */
	if (c->met >= c->failed)
		c->met = c->failed - 1;
}
