#include "base/hash.h"

#include "test.h"

static void check_hex(const Hash *h, const char *want)
{
	char hex[HASH_HEX_SIZE];
	hash_hex(h, hex);
	CHECK_STR(hex, want);
}

TEST(the_hash_is_sha256)
{
	Hash abc = hash_of("abc", 3), empty = hash_of("", 0);
	check_hex(&abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_hex(&empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(the_id_of_the_first_versions_winner_is_reproduced)
{
	static const char params[] =
	    "{\"vllm_memory_util\": 0.5, \"whisper_model_size\": \"small\"}";
	Hash h = hash_of(params, sizeof(params) - 1);
	char hex[HASH_HEX_SIZE];
	hash_hex(&h, hex);
	CHECK(strncmp(hex, "f47ecf886cf6beaa", 16) == 0);
}

TEST(a_link_hashes_the_previous_hash_and_the_data)
{
	/* From sha256sum over 32 NUL bytes and the text. */
	Hash zero = {{0}}, link = hash_link(&zero, "record 1", 8);
	check_hex(&link, "bbecf8ff6d1290967f3a91184121881b919cb976eadde9b933546226971a2b81");
	char whole[HASH_SIZE + 8];
	memcpy(whole, link.b, HASH_SIZE);
	memcpy(whole + HASH_SIZE, "record 2", 8);
	Hash a = hash_link(&link, "record 2", 8), b = hash_of(whole, sizeof(whole));
	CHECK(hash_equal(&a, &b));
	CHECK(!hash_equal(&a, &link));
}

TEST(hexadecimal_reads_back_what_it_wrote)
{
	uint8_t bytes[256], back[256];
	char hex[513];
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_encode(bytes, sizeof(bytes), hex);
	CHECK(strncmp(hex, "000102", 6) == 0 && strcmp(hex + 506, "fdfeff") == 0);
	CHECK(hex_decode(hex, 512, back));
	CHECK(memcmp(bytes, back, sizeof(bytes)) == 0);
}

TEST(only_lower_case_digits_of_the_right_length_are_a_hash)
{
	char hex[80] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	Hash h;
	CHECK(hash_from_hex(hex, &h));
	check_hex(&h, hex);
	hex[0] = 'B';
	CHECK(!hash_from_hex(hex, &h));
	hex[0] = 'g';
	CHECK(!hash_from_hex(hex, &h));
	hex[0] = 'b';
	hex[63] = '\0';
	CHECK(!hash_from_hex(hex, &h));
	strcpy(hex + 63, "d0");
	CHECK(!hash_from_hex(hex, &h));
	CHECK(!hash_from_hex("", &h));
	char odd[2];
	CHECK(!hex_decode("abc", 3, odd));
}
