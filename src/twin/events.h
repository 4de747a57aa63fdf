#pragma once
/* What happens next: a heap by time, equal times in the order they were added. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct Event {
	int64_t at_us;
	uint64_t order;
	uint32_t kind, who, mark; /* the mark tells a stale event from the one that replaced it */
} Event;

typedef struct Events {
	Event *heap; /* owned */
	size_t n, cap;
	uint64_t added;
} Events;

/* -ENOMEM only. */
int events_add(Events *e, int64_t at_us, uint32_t kind, uint32_t who, uint32_t mark);
bool events_next(Events *e, Event *ret); /* false: nothing is left */
void events_clear(Events *e);		 /* memory kept */
void events_done(Events *e);
