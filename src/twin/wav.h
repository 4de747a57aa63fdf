#pragma once
/* How long the sound in a WAV file is. */
#include <stddef.h>
#include <stdint.h>

/* Milliseconds, of the bytes that are there: what the header promises beyond them is not. -EBADMSG:
 * it is no WAV. */
int64_t wav_ms(const char *data, size_t len);
