/* The client over TLS: whom it trusts, and that nothing else changes. The certificates are made
 * here, by the openssl command. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/proc.h"
#include "peer.h"
#include "test.h"

typedef struct Site {
	char dir[32], cert[64], key[64];
	Proc server;
	int port;
	sd_event *loop;
	HttpLoop *http;
} Site;

static bool have(const char *program)
{
	char *path = NULL;
	bool yes = proc_find_program(program, &path, NULL) >= 0;
	free(path);
	return yes;
}

static void make_certificate(Site *s, const char *names)
{
	char san[120];
	snprintf(san, sizeof(san), "subjectAltName=%s", names);
	const char *const argv[] = {"openssl",
				    "req",
				    "-x509",
				    "-newkey",
				    "ec",
				    "-pkeyopt",
				    "ec_paramgen_curve:prime256v1",
				    "-nodes",
				    "-days",
				    "2",
				    "-subj",
				    "/CN=test",
				    "-addext",
				    san,
				    "-keyout",
				    s->key,
				    "-out",
				    s->cert,
				    NULL};
	ProcSpec spec = {.argv = argv, .stderr_fd = -1};
	char *out = NULL;
	size_t n;
	Err err = ERR_INIT;
	if (proc_run(&spec, NULL, 0, 100000, 20000000, &out, &n, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	free(out);
}

static void start_server(Site *s)
{
	char script[256], text[16] = "";
	snprintf(script, sizeof(script), "%s/tls-server.py", getenv("HTTP_TEST_DIR"));
	const char *const argv[] = {"python3", script, s->cert, s->key, NULL};
	ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = 2};
	Err err = ERR_INIT;
	if (proc_spawn(&spec, &s->server, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	for (size_t n = 0; !strchr(text, '\n');) {
		struct pollfd p = {.fd = s->server.out, .events = POLLIN};
		CHECK_INT(poll(&p, 1, 20000), 1);
		ssize_t r = read(s->server.out, text + n, sizeof(text) - 1 - n);
		CHECK(r > 0);
		n += (size_t)r;
	}
	s->port = (int)strtol(text, NULL, 10);
}

static void site_start(Site *s, const char *names)
{
	*s = (Site){.dir = "/tmp/dream-tls-XXXXXX", .server = PROC_INIT};
	CHECK(mkdtemp(s->dir));
	snprintf(s->cert, sizeof(s->cert), "%s/cert.pem", s->dir);
	snprintf(s->key, sizeof(s->key), "%s/key.pem", s->dir);
	make_certificate(s, names);
	start_server(s);
	CHECK_OK(sd_event_new(&s->loop));
	CHECK_OK(httploop_new(s->loop, &s->http, NULL));
}

static void site_stop(Site *s)
{
	s->http = httploop_free(s->http);
	s->loop = sd_event_unref(s->loop);
	proc_done(&s->server);
	unlink(s->cert);
	unlink(s->key);
	rmdir(s->dir);
}

typedef struct Got {
	bool ended;
	HttpEnd end;
	char body[80];
	size_t len;
} Got;

static void on_fetched(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Got *g = ctx;
	g->ended = true;
	g->end = *end;
	g->len = len;
	(void)snprintf(g->body, sizeof(g->body), "%s", body);
}

static HttpClient *client_of(Site *s, const char *scheme, const char *host, HttpClientSpec spec)
{
	HttpTarget t;
	HttpClient *c = NULL;
	char url[80];
	snprintf(url, sizeof(url), "%s://%s:%d", scheme, host, s->port);
	CHECK_OK(httptarget_parse(url, &t, NULL));
	spec.target = &t;
	CHECK_OK(httpclient_new(s->http, &spec, &c, NULL));
	httptarget_done(&t);
	return c;
}

static Got ask(Site *s, HttpClient *c, const char *path, size_t body_len)
{
	Got g = {0};
	HttpCall *call;
	char *body = calloc(1, body_len + 1);
	HttpRequest rq = {.method = "POST",
			  .path = path,
			  .type = "a/b",
			  .body = body,
			  .body_len = body_len,
			  .timeout_us = 20000000};
	CHECK(body);
	CHECK_OK(http_fetch(c, &rq, 2000000, on_fetched, &g, &call, NULL));
	while (!g.ended)
		CHECK_OK(sd_event_run(s->loop, 1000000));
	free(body);
	return g;
}

static Got ask_once(Site *s, const char *scheme, const char *host, HttpClientSpec spec)
{
	HttpClient *c = client_of(s, scheme, host, spec);
	Got g = ask(s, c, "/hello", 0);
	httpclient_free(c);
	return g;
}

static bool lacks_programs(void)
{
	return !have("openssl") || !have("python3") || !getenv("HTTP_TEST_DIR");
}

TEST(a_certificate_that_is_trusted)
{
	Site s;
	if (lacks_programs())
		SKIP("needs openssl and python3");
	site_start(&s, "DNS:localhost,IP:127.0.0.1");
	HttpClientSpec spec = {.ca_file = s.cert};
	HttpClient *c = client_of(&s, "https", "localhost", spec);
	Got g = ask(&s, c, "/hello", 3);
	CHECK_INT(g.end.fault, HTTP_FINE);
	CHECK_STR(g.body, "http/1.1 localhost 3");
	g = ask(&s, c, "/hello", 3000000); /* on the same connection, in many records */
	CHECK(g.end.reused);
	CHECK_STR(g.body, "http/1.1 localhost 3000000");
	g = ask(&s, c, "/long", 0);
	CHECK(g.end.reused);
	CHECK_INT(g.len, 1000000);
	httpclient_free(c);

	g = ask_once(&s, "https", "127.0.0.1", spec); /* a number is not sent as a name */
	CHECK_INT(g.end.fault, HTTP_FINE);
	CHECK_STR(g.body, "http/1.1 None 0");
	site_stop(&s);
}

