/* The server, asked by raw sockets and by our client. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "http/client.h"
#include "http/server.h"
#include "test.h"

typedef struct Served {
	sd_event *loop;
	HttpServer *server;
	Incoming *held[8]; /* of /late and /stream */
	int n_held;
	int served, closed;
	Incoming *last_closed;
	Str seen; /* what came, in words */
} Served;

static void on_serve(void *ctx, Incoming *rq)
{
	Served *s = ctx;
	const char *path = incoming_path(rq), *q = incoming_query(rq, "q"),
		   *header = incoming_header(rq, "x-test");
	size_t n;
	const char *body = incoming_body(rq, &n);
	CHECK(body[n] == '\0');
	s->served++;
	str_addf(&s->seen, "%s %s q=%s x=%s body=%zu;", incoming_method(rq), path, q ? q : "-",
		 header ? header : "-", n);
	if (strcmp(path, "/now") == 0) {
		CHECK_OK(incoming_answer(rq, 200, "text/plain", body, n));
	} else if (strcmp(path, "/abort") == 0) {
		incoming_abort(rq);
	} else if (strcmp(path, "/late") == 0) {
		incoming_remember(rq, s);
		s->held[s->n_held++] = rq;
	} else if (strcmp(path, "/stream") == 0) {
		CHECK_OK(incoming_stream(rq, 200, "text/event-stream"));
		s->held[s->n_held++] = rq;
	} else if (strcmp(path, "/burst") == 0) {
		CHECK_OK(incoming_stream(rq, 200, NULL));
		CHECK_OK(incoming_write(rq, "a", 1));
		CHECK_OK(incoming_write(rq, "b", 1));
		incoming_end(rq);
	} else {
		CHECK_OK(incoming_answer(rq, 404, NULL, NULL, 0));
	}
}

static void on_closed(void *ctx, Incoming *rq)
{
	Served *s = ctx;
	s->closed++;
	s->last_closed = rq;
}

static void start(Served *s, const char *socket, size_t body_max)
{
	HttpServerSpec spec = {.host = "127.0.0.1",
			       .socket = socket,
			       .body_max = body_max,
			       .serve = on_serve,
			       .closed = on_closed,
			       .ctx = s};
	Err err = ERR_INIT;
	CHECK_OK(sd_event_new(&s->loop));
	CHECK_OK(httpserver_new(s->loop, &spec, &s->server, &err));
	CHECK((httpserver_port(s->server) > 0) == (socket == NULL));
}

static void stop(Served *s)
{
	s->server = httpserver_free(s->server);
	s->loop = sd_event_unref(s->loop);
	str_done(&s->seen);
}

static int dial(const Served *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(httpserver_port(s->server)),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	return fd;
}

static void turn(Served *s)
{
	CHECK_OK(sd_event_run(s->loop, 5000));
}

static void say(Served *s, int fd, const char *text)
{
	CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
	turn(s);
}

/* What the server says until `mark` is in it, or, without one, until it closes. */
static void hear(Served *s, int fd, Str *ret, const char *mark)
{
	str_clear(ret);
	for (int i = 0; i < 1000; i++) {
		char buf[4096];
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		if (n > 0)
			str_addn(ret, buf, (size_t)n);
		if (mark ? ret->len > 0 && strstr(ret->s, mark) != NULL
			 : n == 0 || (n < 0 && errno != EAGAIN))
			return;
		turn(s);
	}
	test_fail(__FILE__, __LINE__, "the server did not say '%s'", mark ? mark : "goodbye");
}

TEST(an_answer_at_once)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 0);
	int fd = dial(&s);
	for (int i = 0; i < 3; i++) { /* on one connection */
		say(&s, fd, "POST /now?q=a%20b&z HTTP/1.1\r\nHost: x\r\nX-Test: 1\r\n");
		say(&s, fd, "Content-Length: 5\r\n\r\nhe");
		say(&s, fd, "llo");
		hear(&s, fd, &text, "\r\n\r\nhello");
		CHECK(strncmp(text.s, "HTTP/1.1 200 OK\r\n", 17) == 0);
		CHECK(strstr(text.s, "Content-Type: text/plain\r\n"));
		CHECK(strstr(text.s, "Content-Length: 5\r\n"));
	}
	CHECK(strncmp(s.seen.s, "POST /now q=a b x=1 body=5;", 27) == 0);
	say(&s, fd, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\n");
	CHECK(strncmp(text.s, "HTTP/1.1 404", 12) == 0);
	CHECK_INT(s.closed, 0);
	close(fd);
	stop(&s);
}

