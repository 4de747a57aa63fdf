#include "base/hash.h"

#include <sodium.h>
#include <string.h>

_Static_assert(HASH_SIZE == crypto_hash_sha256_BYTES, "a Hash is a SHA-256");

/* libsodium's SHA-256 needs no sodium_init() and cannot fail. */
Hash hash_of(const void *data, size_t len)
{
	Hash h;
	(void)crypto_hash_sha256(h.b, data, len);
	return h;
}

Hash hash_link(const Hash *prev, const void *data, size_t len)
{
	Hash h;
	crypto_hash_sha256_state s;
	(void)crypto_hash_sha256_init(&s);
	(void)crypto_hash_sha256_update(&s, prev->b, sizeof(prev->b));
	(void)crypto_hash_sha256_update(&s, data, len);
	(void)crypto_hash_sha256_final(&s, h.b);
	return h;
}

bool hash_equal(const Hash *a, const Hash *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

void hash_hex(const Hash *h, char ret[HASH_HEX_SIZE])
{
	hex_encode(h->b, sizeof(h->b), ret);
}

bool hash_from_hex(const char *hex, Hash *ret)
{
	Hash h;
	size_t len = strnlen(hex, HASH_HEX_SIZE);
	if (len != HASH_HEX_SIZE - 1 || !hex_decode(hex, len, h.b))
		return false;
	*ret = h;
	return true;
}

void hex_encode(const void *data, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = data;
	for (size_t i = 0; i < len; i++) {
		*ret++ = digits[b[i] >> 4];
		*ret++ = digits[b[i] & 15];
	}
	*ret = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool hex_decode(const char *hex, size_t hex_len, void *ret)
{
	uint8_t *b = ret;
	if (hex_len % 2 != 0)
		return false;
	for (size_t i = 0; i < hex_len; i += 2) {
		int hi = digit(hex[i]), lo = digit(hex[i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		*b++ = (uint8_t)(hi << 4 | lo);
	}
	return true;
}
