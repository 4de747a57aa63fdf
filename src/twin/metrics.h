#pragma once
/* From samples to metrics with unit, size and interval. What was not measured is left out. */
#include "twin/host.h"

int metrics_of_llm(const Load *l, Measurement *m, Err *err) _must_check_;
int metrics_of_stt(const Load *l, Measurement *m, Err *err) _must_check_;
/* How far the latency below which that share of the requests stays can be trusted: its standard
 * error as a share of it, 0 when there are too few samples to say. */
int metrics_quantile_spread(const Load *l, double share, double *ret) _must_check_;
/* A number without an interval of its own; se 0: unknown. */
int metric_plain(Measurement *m, const char *name, const char *unit, double value, double se,
		 int64_t n, Err *err) _must_check_;
