#pragma once
/* The framing of the history: each record has a mark, its length and a checksum, so that a torn or
 * damaged one costs itself alone. Pure; the reader takes any bytes. Inside this folder and its
 * tests. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "watch/watch.h"

enum {
	HISTORY_NAMES_MAX = 1024, /* of (generation, service, metric) in one file */
	HISTORY_NAME_MAX = 63,
	HISTORY_RECORD_MAX = 8 + 4 + 3 * (HISTORY_NAME_MAX + 1),
};

typedef struct HistoryName {
	char generation[HISTORY_NAME_MAX + 1], service[HISTORY_NAME_MAX + 1],
	    metric[HISTORY_NAME_MAX + 1];
} HistoryName;

typedef struct HistoryRecord {
	bool is_name; /* what `id` stands for from here on; else a sample of it */
	uint16_t id;
	HistoryName name;
	JudgeSample sample;
} HistoryRecord;

/* The next whole record at or after *at; what is none is passed over. False: no more. */
bool history_next(const uint8_t *data, size_t len, size_t *at, HistoryRecord *ret);
/* How many bytes it took. `ret` has HISTORY_RECORD_MAX. */
size_t history_put(const HistoryRecord *r, uint8_t *ret);
bool historyname_make(const char *generation, const char *service, const char *metric,
		      HistoryName *ret); /* false: one is too long */
bool historyname_equal(const HistoryName *a, const HistoryName *b);
