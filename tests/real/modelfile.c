#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "modelfile.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the numbers are written as they lie");

int modelfile_open(ModelFile *m, const char *path, uint64_t seed)
{
	*m = (ModelFile){.path = path, .rng = rng_derive(seed, "weights", 0)};
	m->f = fopen(path, "wb");
	if (!m->f)
		fprintf(stderr, "%s cannot be written: %s\n", path, strerror(errno));
	return m->f ? 0 : 1;
}

int modelfile_close(ModelFile *m)
{
	bool failed = ferror(m->f) != 0;
	failed |= fclose(m->f) != 0;
	if (!failed)
		return 0;
	fprintf(stderr, "%s cannot be written whole: %s\n", m->path, strerror(errno));
	(void)remove(m->path);
	return 1;
}

void put_bytes(ModelFile *m, const void *bytes, size_t n)
{
	m->at += n;
	(void)fwrite(bytes, 1, n, m->f); /* ferror() tells at the end */
}

void put_u32(ModelFile *m, uint32_t v)
{
	put_bytes(m, &v, sizeof(v));
}

void put_u64(ModelFile *m, uint64_t v)
{
	put_bytes(m, &v, sizeof(v));
}

void put_f32(ModelFile *m, float v)
{
	put_bytes(m, &v, sizeof(v));
}

void put_zeros(ModelFile *m, size_t n)
{
	for (; n > 0; n--)
		put_bytes(m, "", 1);
}

/* IEEE 754 binary16, cut off; good for what is far from its limits, and nothing below 2^-14. */
static uint16_t to_half(float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	uint32_t sign = bits >> 16 & 0x8000, exponent = bits >> 23 & 0xff;
	if (exponent < 127 - 14)
		return (uint16_t)sign;
	return (uint16_t)(sign | (exponent - 127 + 15) << 10 | (bits >> 13 & 0x3ff));
}

void put_weights(ModelFile *m, uint64_t n, bool half)
{
	/* Evenly between -w and w the deviation is w / sqrt(3). */
	const double width = 0.02 * 1.7320508;
	for (; n > 0; n--) {
		float v = (float)((2 * rng_unit(&m->rng) - 1) * width);
		uint16_t h = to_half(v);
		if (half)
			put_bytes(m, &h, sizeof(h));
		else
			put_f32(m, v);
	}
}

void put_constants(ModelFile *m, uint64_t n, float v)
{
	for (; n > 0; n--)
		put_f32(m, v);
}

uint64_t number_option(const char *name, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno == 0 && *text != '-' && end != text && !*end && v >= min && v <= max)
		return v;
	fprintf(stderr, "--%s takes a number from %llu to %llu, not '%s'\n", name,
		(unsigned long long)min, (unsigned long long)max, text);
	exit(2);
}
