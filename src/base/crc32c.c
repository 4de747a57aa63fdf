#include "base/crc32c.h"

enum {
	REVERSED_POLYNOMIAL = (int)0x82f63b78u
};

void crc32c_init(Crc32c *c)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;
		for (int bit = 0; bit < 8; bit++)
			v = v & 1 ? v >> 1 ^ (uint32_t)REVERSED_POLYNOMIAL : v >> 1;
		c->table[i] = v;
	}
}

uint32_t crc32c_add(const Crc32c *c, uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	sum = ~sum;
	for (size_t i = 0; i < len; i++)
		sum = sum >> 8 ^ c->table[(sum ^ p[i]) & 0xff];
	return ~sum;
}
