#pragma once
/* New candidates from good ones. */
#include "search/ops.h"

/* A child of these candidates that nobody has measured, planned with its parents and what differs
 * from the first. False when a number of attempts met only known or impossible candidates. Uses a
 * promise of the pool. */
bool child_make(Search *s, const uint32_t *parents, uint32_t n, Rng *r, Plan *ret);
