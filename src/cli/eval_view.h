#pragma once
/* What `dream eval` says beyond the trial itself. */
#include "base/str.h"
#include "store/store.h"

/* The trial as the first version of D-REAM would have written it. A new object; NULL: out of
 * memory. */
json_t *evaluation_json(const StoreTrial *t);

/* Of real services: where each ran, how long it took to start, how much the others slow it down,
 * and what the load generator says of itself. Nothing where the evidence says nothing of it. */
void services_text(const Measurement *m, Str *out);
