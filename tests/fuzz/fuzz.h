#pragma once
/* A fuzz target is a file fuzz-NAME.c with this one function, a line in meson.build and a folder
 * corpus/NAME. What must hold is said with MUST(): a crash is what both libFuzzer and the replay
 * notice. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)
