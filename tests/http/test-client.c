/* The client against a peer that does everything a server should not. */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"

static void one(Rig *r, const char *method, const Script *script)
{
	rig_start(r, NULL, NULL, script, 1);
	rig_get(r, method, 0);
}

static HttpFault fault_of(const char *const *pieces, PeerEnd end)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = pieces, .end = end};
	one(&r, "GET", &s);
	HttpFault f = r.end.fault;
	CHECK(f != HTTP_GARBAGE || r.end.why);
	rig_stop(&r);
	return f;
}

static void expect_body(const char *const *pieces, PeerEnd end, const char *body)
{
	for (int cut = 0; cut < 2; cut++) {
		Rig r = RIG_INIT;
		Script s = {.pieces = pieces, .cut = cut, .end = end};
		one(&r, "GET", &s);
		CHECK_INT(r.end.fault, HTTP_FINE);
		CHECK_INT(r.end.status, 200);
		CHECK_INT(r.status, 200);
		CHECK_STR(r.body.s, body);
		CHECK_INT(r.end.body_bytes, strlen(body));
		CHECK(r.end.first_us >= r.end.sent_us && r.end.sent_us >= r.end.began_us);
		rig_stop(&r);
	}
}

TEST(an_answer_may_be_cut_anywhere)
{
	expect_body(PIECES(OK_HELLO), PEER_STAYS, "hello");
	expect_body(PIECES("HTTP/1.1 200 OK\r", "\nContent-Length: 5\r\n\r", "\nhel", "lo"),
		    PEER_STAYS, "hello");
	expect_body(PIECES("HTTP/1.1 200\ncontent-length:5\n\nhello"), PEER_STAYS, "hello");
}

TEST(chunks_extensions_and_trailers)
{
	expect_body(PIECES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			   "1\r\nh\r\n4;a=b;c=\"d\"\r\nel", "lo\r\n", "0\r\nX-Sum: 1\r\n\r\n"),
		    PEER_STAYS, "hello");
	expect_body(PIECES("HTTP/1.1 200 OK\r\nTRANSFER-ENCODING:  Chunked \r\n\r\n00A\r\n",
			   "0123456789\r\n000;x\r\n\r\n"),
		    PEER_STAYS, "0123456789");
}

TEST(a_body_without_length_ends_with_the_connection)
{
	expect_body(PIECES("HTTP/1.1 200 OK\r\n\r\nhel", "lo"), PEER_CLOSES, "hello");
	expect_body(PIECES("HTTP/1.0 200 OK\r\n\r\n"), PEER_CLOSES, "");
	CHECK_INT(fault_of(PIECES("HTTP/1.1 200 OK\r\n\r\nhel"), PEER_RESETS), HTTP_TRUNCATED);
}

TEST(interim_answers_are_skipped)
{
	expect_body(PIECES("HTTP/1.1 100 Continue\r\n\r\n",
			   "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK_HELLO),
		    PEER_STAYS, "hello");
	CHECK_INT(fault_of(PIECES("HTTP/1.1 101 Switching Protocols\r\n\r\n"), PEER_STAYS),
		  HTTP_GARBAGE);
}

TEST(answers_that_have_no_body)
{
	static const char *const heads[] = {
	    "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
	    "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	};
	for (size_t i = 0; i < 3; i++)
		CHECK_INT(fault_of(PIECES(heads[i]), PEER_STAYS), HTTP_FINE);
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")};
	one(&r, "HEAD", &s);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK_INT(r.pieces, 0);
	rig_get(&r, "HEAD", 0); /* and the connection is good for the next */
	CHECK(r.end.reused);
	rig_stop(&r);
}

TEST(a_server_that_closes_says_when)
{
	CHECK_INT(fault_of(NULL, PEER_CLOSES), HTTP_CLOSED);
	CHECK_INT(fault_of(NULL, PEER_RESETS), HTTP_CLOSED);
	CHECK_INT(fault_of(PIECES("H"), PEER_CLOSES), HTTP_TRUNCATED);
	CHECK_INT(fault_of(PIECES("HTTP/1.1 200 OK\r\nContent-"), PEER_CLOSES), HTTP_TRUNCATED);
	CHECK_INT(fault_of(PIECES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), PEER_CLOSES),
		  HTTP_TRUNCATED);
	CHECK_INT(fault_of(PIECES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
				  "5\r\nhello\r\n"),
			   PEER_CLOSES),
		  HTTP_TRUNCATED);
}

