#pragma once
/* Ed25519 signatures over digests. The key pair is a file of mode 0600, made on first use. */
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/hash.h"

enum {
	SIGNATURE_SIZE = 64,
	PUBLIC_KEY_SIZE = 32,
	SIGNATURE_HEX_SIZE = 129,
	PUBLIC_KEY_HEX_SIZE = 65
};

typedef struct SignKey SignKey;

/* Reads the key, or makes and durably writes one. Refuses a file that others can read (-EPERM). */
int sign_key_load(const char *path, SignKey **ret, Err *err) _must_check_;
SignKey *sign_key_free(SignKey *k); /* wipes; accepts NULL, returns NULL */
DEFINE_CLEANUP(SignKey *, sign_key_free)

void sign_public_hex(const SignKey *k, char ret[PUBLIC_KEY_HEX_SIZE]);
void sign_digest(const SignKey *k, const Hash *digest, char ret_hex[SIGNATURE_HEX_SIZE]);
/* False for malformed input too. */
bool sign_verify(const char *public_hex, const Hash *digest, const char *signature_hex);
