#pragma once
/* What both kinds of model file are made of: little-endian numbers, names with a length before
 * them, arrays of random weights. A failed write is remembered and told by modelfile_close(). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/rng.h"

typedef struct ModelFile {
	FILE *f;
	const char *path;
	Rng rng; /* of the weights */
	uint64_t at;
} ModelFile;

int modelfile_open(ModelFile *m, const char *path, uint64_t seed);
/* 0, or 1 with a sentence on the standard error: an exit status. A file that could not be written
 * whole is removed. */
int modelfile_close(ModelFile *m);

void put_bytes(ModelFile *m, const void *bytes, size_t n);
void put_u32(ModelFile *m, uint32_t v);
void put_u64(ModelFile *m, uint64_t v);
void put_f32(ModelFile *m, float v);
void put_zeros(ModelFile *m, size_t n);
/* Weights of mean 0 and deviation 0.02, as 2 or 4 bytes each. */
void put_weights(ModelFile *m, uint64_t n, bool half);
void put_constants(ModelFile *m, uint64_t n, float v);

/* The value of a numeric option within its limits; ends the program with a sentence otherwise. */
uint64_t number_option(const char *name, const char *text, uint64_t min, uint64_t max);
