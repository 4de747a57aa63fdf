/* The key file, and signatures that other people's software would accept. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "record/sign.h"
#include "scratch.h"

typedef struct Dir {
	char dir[40], key[64];
} Dir;

static void dir_new(Dir *d)
{
	snprintf(d->dir, sizeof(d->dir), "/tmp/dream-sign-XXXXXX");
	CHECK(mkdtemp(d->dir));
	snprintf(d->key, sizeof(d->key), "%s/sub/key", d->dir);
}

static void dir_done(const Dir *d)
{
	CHECK_INT(scratch_clear(d->dir), 0);
}

static void write_key(const Dir *d, const char *text, mode_t mode)
{
	CHECK_OK(dir_make(d->dir, 0700, NULL));
	snprintf((char *)(uintptr_t)d->key, sizeof(d->key), "%s/key", d->dir);
	CHECK_OK(file_write(d->key, mode, text, strlen(text), NULL));
	CHECK_INT(chmod(d->key, mode), 0);
}

TEST(a_key_is_made_once_private_and_found_again)
{
	Dir d;
	dir_new(&d);
	umask(0);
	SignKey *a = NULL, *b = NULL;
	CHECK_OK(sign_key_load(d.key, &a, NULL));
	CHECK_OK(sign_key_load(d.key, &b, NULL));
	char x[PUBLIC_KEY_HEX_SIZE], y[PUBLIC_KEY_HEX_SIZE];
	sign_public_hex(a, x);
	sign_public_hex(b, y);
	CHECK_STR(x, y);
	struct stat st;
	CHECK_INT(stat(d.key, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	sign_key_free(a);
	sign_key_free(b);
	dir_done(&d);
}

TEST(programs_that_start_together_get_the_same_key)
{
	Dir d;
	dir_new(&d);
	int fds[2];
	CHECK_INT(pipe(fds), 0);
	for (int i = 0; i < 8; i++)
		if (fork() == 0) {
			SignKey *k = NULL;
			char x[PUBLIC_KEY_HEX_SIZE];
			if (sign_key_load(d.key, &k, NULL) < 0)
				_exit(1);
			sign_public_hex(k, x);
			_exit(write(fds[1], x, sizeof(x)) == (ssize_t)sizeof(x) ? 0 : 1);
		}
	int status;
	while (wait(&status) > 0)
		CHECK_INT(status, 0);
	char first[PUBLIC_KEY_HEX_SIZE], x[PUBLIC_KEY_HEX_SIZE];
	CHECK_INT(read(fds[0], first, sizeof(first)), sizeof(first));
	for (int i = 1; i < 8; i++) {
		CHECK_INT(read(fds[0], x, sizeof(x)), sizeof(x));
		CHECK_STR(x, first);
	}
	close(fds[0]);
	close(fds[1]);
	dir_done(&d);
}

/* RFC 8032, section 7.1, TEST 1: the seed and its public key. */
static const char rfc_key[] =
    "dream-ed25519-v1 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n";
static const char rfc_public[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

TEST(the_public_key_is_the_one_of_the_standard)
{
	Dir d;
	dir_new(&d);
	write_key(&d, rfc_key, 0600);
	_cleanup_(sign_key_freep) SignKey *k = NULL;
	char x[PUBLIC_KEY_HEX_SIZE];
	CHECK_OK(sign_key_load(d.key, &k, NULL));
	sign_public_hex(k, x);
	CHECK_STR(x, rfc_public);
	dir_done(&d);
}

TEST(a_key_that_others_can_read_is_refused)
{
	static const mode_t modes[] = {0640, 0604, 0660, 0610, 0644};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		Dir d;
		dir_new(&d);
		write_key(&d, rfc_key, modes[i]);
		SignKey *k = NULL;
		Err err = ERR_INIT;
		CHECK_ERR(sign_key_load(d.key, &k, &err), EPERM);
		CHECK(strstr(err.msg, "chmod 600"));
		dir_done(&d);
	}
}

TEST(a_file_that_is_no_key_is_refused_and_left_alone)
{
	static const char *const texts[] = {
	    "",
	    "dream-ed25519-v1 ",
	    "dream-ed25519-v1 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f6\n",
	    "dream-ed25519-v2 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n",
	    "dream-ed25519-v1 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f6x\n",
	    "dream-ed25519-v1 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\nx",
	    "dream-ed25519-v1 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f601"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		Dir d;
		dir_new(&d);
		write_key(&d, texts[i], 0600);
		SignKey *k = NULL;
		CHECK_ERR(sign_key_load(d.key, &k, NULL), EBADMSG);
		_cleanup_free_ char *text = NULL;
		size_t len;
		CHECK_OK(file_read(d.key, 1000, &text, &len, NULL));
		CHECK_STR(text, texts[i]);
		dir_done(&d);
	}
}

TEST(a_signature_fits_its_digest_and_key_and_nothing_else)
{
	Dir d;
	dir_new(&d);
	write_key(&d, rfc_key, 0600);
	_cleanup_(sign_key_freep) SignKey *k = NULL;
	CHECK_OK(sign_key_load(d.key, &k, NULL));
	Hash digest = hash_of("x", 1);
	char hex[SIGNATURE_HEX_SIZE];
	sign_digest(k, &digest, hex);
	CHECK(sign_verify(rfc_public, &digest, hex));
	for (int bit = 0; bit < 8 * HASH_SIZE; bit++) {
		Hash other = digest;
		other.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(!sign_verify(rfc_public, &other, hex));
	}
	for (size_t i = 0; hex[i]; i++) {
		char c = hex[i];
		hex[i] = c == 'f' ? '0' : 'f';
		CHECK(!sign_verify(rfc_public, &digest, hex));
		hex[i] = '\0';
		CHECK(!sign_verify(rfc_public, &digest, hex));
		hex[i] = c;
	}
	CHECK(!sign_verify("", &digest, hex));
	CHECK(!sign_verify(NULL, &digest, hex));
	CHECK(!sign_verify(rfc_public, &digest, NULL));
	CHECK(!sign_verify("0000000000000000000000000000000000000000000000000000000000000000",
			   &digest, hex));
	dir_done(&d);
}

TEST(a_key_that_cannot_be_written_says_so)
{
	SignKey *k = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(sign_key_load("/proc/no/key", &k, &err), ENOENT);
	CHECK(strstr(err.msg, "cannot make a signing key"));
	CHECK_ERR(sign_key_load("/tmp", &k, NULL), EINVAL);
}
