/* The key file is one line, "dream-ed25519-v1 " and the 64 hex digits of the seed. It is linked
 * into place and never replaced, so two programs that start at once end up with the same key. */
#include "record/sign.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

_Static_assert(PUBLIC_KEY_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519 public key");
_Static_assert(SIGNATURE_SIZE == crypto_sign_BYTES, "Ed25519 signature");

static const char key_prefix[] = "dream-ed25519-v1 ";

enum {
	PREFIX_LEN = sizeof(key_prefix) - 1,
	SEED_SIZE = crypto_sign_SEEDBYTES,
	KEY_LINE_LEN = PREFIX_LEN + 2 * SEED_SIZE + 1, /* with the newline */
};

struct SignKey {
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	uint8_t public[PUBLIC_KEY_SIZE];
};

typedef struct KeyLine {
	char text[KEY_LINE_LEN + 2]; /* room to notice that a file is longer */
} KeyLine;

static void wipe_line(KeyLine *l)
{
	sodium_memzero(l, sizeof(*l));
}

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

SignKey *sign_key_free(SignKey *k)
{
	sodium_free(k); /* wipes */
	return NULL;
}

/* Written whole under another name, synced, then given its name unless somebody was faster. */
static int place_key_file(const char *path, const char *tmp, const char *data, size_t len, Err *err)
{
	_cleanup_(close_fd) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot write the signing key %s: %s", path,
			       strerror(errno));
	file_give(fd, tmp);
	int r = write_all(fd, data, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && link(tmp, path) < 0 && errno != EEXIST)
		r = -errno;
	unlink(tmp);
	if (r < 0)
		return err_set(err, r, "cannot write the signing key %s: %s", path, strerror(-r));
	return dir_sync_of(path, err);
}

static int make_key(const char *path, Err *err)
{
	_cleanup_free_ char *dir = path_dir(path);
	_cleanup_free_ char *tmp =
	    str_fmt("%s.%ld.%08x.new", path, (long)getpid(), (unsigned)randombytes_random());
	if (!dir || !tmp)
		return err_oom(err);
	int r = dir_make(dir, 0700, err);
	if (r < 0)
		return err_wrap(err, r, "cannot make a signing key");

	uint8_t seed[SEED_SIZE];
	_cleanup_(wipe_line) KeyLine line = {0};
	randombytes_buf(seed, sizeof(seed));
	memcpy(line.text, key_prefix, PREFIX_LEN);
	hex_encode(seed, sizeof(seed), line.text + PREFIX_LEN);
	line.text[KEY_LINE_LEN - 1] = '\n';
	sodium_memzero(seed, sizeof(seed));

	return place_key_file(path, tmp, line.text, KEY_LINE_LEN, err);
}

static int check_private(int fd, const char *path, Err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at the signing key %s: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "the signing key %s is not a regular file", path);
	if (st.st_mode & 077)
		return err_set(err, -EPERM,
			       "the signing key %s is open to others (mode %04o); "
			       "run chmod 600 on it, or make a new key if others may have read it",
			       path, st.st_mode & 07777);
	return 0;
}

static int read_line(int fd, KeyLine *ret)
{
	size_t len = 0;
	while (len < sizeof(ret->text)) {
		ssize_t n = read(fd, ret->text + len, sizeof(ret->text) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (int)len;
}

static int read_key(int fd, const char *path, SignKey **ret, Err *err)
{
	int r = check_private(fd, path, err);
	if (r < 0)
		return r;
	_cleanup_(wipe_line) KeyLine line = {0};
	int len = read_line(fd, &line);
	if (len < 0)
		return err_set(err, len, "cannot read the signing key %s: %s", path,
			       strerror(-len));

	_cleanup_(sign_key_freep) SignKey *k = sodium_malloc(sizeof(*k));
	if (!k)
		return err_oom(err);
	uint8_t seed[SEED_SIZE];
	bool ok = len == KEY_LINE_LEN && line.text[KEY_LINE_LEN - 1] == '\n' &&
		  memcmp(line.text, key_prefix, PREFIX_LEN) == 0 &&
		  hex_decode(line.text + PREFIX_LEN, 2 * (size_t)SEED_SIZE, seed);
	if (ok)
		crypto_sign_seed_keypair(k->public, k->secret, seed);
	sodium_memzero(seed, sizeof(seed));
	if (!ok)
		return err_set(
		    err, -EBADMSG,
		    "%s is not a signing key of this program; put the right file back, or "
		    "move it away to have a new key made",
		    path);
	*ret = TAKE_PTR(k);
	return 0;
}

int sign_key_load(const char *path, SignKey **ret, Err *err)
{
	if (sodium_init() < 0)
		return err_set(err, -EIO, "cannot start libsodium");
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		int r = make_key(path, err);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	if (fd < 0)
		return err_set(err, -errno, "cannot open the signing key %s: %s", path,
			       strerror(errno));
	return read_key(fd, path, ret, err);
}

void sign_public_hex(const SignKey *k, char ret[PUBLIC_KEY_HEX_SIZE])
{
	hex_encode(k->public, sizeof(k->public), ret);
}

void sign_digest(const SignKey *k, const Hash *digest, char ret_hex[SIGNATURE_HEX_SIZE])
{
	uint8_t signature[SIGNATURE_SIZE];
	crypto_sign_detached(signature, NULL, digest->b, sizeof(digest->b), k->secret);
	hex_encode(signature, sizeof(signature), ret_hex);
}

bool sign_verify(const char *public_hex, const Hash *digest, const char *signature_hex)
{
	uint8_t public[PUBLIC_KEY_SIZE], signature[SIGNATURE_SIZE];
	return public_hex && signature_hex && sodium_init() >= 0 &&
	       strlen(public_hex) == PUBLIC_KEY_HEX_SIZE - 1 &&
	       strlen(signature_hex) == SIGNATURE_HEX_SIZE - 1 &&
	       hex_decode(public_hex, PUBLIC_KEY_HEX_SIZE - 1, public) &&
	       hex_decode(signature_hex, SIGNATURE_HEX_SIZE - 1, signature) &&
	       crypto_sign_verify_detached(signature, digest->b, sizeof(digest->b), public) == 0;
}
