#pragma once
/* Prometheus' text format, a sample at a time. Hostile input: any bytes, any length. */
#include <stdbool.h>
#include <stddef.h>

typedef struct Sample {
	const char *name; /* not NUL-terminated; colons are part of it */
	size_t name_len;
	const char *labels; /* between the braces; not NUL-terminated; NULL: none */
	size_t labels_len;
	double value; /* may be NAN or infinite */
} Sample;

/* The next sample at or after *at; comments and lines that cannot be understood are passed over.
 * False: no more. */
bool prometheus_next(const char *text, size_t len, size_t *at, Sample *ret);
