#pragma once
/* What changes the answers of a language model and not only their speed must be measured as such.
 */
#include "config/config.h"

/* The parameter by which `to` differs from `from` and which changes what a language model says (its
 * quantisation, the type of its KV cache), while nothing that is wanted or required of a candidate
 * measures that (`llm_quality_pct`). Such a candidate cannot win. NULL: none. */
const char *quality_unguarded(const Experiment *x, const Point *from, const Point *to);
/* The same of the whole space: for `dream check`. */
const char *quality_unguarded_param(const Experiment *x);