TEST(what_is_not_http_is_garbage)
{
	static const char *const wrong[] = {
	    "SSH-2.0-OpenSSH_9.2\r\n",
	    "HTTP/2 200 OK\r\n\r\n",
	    "HTTP/1.1 2000 OK\r\n\r\n",
	    "HTTP/1.1 099 OK\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nName : value\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
	    "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		HttpFault f = fault_of(PIECES(wrong[i]), PEER_STAYS);
		if (f != HTTP_GARBAGE)
			test_fail(__FILE__, __LINE__, "%s is %s", wrong[i], http_fault_name(f));
	}
}

TEST(a_head_without_end_is_garbage)
{
	size_t n = 200 * 1000;
	char *filler = malloc(n + 1);
	CHECK(filler);
	memset(filler, 'a', n);
	filler[n] = '\0';
	CHECK_INT(fault_of(PIECES("HTTP/1.1 200 OK\r\nX: ", filler), PEER_STAYS), HTTP_GARBAGE);
	CHECK_INT(
	    fault_of(PIECES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", filler),
		     PEER_STAYS),
	    HTTP_GARBAGE);
	CHECK_INT(fault_of(PIECES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: ",
				  filler),
			   PEER_STAYS),
		  HTTP_GARBAGE);
	free(filler);
}

TEST(a_connection_is_used_again)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	one(&r, "GET", &s);
	CHECK(!r.end.reused);
	for (int i = 0; i < 5; i++) {
		rig_get(&r, "POST", 0);
		CHECK(r.end.reused);
		CHECK_STR(r.body.s, "hello");
	}
	CHECK_INT(r.peer.connections, 1);
	CHECK_INT(r.peer.requests, 6);
	rig_stop(&r);
}

TEST(a_connection_is_not_used_again_when_the_server_says_so)
{
	static const char *const heads[] = {
	    "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 unasked\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	};
	for (size_t i = 0; i < 4; i++) {
		Rig r = RIG_INIT;
		Script s = {.pieces = PIECES(heads[i])};
		one(&r, "GET", &s);
		CHECK_INT(r.end.fault, HTTP_FINE);
		rig_get(&r, "GET", 0);
		CHECK(!r.end.reused);
		CHECK_INT(r.peer.connections, 2);
		rig_stop(&r);
	}
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(
			"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")};
	one(&r, "GET", &s);
	rig_get(&r, "GET", 0);
	CHECK(r.end.reused);
	rig_stop(&r);
}

TEST(a_request_that_met_a_closing_connection_is_sent_once_more)
{
	/* The first connection answers once and closes on the second request, unread. */
	for (int reset = 0; reset < 2; reset++) {
		Rig r = RIG_INIT;
		Script s[] = {{.pieces = PIECES(OK_HELLO)}, {.pieces = PIECES(OK_HELLO)}};
		rig_start(&r, NULL, NULL, s, 2);
		rig_get(&r, "POST", 0);
		s[0] = (Script){.end = reset ? PEER_RESETS : PEER_CLOSES};
		rig_get(&r, "POST", 0);
		CHECK_INT(r.end.fault, HTTP_FINE);
		CHECK(!r.end.reused);
		CHECK_STR(r.body.s, "hello");
		CHECK_INT(r.peer.connections, 2);
		CHECK_INT(r.peer.requests, 3);
		rig_stop(&r);
	}
}

TEST(a_request_is_sent_once_when_its_answer_had_begun)
{
	Rig r = RIG_INIT;
	Script s[] = {{.pieces = PIECES(OK_HELLO)}, {.pieces = PIECES(OK_HELLO)}};
	rig_start(&r, NULL, NULL, s, 2);
	rig_get(&r, "POST", 0);
	s[0] = (Script){.pieces = PIECES("H"), .end = PEER_CLOSES};
	rig_get(&r, "POST", 0);
	CHECK_INT(r.end.fault, HTTP_TRUNCATED);
	CHECK_INT(r.peer.requests, 2);
	rig_stop(&r);
}

