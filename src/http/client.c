#include <string.h>

#include "http/internal.h"

enum {
	CONNECT_TIMEOUT_US = 10 * 1000 * 1000
};

static bool is_plain(const char *s)
{
	for (; *s; s++) {
		if (*s < ' ' || *s >= 0x7f)
			return false;
	}
	return true;
}

/* The lines of a request that do not change. */
static int write_fixed(HttpClient *c, const HttpClientSpec *spec, Err *err)
{
	_cleanup_(str_done) Str s = STR_INIT;
	const HttpTarget *t = spec->target;
	bool usual = t->socket || t->port == (t->tls ? 443 : 80);
	bool bare_v6 = strchr(t->host, ':') != NULL;

	if (!is_plain(t->host) || !is_plain(t->base))
		return err_set(err, -EINVAL, "the server's address has a control character");
	if (spec->token && (!is_plain(spec->token) || strchr(spec->token, ' ')))
		return err_set(err, -EINVAL,
			       "the bearer token has a space, a line end or another character that "
			       "cannot be sent (does its file end in one?)");
	str_addf(&s, bare_v6 ? "Host: [%s]" : "Host: %s", t->host);
	if (!usual)
		str_addf(&s, ":%u", (unsigned)t->port);
	str_add(&s, "\r\nUser-Agent: dream/" DREAM_VERSION "\r\n");
	if (spec->token)
		str_addf(&s, "Authorization: Bearer %s\r\n", spec->token);
	if (spec->close_each)
		str_add(&s, "Connection: close\r\n");
	c->fixed_len = s.len;
	return str_take(&s, &c->fixed) < 0 ? err_oom(err) : 0;
}

static int client_open(HttpClient *c, const HttpClientSpec *spec, Err *err)
{
	c->base = strdup(spec->target->base);
	if (!c->base)
		return err_oom(err);
	int r = write_fixed(c, spec, err);
	if (r < 0)
		return r;
	if (spec->target->tls) {
		r = tls_new(spec, &c->tls, err);
		if (r < 0)
			return r;
	}
	r = addresses_find(spec->target, c->addresses, ADDRESSES_MAX, &c->n_addresses, err);
	if (r == 0 && c->loop->broker)
		addresses_of_loopback(c->addresses, c->n_addresses);
	return r;
}

int httpclient_new(HttpLoop *loop, const HttpClientSpec *spec, HttpClient **ret, Err *err)
{
	_cleanup_(httpclient_freep) HttpClient *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	c->loop = loop;
	c->close_each = spec->close_each;
	c->connect_timeout_us =
	    spec->connect_timeout_us > 0 ? spec->connect_timeout_us : CONNECT_TIMEOUT_US;
	int r = client_open(c, spec, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

HttpClient *httpclient_free(HttpClient *c)
{
	if (!c)
		return NULL;
	while (c->calls)
		http_cancel(c->calls);
	while (c->idle)
		conn_close(c->idle);
	while (c->spare) {
		HttpCall *call = c->spare;
		c->spare = call->next;
		c->loop->calls--;
		str_done(&call->out);
		free(call);
	}
	c->tls = tls_free(c->tls);
	if (c->fixed)
		explicit_bzero(c->fixed, c->fixed_len); /* the token */
	free(c->fixed);
	free(c->base);
	free(c);
	return NULL;
}