TEST(queries)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 0);
	int fd = dial(&s);
	say(&s, fd, "GET /none?a=1&q=%7e+x%3D HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\n");
	say(&s, fd, "GET /none?q HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\n");
	CHECK_STR(s.seen.s, "GET /none q=~ x= x=- body=0;GET /none q= x=- body=0;");
	close(fd);
	stop(&s);
}

TEST(a_request_in_chunks_and_one_that_waits_for_100)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 0);
	int fd = dial(&s);
	say(&s, fd, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	say(&s, fd, "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\nhello");
	say(&s, fd,
	    "POST /now HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	hear(&s, fd, &text, "100 Continue\r\n\r\n");
	say(&s, fd, "hello");
	hear(&s, fd, &text, "\r\n\r\nhello");
	close(fd);
	stop(&s);
}

TEST(a_late_answer)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 0);
	int a = dial(&s), b = dial(&s);
	say(&s, a, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
	while (s.n_held < 1)
		turn(&s);
	say(&s, b, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
	while (s.n_held < 2)
		turn(&s);
	CHECK(incoming_own(s.held[1]) == &s);
	CHECK_OK(incoming_answer(s.held[1], 201, NULL, "second", 6));
	hear(&s, b, &text, "second");
	CHECK_OK(incoming_answer(s.held[0], 201, NULL, "first", 5));
	hear(&s, a, &text, "first");
	CHECK_INT(s.closed, 0);
	close(a);
	close(b);
	stop(&s);
}

TEST(a_stream_goes_out_piece_by_piece)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 0);
	int fd = dial(&s);
	say(&s, fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\n");
	CHECK(strstr(text.s, "Transfer-Encoding: chunked\r\n"));
	for (int i = 0; i < 5; i++) {
		char piece[32], want[48];
		int n = snprintf(piece, sizeof(piece), "data: %d\n\n", i);
		snprintf(want, sizeof(want), "%x\r\n%s\r\n", (unsigned)n, piece);
		CHECK_OK(incoming_write(s.held[0], piece, (size_t)n));
		hear(&s, fd, &text, "\n\r\n");
		CHECK_STR(text.s, want); /* no more, no less */
	}
	incoming_end(s.held[0]);
	hear(&s, fd, &text, "0\r\n\r\n");
	CHECK_INT(s.closed, 0);
	say(&s, fd, "GET /burst HTTP/1.1\r\nHost: x\r\n\r\n"); /* the connection goes on */
	hear(&s, fd, &text, "0\r\n\r\n");
	CHECK(strstr(text.s, "\r\n\r\n2\r\nab\r\n0"));
	close(fd);
	stop(&s);
}

TEST(a_long_stream_arrives_whole)
{
	enum {
		LEN = 3000000
	};
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	char *data = malloc(LEN);
	CHECK(data);
	memset(data, 'd', LEN);
	start(&s, NULL, 0);
	int fd = dial(&s);
	say(&s, fd, "GET /stream HTTP/1.0\r\n\r\n"); /* no chunks in this version */
	hear(&s, fd, &text, "\r\n\r\n");
	CHECK_OK(incoming_write(s.held[0], data, LEN));
	incoming_end(s.held[0]);
	hear(&s, fd, &text, NULL);
	CHECK_INT(text.len, LEN);
	free(data);
	close(fd);
	stop(&s);
}

