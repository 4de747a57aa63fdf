#include "twin/wav.h"

#include <errno.h>
#include <string.h>

static uint32_t u32(const char *at)
{
	const unsigned char *b = (const unsigned char *)at;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

int64_t wav_ms(const char *data, size_t len)
{
	uint32_t bytes_per_s = 0;
	if (len < 12 || memcmp(data, "RIFF", 4) != 0 || memcmp(data + 8, "WAVE", 4) != 0)
		return -EBADMSG;
	for (size_t at = 12; len - at >= 8;) {
		size_t left = len - at - 8, size = u32(data + at + 4);
		const char *chunk = data + at;
		if (memcmp(chunk, "fmt ", 4) == 0 && size >= 16 && left >= 16)
			bytes_per_s = u32(chunk + 8 + 8);
		if (memcmp(chunk, "data", 4) == 0) {
			size_t there = size < left ? size : left;
			return bytes_per_s ? (int64_t)(there * 1000 / bytes_per_s) : -EBADMSG;
		}
		if (size > left)
			break;
		at += 8 + size + (size & 1);
		if (at > len)
			break;
	}
	return -EBADMSG;
}