TEST(a_certificate_that_is_not)
{
	Site s;
	if (lacks_programs())
		SKIP("needs openssl and python3");
	site_start(&s, "DNS:other.example,IP:127.0.0.9");
	Got g = ask_once(&s, "https", "localhost", (HttpClientSpec){0});
	CHECK_INT(g.end.fault, HTTP_TLS);
	CHECK(g.end.why && strstr(g.end.why, "self-signed"));
	CHECK_INT(g.end.sent_us, 0);
	g = ask_once(&s, "https", "localhost", (HttpClientSpec){.ca_file = s.cert});
	CHECK_INT(g.end.fault, HTTP_TLS);
	CHECK(g.end.why && strstr(g.end.why, "hostname mismatch"));
	g = ask_once(&s, "https", "127.0.0.1", (HttpClientSpec){.ca_file = s.cert});
	CHECK_INT(g.end.fault, HTTP_TLS);
	CHECK(g.end.why && strstr(g.end.why, "IP address mismatch"));
	g = ask_once(&s, "https", "localhost", (HttpClientSpec){.insecure = true});
	CHECK_INT(g.end.fault, HTTP_FINE);

	HttpTarget t = {.tls = true, .host = (char[]){"x"}, .port = 1, .base = (char[]){""}};
	HttpClientSpec none = {.target = &t, .ca_file = "/nowhere/at/all"};
	HttpClient *c = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(httpclient_new(s.http, &none, &c, &err), EINVAL);
	CHECK(strstr(err.msg, "/nowhere/at/all"));
	site_stop(&s);
}

/* Without the goodbye of TLS somebody between may have cut the answer. */
TEST(an_end_without_goodbye_is_no_end)
{
	Site s;
	if (lacks_programs())
		SKIP("needs openssl and python3");
	site_start(&s, "DNS:localhost");
	HttpClient *c = client_of(&s, "https", "localhost", (HttpClientSpec){.ca_file = s.cert});
	Got g = ask(&s, c, "/whole", 0);
	CHECK_INT(g.end.fault, HTTP_FINE);
	CHECK_STR(g.body, "half");
	g = ask(&s, c, "/cut", 0);
	CHECK_INT(g.end.fault, HTTP_TRUNCATED);
	CHECK_STR(g.body, "half");
	httpclient_free(c);
	g = ask_once(&s, "http", "localhost", (HttpClientSpec){0}); /* the other way round */
	CHECK(g.end.fault == HTTP_CLOSED || g.end.fault == HTTP_GARBAGE ||
	      g.end.fault == HTTP_TRUNCATED);
	site_stop(&s);
}

static HttpEnd ask_peer(const Script *script)
{
	Rig r = RIG_INIT;
	rig_start(&r, NULL, NULL, script, 1);
	httpclient_free(r.client);
	HttpTarget t = {
	    .tls = true, .host = (char[]){"localhost"}, .port = r.peer.port, .base = (char[]){""}};
	HttpClientSpec spec = {.target = &t, .connect_timeout_us = 50000};
	CHECK_OK(httpclient_new(r.http, &spec, &r.client, NULL));
	rig_get(&r, "GET", 0);
	HttpEnd end = r.end;
	rig_stop(&r);
	return end;
}

TEST(a_server_that_does_not_speak_tls)
{
	Script plain = {.pieces = PIECES("HTTP/1.1 400 no\r\n\r\n"), .unasked = true};
	HttpEnd end = ask_peer(&plain);
	CHECK_INT(end.fault, HTTP_TLS);
	CHECK(end.why);
	Script closes = {.unasked = true, .end = PEER_CLOSES};
	CHECK_INT(ask_peer(&closes).fault, HTTP_TLS);
	Script silent = {.end = PEER_SILENT};
	end = ask_peer(&silent);
	CHECK_INT(end.fault, HTTP_TLS);
	CHECK_INT(end.error, ETIMEDOUT);
}
