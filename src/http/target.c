#include <string.h>

#include "http/client.h"

void httptarget_done(HttpTarget *t)
{
	free(t->socket);
	free(t->host);
	free(t->base);
	*t = (HttpTarget){0};
}

/* What may stand in a request line: nothing that could end it. */
static bool is_visible(const char *s)
{
	for (; *s; s++) {
		if (*s <= ' ' || *s >= 0x7f)
			return false;
	}
	return true;
}

static int read_base(const char *s, HttpTarget *t, const char *url, Err *err)
{
	/* It is not repeated: people put keys into it. */
	if (strpbrk(s, "?#"))
		return err_set(err, -EINVAL,
			       "'%.*s' has a query after it: only a path may follow the server",
			       (int)strcspn(url, "?#"), url);
	size_t n = strlen(s);
	while (n > 0 && s[n - 1] == '/')
		n--;
	t->base = strndup(s, n);
	return t->base ? 0 : err_oom(err);
}

static int read_port(const char *s, size_t n, HttpTarget *t, const char *url, Err *err)
{
	unsigned v = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || v > 65535)
			return err_set(err, -EINVAL, "'%s' has no valid port", url);
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	if (v == 0 || v > 65535)
		return err_set(err, -EINVAL, "'%s' has no valid port: 1 to 65535", url);
	t->port = (uint16_t)v;
	return 0;
}

/* "host", "host:port", "[::1]", "[::1]:port". */
static int read_server(const char *s, size_t n, HttpTarget *t, const char *url, Err *err)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:";
	const char *end = s + n, *host_end;
	/* Nor is this, which may be a password. */
	if (memchr(s, '@', n))
		return err_set(err, -EINVAL,
			       "the address of the server has a user or a password before its '@'; "
			       "it must be without: a token is given apart");
	if (n > 0 && *s == '[') {
		s++;
		host_end = memchr(s, ']', n - 1);
		if (!host_end)
			return err_set(err, -EINVAL, "'%s' has a '[' without its ']'", url);
	} else {
		host_end = memchr(s, ':', n);
	}
	const char *host = s;
	size_t host_n = (size_t)((host_end ? host_end : end) - s);
	const char *rest = host_end ? host_end : end;
	if (rest < end && *rest == ']')
		rest++;
	if (host_n == 0 || host_n > 253 || strspn(host, letters) < host_n)
		return err_set(err, -EINVAL, "'%s' names no server: http://HOST:PORT", url);
	if (rest < end && *rest != ':')
		return err_set(err, -EINVAL, "'%s' names no server: http://HOST:PORT", url);
	t->host = strndup(host, host_n);
	if (!t->host)
		return err_oom(err);
	return rest < end ? read_port(rest + 1, (size_t)(end - rest - 1), t, url, err) : 0;
}

static int read_unix(const char *s, HttpTarget *t, const char *url, Err *err)
{
	const char *colon = strchr(s, ':');
	size_t n = colon ? (size_t)(colon - s) : strlen(s);
	if (n == 0 || n > 107 || (colon && colon[1] != '/' && colon[1] != '\0'))
		return err_set(err, -EINVAL,
			       "'%s' is no unix socket: unix:/run/x.sock or unix:/run/x.sock:/base",
			       url);
	t->socket = strndup(s, n);
	if (!t->socket)
		return err_oom(err);
	t->host = strdup("localhost");
	if (!t->host)
		return err_oom(err);
	return read_base(colon ? colon + 1 : "", t, url, err);
}

static int read_url(const char *url, HttpTarget *t, Err *err)
{
	if (!is_visible(url))
		return err_set(err, -EINVAL, "'%s' is no address of a server", url);
	if (strncmp(url, "unix:", 5) == 0)
		return read_unix(url + 5, t, url, err);
	t->tls = strncmp(url, "https://", 8) == 0;
	if (!t->tls && strncmp(url, "http://", 7) != 0)
		return err_set(
		    err, -EINVAL,
		    "'%s' is no address of a server: http://HOST:PORT, https://HOST:PORT "
		    "or unix:/run/x.sock",
		    url);
	t->port = t->tls ? 443 : 80;
	const char *server = url + (t->tls ? 8 : 7);
	size_t n = strcspn(server, "/?#");
	int r = read_server(server, n, t, url, err);
	return r < 0 ? r : read_base(server + n, t, url, err);
}

int httptarget_parse(const char *url, HttpTarget *ret, Err *err)
{
	HttpTarget t = {0};
	int r = read_url(url, &t, err);
	if (r < 0) {
		httptarget_done(&t);
		return r;
	}
	*ret = t;
	return 0;
}
