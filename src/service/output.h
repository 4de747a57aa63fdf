#pragma once
/* What a service prints, in a file: no pipe that could hold it up, and no more of the disk than a
 * few MiB however much it writes. Inside this folder and its tests. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	OUTPUT_TAIL = 4 << 20,	/* kept */
	OUTPUT_SLACK = 4 << 20, /* and this much more before the rest is let go */
};

typedef struct Output {
	int fd;	      /* appends; -1: none */
	char *path;   /* owned */
	int64_t from; /* what is before it was let go */
	char *tail;   /* owned: what was read last */
	size_t tail_len;
	int64_t read_end; /* where that ended */
} Output;

#define OUTPUT_INIT ((Output){.fd = -1})

int output_open(Output *o, const char *dir, const char *name, Err *err) _must_check_;
/* Lets go what is more than the tail. To be called often. */
void output_trim(Output *o);
/* The newest of it; "" when there is nothing. Valid until the next call. */
const char *output_tail(Output *o, size_t *ret_len);
/* The file is left with the tail. */
void output_close(Output *o);