TEST(a_request_is_sent_twice_at_most)
{
	Rig r = RIG_INIT;
	Script s[] = {{.pieces = PIECES(OK_HELLO)}, {.end = PEER_CLOSES}};
	rig_start(&r, NULL, NULL, s, 2);
	rig_get(&r, "POST", 0);
	s[0] = (Script){.end = PEER_CLOSES};
	rig_get(&r, "POST", 0);
	CHECK_INT(r.end.fault, HTTP_CLOSED);
	CHECK_INT(r.peer.connections, 2);
	rig_stop(&r);
}

TEST(an_idle_connection_that_the_server_closes_is_forgotten)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	one(&r, "GET", &s);
	peer_close_all(&r.peer);
	for (int i = 0; i < 3; i++)
		CHECK_OK(sd_event_run(r.loop, 0));
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK_INT(r.peer.requests, 2); /* not three */
	rig_stop(&r);
}

TEST(no_descriptors_left)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	HttpRequest rq = {.method = "GET", .path = "/x"};
	HttpCall *call = NULL;
	Err err = ERR_INIT;
	struct rlimit before, none;
	one(&r, "GET", &s);
	peer_close_all(&r.peer);
	for (int i = 0; i < 3; i++)
		CHECK_OK(sd_event_run(r.loop, 0));
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = 3;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHECK_ERR(http_call(r.client, &rq, &rig_handler, &r, &call, &err), EMFILE);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK(strstr(err.msg, "cannot make a connection") && !call);
	rig_get(&r, "GET", 0); /* nothing was lost */
	CHECK_INT(r.end.fault, HTTP_FINE);
	rig_stop(&r);
}

TEST(a_server_that_says_nothing_runs_out_of_time)
{
	static const char *const begun[] = {"", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"};
	for (size_t i = 0; i < 2; i++) {
		Rig r = RIG_INIT;
		Script s = {.pieces = PIECES(begun[i]), .end = PEER_SILENT};
		rig_start(&r, NULL, NULL, &s, 1);
		rig_get(&r, "GET", 50000);
		CHECK_INT(r.end.fault, HTTP_TIMEOUT);
		CHECK(r.end.end_us - r.end.began_us >= 50000);
		CHECK_INT(r.end.status, i == 0 ? 0 : 200);
		rig_stop(&r);
	}
}

TEST(timeouts_end_in_their_order)
{
	static const int64_t after_ms[] = {350, 50, 250, 150, 450, 100, 300, 200, 400};
	Rig r = RIG_INIT;
	Script s = {.end = PEER_SILENT};
	rig_start(&r, NULL, NULL, &s, 1);
	for (size_t i = 0; i < 9; i++)
		(void)rig_call(&r, "GET", "/x", after_ms[i] * 1000);
	for (int i = 1; i <= 9; i++) {
		r.to_come = i;
		rig_loop(&r);
		CHECK(r.done == i);
		CHECK(r.end.end_us - r.end.began_us >= i * 50000);
	}
	rig_stop(&r);
}

TEST(many_calls_at_once_each_have_their_connection)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	rig_start(&r, NULL, NULL, &s, 1);
	for (int round = 0; round < 3; round++) {
		r.done = 0;
		r.to_come = 200;
		for (int i = 0; i < 200; i++)
			(void)rig_call(&r, "POST", "/x", 0);
		rig_loop(&r);
		CHECK_INT(r.end.fault, HTTP_FINE);
	}
	CHECK_INT(r.peer.connections, 200);
	CHECK_INT(r.peer.requests, 600);
	CHECK_INT(r.body.len, 5 * 600);
	rig_stop(&r);
}

TEST(the_request_says_what_it_should)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	HttpClientSpec spec = {.token = "sesame", .close_each = true};
	HttpRequest rq = {.method = "POST",
			  .path = "/v1/x?y=1",
			  .type = "application/json",
			  .accept = "text/event-stream",
			  .body = "{}",
			  .body_len = 2};
	HttpCall *call;
	char expected[400];
	rig_start(&r, &spec, NULL, &s, 1);
	CHECK_OK(http_call(r.client, &rq, &rig_handler, &r, &call, NULL));
	rig_loop(&r);
	snprintf(
	    expected, sizeof(expected),
	    "POST /base/v1/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: dream/%s\r\n"
	    "Authorization: Bearer sesame\r\nConnection: close\r\nAccept: text/event-stream\r\n"
	    "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
	    (unsigned)r.peer.port, DREAM_VERSION);
	CHECK_STR(r.peer.heard.s, expected);
	r.done = 0;
	rig_get(&r, "GET", 0);
	CHECK_INT(r.peer.connections, 2);
	rig_stop(&r);
}

