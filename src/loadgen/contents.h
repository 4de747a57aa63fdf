#pragma once
/* What Contents gives to the requests; traffic.h says what it is. */
#include "loadgen/traffic.h"

/* Appends the text of the next prompt, escaped as the inside of a JSON string, and says how many
 * words it has. Each call gives another one, over all streams and runs that share the contents.
 * `tokens`: how long, where it is made up. */
int64_t contents_prompt(const Contents *c, int64_t tokens, Str *out);

/* The next clip in turn, or the one with this file name (-ENOENT: there is none). */
int contents_clip(const Contents *c, const char *name, size_t *ret);
/* The whole file. */
const char *contents_clip_file(const Contents *c, size_t i, size_t *ret_len);

/* Where there is no folder: the number of the next clip that is made up, and its file: a WAV of
 * `ms` milliseconds, 16 kHz, mono. The same seed and number give the same sound. */
size_t contents_next_made(const Contents *c);
void contents_made_file(const Contents *c, size_t number, int64_t ms, Str *out);
