#pragma once
/* SHA-256 and hexadecimal. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HASH_SIZE = 32,
	HASH_HEX_SIZE = 65
};

typedef struct Hash {
	uint8_t b[HASH_SIZE];
} Hash;

Hash hash_of(const void *data, size_t len);
/* SHA-256 over `prev` followed by the data: one link of a chain. */
Hash hash_link(const Hash *prev, const void *data, size_t len);
bool hash_equal(const Hash *a, const Hash *b);
void hash_hex(const Hash *h, char ret[HASH_HEX_SIZE]);
bool hash_from_hex(const char *hex, Hash *ret); /* exactly 64 lower-case digits */

void hex_encode(const void *data, size_t len, char *ret /* 2 * len + 1 */);
/* Lower-case digits only, so that a value has one spelling. False leaves ret partly written. */
bool hex_decode(const char *hex, size_t hex_len, void *ret /* hex_len / 2 */);
