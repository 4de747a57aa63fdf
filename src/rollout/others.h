#pragma once
/* Who else is on the card now, beside the services that are managed: what the memory model must
 * leave room for. */
#include <stdint.h>

#include "config/config.h"
#include "production/adoption.h"

/* Bytes of the experiment's GPU that processes hold which belong neither to an adopted unit nor to
 * a unit of one of its services. -1: not known (no NVML, no such card, a process that does not tell
 * or cannot be placed). */
int64_t others_bytes(const Experiment *x, const Adoption *units, size_t n_units);
