#pragma once
/* Trade-offs: which measurements no other one beats in everything, and how much they cover. Works
 * on scores (0 worst, 1 best, larger is better), n rows of `dims` each. */
#include <stdbool.h>
#include <stddef.h>

/* Fills ret_front[i]: no other row is at least as good in all and better in one. Equal rows are all
 * on it. */
void pareto_front(const double *scores, size_t n, size_t dims, bool *ret_front);
/* The volume between the origin and the front, exact. -ENOMEM; at most 8 dims (-E2BIG). */
int pareto_hypervolume(const double *scores, size_t n, size_t dims, double *ret);
