/* TLS for the client, on OpenSSL. The socket is reached through a BIO of our own, because OpenSSL's
 * writes without MSG_NOSIGNAL and a server that closes would end the program by SIGPIPE. */
#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "http/internal.h"

struct Tls {
	SSL_CTX *ctx;
	BIO_METHOD *method;
	char *host;
};

struct TlsSession {
	SSL *ssl;
	int fd;
};

/* --- The socket ------------------------------------------------------------------------------ */

static int socket_write(BIO *b, const char *p, int n)
{
	const TlsSession *s = BIO_get_data(b);
	ssize_t r = send(s->fd, p, (size_t)n, MSG_NOSIGNAL);
	BIO_clear_retry_flags(b);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)r;
}

static int socket_read(BIO *b, char *p, int n)
{
	const TlsSession *s = BIO_get_data(b);
	ssize_t r = recv(s->fd, p, (size_t)n, 0);
	BIO_clear_retry_flags(b);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	return (int)r;
}

static long socket_ctrl(BIO *b, int what, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return what == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *socket_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
	if (!m)
		return NULL;
	if (BIO_meth_set_write(m, socket_write) && BIO_meth_set_read(m, socket_read) &&
	    BIO_meth_set_ctrl(m, socket_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* --- The settings ---------------------------------------------------------------------------- */

static int trust(Tls *t, const HttpClientSpec *spec, Err *err)
{
	if (spec->insecure) {
		SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	int ok = spec->ca_file ? SSL_CTX_load_verify_file(t->ctx, spec->ca_file)
			       : SSL_CTX_set_default_verify_paths(t->ctx);
	if (ok == 1)
		return 0;
	ERR_clear_error();
	return err_set(err, -EINVAL, "cannot read certificates to trust from '%s'",
		       spec->ca_file ? spec->ca_file : "the system");
}

static int tls_fill(Tls *t, const HttpClientSpec *spec, Err *err)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	t->host = strdup(spec->target->host);
	t->method = socket_method();
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (!t->host || !t->method || !t->ctx ||
	    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_alpn_protos(t->ctx, alpn, sizeof(alpn) - 1) != 0) {
		ERR_clear_error();
		return err_oom(err);
	}
	(void)SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					   SSL_MODE_RELEASE_BUFFERS);
	return trust(t, spec, err);
}

int tls_new(const HttpClientSpec *spec, Tls **ret, Err *err)
{
	Tls *t = calloc(1, sizeof(*t));
	if (!t)
		return err_oom(err);
	int r = tls_fill(t, spec, err);
	if (r < 0) {
		(void)tls_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

Tls *tls_free(Tls *t)
{
	if (!t)
		return NULL;
	SSL_CTX_free(t->ctx);
	BIO_meth_free(t->method);
	free(t->host);
	free(t);
	return NULL;
}

/* --- One connection -------------------------------------------------------------------------- */

/* Whom the certificate must be for: a number is looked for among its IP addresses, and is not sent
 * as a name. */
static bool expect_host(SSL *ssl, const Tls *t)
{
	unsigned char ip[16];
	bool number = inet_pton(AF_INET, t->host, ip) == 1 || inet_pton(AF_INET6, t->host, ip) == 1;
	if (number)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), t->host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, t->host) == 1 && SSL_set_tlsext_host_name(ssl, t->host) == 1;
}

int tls_open(Tls *t, int fd, TlsSession **ret)
{
	TlsSession *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->ssl = SSL_new(t->ctx);
	BIO *bio = BIO_new(t->method);
	if (!s->ssl || !bio || !expect_host(s->ssl, t)) {
		BIO_free(bio);
		(void)tls_close(s);
		ERR_clear_error();
		return -ENOMEM;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio); /* takes it */
	SSL_set_connect_state(s->ssl);
	*ret = s;
	return 0;
}

/* Says goodbye if it can be said at once. */
TlsSession *tls_close(TlsSession *s)
{
	if (!s)
		return NULL;
	if (s->ssl && SSL_is_init_finished(s->ssl))
		(void)SSL_shutdown(s->ssl);
	SSL_free(s->ssl);
	free(s);
	ERR_clear_error();
	return NULL;
}

static const char *what_failed(SSL *ssl)
{
	long verdict = SSL_get_verify_result(ssl);
	if (verdict != X509_V_OK)
		return X509_verify_cert_error_string(verdict);
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	return reason ? reason : "it closed during the handshake";
}

int tls_handshake(TlsSession *s, const char **why)
{
	ERR_clear_error();
	int r = SSL_do_handshake(s->ssl);
	if (r == 1)
		return 0;
	int e = SSL_get_error(s->ssl, r);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	*why = what_failed(s->ssl);
	return -EPROTO;
}

static ssize_t result(TlsSession *s, int r)
{
	if (r > 0)
		return r;
	switch (SSL_get_error(s->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return errno > 0 ? -errno : -ECONNRESET;
	default: /* an end without goodbye among them */
		return -ECONNRESET;
	}
}

ssize_t tls_read(TlsSession *s, void *p, size_t n)
{
	ERR_clear_error();
	return result(s, SSL_read(s->ssl, p, n > INT_MAX ? INT_MAX : (int)n));
}

ssize_t tls_write(TlsSession *s, const void *p, size_t n)
{
	ERR_clear_error();
	return result(s, SSL_write(s->ssl, p, n > INT_MAX ? INT_MAX : (int)n));
}
