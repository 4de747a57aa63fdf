#pragma once
/* CRC-32C (Castagnoli): finds what a disk or a power cut did to a record. No protection against
 * people. */
#include <stddef.h>
#include <stdint.h>

typedef struct Crc32c {
	uint32_t table[256];
} Crc32c;

void crc32c_init(Crc32c *c);
/* `sum` is what came of the bytes before; 0 at first. */
uint32_t crc32c_add(const Crc32c *c, uint32_t sum, const void *data, size_t len);
