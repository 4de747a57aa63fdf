#pragma once
/* WAV files as far as speech services take them for sure: PCM, 16 bits, one or two channels. */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct Wav {
	uint32_t rate; /* samples a second, 4,000 to 192,000 */
	uint16_t channels;
	const char *pcm; /* into the file */
	size_t pcm_len;	 /* whole samples */
	int64_t length_us;
} Wav;

/* Looks into a whole file. A data chunk of unknown length (a recorder that wrote into a pipe) goes
 * to the end; one that says more than there is, is a cut file. -EBADMSG: no such file, with the
 * reason. */
int wav_parse(const void *file, size_t len, Wav *ret, Err *err) _must_check_;
