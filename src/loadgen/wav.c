#include "loadgen/wav.h"

#include <errno.h>
#include <string.h>

enum {
	FORMAT_PCM = 1,
	FORMAT_EXTENSIBLE = 0xfffe,
	FORMAT_CHUNK_MIN = 16,
	EXTENSIBLE_CHUNK_MIN = 40,
	SUB_FORMAT_AT = 24,
	RATE_MIN = 4000,
	RATE_MAX = 192000,
};

/* What a recorder writes that does not know the length yet. */
static const uint32_t unknown_length = 0xffffffff;

static uint32_t u16(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const unsigned char *p)
{
	return u16(p) | u16(p + 2) << 16;
}

static int read_format(const unsigned char *p, size_t len, Wav *w, Err *err)
{
	if (len < FORMAT_CHUNK_MIN)
		return err_set(err, -EBADMSG, "its format is cut short");
	uint32_t format = u16(p);
	if (format == FORMAT_EXTENSIBLE && len >= EXTENSIBLE_CHUNK_MIN)
		format = u16(p + SUB_FORMAT_AT);
	uint32_t bits = u16(p + 14);
	w->channels = (uint16_t)u16(p + 2);
	w->rate = u32(p + 4);
	if (format != FORMAT_PCM || bits != 16)
		return err_set(err, -EBADMSG,
			       "it is not PCM with 16 bits (format %u, %u bits); convert it first",
			       format, bits);
	if (w->channels < 1 || w->channels > 2)
		return err_set(err, -EBADMSG, "it has %u channels; one or two are read",
			       (unsigned)w->channels);
	if (w->rate < RATE_MIN || w->rate > RATE_MAX)
		return err_set(err, -EBADMSG, "%u samples a second lie outside %d to %d", w->rate,
			       RATE_MIN, RATE_MAX);
	return 0;
}

static int read_data(const unsigned char *p, size_t said, size_t there, Wav *w, Err *err)
{
	if (w->rate == 0)
		return err_set(err, -EBADMSG, "its data comes before its format");
	if (said > there && said != unknown_length)
		return err_set(err, -EBADMSG,
			       "it is cut short: %zu of %zu bytes of sound are there", there, said);
	size_t frame = 2 * (size_t)w->channels;
	size_t frames = (said < there ? said : there) / frame;
	if (frames == 0)
		return err_set(err, -EBADMSG, "there is no sound in it");
	w->pcm = (const char *)p;
	w->pcm_len = frames * frame;
	w->length_us = (int64_t)((double)frames * 1e6 / w->rate);
	return 0;
}

int wav_parse(const void *file, size_t len, Wav *ret, Err *err)
{
	const unsigned char *p = file;
	Wav w = {0};
	if (len < 12 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVE", 4) != 0)
		return err_set(err, -EBADMSG, "it is no WAV file");
	for (size_t at = 12; len - at >= 8;) {
		const unsigned char *chunk = p + at;
		size_t said = u32(chunk + 4), there = len - at - 8;
		int r = 0;
		if (memcmp(chunk, "data", 4) == 0) {
			r = read_data(chunk + 8, said, there, &w, err);
			if (r == 0)
				*ret = w;
			return r;
		}
		if (said > there)
			return err_set(err, -EBADMSG, "it is cut short");
		if (memcmp(chunk, "fmt ", 4) == 0)
			r = read_format(chunk + 8, said, &w, err);
		if (r < 0)
			return r;
		size_t step = 8 + said + (said & 1);
		if (step > len - at)
			break;
		at += step;
	}
	return err_set(err, -EBADMSG, "there is no sound in it");
}
