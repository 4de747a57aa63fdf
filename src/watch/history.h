#pragma once
/* What production's figures were, kept for as long as a daily rhythm needs: a bounded file of
 * samples, each with the generation that ran. A restart of ours, or a power cut, loses the newest
 * minute at most and never the file. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "watch/watch.h"

enum {
	HISTORY_DAYS = 8,
	HISTORY_BYTES_MAX = 32 << 20,
};

typedef struct History History;

int history_open(const char *path, const Clock *clock, History **ret, Err *err) _must_check_;
History *history_close(History *h); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(History *, history_close)
int history_add(History *h, const char *generation, const WatchSample *s, Err *err) _must_check_;
/* Samples of one figure under one generation (NULL: any), oldest first; a new array. */
int history_read(const History *h, const char *generation, const char *service, const char *metric,
		 int64_t since_us, JudgeSample **ret, size_t *ret_n, Err *err) _must_check_;
