/* A recording of others: what is taken lies within the file. */
#include "fuzz.h"
#include "loadgen/wav.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Wav w;
	Err err = ERR_INIT;
	int r = wav_parse(data, size, &w, &err);
	if (r < 0) {
		MUST(r == -EBADMSG && err.msg[0] != '\0');
		return 0;
	}
	const char *file = (const char *)data;
	MUST(w.pcm >= file && w.pcm_len > 0 && w.pcm_len <= size - (size_t)(w.pcm - file));
	MUST(w.pcm_len % (2u * w.channels) == 0);
	MUST(w.length_us > 0 || w.pcm_len < 4);
	return 0;
}