TEST(nothing_can_be_smuggled_into_a_request)
{
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	HttpCall *call;
	rig_start(&r, NULL, NULL, &s, 1);
	static const HttpRequest bad[] = {
	    {.method = "GET", .path = "/a b"},
	    {.method = "GET", .path = "/a\r\nX: y"},
	    {.method = "GET", .path = "a"},
	    {.method = "GET\n", .path = "/a"},
	    {.method = "", .path = "/a"},
	    {.method = "GET", .path = "/a", .type = "a\r\nX: y"},
	    {.method = "GET", .path = "/a", .accept = "a\nX: y"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		Err err = ERR_INIT;
		CHECK_ERR(http_call(r.client, &bad[i], &rig_handler, &r, &call, &err), EINVAL);
		CHECK(err.msg[0]);
	}
	HttpTarget t = {.host = (char[]){"127.0.0.1"}, .port = 1, .base = (char[]){""}};
	static const char *const tokens[] = {"a\r\nX: y", "a\n", "a b", "\xc3\xa4"};
	for (size_t i = 0; i < 4; i++) {
		HttpClientSpec spec = {.target = &t, .token = tokens[i]};
		HttpClient *c = NULL;
		Err err = ERR_INIT;
		CHECK_ERR(httpclient_new(r.http, &spec, &c, &err), EINVAL);
		CHECK(!strstr(err.msg, tokens[i]));
	}
	rig_stop(&r);
}

TEST(a_unix_socket)
{
	char path[] = "/tmp/dream-http-XXXXXX", name[64];
	CHECK(mkdtemp(path));
	snprintf(name, sizeof(name), "%s/s", path);
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	rig_start(&r, NULL, name, &s, 1);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK(strstr(r.peer.heard.s, "GET /base/x HTTP/1.1\r\nHost: localhost\r\n"));
	unlink(name);
	peer_close_all(&r.peer);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_CONNECT);
	CHECK_INT(r.end.error, ENOENT);
	rig_stop(&r);
	rmdir(path);
}

/* A unix socket refuses at once when its backlog is full; the client comes again. */
TEST(a_long_request_goes_out_in_parts)
{
	size_t n = 8 * 1000 * 1000;
	char *body = malloc(n);
	CHECK(body);
	memset(body, 'x', n);
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES(OK_HELLO)};
	HttpRequest rq = {
	    .method = "POST", .path = "/x", .type = "a/b", .body = body, .body_len = n};
	HttpCall *call;
	rig_start(&r, NULL, NULL, &s, 1);
	CHECK_OK(http_call(r.client, &rq, &rig_handler, &r, &call, NULL));
	memset(body, '~', n); /* copied, or sent already */
	rig_loop(&r);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK(r.peer.heard.len > n && !memchr(r.peer.heard.s, '~', r.peer.heard.len));
	CHECK(r.end.sent_us > 0);
	free(body);
	rig_stop(&r);
}

TEST(an_answer_before_the_whole_request_was_taken)
{
	size_t n = 8 * 1000 * 1000;
	char *body = calloc(1, n);
	CHECK(body);
	Rig r = RIG_INIT;
	Script s = {.pieces = PIECES("HTTP/1.1 413 no\r\nContent-Length: 0\r\n\r\n"),
		    .unasked = true,
		    .end = PEER_STAYS};
	HttpRequest rq = {
	    .method = "POST", .path = "/x", .type = "a/b", .body = body, .body_len = n};
	HttpCall *call;
	rig_start(&r, NULL, NULL, &s, 1);
	r.peer.deaf = true;
	CHECK_OK(http_call(r.client, &rq, &rig_handler, &r, &call, NULL));
	rig_loop(&r);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK_INT(r.end.status, 413);
	CHECK_INT(r.end.sent_us, 0);
	free(body);
	rig_stop(&r);
}