TEST(what_a_client_does_not_take_is_bounded)
{
	enum {
		LEN = 8 << 20
	};
	Served s = {0};
	char *data = calloc(1, LEN);
	CHECK(data);
	start(&s, NULL, 0);
	int fd = dial(&s), r = 0, n = 0;
	say(&s, fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	while (s.n_held < 1)
		turn(&s);
	for (; n < 1000 && r == 0; n++) {
		r = incoming_write(s.held[0], data, LEN);
		turn(&s);
	}
	CHECK_INT(r, -ENOBUFS);
	CHECK(n < 20);
	incoming_abort(s.held[0]);
	free(data);
	close(fd);
	stop(&s);
}

TEST(an_abort_is_seen_in_the_middle)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 0);
	int fd = dial(&s);
	say(&s, fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\n");
	CHECK_OK(incoming_write(s.held[0], "half", 4));
	incoming_abort(s.held[0]);
	hear(&s, fd, &text, NULL);
	CHECK_STR(text.s, "4\r\nhalf\r\n"); /* and no last chunk */
	close(fd);

	fd = dial(&s);
	say(&s, fd, "GET /abort HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(&s, fd, &text, NULL);
	CHECK_INT(text.len, 0);
	close(fd);

	fd = dial(&s);
	say(&s, fd, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
	while (s.n_held < 2)
		turn(&s);
	incoming_abort(s.held[1]);
	hear(&s, fd, &text, NULL);
	CHECK_INT(text.len, 0);
	close(fd);
	CHECK_INT(s.closed, 0); /* the owner knew */
	stop(&s);
}

TEST(a_client_that_goes_away_is_noticed)
{
	static const char *const asks[] = {"GET /late HTTP/1.1\r\nHost: x\r\n\r\n",
					   "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"};
	for (int i = 0; i < 2; i++) {
		for (int reset = 0; reset < 2; reset++) {
			Served s = {0};
			start(&s, NULL, 0);
			int fd = dial(&s);
			struct linger hard = {.l_onoff = reset};
			say(&s, fd, asks[i]);
			for (int n = 0; n < 10; n++)
				turn(&s);
			CHECK_INT(s.n_held, 1);
			CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0);
			close(fd);
			for (int n = 0; n < 100 && s.closed == 0; n++)
				turn(&s);
			CHECK_INT(s.closed, 1);
			CHECK(s.last_closed == s.held[0]);
			stop(&s);
		}
	}
}

/* The request and the goodbye are there before the server looks. */
TEST(a_client_that_was_gone_before_it_was_served_is_noticed)
{
	Served s = {0};
	start(&s, NULL, 0);
	int fd = dial(&s);
	const char *ask = "GET /late HTTP/1.1\r\nHost: x\r\n\r\n";
	CHECK(send(fd, ask, strlen(ask), 0) > 0);
	close(fd);
	for (int n = 0; n < 100 && s.closed == 0; n++)
		turn(&s);
	CHECK_INT(s.closed, s.served);
	stop(&s);
}

TEST(a_body_that_is_too_long_is_refused)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 10);
	int fd = dial(&s);
	say(&s, fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\n");
	CHECK(strncmp(text.s, "HTTP/1.1 413", 12) == 0);
	close(fd);
	fd = dial(&s);
	say(&s, fd, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	say(&s, fd, "8\r\n12345678\r\n3\r\nabc\r\n0\r\n\r\n");
	hear(&s, fd, &text, "\r\n\r\n");
	CHECK(strncmp(text.s, "HTTP/1.1 413", 12) == 0);
	close(fd);
	fd = dial(&s);
	say(&s, fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1234567890");
	hear(&s, fd, &text, "1234567890");
	CHECK_INT(s.served, 1);
	close(fd);
	stop(&s);
}

TEST(what_is_no_request_is_refused)
{
	static const char *const wrong[] = {
	    "\r\n\r\n\r\n\r\n", "hello\r\n\r\n", "GET / HTTP/1.1\r\nno header\r\n\r\n",
	    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"};
	Served s = {0};
	start(&s, NULL, 0);
	for (size_t i = 0; i < 4; i++) {
		int fd = dial(&s);
		say(&s, fd, wrong[i]);
		for (int n = 0; n < 5; n++)
			turn(&s);
		close(fd);
	}
	int fd = dial(&s);
	_cleanup_(str_done) Str text = STR_INIT;
	say(&s, fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
	hear(&s, fd, &text, "ok");
	close(fd);
	stop(&s);
}

TEST(one_port_one_server)
{
	Served s = {0};
	start(&s, NULL, 0);
	HttpServerSpec spec = {
	    .host = "127.0.0.1", .port = httpserver_port(s.server), .serve = on_serve, .ctx = &s};
	HttpServer *other = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(httpserver_new(s.loop, &spec, &other, &err), EADDRINUSE);
	CHECK(strstr(err.msg, "cannot listen at 127.0.0.1 port"));
	stop(&s);
}

TEST(a_server_goes_with_what_is_not_answered)
{
	Served s = {0};
	_cleanup_(str_done) Str text = STR_INIT;
	start(&s, NULL, 0);
	int a = dial(&s), b = dial(&s);
	say(&s, a, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
	say(&s, b, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(&s, b, &text, "\r\n\r\n");
	CHECK_INT(s.n_held, 2);
	int late = dial(&s); /* asks when nobody looks any more */
	CHECK(send(late, "GET /now HTTP/1.0\r\n\r\n", 21, 0) == 21);
	stop(&s);
	CHECK_INT(s.served, 2);
	close(late);
	char c;
	CHECK(recv(a, &c, 1, 0) <= 0 && recv(b, &c, 1, 0) <= 0);
	CHECK_INT(s.closed, 0);
	close(a);
	close(b);
}

/* --- With our client ------------------------------------------------------------------------- */

typedef struct Got {
	bool ended;
	HttpEnd end;
	size_t len;
} Got;

static void on_fetched(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Got *g = ctx;
	(void)body;
	g->ended = true;
	g->end = *end;
	g->len = len;
}

static Got ask(Served *s, const char *url, const char *path)
{
	HttpTarget t;
	HttpLoop *l = NULL;
	HttpClient *c = NULL;
	HttpCall *call;
	Got g = {0};
	HttpRequest rq = {
	    .method = "POST", .path = path, .type = "a/b", .body = "hi", .body_len = 2};
	CHECK_OK(httptarget_parse(url, &t, NULL));
	CHECK_OK(httploop_new(s->loop, &l, NULL));
	HttpClientSpec spec = {.target = &t};
	CHECK_OK(httpclient_new(l, &spec, &c, NULL));
	CHECK_OK(http_fetch(c, &rq, 1000, on_fetched, &g, &call, NULL));
	for (int i = 0; i < 1000 && !g.ended; i++)
		turn(s);
	CHECK(g.ended);
	httpclient_free(c);
	httploop_free(l);
	httptarget_done(&t);
	return g;
}

TEST(a_unix_socket_is_left_clean)
{
	char dir[] = "/tmp/dream-http-XXXXXX", path[64], url[80];
	struct stat st;
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(url, sizeof(url), "unix:%s", path);
	/* What a dead process left is taken over. */
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(dead, (struct sockaddr *)&un, sizeof(un)) == 0);
	close(dead);

	Served s = {0};
	start(&s, path, 0);
	Got g = ask(&s, url, "/now");
	CHECK_INT(g.end.fault, HTTP_FINE);
	CHECK_INT(g.len, 2);
	/* But not a living one's. */
	HttpServerSpec spec = {.socket = path, .serve = on_serve, .ctx = &s};
	HttpServer *other = NULL;
	CHECK_ERR(httpserver_new(s.loop, &spec, &other, NULL), EADDRINUSE);
	CHECK(stat(path, &st) == 0);
	stop(&s);
	CHECK(stat(path, &st) < 0);
	rmdir(dir);
}

TEST(our_client_and_our_server)
{
	Served s = {0};
	char url[64];
	start(&s, NULL, 0);
	snprintf(url, sizeof(url), "http://localhost:%u", (unsigned)httpserver_port(s.server));
	Got g = ask(&s, url, "/burst");
	CHECK_INT(g.end.fault, HTTP_FINE);
	CHECK_INT(g.len, 2);
	g = ask(&s, url, "/abort");
	CHECK_INT(g.end.fault, HTTP_CLOSED);
	stop(&s);
}
