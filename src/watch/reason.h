#pragma once
/* What one run of a unit wrote about why it ended. */
#include <stdbool.h>
#include <stddef.h>

typedef struct Reason {
	bool oom;	/* memory ran out */
	char line[200]; /* that says it, made safe; "" */
} Reason;

/* Waits a moment for what the journal does not have yet. */
void reason_read(const char *kind, const char *invocation, Reason *ret);
/* Of a text: pure. */
void reason_of(const char *kind, const char *text, size_t len, Reason *ret);
