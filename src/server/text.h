#pragma once
/* Pieces of text that need not be terminated. For this folder alone. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Piece {
	const char *s;
	size_t len;
} Piece;

/* The next line from *at on, without its end; false: none left. */
bool piece_line(Piece text, size_t *at, Piece *ret);
bool piece_has(Piece in, const char *what);
/* What follows `what`, NULL when it is not there. */
Piece piece_after(Piece in, const char *what);
/* A number without sign at the start, after spaces: digits, "," between digits left out, a point,
 * an exponent. Returns its length; 0: none. */
size_t piece_number(Piece in, double *ret);
/* A number with a unit ("1.99 GiB", "0 bytes", "976.75 MB", "127.99TiB"), in bytes; -1: none. G is
 * 2^30 with and without an i: the programs that we read mean that. */
int64_t piece_bytes(Piece in);
